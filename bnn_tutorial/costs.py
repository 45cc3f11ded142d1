"""A table of what a network stores and computes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .forward_maps import weight_bits
from .layers import GenConv2d, GenDense, eval_mode

if TYPE_CHECKING:
    import pandas as pd

WITHOUT_MACS = nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.Embedding, nn.PReLU
OURS = "torch", __package__


def summary(model: nn.Module, input_shape: Sequence[int] = (784,)) -> pd.DataFrame:
    """What each layer of a network stores and computes for one input, and the total.

    Args:
        model: its forward maps say how many bits the weights have (`weight_bits`); all else is float.
        input_shape: shape of one input, without the batch; default an image of MNIST.

    Returns:
        A DataFrame with a row for each layer, then `total`, and the columns

        - `one_bit_weights`: weights of which the forward pass uses only the sign;
        - `float_parameters`: all others, 32 bits each in PyTorch, among them weights of 1.6 to 8 bits;
        - `bytes_now`: as PyTorch stores them, latent weights included;
        - `bytes_packed`: what inference needs, for a binary network exactly what `packed.PackedNetwork` stores of its
          layers (without the limits of a `QuantisedInput`, 8 bytes a feature). For a layer of few bits: the weights,
          each neuron's rounded up to bytes, and what bias or batch norm fold into. That is an int32 threshold if the
          output is a sign, scale and shift of 8 bytes each for logits, of 4 bytes each for other outputs; pooled signs
          take one more bit a neuron. For any other layer: 4 bytes a parameter;
        - `compression`: bytes_now / bytes_packed;
        - `one_bit_macs`: multiply-accumulates of a one-bit weight and an input in {-1, +1}: work for XOR and popcount;
        - `float_macs`: all others; among them the first layer's, unless its pixels are one bit each.

        A weight that several layers share is counted in the first, and a layer that is there twice once; a packed
        network stores it twice. Norms and embeddings have no multiply-accumulates. If a module is never called, or is
        of another kind, such as an LSTM, `float_macs` is NaN there and in `total`.

    Examples:
        >>> from bnn_tutorial import binary_mlp
        >>> table = summary(binary_mlp())
        >>> table.loc["total", ["one_bit_weights", "float_parameters", "bytes_packed"]].astype(int).tolist()
        [266200, 1640, 35090]
    """
    import pandas as pd

    parts = {f"{name} {type(m).__name__}".strip(): m for name, m in _parts(model)}
    if not parts:
        raise ValueError(f"expected a model with parameters, got {type(model).__name__} without any")
    calls, seen = _trace(model, parts.values(), input_shape), set()
    table = pd.DataFrame.from_dict({name: _row(m, calls[m], seen) for name, m in parts.items()}, orient="index")
    table.loc["total"] = table.sum(skipna=False)
    table.insert(4, "compression", table["bytes_now"] / table["bytes_packed"])
    return table.rename_axis("layer")


def _parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules that have parameters, by name; a layer's batch norm and parametrisations count as the layer's."""
    inside = {id(part) for module in model.modules() for part in _owned(module)[1:]}
    found = [(name, module) for name, module in model.named_modules() if id(module) not in inside]
    return [(name, m) for name, m in found if any([*part.parameters(recurse=False)] for part in _owned(m))]


def _owned(module: nn.Module) -> list[nn.Module]:
    """The module, its batch norm and its parametrisations."""
    norm = [module.norm] if isinstance(module, GenDense | GenConv2d) and module.norm is not None else []
    parametrizations = module.parametrizations.modules() if hasattr(module, "parametrizations") else []
    return [module, *norm, *parametrizations]


def _trace(model: nn.Module, modules: Iterable[nn.Module], input_shape: Sequence[int]) -> dict:
    """Run one random image through the model; for each module its calls, (input, output)."""
    calls = {module: [] for module in modules}
    image = torch.rand(1, *input_shape, generator=torch.Generator().manual_seed(0))

    def note(module: nn.Module, inputs: tuple, named: dict, z: Tensor) -> None:
        calls[module].append(((*inputs, *named.values(), z)[0], z))

    with eval_mode(model), ExitStack() as hooks:
        for module in calls:
            hooks.enter_context(module.register_forward_hook(note, with_kwargs=True))
        model(image.to(next(model.parameters())))
    return calls


def _row(module: nn.Module, calls: list[tuple[Tensor, Tensor]], seen: set[Tensor]) -> dict[str, float]:
    """A row of the table; `seen` holds the parameters of the rows before."""
    bits = weight_bits(module)
    parameters = [p for part in _owned(module) for p in part.parameters(recurse=False) if p not in seen]
    buffers = [b for part in _owned(module) for b in part.buffers(recurse=False) if b not in seen]
    buffers = [b for b in buffers if b.is_floating_point()]
    one_bit = module.weight.numel() if bits == 1 and module.weight not in seen else 0
    seen.update(parameters, buffers)
    macs = [(_macs(module, x, z), _is_binary(x) and not getattr(module, "padding", 0)) for x, z in calls]
    one_bit_macs = sum(n for n, binary_input in macs if bits == 1 and binary_input)
    return {
        "one_bit_weights": one_bit,
        "float_parameters": sum(t.numel() for t in parameters + buffers) - one_bit,
        "bytes_now": sum(t.nbytes for t in parameters + buffers),
        "bytes_packed": _packed(module, bits, calls) if bits < 32 else 4 * sum(p.numel() for p in parameters),
        "one_bit_macs": one_bit_macs,
        "float_macs": (sum(n for n, _ in macs) if calls else math.nan) - one_bit_macs,
    }


def _packed(layer: nn.Module, bits: int | Fraction, calls: list[tuple[Tensor, Tensor]]) -> int:
    neurons, inputs = len(layer.weight), layer.weight[0].numel()
    folded = 16 if getattr(layer, "activation", None) is None else 4 if all(_is_binary(z) for _, z in calls) else 8
    # One of the pooled sums must reach the threshold; all of them if batch norm's scale is negative: a bit a neuron.
    pooled = math.ceil(neurons / 8) if getattr(layer, "pool", 1) > 1 and folded == 4 else 0
    return neurons * (math.ceil(inputs * bits / 8) + folded) + pooled


def _macs(module: nn.Module, x: Tensor, z: Tensor) -> float:
    """The weights of a matrix or a kernel times the positions where they are used; NaN for other kinds of modules."""
    if next(c for c in type(module).__mro__ if "forward" in vars(c)).__module__.split(".")[0] not in OURS:
        return math.nan  # a subclass that computes something of its own
    match module:
        case GenConv2d():  # its output may be pooled already
            sides = [(n + 2 * module.padding - module.kernel_size) // module.stride + 1 for n in x.shape[-2:]]
            return module.weight.numel() * math.prod(sides)
        case nn.Linear() | GenDense():
            return module.weight.numel() * z.numel() // module.out_features
        case nn.modules.conv._ConvTransposeNd():
            return module.weight.numel() * x.numel() // module.in_channels
        case nn.modules.conv._ConvNd():
            return module.weight.numel() * z.numel() // module.out_channels
    return 0 if isinstance(module, WITHOUT_MACS) else math.nan


def _is_binary(x: object) -> bool:
    return isinstance(x, Tensor) and bool((x.abs() == 1).all())  # the 0 of padding is a third value
