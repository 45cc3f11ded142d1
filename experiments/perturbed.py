"""Images as if drawn on a canvas by another hand: enlarged tenfold, of another pen, size, angle and place.

`python -m experiments.perturbed` prints how many of the test images the page's network reads in each cell of the grid:
about six minutes. With `--held-out` it trains the network anew without the last 10,000 training images, and takes
those: so choices are made.
"""

from __future__ import annotations

import argparse
import math
from itertools import product

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy import ndarray as Array
from scipy.ndimage import distance_transform_edt, maximum_filter
from threadpoolctl import threadpool_limits
from torch import Tensor

import bnn_tutorial as bnn

from .demo import FILE, RECIPE, TEACHER
from .pretrained import trained
from .teacher import images

TIMES = 10
ROOM = 1.3  # a digit of 20 pixels, turned by 15 degrees, needs 1.23 of its side
SCALES, WIDTHS, ANGLES = (0.4, 1.0, 1.5), (0.5, 1.0, 2.0), (-15, 0, 15)


def other_width(image: Tensor, factor: float) -> Array:
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


def on_a_canvas(picture: Array, scale: float, angle: float, place: Array) -> Array:
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


@threadpool_limits.wrap(limits=1)  # these products are small: threads that wait for the next one cost seven times more
def drawn(images: Tensor) -> dict[tuple[float, float, int], Array]:
    """The images in each cell of the grid, by (scale, width, angle): (N, 784) uint8, prepared as the page does.

    Each drawing has its own place on the canvas, and the same in every cell.
    """
    places = np.random.default_rng(0).uniform(-25, 25, (len(images), 2)).astype(np.float32)
    grid = {}
    for width in WIDTHS:
        pictures = [other_width(image, width) for image in images]
        for scale, angle in product(SCALES, ANGLES):
            canvases = (on_a_canvas(p, scale, angle, place) for p, place in zip(pictures, places, strict=True))
            grid[scale, width, angle] = np.stack([bnn.prepare_picture(canvas) for canvas in canvases])
    return grid


def accuracies(network: bnn.PackedNetwork, images: Tensor, labels: Tensor) -> pd.Series:
    """The share of right answers in each cell, by (scale, width, angle)."""
    answers = {cell: network.predict(pixels) == labels.numpy() for cell, pixels in drawn(images).items()}
    return pd.DataFrame(answers).rename_axis(columns=("scale", "width", "angle")).mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--held-out", action="store_true", help="train without 10,000 images, and draw those")
    held_out = parser.parse_args().held_out
    data = images("full, held out" if held_out else "full")
    network = trained(RECIPE, data, TEACHER) if held_out else bnn.PackedNetwork.load(FILE)
    table = accuracies(network, data.test_images, data.test_labels)
    print(table.unstack("angle").round(4))
    print(f"{table.mean():.4f} on average of {len(data.test_labels):,} images, {table.min():.4f} in the worst cell")
