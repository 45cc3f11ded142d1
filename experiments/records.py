"""The best networks of their sizes: `python -m experiments.records`.

The whole training set, accuracy on all 10,000 test images after the last epoch, five seeds, three for the largest.
Seconds are a result here, so each run has both cores: about 80 minutes. The same network after 60 epochs of augmented
images is a row of `closing_the_gap`.
"""

from __future__ import annotations

from pathlib import Path

import bnn_tutorial as bnn

from .recipes import AUGMENT, TEN_EPOCHS, changed
from .runner import run_missing

RESULTS = Path(__file__).with_suffix(".csv")

AUGMENTED = changed(TEN_EPOCHS, augment=AUGMENT, learning_rate=0.01)
CONVNET = changed(AUGMENTED, epochs=20, batch_size=128, learning_rate=0.005)._replace(build=bnn.binary_convnet)
RECIPES = {
    "784-300-100-10, 10 epochs": TEN_EPOCHS,
    "784-256-256-256-10, 1-bit input, 60 epochs": changed(
        AUGMENTED, epochs=60, network={"widths": (784, 256, 256, 256, 10), "binary_input": True}
    ),
    "convnet, 93,088 weights, 20 epochs": CONVNET,
    "convnet, 666,432 weights, 20 epochs": changed(
        CONVNET, network={"channels": (64, 128, 256), "kernel_sizes": (5, 3, 3), "widths": (128, 10)}
    )._replace(seeds=3),
}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES, processes=1)
