"""Write the digits that you can train on in the Playground: `python -m docs.web.make.digits`.

For training there are the first 400 of each digit in MNIST's training set. For measuring there are the first 100 of
each among its last 10,000 images, which are held out. The test set is not used. The file is in the safetensors format,
compressed by gzip, which browsers unpack.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from safetensors.numpy import save

import bnn_tutorial as bnn

FILE = Path(__file__).parents[1] / "playground" / "digits" / "digits.safetensors.gz"
TRAIN, HELD_OUT = 400, 100  # of each digit


def choose(data: bnn.LabelledImages) -> dict[str, np.ndarray]:
    """`train.images` (4000, 784), `train.labels`, `held_out.images` (1000, 784) and `held_out.labels`, uint8."""
    split = bnn.hold_out(data)
    train = _first(split.train_images.numpy(), split.train_labels.numpy(), TRAIN)
    held_out = _first(split.test_images.numpy(), split.test_labels.numpy(), HELD_OUT)
    parts = {"train": train, "held_out": held_out}
    return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def _first(images: np.ndarray, labels: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """The first `count` images of each digit, in the order in which they are there."""
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == digit)[:count] for digit in range(10)]))
    return {"images": images[chosen], "labels": labels[chosen].astype(np.uint8)}


if __name__ == "__main__":
    FILE.write_bytes(gzip.compress(save(choose(bnn.load_mnist())), mtime=0))  # without the time it is always the same
    print(f"{FILE.stat().st_size:,} bytes")
