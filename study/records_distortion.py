"""Random affine and elastic distortions in one interpolation (Simard et al. 2003, Best Practices for Convolutional Nets)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

KNOTS = 6  # along each side, between which the displacement is smooth


def distorted(
    pixels: Tensor,
    degrees: float = 10.0,
    translate: float = 1.5,
    scale: float = 0.1,
    shear: float = 0.1,
    elastic: float = 0.5,
) -> Tensor:
    """Each image turned, moved, resized, slanted and bent by random amounts of its own.

    Args:
        pixels: (N, side * side) float, one square image a row.
        degrees, translate, scale: uniform, as in `bnn.random_affine`; the size differs by direction.
        shear: how far a row moves to the side, for each row from the middle, at most.
        elastic: standard deviation of the displacement of a knot, in pixels.

    Returns:
        (N, side * side) float, by bilinear interpolation; outside the given image is 0.
    """
    images, side = len(pixels), math.isqrt(pixels.shape[1])
    angle, wide, high, slant, right, down = 2 * torch.rand(6, images) - 1
    angle, slant = angle * math.radians(degrees), slant * shear
    wide, high, pixel = 1 + scale * wide, 1 + scale * high, 2 / side  # affine_grid counts an image as 2 wide
    cos, sin = angle.cos(), angle.sin()
    rows = wide * cos, wide * (slant * cos - sin), right * translate * pixel
    more = high * sin, high * (slant * sin + cos), down * translate * pixel
    grid = F.affine_grid(torch.stack([*rows, *more], dim=1).view(-1, 2, 3), [images, 1, side, side], align_corners=False)
    if elastic:
        knots = torch.randn(images, 2, KNOTS, KNOTS) * (elastic * pixel)
        grid = grid + F.interpolate(knots, side, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    return F.grid_sample(pixels.view(images, 1, side, side), grid, align_corners=False).view_as(pixels)
