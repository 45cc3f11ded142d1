"""Training images that were never drawn: the same digits, a little turned, moved and stretched."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["random_affine"]


def random_affine(
    pixels: Tensor,
    degrees: float = 10.0,
    shift: float = 2.0,
    scale: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Turn, move and scale each image by amounts of its own, drawn evenly from their ranges.

    Args:
        pixels: (N, side * side) float, one square image a row.
        degrees: largest angle, to either side.
        shift: largest way in pixels, along each axis to either side.
        scale: largest change of the size, as a share: 0.1 is from 1 / 1.1 to 1 / 0.9 of it.
        generator: where the amounts come from; default PyTorch's global one, as in `F.dropout`.

    Returns:
        (N, side * side) float, interpolated between the pixels; what comes in from outside is 0, the background.

    Raises:
        ValueError: if the images are not square.

    Examples:
        >>> line = torch.zeros(1, 5, 5)
        >>> line[:, 2] = 1
        >>> moved = random_affine(line.view(1, 25), 0, 1, 0, torch.Generator().manual_seed(0))
        >>> moved.view(5, 5)[:, 2].round(decimals=2)  # down by a fraction of a pixel, so that two rows share it
        tensor([0.0000, 0.0000, 0.2600, 0.7400, 0.0000])
    """
    images, side = len(pixels), math.isqrt(pixels.shape[-1])
    if pixels.dim() != 2 or side * side != pixels.shape[1]:
        raise ValueError(f"expected square images in rows, (N, side * side), got shape {tuple(pixels.shape)}")
    angle, size, right, down = (2 * torch.rand(4, images, generator=generator) - 1).to(pixels.device)
    angle, size = angle * math.radians(degrees), 1 + size * scale
    cos, sin = size * angle.cos(), size * angle.sin()
    move = 2 * shift / side  # affine_grid counts an image as 2 wide
    matrices = torch.stack([cos, -sin, move * right, sin, cos, move * down], dim=1).view(images, 2, 3)
    grid = F.affine_grid(matrices, [images, 1, side, side], align_corners=False)
    return F.grid_sample(pixels.view(images, 1, side, side), grid, align_corners=False).view_as(pixels)
