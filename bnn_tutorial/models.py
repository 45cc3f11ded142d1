"""The tutorial's network, and a table of what a network stores and computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .forward_maps import binary_linear, has_binary_weights
from .layers import Activation, GenConv2d, GenDense
from .ste import sign_ste

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["binary_mlp", "eval_mode", "summary"]


def binary_mlp(
    widths: Sequence[int] = (784, 300, 100, 10),
    activation: Activation = sign_ste,
    normalise: bool = False,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A multilayer perceptron with binary weights, binary hidden activations and real outputs (logits).

    Args:
        widths: pixels, hidden widths, classes; default the tutorial's 784, 300, 100, 10.
        activation: of the hidden layers; default `sign_ste`.
        normalise: batch-normalise each pre-activation, the outputs too; default False, as in the tutorial.
        generator: where the start comes from; default PyTorch's global one.

    Returns:
        A `Sequential` of `GenDense`: float pixels in [0, 1], (N, widths[0]) -> logits, (N, widths[-1]).

    Raises:
        ValueError: if there are fewer than two widths, or one is below 1.

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
    options = {"forward_map": binary_linear, "normalise": normalise, "generator": generator}
    *hidden, last = pairwise(widths)
    return nn.Sequential(
        *(GenDense(*pair, activation=activation, **options) for pair in hidden),
        GenDense(*last, **options),
    )


def summary(model: nn.Module, input_shape: Sequence[int] | None = None) -> pd.DataFrame:
    """What each layer of a network stores and computes for one input, and the total.

    Args:
        model: layers with a binary forward map count as binary, all else as float.
        input_shape: shape of one input, without the batch; default the width of the first layer where that is dense.

    Returns:
        A DataFrame with a row for each layer, then `total`, and the columns

        - `one_bit_weights`: weights of which the forward pass uses only the sign;
        - `float_parameters`: all others, 32 bits each: biases, batch norm's four vectors, real weights;
        - `bytes_now`: as PyTorch stores them, 4 bytes for each, latent weights included;
        - `bytes_packed`: a bit for each one-bit weight (rounded up to bytes), 4 bytes for each float parameter;
        - `compression`: bytes_now / bytes_packed;
        - `one_bit_macs`: multiply-accumulates of a one-bit weight and an input in {-1, +1}: work for XNOR and popcount;
        - `float_macs`: all others. The first layer's are among them: its inputs are pixels.

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
    first = next(iter(modules))
    if input_shape is None:
        if not isinstance(first, GenDense):
            raise ValueError("the first layer is not a GenDense: give input_shape, for example summary(model, (784,))")
        input_shape = (first.in_features,)
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


def _row(module: nn.Module, calls: list[tuple[Tensor, Tensor]]) -> dict[str, int]:
    binary = has_binary_weights(module)
    one_bit = module.weight.numel() if binary else 0
    floats = sum(v.numel() for v in _vectors(module)) - one_bit
    macs = [_macs(module, z) for _, z in calls]
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


def _macs(module: nn.Module, z: Tensor) -> int:
    # Each weight of a matrix or a kernel takes part once for each position of the output.
    weight = getattr(module, "weight", None)
    return 0 if weight is None or weight.dim() < 2 else weight.numel() * z.numel() // weight.shape[0]


def _is_binary_input(module: nn.Module, x: Tensor) -> bool:
    # Zero padding counts as real: 0 is a third value beside -1 and +1.
    return bool((x.abs() == 1).all()) and not getattr(module, "padding", 0)
