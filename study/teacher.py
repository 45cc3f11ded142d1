"""The teacher: a small float convnet, whose softmax gives other networks soft targets (knowledge distillation).

It is trained when it is needed, in about three minutes on two cores. It never sees an image that its students are
scored on: for choices on held-out images it is trained without those. `python -m study.teacher` prints the accuracy of
both teachers.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

import bnn_tutorial as bnn

from .images import images
from .recipes import Recipe
from .settings import TUTORIAL

CONFIG = replace(
    TUTORIAL,
    epochs=12,
    learning_rate=2e-3,
    batch_size=128,
    schedule=torch.optim.lr_scheduler.CosineAnnealingLR,
    augment=bnn.random_affine,
)


def float_convnet(generator: torch.Generator | None = None) -> nn.Sequential:
    """The layers of a binary network with real maps and ReLU: 241,696 weights, (N, 784) -> logits, (N, 10)."""
    options = {"activation": torch.relu, "normalise": True, "generator": generator}
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        bnn.GenConv2d(1, 32, 5, pool=2, **options),  # 28 -> 24 -> 12 pixels
        bnn.GenConv2d(32, 64, 3, pool=2, **options),  # 12 -> 10 -> 5
        bnn.GenConv2d(64, 128, 3, **options),  # 5 -> 3
        nn.Flatten(),
        bnn.GenDense(128 * 9, 128, **options),
        bnn.GenDense(128, 10, normalise=True, generator=generator),
    ).to(memory_format=torch.channels_last)


TEACHER = Recipe(CONFIG, float_convnet)


if __name__ == "__main__":
    for held_out in (True, False):
        data = images("MNIST", held_out)
        history, _ = TEACHER.train(0, data)
        print(
            f"{data.name}: {history['acc_test'].iloc[-1]:.4f} of {len(data.test_labels):,} images that it has not seen"
        )
