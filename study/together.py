"""Dense networks of one shape and kind, trained side by side: a step of a small one is mostly Python's overhead.

The recipe of `recipes.FAST` and no other: batch norm, Adam, the cosine schedule, binary weights clamped at each step.
Start, order of the images and steps are those of `bnn.train` with the same seed, and so is the result, but for
rounding. The networks stand in the first dimension of each tensor and an image in a column, so that for batch norm the
units of all of them are channels. Two to three times as fast for networks of a few thousand bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnn_tutorial as bnn
from bnn_tutorial.quantised import _STEPS


def ternary(w: Tensor) -> Tensor:
    scale = w.abs().mean((1, 2), keepdim=True).clamp(min=1e-5)
    return (w / scale).round_().clamp_(-1, 1).mul_(scale)


def quantised(w: Tensor, bits: int) -> Tensor:
    step = _STEPS[bits] * w.square().mean(dim=2, keepdim=True).sqrt_().clamp_(min=1e-5)
    largest = 2 ** (bits - 1) - 0.5
    return (w / step).floor_().add_(0.5).clamp_(-largest, largest).mul_(step)


def train_together(
    models: Sequence[nn.Sequential],
    rates: Sequence[float],
    seeds: Sequence[int],
    data: bnn.LabelledImages,
    quantise: Callable[[Tensor], Tensor],
    epochs: int,
    augment: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 64,
) -> None:
    """Train `models`, `bnn.binary_mlp`s of one shape, in place, each with a learning rate and a seed of its own.

    Args:
        quantise: latent weights (models, out, in) -> those that the forward map computes with. Their gradient is taken
            for that of the latent weights: the straight-through estimator.
    """
    layers = list(zip(*models, strict=True))  # of the same place in all networks
    weights = [torch.stack([layer.weight.detach() for layer in same]) for same in layers]
    norms = [nn.BatchNorm1d(w.shape[0] * w.shape[1]).requires_grad_(False) for w in weights]  # they start alike
    shifts = [p for norm in norms for p in (norm.weight, norm.bias)]
    rate = torch.tensor(rates)
    rates_of = [rate.view(-1, 1, 1) for _ in weights]
    rates_of += [rate.repeat_interleave(len(p) // len(models)) for p in shifts]
    moves = [torch.zeros_like(p) for p in (*weights, *shifts)]
    adam = torch.optim.Adam(moves, 1.0, fused=True)  # of rate 1: it moves zeros by its step, of which each takes its share
    pixels, orders = bnn.scale_pixels(data.train_images), [torch.Generator().manual_seed(seed) for seed in seeds]
    batches, step = math.ceil(len(pixels) / batch_size), 0
    for _ in range(epochs):
        order = torch.stack([torch.randperm(len(pixels), generator=g) for g in orders])
        for batch in order.tensor_split(batches, dim=1):  # (models, batch)
            x = pixels[batch]
            if augment is not None:
                x = augment(x.flatten(0, 1)).view_as(x)
            leaves = [quantise(w).requires_grad_() for w in weights] + [p.detach().requires_grad_() for p in shifts]
            loss = F.cross_entropy(_forward(x.mT, leaves, norms, models), data.train_labels[batch], reduction="sum")
            for move, gradient in zip(moves, torch.autograd.grad(loss / batch.shape[1], leaves), strict=True):
                move.grad = gradient
            adam.step()
            share = (1 + math.cos(math.pi * step / (epochs * batches))) / 2
            for p, move, own in zip((*weights, *shifts), moves, rates_of, strict=True):
                p.addcmul_(move, own, value=share)
                move.zero_()
            if bnn.binary_layers(models[0]):
                for w in weights:
                    w.clamp_(-1, 1)
            step += 1
    with torch.no_grad():
        for same, w, norm in zip(layers, weights, norms, strict=True):
            for i, layer in enumerate(same):
                layer.weight.copy_(w[i])
                for name in ("weight", "bias", "running_mean", "running_var"):
                    getattr(layer.norm, name).copy_(getattr(norm, name).view(len(models), -1)[i])


def _forward(x: Tensor, leaves: list[Tensor], norms: list[nn.BatchNorm1d], models: Sequence[nn.Sequential]) -> Tensor:
    """(models, pixels, batch) -> logits, (models, classes, batch)."""
    for i, norm in enumerate(norms):
        scale, shift = leaves[len(norms) + 2 * i :][:2]
        a = torch.bmm(leaves[i], x)
        z = F.batch_norm(a.view(1, -1, a.shape[2]), norm.running_mean, norm.running_var, scale, shift, training=True)
        activation = models[0][i].activation
        x = z.view_as(a) if activation is None else activation(z.view_as(a))
    return x
