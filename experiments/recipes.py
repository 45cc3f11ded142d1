"""The recipes that more than one experiment starts from. Their values were chosen by `choices.py`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import bnn_tutorial as bnn

from .runner import TUTORIAL, Recipe

# The tutorial's network with batch norm and the clipped estimator, and what lets it learn fast.
NORMALISED = partial(bnn.binary_mlp, activation=bnn.clipped_sign_ste, normalise=True)
TEN_EPOCHS = Recipe(replace(TUTORIAL, clamp="step", schedule="cosine", learning_rate=3e-3), NORMALISED)

# Turned a little, moved a little: more than this and a small network is kept busy with what the test set does not ask.
AUGMENT = partial(bnn.random_affine, degrees=5, shift=1, scale=0.05)


def changed(recipe: Recipe, taught: bool = False, network: dict | None = None, **settings) -> Recipe:
    """The recipe with other settings of the training, and other options of the network."""
    build = partial(recipe.build, **network) if network else recipe.build
    return Recipe(replace(recipe.config, **settings), build, taught)
