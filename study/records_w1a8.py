"""The best networks of one-bit weights, 8-bit activations and 12,000 bytes: `python -m study.records_w1a8`.

All bytes count, including those of thresholds and scales, as in `bnn.summary`. The goal with convolutions is 0.9965;
the best published network has 0.9955, with weights of 2 and 4 bits and 11.0 KiB. The goal without convolutions is
0.9905, where the best has 0.9902, with 4 bits and 12.3 KiB. Both published networks are BitNetMCU's.

First come the trials, with one change at a time and one seed. They are trained on the first 50,000 training images and
scored on the last 10,000. The test set is not read. A difference of five images is no difference, so there the loss
decides. The changes that help are combined in a longer trial. Then come the results: the whole training set, accuracy
on all 10,000 test images after the last epoch, five seeds. A quarter of an hour for a seed of sixteen epochs, and ten
hours for everything, on one quiet core. A run that was stopped continues after its last complete epoch.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .recipes import changed
from .records_distortion import distorted
from .records_training import CONVNET, DENSE, Muon, convnet, half_size_mlp
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "records_w1a8.csv"
CHOICES = RESULTS.with_name("records_w1a8_choices.csv")

WEAKER = partial(distorted, degrees=5, translate=0.75, scale=0.05, shear=0.05, elastic=0.25)
DEEPER = CONVNET._replace(
    build=partial(convnet, [(32, 5, 0, 2), (42, 3, 1, 1), (49, 3, 0, 2), (49, 3, 1, 1), (48, 3, 0, 1)])
)
TRIES_OF_CONVNET = {
    "base": CONVNET,
    "four convolutions": CONVNET._replace(
        build=partial(convnet, [(32, 5, 0, 2), (48, 3, 1, 1), (60, 3, 0, 2), (60, 3, 0, 1)])
    ),
    "five convolutions": DEEPER,
    "five convolutions, sixty epochs": changed(DEEPER, epochs=60),
}
TRIES_OF_DENSE = {
    "base": DENSE,
    "half the distortion": changed(DENSE, augment=WEAKER),
    "learning rate 0.01": changed(DENSE, learning_rate=0.01),
    "three hidden layers": DENSE._replace(build=partial(half_size_mlp, 136, 136, 136)),
    "a wider first layer": DENSE._replace(build=partial(half_size_mlp, 240, 96)),
    "Muon": changed(DENSE, optimizer=Muon),
    "Muon, learning rate 0.01": changed(DENSE, learning_rate=0.01, optimizer=Muon),
    "200 epochs": changed(DENSE, epochs=200),
}
CANDIDATES = {
    f"{kind}, {name}": recipe._replace(seeds=1)
    for kind, tries in {"convnet": TRIES_OF_CONVNET, "dense": TRIES_OF_DENSE}.items()
    for name, recipe in tries.items()
}
RECIPES = {f"W1A8, five convolutions, {n} epochs": changed(DEEPER, epochs=n) for n in (16, 60)}

if __name__ == "__main__":
    run_missing(CHOICES, CANDIDATES, held_out=True, names=CANDIDATES, processes=1)
    run_missing(RESULTS, RECIPES, names=RECIPES, processes=1)
