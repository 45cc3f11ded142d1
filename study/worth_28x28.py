"""What a bit is worth at equal bytes when every network sees all 784 pixels: `python -m study.worth_28x28`.

This was the first plan; `worth` asks again with the input free. Every kind gets the budgets of `worth`, and fills each
with the widest network that fits: one hidden layer, or two in the tutorial's proportion of three to one. Every kind
also gets the tutorial's own layers, however many bytes these need. Shape and learning rate are the best of the grid on
held-out images, one seed each; half of them lie on its edge. The whole training set, ten epochs with and without gentle
augmentation, accuracy on all 10,000 test images after the last epoch; five seeds on MNIST, three on Fashion-MNIST, five
there for the tutorial's layers without augmentation. Two hours on two cores.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import product
from math import ceil

from .recipes import TEN_EPOCHS, Recipe, augment, changed
from .runner import best, run_missing
from .worth import KINDS, stored_bytes
from .worth import RESULTS as OF_FREE_INPUTS

RESULTS = OF_FREE_INPUTS.with_name("worth_28x28.csv")
CHOICES = RESULTS.with_name("worth_28x28_choices.csv")
BUDGETS = (1_000, 3_000, 12_000, 35_090)
SAME = (784, 300, 100, 10)
CELLS = [f"{budget:,} bytes" for budget in BUDGETS] + ["same layers"]
RATES = (0.001, 0.003, 0.01, 0.03)
SEEDS = {"MNIST": 5, "FashionMNIST": 3}


def shape(hidden: int, first: int) -> tuple[int, ...]:
    """784-first-10, or with two hidden layers 784-first-first/3-10."""
    return (784, first, 10) if hidden == 1 else (784, first, ceil(first / 3), 10)


def widest(kind: str, budget: int, hidden: int) -> tuple[int, ...] | None:
    """The widest network within the bytes; None if not even one neuron fits."""
    first = bisect_right(range(1, 10_000), budget, key=lambda first: stored_bytes(kind, shape(hidden, first)))
    return shape(hidden, first) if first else None


def candidates(data: str, kind: str, cell: str) -> dict[str, Recipe]:
    """What is tried on held-out images; of few bytes there may be none."""
    shapes = [SAME]
    if cell != "same layers":
        shapes = [widths for hidden in (1, 2) if (widths := widest(kind, BUDGETS[CELLS.index(cell)], hidden))]
    return {
        f"{data}, {kind}, {cell}, {'-'.join(map(str, widths))}, rate {rate}": changed(
            TEN_EPOCHS, learning_rate=rate, network=KINDS[kind] | {"widths": widths}
        )._replace(data=data, seeds=1)
        for widths, rate in product(shapes, RATES)
    }


CANDIDATES = {name: recipe for cell in product(SEEDS, KINDS, CELLS) for name, recipe in candidates(*cell).items()}


def chosen_recipes() -> dict[str, Recipe]:
    """None of a cell as long as a candidate has no row."""
    recipes = {}
    for data, cell, kind in product(SEEDS, CELLS, KINDS):
        if chosen := best(candidates(data, kind, cell), CHOICES):
            recipes[f"{data}, {kind}, {cell}"] = chosen._replace(seeds=5 if cell == CELLS[-1] else SEEDS[data])
            chosen = chosen._replace(seeds=SEEDS[data])
            recipes[f"{data}, {kind}, {cell}, augmented"] = changed(chosen, augment=augment(1))
    return recipes


RECIPES = chosen_recipes()

if __name__ == "__main__":
    run_missing(CHOICES, CANDIDATES, held_out=True, names=CANDIDATES)
    run_missing(RESULTS, chosen_recipes())
