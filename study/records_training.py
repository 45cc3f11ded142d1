"""How the long runs of `records` train, and the networks of one-bit weights and 8-bit activations that they start from."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

import bnn_tutorial as bnn

from .records_distortion import distorted
from .records_fast import Fast
from .recipes import SMALL_CONVNET, Recipe, changed

CHECKPOINTS = Path("build") / "records"
EIGHT_BITS = partial(bnn.quantised_relu, limit=255 / 32)  # a step of 1/32


class LongRun(Recipe):
    """A recipe that trains in bfloat16, keeps its state after each epoch, and is scored once, at the end."""

    def train(self, seed: int, data: bnn.LabelledImages, teacher: nn.Module | None = None, progress: bool = True):
        config = self.config
        network = self.build(generator=torch.Generator().manual_seed(seed))
        model, pixels, start = Fast(network), bnn.scale_pixels(data.train_images), 0
        optimizer = config.optimizer(model, config.learning_rate)
        steps = math.ceil(len(pixels) / config.batch_size)
        scheduler = config.schedule(optimizer, config.epochs * steps)
        parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        name = hashlib.sha256(f"{self.settings()} {seed} {data.name}".encode()).hexdigest()[:16]
        file = CHECKPOINTS / f"{name}.pt"
        seconds = 0.0
        if file.exists():
            kept = torch.load(file, weights_only=True)
            start, seconds = kept["epochs"], kept["seconds"]
            for part, owner in parts.items():
                owner.load_state_dict(kept[part])
        for epoch in range(start, config.epochs):
            began = time.perf_counter()
            torch.manual_seed(1000 * seed + epoch)  # so that a run that goes on sees what it would have seen
            for batch in torch.randperm(len(pixels)).tensor_split(steps):
                loss = config.loss(model(config.augment(pixels[batch])), data.train_labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                bnn.clamp_latent_weights_(model)
            seconds += time.perf_counter() - began
            file.parent.mkdir(parents=True, exist_ok=True)
            state = {part: owner.state_dict() for part, owner in parts.items()}
            torch.save({"epochs": epoch + 1, "seconds": seconds, **state}, file.with_suffix(".part"))
            file.with_suffix(".part").replace(file)
        scores = {"epoch": config.epochs}
        for split in ("train", "test"):
            of = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
            scores[f"loss_{split}"], scores[f"acc_{split}"] = bnn.evaluate(network, *of)
        return pd.DataFrame([scores | {"seconds": seconds}]), network


def convnet(layers: Sequence[tuple[int, int, int, int]], generator: torch.Generator | None = None) -> nn.Sequential:
    """Convolutions and a dense layer, one-bit weights and 8-bit activations: (N, 784) -> logits, (N, 10).

    Args:
        layers: of each convolution its channels, side of the kernel, padding and pooling.
        generator: for the initial weights.
    """
    options = {"activation": EIGHT_BITS, "forward_map": bnn.binary_conv2d, "normalise": True, "generator": generator}
    inputs, side, modules = 1, 28, [nn.Unflatten(1, (1, 28, 28))]
    for channels, kernel_size, padding, pool in layers:
        modules.append(bnn.GenConv2d(inputs, channels, kernel_size, padding=padding, pool=pool, **options))
        inputs, side = channels, (side + 2 * padding - kernel_size + 1) // pool
    options = {"forward_map": bnn.binary_linear, "normalise": True, "generator": generator}
    modules += [nn.Flatten(), bnn.GenDense(side * side * inputs, 10, **options)]
    return nn.Sequential(*modules).to(memory_format=torch.channels_last)


W1A8_CONVNET = LongRun(
    changed(SMALL_CONVNET, epochs=10, augment=distorted).config,
    partial(convnet, [(48, 5, 0, 2), (72, 3, 0, 2), (67, 3, 0, 1)]),
)
