"""Weights and activations of more bits than one: what one bit has to be compared with.

Each map is `binary_linear` with another line for the weights: rounded forward, the identity backward. The float weights
stay behind as latent weights, and batch norm may follow as it does there. Sources stand with each map.
"""

from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor, nn

from .forward_maps import binary_weights
from .ste import sign_ste, straight_through

__all__ = ["scaled_binary_linear", "ternary_linear", "quantised_linear", "quantised_relu"]

# The step between levels that loses least of a normal distribution of deviation 1 (Max 1960, table I).
_STEPS = {1: 1.596, 2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041, 7: 0.0569, 8: 0.0308}


@binary_weights
def scaled_binary_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = α sign(W) x + b with α = mean |W| of each row, the scale that loses least.

    The gradient passes through both factors. Source: XNOR-Net, equation 6 (Rastegari et al. 2016, arXiv 1603.05279).

    Examples:
        >>> import torch
        >>> from bnn_tutorial import GenDense
        >>> layer = GenDense(3, 1, forward_map=scaled_binary_linear)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.5, -0.25, 0.75]]))  # the mean of their sizes is 0.5
        >>> layer(torch.tensor([1.0, 1.0, 1.0])).item()
        0.5
    """
    return F.linear(x, sign_ste(layer.weight) * layer.weight.abs().mean(dim=1, keepdim=True), layer.bias)


def ternary_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """a = γ T x + b with T = W / γ rounded to -1, 0 or 1, and γ = mean |W| of the whole matrix.

    The gradient of W is that of γ T. Five such weights fit into a byte, since 3⁵ = 243: 1.6 bits each. Source: BitNet
    b1.58, equations 1 to 3 (Ma et al. 2024, arXiv 2402.17764).

    Examples:
        >>> import torch
        >>> from bnn_tutorial import GenDense
        >>> layer = GenDense(3, 1, forward_map=ternary_linear)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.5, -0.125, 0.875]]))  # the mean of their sizes is 0.5
        >>> layer(torch.tensor([1.0, 1.0, 1.0])).item()  # 0.5 (1 + 0 + 1)
        1.0
    """
    weight, scale = layer.weight, layer.weight.abs().mean().clamp(min=1e-5)
    return F.linear(x, straight_through((weight / scale).round().clamp(-1, 1) * scale, weight), layer.bias)


ternary_linear.bits = Fraction(8, 5)


def quantised_linear(layer: nn.Module, x: Tensor, bits: int = 8) -> Tensor:
    """a = s Q x + b with weights of `bits` bits, 1 to 8, and a scale s for each row.

    The values of Q are the 2^bits odd multiples of 1/2 next to zero, -1.5, -0.5, 0.5 and 1.5 for two bits. The scale s
    is the step that loses least of a normal distribution with the row's root mean square. The gradient of W is that of
    s Q. For another number of bits: `functools.partial(quantised_linear, bits=4)`.

    Examples:
        >>> from functools import partial
        >>> import torch
        >>> from bnn_tutorial import GenDense
        >>> layer = GenDense(4, 1, forward_map=partial(quantised_linear, bits=2))
        >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))  # of root mean square 1
        >>> round(layer(torch.tensor([1.0, 0.0, 0.0, 0.0])).item(), 4)  # 1.5 steps of 0.9957
        1.4936

    Source: the levels Max 1960 (Quantizing for minimum distortion), the gradient Bengio et al. 2013 (arXiv 1308.3432).
    """
    if bits not in _STEPS:
        raise ValueError(f"bits must be a whole number from 1 to 8, got {bits!r}")
    weight = layer.weight
    step = _STEPS[bits] * weight.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-5)
    largest = 2 ** (bits - 1) - 0.5
    levels = ((weight / step).floor() + 0.5).clamp(-largest, largest)
    return F.linear(x, straight_through(levels * step, weight), layer.bias)


quantised_linear.bits = 8


def quantised_relu(x: Tensor, bits: int = 8, limit: float = 6.0) -> Tensor:
    """x clipped to [0, limit] and rounded to 2^bits values: the activation of networks with 8-bit integers.

    The gradient is that of the clipping: 1 where 0 <= x <= limit, else 0.

    Examples:
        >>> import torch
        >>> quantised_relu(torch.tensor([-1.0, 1.5, 9.0]), bits=2)  # 0, 2, 4 or 6
        tensor([0., 2., 6.])

    Source: Jacob et al. 2018, section 3 (arXiv 1712.05877), with ReLU6.
    """
    if not (bits >= 1 and limit > 0):
        raise ValueError(f"expected at least 1 bit and a positive limit, got {bits!r} and {limit!r}")
    clipped, step = x.clamp(0, limit), limit / (2**bits - 1)
    return straight_through((clipped / step).round() * step, clipped)
