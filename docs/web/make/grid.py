"""Test images in other handwriting: 27 combinations of stroke width, size and rotation, enlarged to a canvas.

`python -m docs.web.make.grid w1a8` prints the accuracy of that network of the page in each cell of the grid: some
minutes. With `--held-out` it trains the network anew without the last 10,000 training images, and takes those: so
choices are made.
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

from bnn_tutorial import packed
from study.images import images
from study.pretrained import trained

from .prepare import INK, bounding_box, prepare_picture
from .recipe import FILES, RECIPES, TEACHER

ENLARGED = 10
ROOM = 1.3  # a digit, rotated by 15 degrees, needs 1.23 of its side
SCALES, WIDTHS, ANGLES = (0.4, 1.0, 1.5), (0.5, 1.0, 2.0), (-15, 0, 15)


def with_stroke_width(image: Tensor, factor: float) -> Array:
    """(280, 280) uint8: the image enlarged smoothly, its strokes `factor` times as wide.

    Wider strokes grow by the same length at each side (dilation); the width of the old ones is four times the mean
    distance of their ink from the edge. Narrower strokes keep what is near their middle (the ridge of the distance
    transform), so that none breaks.
    """
    grey = F.interpolate(image.view(1, 1, 28, 28).float(), scale_factor=ENLARGED, mode="bilinear")[0, 0].numpy()
    ink = grey >= 128
    depth = distance_transform_edt(ink)
    width = 4 * depth[ink].mean()
    if factor > 1:
        ink = distance_transform_edt(~ink) <= width * (factor - 1) / 2
    elif factor < 1:
        ink &= depth >= (1 - factor) * maximum_filter(depth, size=2 * int(width / 2) + 1)
    return np.where(ink, 255, 0).astype(np.uint8) if factor != 1 else (grey + 0.5).astype(np.uint8)


def on_a_canvas(picture: Array, scale: float, degrees: float, translation: Array) -> Array:
    """(side, side) uint8: the picture scaled and rotated, the middle of its ink `translation` pixels off the centre."""
    rows, columns = bounding_box(picture)
    middle = torch.tensor([columns.start + columns.stop, rows.start + rows.stop]) / len(picture) - 1
    side = int(ROOM * INK * ENLARGED * scale) + 60
    size, angle = side / len(picture) / scale, math.radians(degrees)
    back = size * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    offset = middle - back @ (2 * torch.as_tensor(translation) / side)
    grid = F.affine_grid(torch.cat([back, offset[:, None]], 1)[None].float(), [1, 1, side, side], align_corners=False)
    canvas = F.grid_sample(torch.from_numpy(picture)[None, None].float(), grid, align_corners=False)
    return (canvas[0, 0] + 0.5).floor().byte().numpy()


@threadpool_limits.wrap(limits=1)  # these products are small: threads that wait for the next one cost seven times more
def perturbed(images: Tensor) -> dict[tuple[float, float, int], Array]:
    """The images in each cell of the grid, by (scale, width, angle): (N, 784) uint8, as `prepare_picture` gives them.

    Each image is somewhere else on the canvas, and at the same place in every cell.
    """
    places = np.random.default_rng(0).uniform(-25, 25, (len(images), 2)).astype(np.float32)
    grid = {}
    for width in WIDTHS:
        pictures = [with_stroke_width(image, width) for image in images]
        for scale, angle in product(SCALES, ANGLES):
            canvases = (on_a_canvas(p, scale, angle, place) for p, place in zip(pictures, places, strict=True))
            grid[scale, width, angle] = np.stack([prepare_picture(canvas) for canvas in canvases])
    return grid


def accuracies(network: packed.PackedNetwork, images: Tensor, labels: Tensor) -> pd.Series:
    """The accuracy in each cell, by (scale, width, angle)."""
    correct = {cell: network.predict(pixels) == labels.numpy() for cell, pixels in perturbed(images).items()}
    return pd.DataFrame(correct).rename_axis(columns=("scale", "width", "angle")).mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=FILES)
    parser.add_argument("--held-out", action="store_true", help="train without 10,000 images, and take those")
    options = parser.parse_args()
    data, name = images("MNIST", options.held_out), options.name
    network = trained(RECIPES[name], data, TEACHER) if options.held_out else packed.PackedNetwork.load(FILES[name])
    table = accuracies(network, data.test_images, data.test_labels)
    print(table.unstack("angle").round(4))
    print(f"{table.mean():.4f} on average of {len(data.test_labels):,} images, {table.min():.4f} in the worst cell")
