"""Write the digits that you can choose on the page: `python -m docs.web.make.examples`.

They are the first and the second image of each digit in MNIST's test set, on which no network here was trained.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import bnn_tutorial as bnn

FILE = Path(__file__).parents[1] / "draw" / "examples.safetensors"


def choose(data: bnn.LabelledImages) -> dict[str, np.ndarray]:
    """`images` (20, 784) and `labels` (20,), uint8: 0 to 9, and 0 to 9 again."""
    labels = data.test_labels.numpy()
    chosen = np.stack([np.flatnonzero(labels == digit)[:2] for digit in range(10)], axis=1).ravel()
    return {"images": data.test_images.numpy()[chosen], "labels": labels[chosen].astype(np.uint8)}


if __name__ == "__main__":
    save_file(choose(bnn.load_mnist()), FILE)
