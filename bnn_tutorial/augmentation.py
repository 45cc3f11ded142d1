"""Training images that were never drawn: the same digits, a little turned, moved and stretched."""

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
    """Turn, scale and move each image by amounts of its own, drawn evenly from their ranges.

    Args:
        pixels: (N, side * side) float, one square image a row.
        degrees: largest angle about the middle, to either side.
        shift: largest way in pixels, along each axis to either side.
        scale: largest change of the size, as a share below 1: 0.1 is from 1 / 1.1 to 1 / 0.9 of it.
        generator: where the amounts come from, on the CPU; default PyTorch's global one.

    Returns:
        (N, side * side) float, interpolated between the pixels; what comes in from outside is 0, the background.

    Raises:
        ValueError: if the images are not square, or the scale is 1 or more.

    Examples:
        >>> line = torch.zeros(1, 5, 5)
        >>> line[:, 2] = 1
        >>> moved = random_affine(line.view(1, 25), 0, 1, 0, torch.Generator().manual_seed(0))
        >>> moved.view(5, 5)[:, 2].round(decimals=2)  # up by 0.74 of a pixel, so that two rows share it
        tensor([0.0000, 0.7400, 0.2600, 0.0000, 0.0000])
    """
    images, side = len(pixels), math.isqrt(pixels.shape[-1])
    if pixels.dim() != 2 or side * side != pixels.shape[1]:
        raise ValueError(f"expected square images in rows, (N, side * side), got shape {tuple(pixels.shape)}")
    if not 0 <= scale < 1:
        raise ValueError(f"scale must be in [0, 1), got {scale}")
    angle, size, right, down = (2 * torch.rand(4, images, generator=generator) - 1).to(pixels)
    angle, size = angle * math.radians(degrees), 1 + size * scale
    right, down = 2 * shift / side * right, 2 * shift / side * down  # affine_grid counts an image as 2 wide
    # The matrix says where in the given image a place of the new one is found: first back by the way, then the rest.
    a, b = size * angle.cos(), size * angle.sin()
    matrices = torch.stack([a, -b, b * down - a * right, b, a, -b * right - a * down], dim=1).view(images, 2, 3)
    grid = F.affine_grid(matrices, [images, 1, side, side], align_corners=False)
    return F.grid_sample(pixels.view(images, 1, side, side), grid, align_corners=False).view_as(pixels)
