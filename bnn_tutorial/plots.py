"""Plots: a table, a tensor or a function in, matplotlib `Axes` out.

Nothing is shown or saved here and no global style is changed. `ax` is where to draw; default a new figure. The same
colour is the same quantity everywhere: blue is the forward pass and the training set, orange the gradient and the test
set, vermilion a mistake, grey a reference. Only in `plot_decision` are blue and orange two classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .checks import side_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "BLUE", "ORANGE", "VERMILION", "GREY", "plot_estimator", "plot_history", "plot_runs", "plot_decision",
    "plot_latent_weights", "plot_weights", "plot_predictions",
]  # fmt: skip

# Okabe and Ito's colours, which colour-blind readers can tell apart, too.
BLUE, ORANGE, VERMILION, GREY = "#0072B2", "#E69F00", "#D55E00", "#7F7F7F"

_QUANTITIES = {"loss": "loss (cross-entropy in nats)", "acc": "accuracy (share of the images)"}


def plot_estimator(estimator: Callable[[Tensor], Tensor], limit: float = 2.5, ax: Axes | None = None) -> Axes:
    """What an estimator, such as `sign_ste`, returns and the gradient that it passes back, from -limit to limit."""
    ax = _axes(ax)
    x = torch.linspace(-limit, limit, 2001, requires_grad=True)
    y = estimator(x)
    y.sum().backward()
    # Dots, since a line would fill the jump. The gradient's are smaller, so that both show where they are equal.
    ax.plot(x.detach(), y.detach(), ".", color=BLUE, markersize=7, label="forward")
    ax.plot(x.detach(), x.grad, ".", color=ORANGE, markersize=2.5, label="gradient passed back")
    ax.set(xlabel="x", ylabel="value")
    ax.grid(alpha=0.3)
    ax.legend(markerscale=2, loc="upper left")  # where a step from below has nothing
    return ax


def plot_history(
    history: pd.DataFrame, quantity: str = "acc", reference: pd.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Loss or accuracy ("loss" or "acc") by epoch, on the training and the test set, from a table of `train`.

    The test column of `reference`, another such table, is drawn in grey as Bender's.
    """
    if quantity not in _QUANTITIES:
        raise ValueError(f'quantity must be "loss" or "acc", got {quantity!r}')
    ax = _axes(ax)
    if reference is not None:
        ax.plot(reference["epoch"], reference[f"{quantity}_test"], "--", color=GREY, label="Bender.jl, test set")
    for split, label, colour in (("train", "training set", BLUE), ("test", "test set", ORANGE)):
        ax.plot(history["epoch"], history[f"{quantity}_{split}"], "o-", color=colour, markersize=4, label=label)
    ax.set(xlabel="epoch", ylabel=_QUANTITIES[quantity])
    ax.locator_params("x", integer=True)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def plot_runs(
    table: pd.DataFrame, column: str = "acc_test", reference: str | None = None, ax: Axes | None = None
) -> Axes:
    """A line for each named run: a dot for each seed, and the mean with the standard deviation over the seeds.

    `table` has a row for each run and seed, with the columns `name` and `column`. The names keep their order. A grey
    line through all is the mean of the run called `reference`.
    """
    groups = {name: rows[column] for name, rows in table.groupby("name", sort=False)}
    ax = _axes(ax)
    if reference is not None:
        if reference not in groups:
            raise ValueError(f"reference must be one of {', '.join(map(repr, groups))}, got {reference!r}")
        ax.axvline(groups[reference].mean(), color=GREY, linewidth=1, linestyle="--")
    for line, values in enumerate(groups.values()):
        deviation = values.std() if len(values) > 1 else 0.0
        ax.plot(values, [line] * len(values), ".", color=ORANGE, markersize=6, alpha=0.5)
        ax.errorbar(values.mean(), line, xerr=deviation, fmt="D", color=ORANGE, capsize=4, markersize=5)
        ax.annotate(f" {values.mean():.3f}", (1, line), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    ax.set_yticks(range(len(groups)), groups)
    ax.invert_yaxis()
    ax.set_xlabel(_QUANTITIES.get(column.split("_")[0], column))
    ax.grid(alpha=0.3, axis="x")
    return ax


def plot_decision(
    model: Callable[[Tensor], Tensor], points: Tensor, labels: Tensor, limit: float = 2.0, ax: Axes | None = None
) -> Axes:
    """Which of two classes a network predicts at each point of the plane, and the points that it learned from.

    Args:
        model: (N, 2) float -> logits, (N, 2). Set `eval` mode and `no_grad` before.
        points: (N, 2) float.
        labels: (N,) int64, 0 or 1: blue or orange.
        limit: both axes run from -limit to limit.
    """
    from matplotlib.colors import ListedColormap

    ax = _axes(ax)
    colours = ListedColormap([BLUE, ORANGE])
    axis = torch.linspace(-limit, limit, 201)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    classes = model(torch.stack([x, y], dim=-1).view(-1, 2)).argmax(dim=1).view_as(x)
    edge = limit * 201 / 200  # a sample is the middle of its pixel
    ax.imshow(classes.cpu().numpy(), colours, origin="lower", extent=(-edge, edge) * 2, alpha=0.25, vmin=0, vmax=1)
    where = points.detach().cpu().numpy().T
    # Without smooth edges a PNG of hundreds of dots is half the size.
    ax.scatter(*where, s=6, c=labels.cpu().numpy(), cmap=colours, vmin=0, vmax=1, linewidths=0, antialiased=False)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(-limit, limit), ylim=(-limit, limit))
    return ax


def plot_latent_weights(snapshots: dict[str, Tensor], bins: int = 101, ax: Axes | None = None) -> Axes:
    """The distribution of latent weights, tensors of any shape by label, from light (the first) to dark (the last)."""
    import matplotlib as mpl

    ax = _axes(ax)
    limit = max(weights.abs().max().item() for weights in snapshots.values())
    shades = mpl.colormaps["Blues"](torch.linspace(0.35, 1, len(snapshots)).numpy())
    for (label, weights), shade in zip(snapshots.items(), shades, strict=True):
        share, edges = torch.histogram(weights.detach().flatten().cpu(), bins, range=(-limit, limit))
        ax.stairs((share / weights.numel()).numpy(), edges.numpy(), color=shade, label=label)
    ax.set(xlabel="latent weight", ylabel="share of the weights")
    ax.axvline(0, color=GREY, linewidth=1)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def plot_weights(weight: Tensor, columns: int = 10, ax: Axes | None = None) -> Axes:
    """Weight vectors, (neurons, side * side), as square pictures: white is the largest value, black the smallest."""
    import matplotlib as mpl

    ax = _axes(ax)
    ax.imshow(_tiles(weight, columns, gap=2), mpl.colormaps["gray"].with_extremes(bad=BLUE), interpolation="nearest")
    ax.set_axis_off()
    return ax


def plot_predictions(
    images: Tensor, labels: Tensor, predictions: Tensor, columns: int = 10, ax: Axes | None = None
) -> Axes:
    """Images, (N, side * side), above the predictions, (N,): mistakes in red, with the label. Large pixels are dark."""
    ax = _axes(ax)
    gap, side = 14, side_of(images)
    ax.imshow(_tiles(images, columns, gap), cmap="gray_r", interpolation="nearest")
    for i, (label, prediction) in enumerate(zip(labels.tolist(), predictions.tolist(), strict=True)):
        left, top = (i % columns) * (side + gap), (i // columns) * (side + gap)
        right = label == prediction
        caption = f"{prediction}" if right else f"{prediction}, not {label}"
        style = {"color": "black"} if right else {"color": VERMILION, "weight": "bold"}
        ax.text(left + side / 2, top + side + gap / 2, caption, ha="center", va="center", fontsize=8, **style)
    ax.set_axis_off()
    return ax


def _axes(ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt

    return ax or plt.subplots(figsize=(6, 4), layout="constrained")[1]


def _tiles(images: Tensor, columns: int, gap: int) -> np.ndarray:
    """(N, side * side) -> one picture of tiles with NaN, which is not drawn, in the gaps."""
    side, rows = side_of(images), math.ceil(len(images) / columns)
    tiles = torch.full((rows * columns, side + gap, side + gap), torch.nan)
    tiles[: len(images), :side, :side] = images.detach().cpu().float().reshape(-1, side, side)
    tiles = tiles.reshape(rows, columns, side + gap, side + gap).transpose(1, 2)
    return tiles.reshape(rows * (side + gap), columns * (side + gap)).numpy()
