"""What a bit is worth at equal bytes: `python -m study.worth`, after `python -m study.worth_choices`.

Planned before any result was known. Every kind of weights and activations gets the same budgets of stored bytes,
weights, thresholds and scales together, and fills each with the widest network that fits: one hidden layer, or two in
the tutorial's proportion of three to one. Every kind also gets the tutorial's own layers, whatever they need. Shape and
learning rate are those that do best on held-out images, one seed each (`worth_choices`). Then: the whole training set,
the recipe of ten epochs with and without gentle augmentation, accuracy on all 10,000 test images after the last epoch;
five seeds on MNIST, three on Fashion-MNIST. Bytes are counted as `summary` does. An hour on two cores.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from itertools import pairwise, product
from math import ceil
from pathlib import Path

import torch

import bnn_tutorial as bnn

from .recipes import TEN_EPOCHS, Recipe, augment, changed
from .runner import best, run_missing

RESULTS = Path(__file__).parent / "results" / "worth.csv"
CHOICES = RESULTS.with_name("worth_choices.csv")

BITS = {"ternary": bnn.ternary_linear} | {f"{n} bits": partial(bnn.quantised_linear, bits=n) for n in (2, 4, 8)}
KINDS = {
    "1 bit, sign": {"forward_map": bnn.binary_linear, "activation": bnn.clipped_sign_ste},
    "1 bit": {"forward_map": bnn.binary_linear, "activation": bnn.quantised_relu},
    **{name: {"forward_map": forward_map, "activation": bnn.quantised_relu} for name, forward_map in BITS.items()},
    "float": {"forward_map": bnn.linear, "activation": torch.relu},
}
TUTORIAL = 35_090  # bytes of 784-300-100-10 with one bit for each weight
BUDGETS = (1_000, 3_000, 12_000, TUTORIAL)
SAME = (784, 300, 100, 10)
CELLS = [f"{budget:,} bytes" for budget in BUDGETS] + ["same layers"]
RATES = (0.001, 0.003, 0.01, 0.03)
SEEDS = {"MNIST": 5, "FashionMNIST": 3}


def stored_bytes(kind: str, widths: tuple[int, ...]) -> int:
    """What `bnn.summary` counts: a threshold a hidden unit, or scale and shift, and of a class two numbers."""
    bits = bnn.weight_bits(bnn.GenDense(1, 1, forward_map=KINDS[kind]["forward_map"]))
    of_unit, of_class = (4 if kind == "1 bit, sign" else 8), (8 if kind == "float" else 16)
    rows = [n * ceil(inputs * bits / 8) for inputs, n in pairwise(widths)]
    return sum(rows) + of_unit * sum(widths[1:-1]) + of_class * widths[-1]


def shape(hidden: int, first: int) -> tuple[int, ...]:
    """784-first-10, or with two hidden layers 784-first-first/3-10."""
    return (784, first, 10) if hidden == 1 else (784, first, ceil(first / 3), 10)


def widest(kind: str, budget: int, hidden: int) -> tuple[int, ...] | None:
    """The widest network within the bytes; None where not even a single unit fits."""
    first = bisect_right(range(1, 10_000), budget, key=lambda first: stored_bytes(kind, shape(hidden, first)))
    return shape(hidden, first) if first else None


def recipe(kind: str, widths: tuple[int, ...], rate: float, data: str, base: Recipe = TEN_EPOCHS) -> Recipe:
    return changed(base, learning_rate=rate, network=KINDS[kind] | {"widths": widths})._replace(data=data)


def shapes(kind: str, cell: str) -> list[tuple[int, ...]]:
    """The networks of a cell of the table, of which there may be none."""
    if cell == "same layers":
        return [SAME]
    budget = BUDGETS[CELLS.index(cell)]
    return [widths for hidden in (1, 2) if (widths := widest(kind, budget, hidden))]


def candidates(data: str, kind: str, cell: str) -> dict[str, Recipe]:
    """What is tried on held-out images."""
    return {
        f"{data}, {kind}, {cell}, {'-'.join(map(str, widths))}, rate {rate}": recipe(kind, widths, rate, data)
        for widths, rate in product(shapes(kind, cell), RATES)
    }


def _recipes() -> dict[str, Recipe]:
    recipes = {}
    for data, cell, kind in product(SEEDS, CELLS, KINDS):
        if chosen := best(candidates(data, kind, cell), CHOICES):
            chosen = chosen._replace(seeds=SEEDS[data])
            recipes[f"{data}, {kind}, {cell}"] = chosen
            recipes[f"{data}, {kind}, {cell}, augmented"] = changed(chosen, augment=augment(1))
    return recipes


RECIPES = _recipes()

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES)
