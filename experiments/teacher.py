"""The teacher: a small float convnet, trained once and kept in the folder `build`, which git ignores.

A teacher knows no image that its pupils are scored on: for choices on held-out images it is one that has not seen those
either. About three minutes on two cores. `python -m experiments.teacher` prints the accuracy of both.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import bnn_tutorial as bnn

from .settings import TUTORIAL, describe

CACHE = Path(__file__).parent.parent / "build"
CONFIG = replace(
    TUTORIAL,
    epochs=12,
    learning_rate=2e-3,
    batch_size=128,
    schedule="cosine",
    augment=bnn.random_affine,
)


def float_convnet(generator: torch.Generator | None = None) -> nn.Sequential:
    """The layers of a binary network with real maps and ReLU: 241,696 weights, (N, 784) -> logits, (N, 10)."""
    options = {"activation": torch.relu, "normalise": True, "generator": generator}
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        bnn.GenConv2d(1, 32, 5, forward_map=bnn.pooled_conv2d, **options),  # 28 -> 24 -> 12 pixels
        bnn.GenConv2d(32, 64, 3, forward_map=bnn.pooled_conv2d, **options),  # 12 -> 10 -> 5
        bnn.GenConv2d(64, 128, 3, **options),  # 5 -> 3
        nn.Flatten(),
        bnn.GenDense(128 * 9, 128, **options),
        bnn.GenDense(128, 10, normalise=True, generator=generator),
    ).to(memory_format=torch.channels_last)


@cache
def teacher(source: str, config: bnn.TrainConfig = CONFIG) -> nn.Module:
    """The trained teacher for `source`, "full" or "full, held out": read from the cache, or trained and kept there."""
    model = float_convnet(torch.Generator().manual_seed(config.seed))
    file = cache_file(source, config)
    if file.exists():
        model.load_state_dict(load_file(file))
    else:
        train_whole(config, images(source), model)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, part)
        part.replace(file)  # another process sees all of it or nothing
    return model.requires_grad_(False).eval()


def train_whole(config: bnn.TrainConfig, data: bnn.Mnist, model: nn.Module, **options) -> pd.DataFrame:
    """The history of `bnn.train`, of all epochs: a training that was broken off is no result."""
    history, _ = bnn.train(config, data, model, **options)
    if len(history) < config.epochs:
        raise KeyboardInterrupt
    return history


@cache
def images(source: str) -> bnn.Mnist:
    """What `load_mnist` calls "full" or "subset"; with ", held out" its training set alone, by `hold_out`."""
    data = bnn.load_mnist(source=source.removesuffix(", held out"))
    return bnn.hold_out(data) if source.endswith(", held out") else data


def cache_file(source: str, config: bnn.TrainConfig = CONFIG) -> Path:
    recipe = hashlib.sha256(describe(config).encode()).hexdigest()[:8]  # another recipe, another teacher
    return CACHE / f"teacher, {source}, {recipe}.safetensors"


if __name__ == "__main__":
    for source in ("full, held out", "full"):
        data = images(source)
        _, accuracy = bnn.evaluate(teacher(source), data.test_images, data.test_labels)
        print(f"{source}: {accuracy:.4f} of {len(data.test_labels):,} images that it has not seen")
