"""The tutorial's network, a convolutional one, and a table of what a network stores and computes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .forward_maps import binary_conv2d, binary_linear, has_binary_weights, pooled_binary_conv2d
from .layers import Activation, BinaryInput, GenConv2d, GenDense
from .ste import clipped_sign_ste, sign_ste

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["binary_mlp", "binary_convnet", "eval_mode", "summary"]


def binary_mlp(
    widths: Sequence[int] = (784, 300, 100, 10),
    activation: Activation = sign_ste,
    normalise: bool = False,
    binary_input: bool = False,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A multilayer perceptron with binary weights, binary hidden activations and real outputs (logits).

    Args:
        widths: pixels, hidden widths, classes; default the tutorial's 784, 300, 100, 10.
        activation: of the hidden layers; default `sign_ste`.
        normalise: batch-normalise each pre-activation, the outputs too; default False, as in the tutorial.
        binary_input: take the pixels as one bit each, by `BinaryInput`; default False: as they are.
        dropout: share of each hidden layer's units that are set to 0 in training, in [0, 1); default 0.
        generator: where the start comes from; default PyTorch's global one.

    Returns:
        A `Sequential` of `GenDense`: float pixels in [0, 1], (N, widths[0]) -> logits, (N, widths[-1]).

    Raises:
        ValueError: if there are fewer than two widths, one is below 1, or the dropout is out of range.

    Examples:
        >>> binary_mlp()
        Sequential(
          (0): GenDense(784, 300, activation=sign_ste, forward_map=binary_linear)
          (1): GenDense(300, 100, activation=sign_ste, forward_map=binary_linear)
          (2): GenDense(100, 10, forward_map=binary_linear)
        )

    Source: `build_model` of Bender's tutorial.
    """
    if len(widths) < 2:
        raise ValueError(f"widths must name at least the input's and the output's, got {tuple(widths)}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")
    options = {"forward_map": binary_linear, "normalise": normalise, "generator": generator}
    layers = [BinaryInput()] if binary_input else []
    *hidden, last = pairwise(widths)
    for pair in hidden:
        layers.append(GenDense(*pair, activation=activation, **options))
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, GenDense(*last, **options))


def binary_convnet(
    channels: Sequence[int] = (32, 64, 64),
    kernel_sizes: Sequence[int] = (3, 3, 3),
    widths: Sequence[int] = (64, 10),
    activation: Activation = clipped_sign_ste,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A convolutional network for images of 28x28 pixels, with binary weights, binary activations and real logits.

    Convolutions without padding, each but the last with 2×2 max pooling, then dense layers, all batch-normalised.

    Args:
        channels: of the convolutions.
        kernel_sizes: sides of their square kernels in pixels, as many.
        widths: of the dense layers, the classes last.
        activation: of all layers but the last; default `clipped_sign_ste`.
        generator: where the start comes from; default PyTorch's global one.

    Returns:
        A `Sequential`: float pixels in [0, 1], (N, 784) -> logits, (N, widths[-1]). By default it has the 93,088
        weights of the network in Larq's tutorial (docs.larq.dev).

    Raises:
        ValueError: if there are not as many kernels as channels, nothing of the image is left, or there is no width.

    Examples:
        >>> model = binary_convnet()
        >>> model(torch.zeros(5, 784)).shape
        torch.Size([5, 10])
        >>> summary(model)["one_bit_weights"].astype(int).tolist()
        [288, 18432, 36864, 36864, 640, 93088]
    """
    if not channels or len(channels) != len(kernel_sizes) or not widths:
        got = f"{tuple(channels)}, {tuple(kernel_sizes)} and {tuple(widths)}"
        raise ValueError(f"expected channels, as many kernel_sizes, and widths, got {got}")
    options = {"activation": activation, "normalise": True, "generator": generator}
    side, layers = 28, [nn.Unflatten(1, (1, 28, 28))]
    for i, (pair, kernel_size) in enumerate(zip(pairwise((1, *channels)), kernel_sizes, strict=True)):
        pooled = i < len(channels) - 1
        forward_map = pooled_binary_conv2d if pooled else binary_conv2d
        layers.append(GenConv2d(*pair, kernel_size, forward_map=forward_map, **options))
        side = (side - kernel_size + 1) // (2 if pooled else 1)
    if side < 1:
        raise ValueError(f"kernel_sizes {tuple(kernel_sizes)} leave nothing of an image of 28x28 pixels")
    dense = binary_mlp((side * side * channels[-1], *widths), activation, normalise=True, generator=generator)
    # With channels last in memory PyTorch's convolutions are up to twice as fast on a CPU. The outputs are the same,
    # the gradients but for rounding.
    return nn.Sequential(*layers, nn.Flatten(), *dense).to(memory_format=torch.channels_last)


def summary(model: nn.Module, input_shape: Sequence[int] | None = None) -> pd.DataFrame:
    """What each layer of a network stores and computes for one input, and the total.

    Args:
        model: layers with a binary forward map count as binary, all else as float.
        input_shape: shape of one input, without the batch; default the width that a first layer tells which is dense or
            `Unflatten`.

    Returns:
        A DataFrame with a row for each layer, then `total`, and the columns

        - `one_bit_weights`: weights of which the forward pass uses only the sign;
        - `float_parameters`: all others, 32 bits each: biases, batch norm's four vectors, real weights;
        - `bytes_now`: as PyTorch stores them, 4 bytes for each, latent weights included;
        - `bytes_packed`: a bit for each one-bit weight (rounded up to bytes), 4 bytes for each float parameter;
        - `compression`: bytes_now / bytes_packed;
        - `one_bit_macs`: multiply-accumulates of a one-bit weight and an input in {-1, +1}: work for XNOR and popcount;
        - `float_macs`: all others; among them the first layer's, unless its pixels are one bit each.

    Raises:
        ValueError: if `input_shape` has to be given and is not.

    Examples:
        >>> table = summary(binary_mlp())
        >>> table.loc["total", ["one_bit_weights", "float_parameters", "bytes_packed"]].astype(int).tolist()
        [266200, 410, 34915]
    """
    import pandas as pd

    modules = _parametrised(model)
    calls = _trace(model, modules.values(), input_shape)
    table = pd.DataFrame.from_dict({name: _row(m, calls[m]) for name, m in modules.items()}, orient="index")
    table.loc["total"] = table.sum()
    table.insert(4, "compression", table["bytes_now"] / table["bytes_packed"])
    return table.rename_axis("layer")


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """`model.eval()` and no gradients inside the block; afterwards every module has the mode that it had before."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _parametrised(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that own parameters, by path and class; a layer's own batch norm belongs to the layer."""
    owners = {name: m for name, m in model.named_modules() if next(m.parameters(recurse=False), None) is not None}
    inner = {id(m.norm) for m in owners.values() if isinstance(m, GenDense | GenConv2d)}
    rows = {f"{name} {type(m).__name__}".strip(): m for name, m in owners.items() if id(m) not in inner}
    if not rows:
        raise ValueError(f"expected a model with parameters, got {type(model).__name__} without any")
    return rows


def _trace(model: nn.Module, modules: Iterable[nn.Module], input_shape: Sequence[int] | None) -> dict:
    """Run one random image through the model; for each module its calls, (input, output)."""
    if input_shape is None:
        input_shape = (_pixels(model),)
    calls = {module: [] for module in modules}
    hooks = [m.register_forward_hook(lambda m, inputs, z: calls[m].append((inputs[0], z))) for m in modules]
    try:
        pixels = torch.rand(1, *input_shape, generator=torch.Generator().manual_seed(0))
        with eval_mode(model):
            model(pixels.to(next(model.parameters())))
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _pixels(model: nn.Module) -> int:
    """The width of the input, read from the first layer that tells it."""
    for module in model.modules():
        if isinstance(module, GenDense):
            return module.in_features
        if isinstance(module, nn.Unflatten) and min(module.unflattened_size) > 0:
            return math.prod(module.unflattened_size)
        if next(module.parameters(recurse=False), None) is not None:
            break
    raise ValueError("the first layer does not tell its input: give input_shape, for example summary(model, (784,))")


def _row(module: nn.Module, calls: list[tuple[Tensor, Tensor]]) -> dict[str, int]:
    binary = has_binary_weights(module)
    one_bit = module.weight.numel() if binary else 0
    floats = sum(v.numel() for v in _vectors(module)) - one_bit
    macs = [_macs(module, x, z) for x, z in calls]
    one_bit_macs = sum(n for n, (x, _) in zip(macs, calls, strict=True) if binary and _is_binary_input(module, x))
    return {
        "one_bit_weights": one_bit,
        "float_parameters": floats,
        "bytes_now": 4 * (one_bit + floats),
        "bytes_packed": -(-one_bit // 8) + 4 * floats,
        "one_bit_macs": one_bit_macs,
        "float_macs": sum(macs) - one_bit_macs,
    }


def _vectors(module: nn.Module) -> Iterator[Tensor]:
    """What a module stores as real numbers, its own batch norm included."""
    for owner in (module, getattr(module, "norm", None)):
        if owner is not None:
            yield from owner.parameters(recurse=False)
            yield from (b for b in owner.buffers(recurse=False) if b.is_floating_point())


def _macs(module: nn.Module, x: Tensor, z: Tensor) -> int:
    """Each weight of a matrix or a kernel takes part once for each position."""
    weight = getattr(module, "weight", None)
    if weight is None or weight.dim() < 2:
        return 0
    if isinstance(module, GenConv2d):  # the output may be pooled already
        return weight.numel() * math.prod(module.positions(*x.shape[-2:]))
    return weight.numel() * z.numel() // weight.shape[0]


def _is_binary_input(module: nn.Module, x: Tensor) -> bool:
    # Zero padding counts as real: 0 is a third value beside -1 and +1.
    return bool((x.abs() == 1).all()) and not getattr(module, "padding", 0)
