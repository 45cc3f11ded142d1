"""At which pixels do weights change sign, with Adam and with plain SGD? `python -m study.flipped_pixels`.

The tutorial's network and training, for three epochs and five seeds. SGD has a rate that brings it about as far as
Adam. Nothing is chosen. The two extra columns hold the share of the first layer's weights whose sign differs from that
before training: at pixels that have ink in less than a tenth of the training images, and at all others.
"""

from __future__ import annotations

from pathlib import Path

import torch

import bnn_tutorial as bnn

from .recipes import Recipe, changed
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "flipped_pixels.csv"


def sgd(model: torch.nn.Module, learning_rate: float) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), learning_rate)


def with_start(generator: torch.Generator) -> torch.nn.Module:
    """The tutorial's network, which remembers the signs that its first layer had before training."""
    model = bnn.tutorial_mlp(generator)
    model.start = bnn.sign(model[0].weight.detach())
    return model


def flipped(model: torch.nn.Module, data: bnn.LabelledImages) -> dict[str, float]:
    inked = (data.train_images > 0).float().mean(dim=0)
    rare = (inked > 0) & (inked < 0.1)
    by_pixel = (bnn.sign(model[0].weight.detach()) != model.start).float().mean(dim=0)
    shares = {"rarely_inked": by_pixel[rare], "inked_more_often": by_pixel[inked >= 0.1]}
    return {name: round(share.mean().item(), 4) for name, share in shares.items()}


THREE_EPOCHS = changed(Recipe(build=with_start, measure=flipped), epochs=3)
RECIPES = {"Adam": THREE_EPOCHS, "SGD": changed(THREE_EPOCHS, optimizer=sgd, learning_rate=1e-3)}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES)
