"""Dense networks of one shape and kind, trained side by side: for small ones, most of a step is Python's overhead.

This is the recipe `recipes.FAST` only: batch norm, Adam, the cosine schedule, binary weights clamped at each step. The
initial weights, the order of the images and the steps are those of `bnn.train` with the same seed. So the results are
the same, apart from rounding, if no image is augmented. Augmented images of a group come from one stream of random
numbers, so its rows come out the same only if all of them are trained together. The networks are in the first dimension
of each tensor and each image is a column. Batch norm then sees the neurons of all networks as channels. For networks of
a few thousand bytes this is two to three times as fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnn_tutorial as bnn


def kept(weights: Tensor, forward_map: bnn.ForwardMap) -> Tensor:
    """Latent weights (models, out, in) -> those that the map computes with: its rule's scale times levels, or all."""
    layer, rules = bnn.GenDense(1, 1, forward_map=forward_map), []
    for weight in weights:
        layer.weight.data = weight
        rules.append(bnn.kept_weights(layer))
    return weights.clone() if rules[0] is None else torch.stack([scale * levels for _, levels, scale in rules])


def train_together(
    models: Sequence[nn.Sequential],
    rates: Sequence[float],
    seeds: Sequence[int],
    data: bnn.LabelledImages,
    epochs: int,
    augment: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 64,
) -> None:
    """Train `models`, `bnn.binary_mlp`s of one shape and kind, in place, each with its own rate and seed.

    The gradient for what a forward map keeps is used for the latent weights: the straight-through estimator.
    """
    before = nn.Identity()
    if isinstance(models[0][0], bnn.BinaryInput):
        before, models = models[0][0], [model[1:] for model in models]
    layers = list(zip(*models, strict=True))  # of the same place in all networks
    forward_map = layers[0][0].forward_map
    weights = [torch.stack([layer.weight.detach() for layer in same]) for same in layers]
    norms = [nn.BatchNorm1d(w.shape[0] * w.shape[1]).requires_grad_(False) for w in weights]  # they start alike
    shifts = [p for norm in norms for p in (norm.weight, norm.bias)]
    rate = torch.tensor(rates)
    rates_of = [rate.view(-1, 1, 1) for _ in weights]
    rates_of += [rate.repeat_interleave(len(p) // len(models)) for p in shifts]
    moves = [torch.zeros_like(p) for p in (*weights, *shifts)]
    adam = torch.optim.Adam(moves, 1.0, fused=True)  # it moves zeros by its step; each network goes its share of it
    pixels, orders = bnn.scale_pixels(data.train_images), [torch.Generator().manual_seed(seed) for seed in seeds]
    batches, step = math.ceil(len(pixels) / batch_size), 0
    for _ in range(epochs):
        order = torch.stack([torch.randperm(len(pixels), generator=g) for g in orders])
        for batch in order.tensor_split(batches, dim=1):  # (models, batch)
            x = pixels[batch]
            if augment is not None:
                x = augment(x.flatten(0, 1)).view_as(x)
            leaves = [kept(w, forward_map).requires_grad_() for w in weights]
            leaves += [p.detach().requires_grad_() for p in shifts]
            logits = _forward(before(x).mT, leaves, norms, models)
            loss = F.cross_entropy(logits, data.train_labels[batch], reduction="sum")
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
