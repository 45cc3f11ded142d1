"""Random affine and elastic distortions together, by one interpolation.

Elastic distortions: Simard et al. 2003, Best Practices for Convolutional Neural Networks Applied to Visual Document
Analysis.
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

KNOTS = 7  # along each side; the displacement is linear between them


@cache
def _between_knots(side: int) -> Tensor:
    """The matrix that turns values at the knots into values at the pixels: (KNOTS², side²)."""
    each = torch.eye(KNOTS**2).view(-1, 1, KNOTS, KNOTS)
    return F.interpolate(each, side, mode="bilinear", align_corners=True).flatten(1)


def distorted(
    pixels: Tensor,
    degrees: float = 10.0,
    translate: float = 1.5,
    scale: float = 0.1,
    shear: float = 0.1,
    elastic: float = 0.5,
) -> Tensor:
    """Slant, resize, rotate, shift and bend each image by its own random amounts.

    Args:
        pixels: (N, side * side) float, one square image a row.
        degrees, translate, scale: uniform, as in `bnn.random_affine`; width and height have a scale each.
        shear: tangent of the slant, uniform in [-shear, shear].
        elastic: standard deviation of the displacement of a knot, in pixels, in each direction.

    Returns:
        (N, side * side) float, by bilinear interpolation; pixels outside the given image are 0.
    """
    images, side = len(pixels), math.isqrt(pixels.shape[1])
    angle, wide, high, slant, right, down = 2 * torch.rand(6, images, 1, 1) - 1
    pixel = 2 / side  # grid_sample counts an image as 2 wide
    place = torch.linspace(pixel / 2 - 1, 1 - pixel / 2, KNOTS)
    x, y = place.view(1, 1, -1), place.view(1, -1, 1)
    x, y = (1 + scale * wide) * (x + shear * slant * y), (1 + scale * high) * y
    cos, sin = (angle * math.radians(degrees)).cos(), (angle * math.radians(degrees)).sin()
    x, y = cos * x - sin * y + translate * pixel * right, sin * x + cos * y + translate * pixel * down
    knots = torch.stack([x, y], dim=1) + elastic * pixel * torch.randn(images, 2, KNOTS, KNOTS)
    grid = (knots.view(-1, KNOTS**2) @ _between_knots(side)).view(images, 2, side, side).permute(0, 2, 3, 1)
    return F.grid_sample(pixels.view(images, 1, side, side), grid, align_corners=False).view_as(pixels)
