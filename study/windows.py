"""The window of the clipped estimator against the spread of its inputs: `python -m study.windows`.

The tutorial's network is trained with Adam at 0.0003 for three epochs, with the weights clamped after each epoch. The
half-width `clip` of the window goes from 1/4 to 32, and to infinity, which is the identity. The network has batch norm
or not; without it, the logits in the loss are also scaled by 0.1. Training uses the whole training set. Accuracies are
on all 10,000 test images after the last epoch, for five seeds. Nothing is chosen. About ten minutes on two cores.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import bnn_tutorial as bnn

from .recipes import Recipe, changed
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "windows.csv"
CLIPS = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
ACTIVATIONS = {f"clip {clip:g}": partial(bnn.clipped_sign_ste, clip=clip) for clip in CLIPS}
ACTIVATIONS["identity"] = bnn.sign_ste
RECIPES = {
    f"{norm}, scale {scale:g}, {name}": changed(
        Recipe(build=bnn.binary_mlp),
        epochs=3,
        loss=partial(bnn.cross_entropy, scale=scale),
        network={"activation": activation, "normalise": norm == "batch norm"},
    )
    for norm, scale in (("plain", 1.0), ("plain", 0.1), ("batch norm", 1.0))
    for name, activation in ACTIVATIONS.items()
}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES)
