"""The recipes that more than one experiment starts from, with the values that `choices.py` found on held-out images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import bnn_tutorial as bnn

from .runner import Recipe
from .settings import TUTORIAL

# The tutorial's network with batch norm and the clipped estimator, and what lets it learn fast.
NORMALISED = partial(bnn.binary_mlp, activation=bnn.clipped_sign_ste, normalise=True)
TEN_EPOCHS = Recipe(replace(TUTORIAL, clamp="step", schedule="cosine", learning_rate=3e-3), NORMALISED)


def changed(recipe: Recipe, taught: bool | None = None, network: dict | None = None, **settings) -> Recipe:
    """The recipe with other settings of the training and other options of the network; the rest stays."""
    build = partial(recipe.build, **network) if network else recipe.build
    taught = recipe.taught if taught is None else taught
    return recipe._replace(config=replace(recipe.config, **settings), build=build, taught=taught)


def augment(strength: float) -> partial:
    """At strength 1: up to 5 degrees, 1 pixel, 5 % of the size."""
    return partial(bnn.random_affine, degrees=5 * strength, translate=strength, scale=0.05 * strength)


SIXTY_EPOCHS = changed(TEN_EPOCHS, epochs=60, learning_rate=0.01)
AUGMENTED = changed(SIXTY_EPOCHS, augment=augment(1))

AUGMENTED_SLOWLY = changed(AUGMENTED, learning_rate=0.003)  # on held-out images at least as good
ONE_BIT_INPUT = changed(
    AUGMENTED_SLOWLY, taught=True, network={"widths": (784, 256, 256, 256, 10), "binary_input": True}
)
SMALL_CONVNET = changed(AUGMENTED_SLOWLY, epochs=20, batch_size=128)._replace(build=bnn.binary_convnet)
LARGE_CONVNET = changed(
    SMALL_CONVNET, epochs=15, network={"channels": (64, 128, 256), "kernel_sizes": (5, 3, 3), "widths": (128, 10)}
)
