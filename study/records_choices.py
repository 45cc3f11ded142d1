"""What helps a small binary network, one change at a time, on held-out images: `python -m study.records_choices`.

There are two networks: a dense one with the tutorial's 35,090 bytes, and a convolutional one of at most 12,000 bytes,
thresholds included. Each change is made to the base network alone. `records` then combines those that helped. Networks
are trained on the first 50,000 training images and scored on the last 10,000; the column `acc_test` holds those scores.
The test set is not read. One seed, and at most half of the epochs of `records`. An hour on two cores.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

import bnn_tutorial as bnn

from .elastic import random_elastic
from .reactnet import residual_convnet
from .recipes import AUGMENTED, SMALL_CONVNET, Recipe, changed
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "records_choices.csv"

DENSE = changed(AUGMENTED, epochs=30)
CONVNET = changed(SMALL_CONVNET, epochs=10, network={"widths": (54, 10)})  # 11,962 bytes


def with_float_weights(build: Callable[..., nn.Module], generator: torch.Generator | None = None) -> nn.Module:
    """The network of `build` with the latent weights themselves instead of their signs."""
    model = build(generator=generator)
    for layer in bnn.binary_layers(model):
        layer.forward_map = bnn.conv2d if isinstance(layer, bnn.GenConv2d) else bnn.linear
    return model


def in_two_stages(recipe: Recipe) -> Recipe:
    """Half of the epochs with binary activations and float weights, then half with both binary."""
    half = changed(recipe, epochs=recipe.config.epochs // 2)
    return half._replace(start=half._replace(build=partial(with_float_weights, recipe.build)))


def changes(base: Recipe) -> dict[str, Recipe]:
    """What can be changed in both."""
    return {
        "base": base,
        "teacher": changed(base, distilled=True),
        "elastic distortions": changed(base, augment=random_elastic),
        "twice the epochs": changed(base, epochs=2 * base.config.epochs),
        "two stages": in_two_stages(base),
    }


def residual(channels: tuple[int, ...], **options) -> Recipe:
    return CONVNET._replace(build=partial(residual_convnet, channels=channels, **options))


OF_DENSE = changes(DENSE) | {
    "one hidden layer, 784-338-10": changed(DENSE, network={"widths": (784, 338, 10)}),
    "a wider second layer, 784-278-160-10": changed(DENSE, network={"widths": (784, 278, 160, 10)}),
    "three hidden layers, 784-256-160-112-10": changed(DENSE, network={"widths": (784, 256, 160, 112, 10)}),
}
OF_CONVNET = changes(CONVNET) | {
    "kernels of 5x5 first": changed(
        CONVNET, network={"channels": (40, 64, 64), "kernel_sizes": (5, 3, 3), "widths": (40, 10)}
    ),
    "more channels in fewer layers": changed(
        CONVNET, network={"channels": (48, 72, 72), "kernel_sizes": (5, 3, 3), "widths": (10,)}
    ),
    "shortcuts (Bi-Real Net)": residual((48, 64, 72)),
    "shortcuts, RSign and RPReLU (ReActNet)": residual((32, 64, 64), shifted=True),
    "triangle in place of the window (Bi-Real Net)": changed(CONVNET, network={"activation": bnn.approx_sign}),
}
RECIPES = {
    f"{kind}, {name}": recipe._replace(seeds=1)
    for kind, table in {"dense": OF_DENSE, "convnet": OF_CONVNET}.items()
    for name, recipe in table.items()
}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES, held_out=True)
