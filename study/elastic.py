"""Elastic distortions of the training images (Simard et al. 2003, Best Practices for Convolutional Neural Networks)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

import bnn_tutorial as bnn

KNOTS = 6  # along each side, between which the displacement is smooth


def random_elastic(pixels: Tensor, pixels_moved: float = 1.0, degrees: float = 5.0, scale: float = 0.05) -> Tensor:
    """Each image gets `bnn.random_affine`, with a translation of up to a pixel, and a smooth random displacement.

    Args:
        pixels: (N, side * side) float, one square image a row.
        pixels_moved: standard deviation of the displacement of a knot, in pixels.
        degrees: of the rotation.
        scale: of the change of size.

    Returns:
        (N, side * side) float, by bilinear interpolation; pixels outside the given image are 0.
    """
    pixels = bnn.random_affine(pixels, degrees, 1, scale)
    side = math.isqrt(pixels.shape[1])
    knots = torch.randn(len(pixels), 2, KNOTS, KNOTS) * (2 * pixels_moved / side)  # affine_grid counts an image as 2
    moved = F.interpolate(knots, side, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    images = pixels.view(-1, 1, side, side)
    grid = F.affine_grid(torch.eye(2, 3).expand(len(pixels), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid + moved, align_corners=False).view_as(pixels)
