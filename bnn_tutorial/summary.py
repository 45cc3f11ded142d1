"""A table of what a network stores and computes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .forward_maps import weight_bits
from .layers import GenConv2d, GenDense, eval_mode

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["summary"]


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
        - `bytes_now`: as PyTorch stores them, 4 bytes for each, latent weights included;
        - `bytes_packed`: what is left for inference, of a binary network to the byte as `packed.PackedNetwork` stores
          it. Of a layer of few bits: its weights, each unit's rounded up to bytes, and what its bias or batch norm
          folds into: one int32 where the output is a sign (the threshold), else scale and shift, 4 bytes each, of the
          logits 8 each; with pooling also a bit a unit: whether batch norm's scale is negative. Any other: 4 bytes a
          parameter;
        - `compression`: bytes_now / bytes_packed;
        - `one_bit_macs`: multiply-accumulates of a one-bit weight and an input in {-1, +1}: work for XOR and popcount;
        - `float_macs`: all others; among them the first layer's, unless its pixels are one bit each.

    Examples:
        >>> from bnn_tutorial import binary_mlp
        >>> table = summary(binary_mlp())
        >>> table.loc["total", ["one_bit_weights", "float_parameters", "bytes_packed"]].astype(int).tolist()
        [266200, 1640, 35090]
    """
    import pandas as pd

    modules = {name: m for name, m in model.named_modules() if next(m.parameters(recurse=False), None) is not None}
    norms = {id(m.norm) for m in modules.values() if isinstance(m, GenDense | GenConv2d)}  # these belong to the layer
    modules = {f"{name} {type(m).__name__}".strip(): m for name, m in modules.items() if id(m) not in norms}
    if not modules:
        raise ValueError(f"expected a model with parameters, got {type(model).__name__} without any")
    calls = _trace(model, modules.values(), input_shape)
    table = pd.DataFrame.from_dict({name: _row(m, calls[m]) for name, m in modules.items()}, orient="index")
    table.loc["total"] = table.sum()
    table.insert(table.columns.get_loc("bytes_packed") + 1, "compression", table["bytes_now"] / table["bytes_packed"])
    return table.rename_axis("layer")


def _trace(model: nn.Module, modules: Iterable[nn.Module], input_shape: Sequence[int]) -> dict:
    """Run one random image through the model; for each module its calls, (input, output)."""
    calls = {module: [] for module in modules}
    image = torch.rand(1, *input_shape, generator=torch.Generator().manual_seed(0))
    with eval_mode(model), ExitStack() as hooks:
        for module in calls:
            hook = module.register_forward_hook(lambda m, inputs, z: calls[m].append((inputs[0], z)))
            hooks.enter_context(hook)
        model(image.to(next(model.parameters())))
    return calls


def _row(module: nn.Module, calls: list[tuple[Tensor, Tensor]]) -> dict[str, int]:
    bits = weight_bits(module)
    one_bit = module.weight.numel() if bits == 1 else 0
    norm = module.norm if isinstance(module, GenDense | GenConv2d) else None
    owners = [module] if norm is None else [module, norm]
    parameters = sum(p.numel() for owner in owners for p in owner.parameters(recurse=False))
    buffers = sum(b.numel() for owner in owners for b in owner.buffers(recurse=False) if b.is_floating_point())
    macs = [(_macs(module, x, z), _is_binary(x) and not getattr(module, "padding", 0)) for x, z in calls]
    one_bit_macs = sum(n for n, binary_input in macs if bits == 1 and binary_input)
    return {
        "one_bit_weights": one_bit,
        "float_parameters": parameters + buffers - one_bit,
        "bytes_now": 4 * (parameters + buffers),
        "bytes_packed": _packed(module, bits, calls) if bits < 32 else 4 * parameters,
        "one_bit_macs": one_bit_macs,
        "float_macs": sum(n for n, _ in macs) - one_bit_macs,
    }


def _packed(layer: nn.Module, bits: float, calls: list[tuple[Tensor, Tensor]]) -> int:
    units, inputs = len(layer.weight), layer.weight[0].numel()
    folded = 4 if all(_is_binary(z) for _, z in calls) else 16 if layer.activation is None else 8
    # Of pooled sums one at the threshold is enough; where batch norm's scale is negative, all must be: a bit a unit.
    pooled = -(-units // 8) if getattr(layer, "pool", 1) > 1 else 0
    return units * (math.ceil(inputs * bits / 8) + folded) + pooled


def _macs(module: nn.Module, x: Tensor, z: Tensor) -> int:
    """Each weight of a matrix or a kernel takes part once for each position."""
    weight = getattr(module, "weight", None)
    if weight is None or weight.dim() < 2:
        return 0
    if isinstance(module, GenConv2d):  # its output may be pooled already
        side = [(n + 2 * module.padding - module.kernel_size) // module.stride + 1 for n in x.shape[-2:]]
        return weight.numel() * math.prod(side)
    return weight.numel() * z.numel() // weight.shape[0]


def _is_binary(x: Tensor) -> bool:
    return bool((x.abs() == 1).all())  # the 0 of padding is a third value
