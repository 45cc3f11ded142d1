"""Every estimator on MNIST: `python -m study.estimators`.

The estimators of the activations run with the tutorial's settings, with and without batch norm, and with the recipe of
ten epochs. The tutorial's settings are Adam at 0.0003 for ten epochs, with the weights clamped after each epoch. The
recipe has batch norm, a rate of 0.003 that falls along a cosine, and the weights clamped after each step. The
estimators of the weights run with the recipe and clipped activations. Training uses the whole training set. Accuracies
are on all 10,000 test images after the last epoch, for five seeds. Nothing is tuned. About 45 minutes on two cores.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch.nn.functional as F

import bnn_tutorial as bnn

from .recipes import TEN_EPOCHS, Recipe, changed
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "estimators.csv"
ESTIMATORS = {
    "sign": bnn.sign,
    "sign_ste": bnn.sign_ste,
    "clipped_sign_ste": bnn.clipped_sign_ste,
    "stochastic_sign_ste": bnn.stochastic_sign_ste,
    "stochastic_sign_ste, clip 1": partial(bnn.stochastic_sign_ste, clip=1.0),
    "tanh_sign": bnn.tanh_sign,
    "approx_sign": bnn.approx_sign,
    "swish_sign": bnn.swish_sign,
}


@bnn.keeps(bnn.binary_weights)
def weights_by(layer, x, estimator):
    """`binary_linear` with another estimator of the weights' signs."""
    return F.linear(x, estimator(layer.weight), layer.bias)


SETTINGS = {"plain": changed(Recipe(build=bnn.binary_mlp), network={"normalise": False})}
SETTINGS |= {"batch norm": Recipe(build=bnn.binary_mlp), "recipe": TEN_EPOCHS}
ACTIVATIONS = {
    f"{name}, {setting}": changed(recipe, network={"activation": estimator})
    for setting, recipe in SETTINGS.items()
    for name, estimator in ESTIMATORS.items()
    if (name, setting) != ("sign", "recipe")
}
WEIGHTS = {
    f"weights by {name}": changed(TEN_EPOCHS, network={"forward_map": partial(weights_by, estimator=ESTIMATORS[name])})
    for name in ("clipped_sign_ste", "tanh_sign", "approx_sign", "swish_sign")
} | {
    "never clamped": changed(TEN_EPOCHS, clamp=None),
    "weights by clipped_sign_ste, never clamped": changed(
        TEN_EPOCHS, clamp=None, network={"forward_map": partial(weights_by, estimator=bnn.clipped_sign_ste)}
    ),
}
RECIPES = ACTIVATIONS | WEIGHTS

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES)
