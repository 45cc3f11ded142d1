"""How the long runs of `records_long` train, and what it trains."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

import bnn_tutorial as bnn
from bnn_tutorial.training import soft_targets

from .recipes import SMALL_CONVNET, Recipe, changed
from .records_distortion import distorted
from .records_fast import Fast
from .settings import PRODUCTS

CHECKPOINTS = Path("build") / "records"
EIGHT_BITS = partial(bnn.quantised_relu, limit=255 / 32)  # a step of 1/32


class LongRun(Recipe):
    """A recipe for hours: the state is saved after each epoch, and the result is scored.

    A `convnet` trains as `Fast` where the processor has bfloat16; the row says in `products` whether it did.
    Epochs are numbered from 0, and each has its own random numbers, so a run that was stopped and continued ends with
    the same network. `seconds` are processor time.
    """

    def train(
        self, seed: int, data: bnn.LabelledImages, teacher: nn.Module | None = None, progress: bool = True
    ) -> tuple[pd.DataFrame, nn.Module]:
        config = replace(self.config, teacher=teacher if self.distilled else None)
        network = self.build(generator=torch.Generator().manual_seed(seed))
        fast = PRODUCTS == "bfloat16" and getattr(self.build, "func", None) is convnet
        model = Fast(network) if fast else network
        optimizer = config.optimizer(model.train(), config.learning_rate)
        steps = math.ceil(len(data.train_images) / config.batch_size)
        scheduler = config.schedule(optimizer, config.epochs * steps)
        state = Checkpoint(f"{self.settings()}, seed {seed}, {data.name}", model, optimizer, scheduler)
        pixels = bnn.scale_pixels(data.train_images)
        while state.epochs < config.epochs:
            start = time.process_time()
            torch.manual_seed(1000 * seed + state.epochs)
            for batch in torch.randperm(len(pixels)).tensor_split(steps):
                x, y = config.augment(pixels[batch]), data.train_labels[batch]
                y = y if config.teacher is None else soft_targets(config, x)
                loss = config.loss(model(x) / config.temperature, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                bnn.clamp_latent_weights_(model)
            state.keep(time.process_time() - start)
        products = "bfloat16" if fast else "float32"
        scores = {"epoch": config.epochs, "seconds": state.seconds, "products": products}
        scores["loss_train"], scores["acc_train"] = bnn.evaluate(network, data.train_images, data.train_labels)
        scores["loss_test"], scores["acc_test"] = bnn.evaluate(network, data.test_images, data.test_labels)
        return pd.DataFrame([scores]), network


class Checkpoint:
    """The state of a training of that description, in a file of its own; what the file has is loaded at once."""

    def __init__(self, description: str, *parts):
        self.file = CHECKPOINTS / f"{hashlib.sha256(description.encode()).hexdigest()[:16]}.pt"
        self.parts, self.epochs, self.seconds = parts, 0, 0.0
        if self.file.exists():
            self.epochs, self.seconds, *states = torch.load(self.file, weights_only=True)
            for part, state in zip(parts, states, strict=True):
                part.load_state_dict(state)

    def keep(self, seconds: float) -> None:
        """Save the state after an epoch that took so long. A stop in between leaves the file of the previous epoch."""
        self.epochs, self.seconds = self.epochs + 1, self.seconds + seconds
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        torch.save([self.epochs, self.seconds, *(part.state_dict() for part in self.parts)], new)
        new.replace(self.file)


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


class HalfSize(nn.Module):
    """Images of half the side, 2x2 means: (N, 784) -> (N, 196), in evaluation rounded to 8 bits, as they are stored."""

    def forward(self, pixels: Tensor) -> Tensor:
        if self.training:
            return self.means(pixels)
        return (self.means((255 * pixels).round()) + 0.5).floor() / 255  # whole numbers up to here, so no rounding

    def means(self, pixels: Tensor) -> Tensor:
        return pixels.view(-1, 14, 2, 14, 2).mean(dim=(2, 4)).flatten(1)


def half_size_mlp(
    *hidden: int, activation: Callable[[Tensor], Tensor] = EIGHT_BITS, generator: torch.Generator | None = None
) -> nn.Sequential:
    """A dense network of 14x14 pixels, with one-bit weights: (N, 784) -> logits, (N, 10)."""
    return nn.Sequential(HalfSize(), *bnn.binary_mlp((196, *hidden, 10), activation, generator=generator))


def shared_windows(
    window: Sequence[int], hidden: Sequence[int], generator: torch.Generator | None = None
) -> nn.Sequential:
    """A dense network that first looks at 25 windows of 14x14 pixels, with the same weights: (N, 784) -> (N, 10).

    One-bit weights, 8-bit activations. A window has 8x8 pixels, the next one begins two pixels on, and a row of zeros
    lies around the image. As in BitNetMCU (docs/documentation_2026.md, "Overlapping Blockwise FC").

    Args:
        window: neurons of each layer that sees a window.
        hidden: neurons of each layer that sees what all windows gave.
        generator: for the initial weights.
    """
    options = {"activation": EIGHT_BITS, "normalise": True, "generator": generator}
    inputs, modules = 1, [HalfSize(), nn.Unflatten(1, (1, 14, 14))]
    for channels in window:
        place = {"kernel_size": 8, "stride": 2, "padding": 1} if inputs == 1 else {"kernel_size": 1}
        modules.append(bnn.GenConv2d(inputs, channels, **place, forward_map=bnn.binary_conv2d, **options))
        inputs = channels
    widths = (25 * inputs, *hidden, 10)
    return nn.Sequential(*modules, nn.Flatten(), *bnn.binary_mlp(widths, EIGHT_BITS, generator=generator))


class Muon(torch.optim.Muon):
    """PyTorch's Muon for the binary weights, a row per neuron, and Adam, at the same rate, for everything else."""

    def __init__(self, model: nn.Module, learning_rate: float):
        self.weights = [layer.weight for layer in bnn.binary_layers(model)]
        self.rows = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in self.weights]
        super().__init__(self.rows, learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        rest = [p for p in model.parameters() if all(p is not weight for weight in self.weights)]
        self.adam = torch.optim.Adam(rest, learning_rate)

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for weight, row in zip(self.weights, self.rows, strict=True):
            row.copy_(weight.flatten(1))
            row.grad = weight.grad.flatten(1)
        super().step(closure)
        for weight, row in zip(self.weights, self.rows, strict=True):
            weight.copy_(row.view_as(weight))
            weight.grad = None
        self.adam.param_groups[0]["lr"] = self.param_groups[0]["lr"]
        self.adam.step()
        self.adam.zero_grad()

    def state_dict(self) -> dict:
        return {"muon": super().state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


CONVNET = LongRun(
    changed(SMALL_CONVNET, epochs=10, augment=distorted).config,
    partial(convnet, [(48, 5, 0, 2), (72, 3, 0, 2), (67, 3, 0, 1)]),
)
DENSE = changed(CONVNET, epochs=20)._replace(build=partial(half_size_mlp, 176, 176))
