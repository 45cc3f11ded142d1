"""Test images as if drawn on a canvas by another hand: enlarged tenfold, of another pen, size, angle and place."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt, maximum_filter

import bnn_tutorial as bnn

TIMES = 10
ROOM = 1.3  # a digit of 20 pixels, turned by 15 degrees, needs 1.23 of its side
SCALES, WIDTHS, ANGLES = (0.4, 1.0, 1.5), (0.5, 1.0, 2.0), (-15, 0, 15)


def other_width(image, factor):
    """(280, 280) uint8: the image enlarged smoothly, its strokes `factor` times as wide.

    A thicker pen reaches further by the same way at each side: a stroke's width is four times the mean distance of its
    ink from the edge. A thinner one keeps what is near the middle of the stroke, of which nothing may break off.
    """
    grey = F.interpolate(image.view(1, 1, 28, 28).float(), scale_factor=TIMES, mode="bilinear")[0, 0].numpy()
    ink = grey >= 128
    depth = distance_transform_edt(ink)
    width = 4 * depth[ink].mean()
    if factor > 1:
        ink = distance_transform_edt(~ink) <= width * (factor - 1) / 2
    elif factor < 1:
        ink &= depth >= (1 - factor) * maximum_filter(depth, size=2 * int(width / 2) + 1)
    return np.where(ink, 255, 0).astype(np.uint8) if factor != 1 else (grey + 0.5).astype(np.uint8)


def on_a_canvas(picture, scale, angle, place):
    """(side, side) uint8: the picture scaled and turned, its middle moved by `place` pixels."""
    rows, columns = picture.any(axis=1).nonzero()[0], picture.any(axis=0).nonzero()[0]
    middle = torch.tensor([columns[0] + columns[-1] + 1, rows[0] + rows[-1] + 1]) / len(picture) - 1
    side = int(ROOM * 20 * TIMES * scale) + 60
    size, turn = side / len(picture) / scale, math.radians(angle)
    back = size * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    way = middle - back @ (2 * torch.as_tensor(place) / side)
    grid = F.affine_grid(torch.cat([back, way[:, None]], 1)[None].float(), [1, 1, side, side], align_corners=False)
    canvas = F.grid_sample(torch.from_numpy(picture)[None, None].float(), grid, align_corners=False)
    return (canvas[0, 0] + 0.5).floor().byte().numpy()


def accuracies(network, images, labels):
    """The share of right answers in each cell of the grid, by (scale, width, angle); each drawing has its own place."""
    places = np.random.default_rng(0).uniform(-25, 25, (len(images), 2)).astype(np.float32)
    table = {}
    for width in WIDTHS:
        pictures = [other_width(image, width) for image in images]
        for scale in SCALES:
            for angle in ANGLES:
                canvases = (on_a_canvas(p, scale, angle, place) for p, place in zip(pictures, places, strict=True))
                prepared = np.stack([bnn.prepare_picture(canvas) for canvas in canvases])
                table[scale, width, angle] = float((network.predict(prepared) == labels.numpy()).mean())
    return table
