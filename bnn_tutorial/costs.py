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

OURS = "torch", __package__


def summary(model: nn.Module, input_shape: Sequence[int] = (784,)) -> pd.DataFrame:
    """What each layer of a network stores and computes for one input, and the total.

    Args:
        model: a layer's forward map says how many bits its weights have (`weight_bits`); all else is float.
        input_shape: shape of one input, without the batch; default an image of MNIST.

    Returns:
        A DataFrame with a row for each layer, then `total`, and the columns

        - `one_bit_weights`: weights of which the forward pass uses only the sign;
        - `float_parameters`: all others, 32 bits each in PyTorch: biases, batch norm's four vectors, real weights, and
          those of 1.6 to 8 bits, which have fewer in `bytes_packed`;
        - `bytes_now`: as PyTorch stores them, latent weights included;
        - `bytes_packed`: what is left for inference, of a binary network to the byte as `packed.PackedNetwork` stores
          it. Of a layer of few bits: its weights, each unit's rounded up to bytes, and what its bias or batch norm
          folds into: one int32 where the output is a sign (the threshold), else scale and shift, 4 bytes each, of the
          logits 8 each; with pooled signs also a bit a unit: whether batch norm's scale is negative. Any other: 4 bytes
          a parameter;
        - `compression`: bytes_now / bytes_packed;
        - `one_bit_macs`: multiply-accumulates of a one-bit weight and an input in {-1, +1}: work for XOR and popcount;
        - `float_macs`: all others; among them the first layer's, unless its pixels are one bit each.

        A weight that several layers share is counted in the first of them. Work is counted in dense and convolutional
        layers; norms and embeddings have none. Of another module with parameters, an LSTM or attention, and of one that
        the model holds but does not call, it is NaN, and so is the total then.

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
    table.insert(table.columns.get_loc("bytes_packed") + 1, "compression", table["bytes_now"] / table["bytes_packed"])
    return table.rename_axis("layer")


def _parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules that have parameters, by name; a layer's batch norm and parametrisations belong to the layer."""
    inside = {id(part) for module in model.modules() for part in _owned(module)[1:]}
    found = [(name, module) for name, module in model.named_modules() if id(module) not in inside]
    return [(name, m) for name, m in found if any([*part.parameters(recurse=False)] for part in _owned(m))]


def _owned(module: nn.Module) -> list[nn.Module]:
    """The module itself, and those inside it that hold parameters of its own computation."""
    norm = [module.norm] if isinstance(module, GenDense | GenConv2d) and module.norm is not None else []
    parametrizations = module.parametrizations.modules() if hasattr(module, "parametrizations") else []
    return [module, *norm, *parametrizations]


def _trace(model: nn.Module, modules: Iterable[nn.Module], input_shape: Sequence[int]) -> dict:
    """Run one random image through the model; for each module its calls, (input, output)."""
    calls = {module: [] for module in modules}
    image = torch.rand(1, *input_shape, generator=torch.Generator().manual_seed(0))

    def note(module: nn.Module, inputs: tuple, named: dict, z: Tensor) -> None:
        calls[module].append((*inputs, *named.values(), z))

    with eval_mode(model), ExitStack() as hooks:
        for module in calls:
            hooks.enter_context(module.register_forward_hook(note, with_kwargs=True))
        model(image.to(next(model.parameters())))
    return {module: [(call[0], call[-1]) for call in each] for module, each in calls.items()}


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
    units, inputs = len(layer.weight), layer.weight[0].numel()
    folded = 4 if all(_is_binary(z) for _, z in calls) else 16 if getattr(layer, "activation", None) is None else 8
    # Of pooled sums one at the threshold is enough; where batch norm's scale is negative, all must be: a bit a unit.
    pooled = -(-units // 8) if getattr(layer, "pool", 1) > 1 and folded == 4 else 0
    return units * (math.ceil(inputs * bits / 8) + folded) + pooled


def _macs(module: nn.Module, x: Tensor, z: Tensor) -> float:
    """Each weight of a matrix or a kernel takes part once for each position; NaN of what is not known."""
    if next(c for c in type(module).__mro__ if "forward" in vars(c)).__module__.split(".")[0] not in OURS:
        return math.nan  # a subclass that computes something of its own
    match module:
        case GenConv2d():  # its output may be pooled already
            side = [(n + 2 * module.padding - module.kernel_size) // module.stride + 1 for n in x.shape[-2:]]
            return module.weight.numel() * math.prod(side)
        case nn.Linear() | GenDense():
            return module.weight.numel() * z.numel() // module.out_features
        case nn.modules.conv._ConvTransposeNd():
            return module.weight.numel() * x.numel() // module.in_channels
        case nn.modules.conv._ConvNd():
            return module.weight.numel() * z.numel() // module.out_channels
        case (
            nn.modules.batchnorm._NormBase()
            | nn.LayerNorm()
            | nn.RMSNorm()
            | nn.GroupNorm()
            | nn.Embedding()
            | nn.PReLU()
        ):
            return 0
    return math.nan


def _is_binary(x: object) -> bool:
    return isinstance(x, Tensor) and bool((x.abs() == 1).all())  # the 0 of padding is a third value
