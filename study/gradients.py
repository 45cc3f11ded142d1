"""How good are gradients through random signs? Ten neurons, all 1,024 states: no sampling, no training.

A random network has ten pre-activations a. Each gets a random sign, +1 with probability (1 + a) / 2 clamped to [0, 1],
as `bnn.stochastic_sign_ste` draws it. On top is a real layer of three classes with the cross-entropy. The *mean* loss
is a sum over all states, so its gradient with respect to a is known exactly, and so are the mean and variance of an
estimator that draws one state. Only the relaxation has no states, so it is sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from bnn_tutorial import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS, CLASSES, DRAWS = 10, 3, 4096
STATES = torch.tensor(list(product((-1.0, 1.0), repeat=UNITS)), dtype=torch.float64)  # (1024, 10)
ESTIMATORS = ("straight through, identity", "straight through, window", "REINFORCE, baseline")
TEMPERATURES = (1.0, 0.3)


def slopes(loss: Callable[[Tensor], Tensor], w: float) -> tuple[float, float]:
    """For a random sign s, +1 with probability (1 + w) / 2: the slope of the mean loss in w, and the estimator's mean.

    Examples:
        >>> [round(slope, 2) for slope in slopes(lambda s: s - 2 * s**2, 0.3)]  # even the direction is wrong
        [1.0, -0.2]
        >>> slopes(lambda s: (s + 1) ** 2, 0.0)  # right, although the loss is not linear
        (2.0, 2.0)
    """
    s = torch.tensor([-1.0, 1.0], dtype=torch.float64, requires_grad=True)
    values = loss(s)
    (at_signs,) = torch.autograd.grad(values.sum(), s)
    return ((values[1] - values[0]) / 2).item(), (at_signs @ torch.tensor([1 - w, 1 + w], dtype=s.dtype) / 2).item()


def quality(networks: int = 100, scale: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Bias, standard deviation and cosine of each estimator: one row per estimator and random network.

    Args:
        networks: their number.
        scale: of the output weights: the larger they are, the less linear the loss is between the states.
        seed: of the networks and of the relaxation's noise.

    Returns:
        Columns `estimator`; `bias`, |mean - exact|, and `deviation`, the root of the mean |draw - mean|², both over
        |exact|; `cosine`, the mean cosine of a single draw to the exact gradient; `cosine of the mean`, of many.
    """
    random = torch.Generator().manual_seed(seed)
    a = 3 * torch.rand(networks, UNITS, generator=random, dtype=torch.float64) - 1.5  # a third is out of the window
    weights = scale * torch.randn(networks, CLASSES, UNITS, generator=random, dtype=torch.float64)

    a.requires_grad_()
    p = ((1 + STATES * a[:, None].clamp(-1, 1)) / 2).prod(dim=2)  # (networks, states)
    loss, slope = _loss(STATES.expand(networks, -1, -1), weights)
    (exact,) = torch.autograd.grad((p * loss).sum(), a)
    a, p = a.detach(), p.detach()

    inside = (a.abs() <= 1)[:, None]
    mean_loss = (p * loss).sum(dim=1)[:, None, None]
    score = inside * STATES / (1 + STATES * a[:, None]).clamp(min=1e-9)  # d log p / da; where p is 0 it does not count
    drawn = dict(zip(ESTIMATORS, (slope, slope * inside, (loss[..., None] - mean_loss) * score), strict=True))
    rows = [_row(name, gradients, p, exact) for name, gradients in drawn.items()]
    for temperature in TEMPERATURES:
        gradients = _relaxed(a, weights, temperature, random)
        uniform = torch.full((networks, DRAWS), 1 / DRAWS, dtype=a.dtype)
        rows.append(_row(f"Gumbel, temperature {temperature:g}", gradients, uniform, exact))
    return pd.concat(rows, ignore_index=True)


def _loss(s: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(networks, draws): the cross-entropy of class 0, and its slope in each sign (networks, draws, neurons)."""
    logits = s @ weights.mT
    error = torch.softmax(logits, dim=2) - F.one_hot(torch.zeros(logits.shape[:2], dtype=torch.long), CLASSES)
    return -torch.log_softmax(logits, dim=2)[..., 0], error @ weights


def _relaxed(a: Tensor, weights: Tensor, temperature: float, random: torch.Generator) -> Tensor:
    """The gradients of soft signs, tanh((log-odds + noise) / 2 temperature): the Gumbel relaxation of two classes.

    Source: Jang et al. 2017 (arXiv 1611.01144), Maddison et al. 2017 (arXiv 1611.00712).
    """
    u = torch.rand(len(a), DRAWS, UNITS, generator=random, dtype=a.dtype)
    a = a[:, None].expand(u.shape).clone().requires_grad_()
    soft = torch.tanh((2 * torch.atanh(a.clamp(-1 + 1e-9, 1 - 1e-9)) + torch.logit(u)) / (2 * temperature))
    return torch.autograd.grad(_loss(soft, weights)[0].sum(), a)[0]


def _row(name: str, gradients: Tensor, p: Tensor, exact: Tensor) -> pd.DataFrame:
    """From gradients (networks, draws, neurons) that are drawn with probability p (networks, draws)."""
    size = exact.norm(dim=1)
    mean = (p[..., None] * gradients).sum(dim=1)
    variance = (p * (gradients - mean[:, None]).square().sum(dim=2)).sum(dim=1)
    columns = {
        "bias": (mean - exact).norm(dim=1) / size,
        "deviation": variance.sqrt() / size,
        "cosine": (p * F.cosine_similarity(gradients, exact[:, None], dim=2)).sum(dim=1),
        "cosine of the mean": F.cosine_similarity(mean, exact, dim=1),
    }
    return pd.DataFrame({"estimator": name} | {column: values.numpy() for column, values in columns.items()})


def plot_quality(table: pd.DataFrame, axes: Sequence[Axes]) -> None:
    """A tick for each network, a diamond for the median: one column of `quality` on each of four axes."""
    names = table["estimator"].unique()[::-1]
    for ax, column in zip(axes, table.columns[1:], strict=True):
        for y, name in enumerate(names):
            values = table.loc[table["estimator"] == name, column]
            ax.plot(values, [y] * len(values), "|", color=plots.ORANGE, alpha=0.3)
            ax.plot(values.median(), y, "D", color="black", markersize=5)
        ax.set(xlabel=column, yticks=range(len(names)), yticklabels=names)
        ax.grid(alpha=0.3, axis="x")
        if column in ("bias", "deviation"):
            ax.set_xscale("symlog", linthresh=0.1)
            ax.set_xlim(0, 20)
            ax.set_xticks([0, 0.1, 1, 10], ["0", "0.1", "1", "10"])


if __name__ == "__main__":
    for scale in (0.1, 0.3, 1.0, 3.0):
        print(f"weights of scale {scale}, medians:")
        print(quality(scale=scale).groupby("estimator", sort=False).median().round(2).to_string())
