"""A binary convnet with shortcuts: real numbers pass around each binary convolution (Bi-Real Net, ReActNet).

The blocks pass on real numbers, not signs. Whole numbers alone cannot compute that, so `packed` refuses it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnn_tutorial as bnn


class ShiftedSign(nn.Module):
    """RSign of ReActNet (Liu et al. 2020, arXiv 2003.03488): the sign of x + b, with a learned b for each channel."""

    def __init__(self, channels: int, learned: bool):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1)) if learned else 0.0

    def forward(self, x: Tensor) -> Tensor:
        return bnn.approx_sign(x + self.shift)  # Bi-Real Net's estimator, which ReActNet keeps


class ShiftedPReLU(nn.Module):
    """RPReLU of ReActNet: a PReLU whose kink is shifted, in both directions, by learned numbers for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.before, self.after = (nn.Parameter(torch.zeros(channels, 1, 1)) for _ in range(2))
        self.prelu = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(x + self.before) + self.after


class Block(nn.Module):
    """x -> norm(pool(convolution(sign(x)))) + x: (N, C, H, W) -> (N, C', H', W'), real on both sides.

    The convolution has no padding, so the shortcut loses a frame of its images; it averages where the block pools, and
    repeats its channels where the block has more of them.
    """

    def __init__(self, inputs: int, outputs: int, pool: int, shifted: bool, generator: torch.Generator | None):
        super().__init__()
        self.sign = ShiftedSign(inputs, shifted)
        self.convolution = bnn.GenConv2d(
            inputs, outputs, 3, pool=pool, activation=nn.Identity(), forward_map=bnn.binary_conv2d, normalise=True,
            generator=generator,
        )  # fmt: skip
        self.activation = ShiftedPReLU(outputs) if shifted else nn.Identity()
        self.outputs, self.pool = outputs, pool

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.avg_pool2d(x[:, :, 1:-1, 1:-1], self.pool)
        shortcut = shortcut.repeat(1, -(-self.outputs // shortcut.shape[1]), 1, 1)[:, : self.outputs]
        return self.activation(self.convolution(self.sign(x)) + shortcut)


def residual_convnet(
    channels: tuple[int, ...] = (32, 64, 64),
    kernel_size: int = 5,
    shifted: bool = False,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A binary convolution of the pixels, a block for each further number of channels, and a binary dense layer.

    Args:
        channels: of the first convolution and of the blocks; all pool but the last.
        kernel_size: of the first convolution.
        shifted: with the learned shifts of ReActNet; else the shortcuts alone, as in Bi-Real Net.
        generator: for the initial weights.
    """
    stem = bnn.GenConv2d(
        1, channels[0], kernel_size, pool=2, activation=nn.Identity(), forward_map=bnn.binary_conv2d, normalise=True,
        generator=generator,
    )  # fmt: skip
    pools = [2] * (len(channels) - 2) + [1]
    blocks = [Block(*pair, pool, shifted, generator) for pair, pool in zip(pairwise(channels), pools, strict=True)]
    side = (28 - kernel_size + 1) // 2
    for pool in pools:
        side = (side - 2) // pool
    last = bnn.GenDense(
        side * side * channels[-1], 10, forward_map=bnn.binary_linear, normalise=True, generator=generator
    )
    signs = ShiftedSign(channels[-1], shifted)
    layers = nn.Unflatten(1, (1, 28, 28)), stem, *blocks, signs, nn.Flatten(), last
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)
