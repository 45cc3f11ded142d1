"""Folding: how a trained layer becomes bits and whole numbers.

The weights of a binary layer are signs, and so are its inputs, but for the pixels that come first. So a neuron's sum S
of inputs times weights is a whole number; with pixels as 0 to 255 in place of 0 to 1 it is one too, 255 times as large.
The batch norm and the sign that follow ask whether

    γ (S / unit - μ) / σ + β >= 0        unit: 255 for pixels, 1 for signs

(a bias is a β with μ = 0, σ = γ = 1). As S grows, the answer changes once; one whole number, in float64, says where.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray as Array
from torch import nn

from .. import ste
from ..forward_maps import binary_conv2d, binary_linear
from ..layers import BinaryInput, GenConv2d, GenDense

__all__ = ["FoldedLayer", "fold", "fold_layer", "fold_sign"]

UNIT = 255  # an 8-bit pixel of full ink, 1.0 for the model
WIDEST = 2**22  # inputs of a neuron, so that sums of as many pixels fit into 32 bits


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """What is kept of a layer.

    A hidden neuron gives +1 where its sum is at least its threshold, else -1. The last layer gives
    logits = scale * (sum / unit) + shift.

    Attributes:
        weight: (M, K), of a convolution (M, C, k, k), bool: True is +1.
        threshold: (M,) int32, of a hidden layer.
        scale: (M,) float64, of the last layer.
        shift: (M,) float64, of the last layer.
        stride: of a convolution.
        inverted: (M,) bool, of a convolution with 2×2 max pooling: whose γ is negative. Such a neuron gives +1 where
            all four outputs in the square are +1, the others where any is.
    """

    weight: Array
    threshold: Array | None = None
    scale: Array | None = None
    shift: Array | None = None
    stride: int = 1
    inverted: Array | None = None

    @property
    def inputs(self) -> int:
        """How many inputs a neuron has."""
        return math.prod(self.weight.shape[1:])

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an image's outputs, (M,) or (M, height, width); an input shape that does not fit is an error."""
        outputs, *kernel = self.weight.shape
        if self.inputs > WIDEST:
            raise ValueError(f"a neuron of {self.inputs:,} inputs, more than {WIDEST:,}: its sums need not fit 32 bits")
        if len(kernel) == 1:
            if self.inputs != math.prod(shape):
                raise ValueError(f"a layer of {self.inputs} inputs gets {math.prod(shape)}")
            return (outputs,)
        channels, side, _ = kernel
        if len(shape) != 3 or channels != shape[0] or side > min(shape[1:]):
            raise ValueError(f"a convolution of shape {self.weight.shape} gets an input of shape {shape}")
        pool = 1 if self.inverted is None else 2
        return (outputs, *(((size - side) // self.stride + 1) // pool for size in shape[1:]))


def fold_sign(mean: Array, sigma: Array, gamma: Array, beta: Array, unit: int, inputs: int) -> Array:
    """Batch norm and sign as one whole number for each neuron.

    γ (S / unit - μ) / σ + β >= 0  is  S >= unit (μ - β σ / γ)  for γ > 0, and  -S >= -unit (μ - β σ / γ)  for γ < 0.
    A neuron with γ < 0 is kept with all its weights flipped, which makes its sum -S: so every neuron gives +1 where its
    sum is *large*. For γ = 0 the sign of β decides, and sign(0) = +1.

    Args:
        mean: μ of each neuron, (M,) float64, as are `sigma`, `gamma` and `beta`: σ, γ and β.
        unit: 255 if the inputs are pixels, 1 if they are signs.
        inputs: of a neuron, K.

    Returns:
        (M,) int32, the smallest sums with which the neurons give +1; unit * K + 1, which no sum reaches, is never.
    """
    with np.errstate(all="ignore"):  # γ may be 0
        least = np.sign(gamma) * unit * (mean - beta * sigma / gamma)
    least = np.where(gamma == 0, np.where(beta >= 0, -np.inf, np.inf), least)
    return np.clip(np.ceil(least), -unit * inputs, unit * inputs + 1).astype(np.int32)


def fold_layer(layer: GenDense | GenConv2d, unit: int, is_last: bool) -> FoldedLayer:
    """Fold a layer of which the inputs are pixels (`unit` 255) or signs (1)."""
    mean, sigma, gamma, beta = _batch_norm(layer)
    weight = layer.weight.detach().cpu().numpy() >= 0
    if is_last:
        return FoldedLayer(weight, scale=gamma / sigma, shift=beta - mean * (gamma / sigma))
    flipped = gamma < 0
    weight = weight ^ flipped.reshape(-1, *[1] * (weight.ndim - 1))
    threshold = fold_sign(mean, sigma, gamma, beta, unit, inputs=math.prod(weight.shape[1:]))
    stride, pooled = (layer.stride, layer.pool > 1) if isinstance(layer, GenConv2d) else (1, False)
    return FoldedLayer(weight, threshold, stride=stride, inverted=flipped if pooled else None)


def _batch_norm(layer: GenDense | GenConv2d) -> list[Array]:
    """μ, σ, γ, β of what follows the sum, (M,) float64 each."""
    zeros, norm = torch.zeros(len(layer.weight)), layer.norm
    if norm is None:
        values = zeros, zeros + 1, zeros + 1, zeros if layer.bias is None else layer.bias
    else:
        values = norm.running_mean, norm.running_var.double() + norm.eps, norm.weight, norm.bias
    mean, variance, gamma, beta = (value.detach().cpu().double().numpy() for value in values)
    with np.errstate(invalid="ignore"):  # `fold` refuses what is not finite
        return [mean, np.sqrt(variance), gamma, beta]  # exactly rounded on every machine, which PyTorch's root is not


def fold(model: nn.Sequential) -> tuple[tuple[int, ...], int | None, list[FoldedLayer]]:
    """Fold a network, as it is in `eval` mode: what `binary_mlp` or `binary_convnet` built, or another `Sequential` of
    `BinaryInput`, `nn.Unflatten`, `GenConv2d`, `nn.Flatten`, `GenDense` and `nn.Dropout`.

    Returns:
        The shape of an image, (pixels,) or (channels, height, width); the smallest pixel that `BinaryInput` makes +1,
        256 if none is, None without a `BinaryInput`; and the layers.

    Raises:
        ValueError: with the reason, if bits and whole numbers cannot compute exactly what the model does.
    """
    modules = list(model) if isinstance(model, nn.Sequential) else []  # a layer that is there twice, twice
    last = max((i for i, m in enumerate(modules) if isinstance(m, GenDense | GenConv2d)), default=None)
    if last is None:
        raise ValueError(f"expected a Sequential of layers, a GenDense at its end, got {model}")
    shape, pixel_threshold, layers = None, None, []
    for number, module in enumerate(modules):
        name = f"layer {number}, {type(module).__name__}({module.extra_repr()})"
        match module:
            case GenDense() | GenConv2d():
                _check(name, module, number == last, shape)
                shape, of_signs = shape or (module.in_features,), layers or pixel_threshold is not None
                layers.append(fold_layer(module, 1 if of_signs else UNIT, number == last))
            case BinaryInput() if not layers and pixel_threshold is None:
                pixels = torch.arange(UNIT + 1, dtype=torch.float64) / UNIT
                pixel_threshold = int((module(pixels) < 0).sum())
            case nn.Unflatten(dim=1) if not layers and shape is None:
                shape = tuple(module.unflattened_size)
            case nn.Flatten(start_dim=1) | nn.Dropout():
                pass
            case _:
                raise ValueError(f"{name}: packing does not know it here, see `fold`")
    return shape, pixel_threshold, layers


def _check(name: str, layer: GenDense | GenConv2d, is_last: bool, shape: tuple[int, ...] | None) -> None:
    """Refuse what bits and whole numbers would not compute exactly."""
    convolution = isinstance(layer, GenConv2d)
    exact = binary_conv2d if convolution else binary_linear
    activation = layer.activation and ste.most_likely(layer.activation)  # the stochastic sign is a sign in `eval` mode
    is_sign, bare = getattr(activation, "func", activation) in ste.SIGNS, activation is None and not convolution
    numbers = [layer.weight.detach().cpu().numpy(), *_batch_norm(layer)]
    finite = all(np.isfinite(n).all() for n in numbers) and (numbers[2] > 0).all()  # 2: σ
    refusals = {
        "a convolution has to come after nn.Unflatten, which says the shape of its images": convolution and not shape,
        f"its forward map must be {exact.__name__}, whose weights are signs alone": layer.forward_map is not exact,
        "the last layer must be dense and without an activation, for its sums are logits": is_last and not bare,
        "the activation of a hidden layer must be a sign, for example sign_ste": not is_last and not is_sign,
        "padding puts zeros beside the ±1, a third value: set padding=0": convolution and layer.padding,
        "pooling must be over 2×2 squares: set pool=2": convolution and layer.pool > 2,
        "it has parameters that are not finite: train anew, with a smaller learning rate": not finite,
    }
    for reason, applies in refusals.items():
        if applies:
            raise ValueError(f"{name}: {reason}")
