"""Random affine transformations of the training images: rotation, translation and scale."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import side_of


def random_affine(
    pixels: Tensor,
    degrees: float = 10.0,
    translate: float = 2.0,
    scale: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Rotate, translate and scale each image by random amounts of its own.

    torchvision's `RandomAffine` gives a whole batch the same amounts.

    Args:
        pixels: (N, side * side) float, one square image a row.
        degrees: the angle is uniform in [-degrees, degrees], about the middle of the image.
        translate: in pixels; horizontal and vertical translation are each uniform in [-translate, translate].
        scale: in [0, 1); the size is divided by a factor that is uniform in [1 - scale, 1 + scale].
        generator: of the random numbers, on the CPU; default PyTorch's global one.

    Returns:
        (N, side * side) float, by bilinear interpolation. What comes from outside the image is 0, the background.

    Examples:
        >>> line = torch.zeros(1, 5, 5)
        >>> line[:, 2] = 1
        >>> moved = random_affine(line.view(1, 25), 0, 1, 0, torch.Generator().manual_seed(0))
        >>> moved.view(5, 5)[:, 2].round(decimals=2)  # up by 0.74 of a pixel, so that two rows share it
        tensor([0.0000, 0.7400, 0.2600, 0.0000, 0.0000])
    """
    images, side = len(pixels), side_of(pixels)
    if not 0 <= scale < 1:
        raise ValueError(f"scale must be in [0, 1), got {scale}")
    angle, size, right, down = (2 * torch.rand(4, images, generator=generator) - 1).to(pixels)
    angle, size = angle * math.radians(degrees), 1 + size * scale
    right, down = 2 * translate / side * right, 2 * translate / side * down  # affine_grid counts an image as 2 wide
    # The matrix leads from a point of the new image back to the given image: first the translation, then the rest.
    a, b = size * angle.cos(), size * angle.sin()
    matrices = torch.stack([a, -b, b * down - a * right, b, a, -b * right - a * down], dim=1).view(images, 2, 3)
    grid = F.affine_grid(matrices, [images, 1, side, side], align_corners=False)
    return F.grid_sample(pixels.view(images, 1, side, side), grid, align_corners=False).view_as(pixels)
