"""What a recipe is, and the recipes that several studies share, with the values that `choices.py` found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

import bnn_tutorial as bnn

from .settings import TUTORIAL, describe, typed


class Recipe(NamedTuple):
    """How to train and what: `build(generator=...)` makes the network.

    Attributes:
        distilled: whether a teacher's soft targets replace the labels (knowledge distillation).
        seeds: the number of runs, with seeds from 0.
        measure: computes further columns of a result from the trained network and the images.
        data: "MNIST", or the name of another set that `bnn.load_images` knows.
        start: a recipe with the same layers, trained first; its parameters are the initial ones of this recipe.
    """

    config: bnn.TrainConfig = TUTORIAL
    build: Callable[..., nn.Module] = bnn.tutorial_mlp
    distilled: bool = False
    seeds: int = 5
    measure: Callable[[nn.Module, bnn.LabelledImages], dict[str, float]] | None = None
    data: str = "MNIST"
    start: Recipe | None = None

    def train(
        self, seed: int, data: bnn.LabelledImages, teacher: nn.Module | None = None, progress: bool = True
    ) -> tuple[pd.DataFrame, nn.Module]:
        """A new network, by `bnn.train`. The teacher is used only if the recipe is distilled."""
        config = replace(self.config, seed=seed, teacher=teacher if self.distilled else None)
        model = self.build(generator=torch.Generator().manual_seed(seed))
        if self.start is not None:
            model.load_state_dict(self.start.train(seed, data, teacher, progress)[1].state_dict())
        history, model = bnn.train(config, data, model, progress)
        if len(history) < config.epochs:  # an interrupted training gives no result
            raise KeyboardInterrupt
        return history, model

    def settings(self) -> str:
        """The network, and the settings that differ from the tutorial's training, as you would type them."""
        texts = [typed(self.build), describe(self.config), "distilled" if self.distilled else ""]
        texts.append(f"measure={typed(self.measure)}" if self.measure else "")
        texts.append(f"start: {self.start.settings()}" if self.start else "")
        return "; ".join(text for text in texts if text)


# The tutorial's network with batch norm and the clipped estimator, and settings that let it learn fast.
FAST = replace(TUTORIAL, clamp="step", schedule=torch.optim.lr_scheduler.CosineAnnealingLR, learning_rate=3e-3)
TEN_EPOCHS = Recipe(FAST, bnn.binary_mlp)


def changed(recipe: Recipe, distilled: bool | None = None, network: dict | None = None, **settings) -> Recipe:
    """The recipe with other training settings and other options of the network. The rest stays."""
    build = partial(recipe.build, **network) if network else recipe.build
    distilled = recipe.distilled if distilled is None else distilled
    return recipe._replace(config=replace(recipe.config, **settings), build=build, distilled=distilled)


def augment(strength: float) -> partial:
    """At strength 1: up to 5 degrees, 1 pixel, 5 % of the size."""
    return partial(bnn.random_affine, degrees=5 * strength, translate=strength, scale=0.05 * strength)


SIXTY_EPOCHS = changed(TEN_EPOCHS, epochs=60)
AUGMENTED = changed(SIXTY_EPOCHS, augment=augment(1))

# What each half of binarising costs: the same network four times.
HALVES = {
    "float": {"activation": torch.relu, "forward_map": bnn.linear},
    "binary weights": {"activation": torch.relu},
    "binary activations": {"forward_map": bnn.linear},
    "both binary": {},
}
# In 8 bits it takes as many bytes as the binary network: the rival on a small chip.
NETWORKS = HALVES | {"float 784-40-10": HALVES["float"] | {"widths": (784, 40, 10)}}
RATES = {("float", 60): 0.01}  # the others: that of `AUGMENTED`


def control(name: str, epochs: int, learning_rate: float) -> Recipe:
    return changed(AUGMENTED, epochs=epochs, learning_rate=learning_rate, network=NETWORKS[name])


CONTROLS = {
    f"{name}, {epochs} epochs": control(name, epochs, RATES.get((name, epochs), AUGMENTED.config.learning_rate))
    for epochs in (10, 60)
    for name in (NETWORKS if epochs == 60 else HALVES)
}

ONE_BIT_INPUT = changed(AUGMENTED, distilled=True, network={"widths": (784, 256, 256, 256, 10), "binary_input": True})
SMALL_CONVNET = changed(AUGMENTED, epochs=20, batch_size=128)._replace(build=bnn.binary_convnet)
LARGE_CONVNET = changed(
    SMALL_CONVNET, epochs=15, network={"channels": (64, 128, 256), "kernel_sizes": (5, 3, 3), "widths": (128, 10)}
)

# The best of what `records_choices` tried, within the bytes of the tutorial's network, and within 12,000.
DENSE_RECORD = changed(AUGMENTED, epochs=120, network={"widths": (784, 278, 160, 10)})
CONVNET_RECORD = changed(
    SMALL_CONVNET, epochs=40, network={"channels": (48, 72, 72), "kernel_sizes": (5, 3, 3), "widths": (10,)}
)
