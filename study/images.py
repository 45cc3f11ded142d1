"""The images of the studies: whole data sets, held-out parts of them, and fewer pixels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

import bnn_tutorial as bnn

FOLDER = Path("build") / "data"  # torchvision downloads missing sets into it

# By the pixels that are left: the side of the square in the middle of 28x28, and of what its means make of it.
PIXELS = {"5x5": (20, 5), "7x7": (28, 7), "10x10": (20, 10), "14x14": (28, 14), "16x16": (28, 16), "20x20": (20, 20)}
PIXELS["28x28"] = (28, 28)


@lru_cache(maxsize=8)
def images(name: str, held_out: bool = False) -> bnn.LabelledImages:
    """A data set, from `FOLDER` if it is not MNIST.

    Args:
        name: such as "FashionMNIST", or "FashionMNIST, 14x14" for fewer pixels, see `PIXELS`.
        held_out: the training set alone, split by `bnn.hold_out`.
    """
    name, _, pixels = name.partition(", ")
    data = bnn.load_mnist() if name == "MNIST" else bnn.load_images(name, FOLDER)
    data = fewer_pixels(data, pixels) if pixels else data
    return bnn.hold_out(data) if held_out else data


def fewer_pixels(data: bnn.LabelledImages, pixels: str) -> bnn.LabelledImages:
    """The middle of each image, as means of its pixels, rounded to whole numbers for `packed`."""
    middle, side = PIXELS[pixels]
    edge = (28 - middle) // 2

    def reduced(x: torch.Tensor) -> torch.Tensor:
        x = x.view(-1, 1, 28, 28)[:, :, edge : 28 - edge, edge : 28 - edge].float()
        return F.adaptive_avg_pool2d(x, side).flatten(1).round().to(torch.uint8)

    train, test = reduced(data.train_images), reduced(data.test_images)
    return bnn.LabelledImages(train, data.train_labels, test, data.test_labels, f"{data.name}, {pixels}")
