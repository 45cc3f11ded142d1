"""Forward maps: how a layer computes its pre-activation from its weights and its input.

A layer owns the parameters; the map says what is done with them. A new experiment is a new map of three lines, not a
new layer class. This is Bender's idea, where the keyword is called `forward`. Dense maps take (..., in_features) to
(..., out_features), convolutions (N, C, H, W) to (N, C', H', W').

The *rule* of a map of few bits turns the latent weights into whole numbers and a scale (`KeptWeights`). The map
multiplies with these, and what counts, packs or exports a layer asks for them.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .ste import sign, sign_ste, stochastic_sign_ste, straight_through


class ForwardMap(Protocol):
    """What `GenDense` and `GenConv2d` take as `forward_map`: a function `(layer, x) -> pre-activation`.

    It can use `layer.weight`, `layer.bias` (or None), `layer.training` and, in a convolution, `layer.stride` and
    `layer.padding`.

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


class KeptWeights(NamedTuple):
    """What a trained layer keeps of its weights: it multiplies with `scale * levels`.

    Attributes:
        bits: per weight: 1 to 8, or 8/5 for the values -1, 0 and 1, of which five fit into a byte (3⁵ = 243).
        levels: whole numbers as floats, in the weight's shape; with b bits the odd ones from -(2^b - 1) to 2^b - 1.
        scale: positive; one for each row, shaped so that it broadcasts against the levels, or one for all.
    """

    bits: int | Fraction
    levels: Tensor
    scale: Tensor


Rule = Callable[..., KeptWeights]


def keeps(rule: Rule) -> Callable[[ForwardMap], ForwardMap]:
    """A decorator, `@keeps(binary_weights)`: what a trained layer keeps of its weights under this forward map.

    `rule(weight, **options)` returns `KeptWeights`; the options are those that a `functools.partial` gives to the map.
    `summary`, packing and the exporters use the rule. Clamping, the flip ratio and `Bop` act where it keeps the sign.
    """

    def mark(forward_map: ForwardMap) -> ForwardMap:
        forward_map.rule = rule  # ty: ignore[missing-attribute]: a function may have attributes
        return forward_map

    return mark


@torch.no_grad()
def kept_weights(layer: nn.Module) -> KeptWeights | None:
    """What `layer` keeps of its weights, by its forward map's rule; None if its map keeps the real numbers."""
    weight_bits(layer)  # refuses what cannot be kept
    rule, options = _rule(layer)
    return rule(layer.weight, **options) if rule else None


def weight_bits(layer: nn.Module) -> int | Fraction:
    """Bits that a trained layer has to keep for each weight, by its forward map's rule; 32 if it has none.

    One-bit weights that a parametrisation computes from other tensors are a `ValueError`: there would be nothing to
    clamp or flip, and the zeros of pruning would all become +1.

    Examples:
        >>> layer = nn.Linear(2, 1)
        >>> layer.forward_map = binary_linear
        >>> weight_bits(layer), weight_bits(nn.Linear(2, 1))
        (1, 32)
    """
    rule, options = _rule(layer)
    bits = rule(torch.ones(1, 1), **options).bits if rule else 32  # every weight has as many as one has
    if bits == 1 and "weight" not in layer._parameters:
        raise ValueError(
            f"{layer} has one-bit weights that are computed from other tensors, by a parametrisation such as "
            "weight_norm or prune. One bit keeps neither a size nor a zero, so remove it first "
            "(torch.nn.utils.parametrize.remove_parametrizations, prune.remove)"
        )
    return bits


def keeps_signs(layer: nn.Module) -> bool:
    """Whether all that `layer` keeps of a weight is its sign, and not, for example, the sign of W - mean W."""
    rule, options = _rule(layer)
    return weight_bits(layer) == 1 and bool((rule(torch.tensor([[1.0, 3.0]]), **options).levels == 1).all())


def _rule(layer: nn.Module) -> tuple[Rule | None, dict]:
    """The rule of the layer's map, also inside a `functools.partial`, and the options that the partials give it."""
    forward_map, options = getattr(layer, "forward_map", None), {}
    while forward_map is not None and not hasattr(forward_map, "rule"):
        options = getattr(forward_map, "keywords", {}) | options
        forward_map = getattr(forward_map, "func", None)
    return getattr(forward_map, "rule", None), options


def binary_weights(weight: Tensor, **_: object) -> KeptWeights:
    """One bit a weight: the signs, with the scale 1. Options of the map are ignored."""
    return KeptWeights(1, sign(weight), weight.new_ones(()))


def scaled_binary_weights(weight: Tensor) -> KeptWeights:
    """One bit a weight: the signs, with the scale α = mean |W| of each row, which has the least squared error.

    Examples:
        >>> scaled_binary_weights(torch.tensor([[0.5, -0.25, 0.75]]))
        KeptWeights(bits=1, levels=tensor([[ 1., -1.,  1.]]), scale=tensor([[0.5000]]))
    """
    return KeptWeights(1, sign(weight), _row_mean(weight.abs()).clamp(min=_TINY))


def ternary_weights(weight: Tensor) -> KeptWeights:
    """T = W / γ rounded to -1, 0 or 1, with the scale γ = mean |W| of the whole matrix.

    Examples:
        >>> ternary_weights(torch.tensor([[0.5, -0.75, 0.125, 0.625]]))  # W / γ is 1, -1.5, 0.25, 1.25
        KeptWeights(bits=Fraction(8, 5), levels=tensor([[ 1., -1.,  0.,  1.]]), scale=tensor(0.5000))
    """
    scale = weight.abs().mean().clamp(min=_TINY)
    return KeptWeights(Fraction(8, 5), (weight / scale).round().clamp(-1, 1), scale)


def quantised_weights(weight: Tensor, bits: int = 8) -> KeptWeights:
    """The nearest of the 2^bits odd whole numbers, times a scale for each row.

    Neighbouring levels are a step apart, twice the scale. The step has the least squared error for a normal
    distribution with the row's root mean square.

    Examples:
        >>> quantised_weights(torch.tensor([[1.0, -1.0]]), bits=2)  # a step of 0.9957 times the root mean square, 1
        KeptWeights(bits=2, levels=tensor([[ 3., -3.]]), scale=tensor([[0.4979]]))
    """
    if bits not in MAX_STEPS:
        raise ValueError(f"bits must be a whole number from 1 to 8, got {bits!r}")
    step = MAX_STEPS[bits] * _row_mean(weight.square()).sqrt().clamp(min=_TINY)
    last = 2**bits - 1
    return KeptWeights(int(bits), (2 * (weight / step).floor() + 1).clamp(-last, last), step / 2)


_TINY = 1e-5  # the least scale, so that a row of zeros is not divided by zero
# The step between levels with the least squared error for a standard normal distribution. Those to 5 bits are from Max
# 1960, table II, which ends there.
MAX_STEPS = {1: 1.596, 2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041, 7: 0.0569, 8: 0.0308}


def _row_mean(weight: Tensor) -> Tensor:
    """(M, K) -> (M, 1), or (M, C, k, k) -> (M, 1, 1, 1)."""
    return weight.mean(dim=tuple(range(1, weight.dim())), keepdim=True)


def _rounded(weight: Tensor, rule: Rule, **options: int) -> Tensor:
    """scale * levels, as the rule keeps them, with the gradient of the weights as they are."""
    kept = rule(weight, **options)
    return straight_through(kept.scale * kept.levels, weight)


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = W x + b with the weights as they are: `linear` in Bender."""
    return F.linear(x, layer.weight, layer.bias)


@keeps(binary_weights)
def binary_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = sign(W) x + b: `linear_binary_weights` in Bender."""
    return F.linear(x, sign_ste(layer.weight), layer.bias)


@keeps(binary_weights)
def stochastic_binary_linear(layer: nn.Module, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """a = B x + b, with B drawn anew each time: +1 with probability hard_sigmoid(W), else -1; in `eval` mode sign(W).

    For a generator: `functools.partial(stochastic_binary_linear, generator=...)`. It is `linear_stoc_binary_weights`
    in Bender, which draws in evaluation too.
    """
    weight = stochastic_sign_ste(layer.weight, generator) if layer.training else sign_ste(layer.weight)
    return F.linear(x, weight, layer.bias)


@keeps(scaled_binary_weights)
def scaled_binary_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = α sign(W) x + b with α = mean |W| of each row. The gradient passes through both factors.

    Source: XNOR-Net, equation 6 (Rastegari et al. 2016, arXiv 1603.05279).
    """
    return F.linear(x, _scaled_signs(layer.weight), layer.bias)


def _scaled_signs(weight: Tensor) -> Tensor:
    kept = scaled_binary_weights(weight)
    return kept.scale * straight_through(kept.levels, weight)


@keeps(ternary_weights)
def ternary_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = γ T x + b with the T and γ of `ternary_weights`. The gradient of γ T is passed to W.

    Source: BitNet b1.58, equations 1 to 3 (Ma et al. 2024, arXiv 2402.17764).
    """
    return F.linear(x, _rounded(layer.weight, ternary_weights), layer.bias)


@keeps(quantised_weights)
def quantised_linear(layer: nn.Module, x: Tensor, bits: int = 8) -> Tensor:
    """a = s Q x + b with the Q and s of `quantised_weights`, 1 to 8 bits. The gradient of s Q is passed to W.

    For another number of bits: `functools.partial(quantised_linear, bits=4)`.

    Source: the levels Max 1960 (Quantizing for minimum distortion), the gradient Bengio et al. 2013 (arXiv 1308.3432).
    """
    return F.linear(x, _rounded(layer.weight, quantised_weights, bits=bits), layer.bias)


def conv2d(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution with the weights as they are: `conv_linear` in Bender."""
    return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)


@keeps(binary_weights)
def binary_conv2d(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution with sign(W). Beside inputs of ±1 the zeros of padding are a third value; `padding=0` has none."""
    return F.conv2d(x, sign_ste(layer.weight), layer.bias, layer.stride, layer.padding)


@keeps(scaled_binary_weights)
def scaled_binary_conv2d(layer: nn.Module, x: Tensor) -> Tensor:
    """`scaled_binary_linear` as a convolution: a row is a kernel with all its channels."""
    return F.conv2d(x, _scaled_signs(layer.weight), layer.bias, layer.stride, layer.padding)


@keeps(ternary_weights)
def ternary_conv2d(layer: nn.Module, x: Tensor) -> Tensor:
    """`ternary_linear` as a convolution."""
    return F.conv2d(x, _rounded(layer.weight, ternary_weights), layer.bias, layer.stride, layer.padding)


@keeps(quantised_weights)
def quantised_conv2d(layer: nn.Module, x: Tensor, bits: int = 8) -> Tensor:
    """`quantised_linear` as a convolution: a row is a kernel with all its channels."""
    weight = _rounded(layer.weight, quantised_weights, bits=bits)
    return F.conv2d(x, weight, layer.bias, layer.stride, layer.padding)
