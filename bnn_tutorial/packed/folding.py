"""Folding: how a trained layer becomes whole numbers.

A neuron adds up whole numbers times whole numbers. Its weights are those that the forward map keeps (`kept_weights`);
its inputs are signs, or bytes: pixels, features, or the codes of `quantised_relu`. What a weight of 1 and an input of 1
stand for, and the bias or batch norm that follows, is one affine function of the sum S. A sign asks whether it is at
least 0, and as S grows the answer changes once: one whole number, in float64, says where. An activation of 8 bits, and
the logits, need the function itself, in fixed point:

    y = ((multiplier * S) >> 16) + offset        code = clip(y >> point, 0, top)        logit = y / 2^point

These whole numbers are the definition, for Python, C and all others: y fits into 32 bits, and three products of 32 bits
compute it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from numpy import ndarray as Array
from torch import nn

from .. import ste
from ..checks import is_whole
from ..forward_maps import kept_weights, weight_bits
from ..layers import BinaryInput, GenConv2d, GenDense, QuantisedInput

BYTE = 255  # an 8-bit pixel of full ink, 1.0 for the model
FRACTION = 16  # bits of a product that are cut off
ROOM = 2**30  # for the product that is left, and for the offset, so that their sum fits into 32 bits
MOST_SHIFTED = 31  # bits that C cuts off an int32


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """What is kept of a layer.

    A neuron of a sign layer gives +1 where its sum is at least its threshold, else -1; one of a code layer gives the
    code 0 ... `top`; the last layer gives logits.

    Attributes:
        levels: the weights, (M, K), of a convolution (M, C, k, k), int16: of b bits the odd numbers from -(2^b - 1) to
            2^b - 1, or -1, 0 and 1.
        bits: of a weight, as `KeptWeights` has it.
        of_bytes: whether the inputs are 0 ... 255; else they are signs.
        threshold: (M,) int32, of a sign layer.
        multiplier, offset, point: (M,) int32 twice and a number, of a code layer and of the last one.
        top: the largest code, of a code layer.
        scale, shift: (M,) float64, of the last layer: the logits are scale * S + shift, before they are fixed point.
        stride, padding: of a convolution. Padding adds zeros, so its inputs are bytes.
        pooled: whether of each 2×2 square of sums only the largest counts.
        inverted: (M,) bool, of a pooled sign layer: whose γ is negative. Such a neuron, which is kept with its weights
            flipped, gives +1 where all four in the square are +1, the others where any is.
    """

    levels: Array
    bits: int | Fraction = 1
    of_bytes: bool = False
    threshold: Array | None = None
    multiplier: Array | None = None
    offset: Array | None = None
    point: int = 0
    top: int | None = None
    scale: Array | None = None
    shift: Array | None = None
    stride: int = 1
    padding: int = 0
    pooled: bool = False
    inverted: Array | None = None

    @property
    def activation(self) -> str:
        """What follows the sum: "sign", "codes" or "logits"."""
        return "sign" if self.threshold is not None else "codes" if self.top is not None else "logits"

    @property
    def inputs(self) -> int:
        """How many inputs a neuron has."""
        return math.prod(self.levels.shape[1:])

    @cached_property
    def largest(self) -> int:
        """The largest sum that there can be."""
        level = 1 if self.bits == Fraction(8, 5) else 2 ** int(self.bits) - 1
        return self.inputs * (BYTE if self.of_bytes else 1) * level

    def places(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of an input of this shape, in how many places a kernel lies: (height, width), () for a dense layer."""
        sides = self.levels.shape[2:]
        pairs = zip(shape[1:], sides, strict=False)
        return tuple((size + 2 * self.padding - side) // self.stride + 1 for size, side in pairs)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an example's outputs, (M,) or (M, height, width); an input that does not fit is an error."""
        outputs, *kernel = self.levels.shape
        if self.largest >= 2**31:
            raise ValueError(f"a neuron of {self.inputs:,} inputs has sums up to {self.largest:,}, beyond 32 bits")
        if len(kernel) == 1:
            if self.inputs != math.prod(shape):
                raise ValueError(f"a layer of {self.inputs} inputs gets {math.prod(shape)}")
            return (outputs,)
        if len(shape) != 3 or kernel[0] != shape[0] or kernel[1] > min(shape[1:]) + 2 * self.padding:
            raise ValueError(f"a convolution of shape {self.levels.shape} gets an input of shape {shape}")
        return (outputs, *(size // (1 + self.pooled) for size in self.places(shape)))


def fold_sign(mean: Array, sigma: Array, gamma: Array, beta: Array, unit: Array | float, largest: int) -> Array:
    """Batch norm and sign as one whole number for each neuron.

    γ (S / unit - μ) / σ + β >= 0  is  S >= unit (μ - β σ / γ)  for γ > 0, and  -S >= -unit (μ - β σ / γ)  for γ < 0.
    A neuron with γ < 0 is kept with all its weights flipped, which makes its sum -S: so every neuron gives +1 where its
    sum is *large*. For γ = 0 the sign of β decides, and sign(0) = +1.

    Args:
        mean: μ of each neuron, (M,) float64, as are `sigma`, `gamma` and `beta`: σ, γ and β.
        unit: which sum stands for 1.0: for signs times ±1 it is 1, for pixels 255; divided by the map's scale.
        largest: no sum is larger.

    Returns:
        (M,) int32, the smallest sums with which the neurons give +1; `largest` + 1, which no sum reaches, is never.
    """
    with np.errstate(all="ignore"):  # γ may be 0
        least = np.sign(gamma) * unit * (mean - beta * sigma / gamma)
    least = np.where(gamma == 0, np.where(beta >= 0, -np.inf, np.inf), least)
    return np.clip(np.ceil(least), -largest, largest + 1).astype(np.int32)


def fold_codes(slope: Array, shift: Array, top: int, largest: int) -> dict:
    """clip(floor(slope * S + shift), 0, top) in fixed point: `multiplier`, `offset` and `point` of `FoldedLayer`.

    The fixed point is closest to the reals where it counts: in the middle of those sums that the clip leaves alone. A
    neuron that comes from below 0 to beyond `top` from one sum to the next is kept no steeper than that.
    """
    with np.errstate(all="ignore"):  # a slope may be 0
        middle = np.rint(np.clip(np.nan_to_num((top / 2 - shift) / slope), -largest, largest))
    steepest = min(top + 3, ROOM / 2 / largest)
    value = np.clip(slope * middle + shift, -1, top + 2)
    return _fixed_point(np.clip(slope, -steepest, steepest), value, middle, largest, MOST_SHIFTED)


def fold_logits(scale: Array, shift: Array, largest: int) -> dict:
    """scale * S + shift in fixed point: `multiplier`, `offset` and `point` of `FoldedLayer`."""
    return _fixed_point(scale, shift, np.zeros(len(scale)), largest)


def _fixed_point(slope: Array, value: Array, middle: Array, largest: int, point: int = 60) -> dict:
    """The line with this slope and this value at `middle`; bits behind the point: as many as fit, or `point`."""
    steepest, highest = abs(slope).max(), abs(value).max()
    while (steepest * largest + highest) * 2.0**point >= ROOM or steepest * 2.0 ** (point + FRACTION) >= 2**31 - 1:
        point -= 1
    multiplier = np.floor(slope * 2.0 ** (point + FRACTION) + 0.5).astype(np.int64)
    offset = np.floor(value * 2.0**point + 0.5).astype(np.int64) - (multiplier * middle.astype(np.int64) >> FRACTION)
    return {"multiplier": multiplier.astype(np.int32), "offset": offset.astype(np.int32), "point": point}


def fold_layer(layer: GenDense | GenConv2d, unit: float, of_bytes: bool, is_last: bool) -> tuple[FoldedLayer, float]:
    """Fold a layer.

    Args:
        unit: which input stands for 1.0: 255 for pixels, 1 for signs.
        of_bytes: whether the inputs are 0 ... 255; else they are signs.

    Returns:
        The layer, and the unit of its outputs.
    """
    kept, (mean, sigma, gamma, beta) = kept_weights(layer), _batch_norm(layer)
    folded = FoldedLayer(_numbers(kept.levels).astype(np.int16), kept.bits, of_bytes)
    if isinstance(layer, GenConv2d):
        folded = replace(folded, stride=layer.stride, padding=layer.padding, pooled=layer.pool > 1)
    unit, codes = unit / np.broadcast_to(_numbers(kept.scale).ravel(), mean.shape), codes_of(layer.activation)
    slope, shift = gamma / (sigma * unit), beta - mean * (gamma / sigma)
    if is_last:
        return replace(folded, **fold_logits(slope, shift, folded.largest), scale=slope, shift=shift), 1.0
    if codes:
        top, steps = codes
        numbers = fold_codes(slope * steps, shift * steps + 0.5, top, folded.largest)
        return replace(folded, **numbers, top=top), steps
    flipped = gamma < 0
    levels = np.where(flipped.reshape(-1, *[1] * (folded.levels.ndim - 1)), -folded.levels, folded.levels)
    threshold = fold_sign(mean, sigma, gamma, beta, unit, folded.largest)
    return replace(folded, levels=levels, threshold=threshold, inverted=flipped if folded.pooled else None), 1.0


def codes_of(activation: Callable | None) -> tuple[int, float] | None:
    """Of `quantised_relu`, or a `functools.partial` of it: its largest code, and how many codes are 1.0."""
    if getattr(activation, "func", activation) is not ste.quantised_relu:
        return None
    options = inspect.signature(ste.quantised_relu).bind(torch.zeros(1), **getattr(activation, "keywords", {}))
    options.apply_defaults()
    ste.quantised_relu(*options.args)  # says what is wrong with them
    top = 2 ** int(options.arguments["bits"]) - 1
    return top, top / options.arguments["limit"]


def _numbers(tensor: torch.Tensor) -> Array:
    """In float64, which not every device has, and as NumPy's array, which knows no bfloat16."""
    return tensor.detach().cpu().double().numpy()


def _batch_norm(layer: GenDense | GenConv2d) -> list[Array]:
    """μ, σ, γ, β of what follows the sum, (M,) float64 each."""
    ones, norm = np.ones(len(layer.weight)), layer.norm
    if norm is None:
        return [0 * ones, ones, ones, 0 * ones if layer.bias is None else _numbers(layer.bias)]
    gamma, beta, mean, variance = _of_norm(norm)
    mean = mean if layer.bias is None else mean - _numbers(layer.bias)
    with np.errstate(invalid="ignore"):  # `fold` refuses what is not finite
        sigma = np.sqrt(variance + norm.eps)  # rounded exactly, which PyTorch's root is not
    return [mean, sigma, gamma, beta]


def _of_norm(norm: nn.Module) -> list[Array]:
    """γ, β, mean and variance of a batch norm in `eval` mode, (M,) float64 each."""
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.running_mean is None:
        raise ValueError(f"what normalises a layer must be a batch norm with running statistics, got {norm}")
    kind = nn.SyncBatchNorm if isinstance(norm, nn.SyncBatchNorm) else nn.modules.batchnorm._BatchNorm
    require_plain("batch norm", norm, (kind,))
    mean, variance = _numbers(norm.running_mean), _numbers(norm.running_var)
    gamma, beta = (0 * mean + k if p is None else _numbers(p) for k, p in ((1, norm.weight), (0, norm.bias)))
    return [gamma, beta, mean, variance]


class Folded(NamedTuple):
    """A network in whole numbers: what `PackedNetwork` is made of.

    Attributes:
        shape: of an example: (features,), or (channels, height, width) where a convolution comes first.
        layers: what is kept of each layer.
        pixel_threshold: the smallest pixel that `BinaryInput` makes +1, 256 if none is; None without a `BinaryInput`.
        limits: (2, features) float32, low and high of a `QuantisedInput`; None without one.
    """

    shape: tuple[int, ...]
    layers: list[FoldedLayer]
    pixel_threshold: int | None = None
    limits: Array | None = None


def fold(model: nn.Sequential) -> Folded:
    """Fold a network, as it is in `eval` mode: what `binary_mlp` or `binary_convnet` built, or another `Sequential` of
    `BinaryInput` or `QuantisedInput`, `nn.Unflatten`, `GenConv2d`, `nn.Flatten`, `GenDense` and `nn.Dropout`.

    Raises:
        ValueError: with the reason, if whole numbers cannot compute what the model does.
    """
    require_plain("the model", model)
    modules = list(model) if isinstance(model, nn.Sequential) else []  # a layer that is there twice, twice
    last = max((i for i, m in enumerate(modules) if isinstance(m, GenDense | GenConv2d)), default=None)
    if last is None:
        raise ValueError(f"expected a Sequential of layers, a GenDense at its end, got {model}")
    shape, pixel_threshold, limits, layers, unit, of_bytes = None, None, None, [], float(BYTE), True
    for number, module in enumerate(modules):
        name = f"layer {number}, {type(module).__name__}({module.extra_repr()})"
        first = not layers and pixel_threshold is None and limits is None
        require_plain(name, module)
        match module:
            case GenDense() | GenConv2d():
                _check(name, module, number == last, of_bytes, shape)
                shape = shape or (module.in_features,)
                layer, unit = fold_layer(module, unit, of_bytes, number == last)
                of_bytes = layer.activation == "codes"
                layers.append(layer)
            case BinaryInput() if first and isinstance(module.threshold, Real):
                pixels = torch.arange(BYTE + 1, dtype=torch.float64) / BYTE
                pixel_threshold, unit, of_bytes = int((module(pixels) < 0).sum()), 1.0, False
            case QuantisedInput() if first and shape is None:
                module = QuantisedInput(module.low, module.high)  # in float32, whatever the model is in now
                limits = np.stack([module.low.cpu().numpy(), module.high.cpu().numpy()])
            case nn.Unflatten(dim=1) if not layers and shape is None:
                shape = unflattened_shape(module)
            case nn.Flatten(start_dim=1) | nn.Dropout():
                pass
            case _:
                raise ValueError(f"{name}: packing does not know it here, see `fold`")
    return Folded(shape, layers, pixel_threshold, limits)


PLAIN = (nn.Sequential, BinaryInput, QuantisedInput, nn.Unflatten, GenConv2d, nn.Flatten, GenDense, nn.Dropout)


def require_plain(name: str, module: nn.Module, kinds: tuple[type[nn.Module], ...] = PLAIN) -> None:
    """A `ValueError` where a module computes something of its own, which would be left out without a word."""
    for kind in kinds:
        own = type(module).forward is not kind.forward or "forward" in vars(module)
        if isinstance(module, kind) and own:
            raise ValueError(f"{name}: expected the forward of {kind.__name__}, {type(module).__name__} has its own")
    if module._forward_hooks:
        raise ValueError(f"{name}: it has a forward hook, which may change what it computes: remove the hook first")


def unflattened_shape(module: nn.Unflatten) -> tuple[int, ...]:
    """(channels, height, width) of the images that it makes; other sizes, or one left open, -1, are a `ValueError`."""
    shape = tuple(module.unflattened_size)
    if len(shape) != 3 or not all(is_whole(size, 1) for size in shape):
        raise ValueError(f"nn.Unflatten must name channels, height and width, got {shape}")
    return shape


def _check(name: str, layer: GenDense | GenConv2d, is_last: bool, of_bytes: bool, shape: tuple | None) -> None:
    """Refuse what whole numbers would not compute, the first reason alone."""

    def require(condition: bool, reason: str) -> None:
        if not condition:
            raise ValueError(f"{name}: {reason}")

    activation = layer.activation and ste.most_likely(layer.activation)
    is_sign, codes = getattr(activation, "func", activation) in ste.SIGNS, codes_of(layer.activation)
    require(weight_bits(layer) < 32, "its forward map keeps real weights: take one that rounds them, as binary_linear")
    if isinstance(layer, GenConv2d):
        require(bool(shape), "a convolution has to come after nn.Unflatten, which says the shape of its images")
        sizes = layer.kernel_size, layer.stride, layer.padding, layer.pool
        require(all(type(size) is int for size in sizes), "kernel, stride, padding and pool must be whole numbers")
        require(of_bytes or not layer.padding, "padding puts zeros beside the ±1, a third value: set padding=0")
        require(layer.pool <= 2, "pooling must be over 2×2 squares: set pool=2")
    if is_last:
        bare = activation is None and not isinstance(layer, GenConv2d)
        require(bare, "the last layer must be dense and without an activation, for its sums are logits")
    else:
        packable = is_sign or (codes is not None and codes[0] <= BYTE)
        require(packable, "the activation of a hidden layer must be a sign, or quantised_relu of at most 8 bits")
    kept, (mean, sigma, gamma, beta) = kept_weights(layer), _batch_norm(layer)
    numbers = _numbers(layer.weight), _numbers(kept.scale), mean, sigma, gamma, beta
    finite = all(np.isfinite(n).all() for n in numbers) and (sigma > 0).all()
    require(finite, "it has parameters that are not finite: train anew, with a smaller learning rate")
