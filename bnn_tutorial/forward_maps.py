"""Forward maps: how a layer computes its pre-activation from its weights and its input.

A layer owns the parameters; the map says what is done with them. A new experiment is a new map of three lines, not a
new layer class. This is Bender's idea, where the keyword is called `forward`. Dense maps take (..., in_features) to
(..., out_features), convolutions (N, C, H, W) to (N, C', H', W').
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .ste import sign_ste, stochastic_sign_ste

__all__ = [
    "ForwardMap", "binary_weights", "has_binary_weights", "weight_bits", "linear", "binary_linear",
    "stochastic_binary_linear", "conv2d", "binary_conv2d",
]  # fmt: skip


class ForwardMap(Protocol):
    """What `GenDense` and `GenConv2d` take as `forward_map`: a function `(layer, x) -> pre-activation`.

    `layer` is the layer itself, so a map reaches `layer.weight`, `layer.bias` (or None), `layer.training` and, in a
    convolution, `layer.stride` and `layer.padding`.

    Examples:
        >>> from bnn_tutorial import GenDense, sign_ste
        >>> def sparse_linear(layer, x):
        ...     weight = sign_ste(layer.weight) * (layer.weight.abs() > 0.05)
        ...     return F.linear(x, weight, layer.bias)
        >>> layer = GenDense(2, 1, forward_map=sparse_linear)
        >>> _ = layer.weight.data.copy_(torch.tensor([[-0.3, 0.01]]))
        >>> layer(torch.tensor([5.0, 7.0])).item()
        -5.0
    """

    def __call__(self, layer: nn.Module, x: Tensor) -> Tensor: ...


def binary_weights(forward_map: ForwardMap) -> ForwardMap:
    """Mark a map of which a trained layer has to keep one bit a weight, its sign: it sets `forward_map.bits = 1`.

    `summary` then counts its weights as one bit each; clamping, the flip ratio and `Bop` include it. A map may add
    a scale for each unit, as XNOR-Net's does: it folds into the batch norm, or the threshold, that follows.
    """
    forward_map.bits = 1
    return forward_map


def weight_bits(layer: nn.Module) -> float:
    """Bits that a trained layer has to keep for each weight: its map's `bits`, or those of a `functools.partial`; 32.

    Examples:
        >>> layer = nn.Linear(2, 1)
        >>> layer.forward_map = binary_linear
        >>> weight_bits(layer), weight_bits(nn.Linear(2, 1))
        (1, 32)
    """
    forward_map = getattr(layer, "forward_map", None)
    of_function = getattr(getattr(forward_map, "func", None), "bits", 32)
    return getattr(forward_map, "keywords", {}).get("bits", getattr(forward_map, "bits", of_function))


def has_binary_weights(layer: nn.Module) -> bool:
    """Whether `layer` has a forward map marked with `binary_weights`, or a `functools.partial` of one."""
    return weight_bits(layer) == 1


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = W x + b with the weights as they are: `linear` in Bender."""
    return F.linear(x, layer.weight, layer.bias)


@binary_weights
def binary_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = sign(W) x + b: `linear_binary_weights` in Bender."""
    return F.linear(x, sign_ste(layer.weight), layer.bias)


@binary_weights
def stochastic_binary_linear(layer: nn.Module, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """a = B x + b, each weight of B drawn anew: +1 with probability hard_sigmoid(W); in `eval` mode sign(W).

    For a generator: `functools.partial(stochastic_binary_linear, generator=...)`. `linear_stoc_binary_weights` in
    Bender, which draws in evaluation too.
    """
    weight = stochastic_sign_ste(layer.weight, generator) if layer.training else sign_ste(layer.weight)
    return F.linear(x, weight, layer.bias)


def conv2d(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution with the weights as they are: `conv_linear` in Bender."""
    return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)


@binary_weights
def binary_conv2d(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution with sign(W). Padding puts zeros beside inputs of ±1, a third value; `padding=0` has none."""
    return F.conv2d(x, sign_ste(layer.weight), layer.bias, layer.stride, layer.padding)
