"""What a bit is worth at equal bytes, with the input free: `python -m study.worth`.

Planned before any result was known.

The question: within a budget of bytes, which kind of weights and activations is most accurate? Every kind gets the same
budgets. Weights, thresholds and scales all count, as in `bnn.summary`. Each kind fills a budget with the widest network
that fits. Everything else is chosen for each kind on held-out images: the pixels it sees (28x28, their means down to
7x7, or the middle 20x20 and its means), the number of hidden layers, how they taper, and the learning rate.

The choice is made for each set, kind and budget (a cell), with one seed, on the last 10,000 training images, in two
stages. First comes a walk, with three epochs per network. 14x14 pixels and two hidden layers that halve find their
rate. At that rate, the walk goes along one axis at a time to the best place within two steps of pixels, or one step of
the others, until no axis improves it. Then the two best shapes train for all ten epochs, their rates walk again, and
the best is taken. The best shape of three epochs has had its neighbours tried; a runner-up that wins after ten may not
have had. The test set is not read.

The result: the whole training set, the recipe of ten epochs, accuracy on all 10,000 test images after the last epoch,
five seeds on both sets. The networks of 12,000 bytes are also trained for sixty epochs of gently augmented images.
Their rate is the best of three neighbours, by one seed of sixty epochs on held-out images. Verdicts are differences of
means with Welch's interval. They are unpaired, since different networks share nothing by sharing a seed. All pairs of
kinds in a column are corrected together, by Šidák's correction.

Networks of one shape are trained together (`together`), with the steps of `bnn.train`. About ten hours on one quiet
core. An interrupted run continues where it stopped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise, product
from math import ceil
from pathlib import Path
from typing import NamedTuple

import torch

import bnn_tutorial as bnn

from .images import PIXELS, images
from .recipes import SIXTY_EPOCHS, TEN_EPOCHS, Recipe, changed
from .runner import Table
from .together import train_together

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
BUDGETS = (12_000, TUTORIAL, 3_000, 1_000)  # in the order of computing
SETS = ("MNIST", "FashionMNIST")
SEEDS = 5

# The axes of the choice, and how many steps the walk looks ahead. `taper` is the width of a layer over that before.
AXES = {"pixels": (tuple(PIXELS), 2), "depth": ((1, 2, 3, 4), 1), "taper": ((2, 1, 1 / 2, 1 / 4, 1 / 8), 1)}
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FEW_EPOCHS, EPOCHS, FINALISTS = 3, 10, 2


class Cell(NamedTuple):
    """The place of a result in the table."""

    data: str
    kind: str
    budget: int

    def __str__(self) -> str:
        return f"{self.data}, {self.kind}, {self.budget:,} bytes"


class Shape(NamedTuple):
    """`pixels` names one of `PIXELS`; their number is the first of the widths."""

    pixels: str
    widths: tuple[int, ...]


CELLS = [Cell(data, kind, budget) for data, budget, kind in product(SETS, BUDGETS, KINDS)]


def stored_bytes(kind: str, widths: Sequence[int]) -> int:
    """What `bnn.summary` counts: a threshold per hidden neuron, or a scale and a shift, and two numbers per class."""
    bits = bnn.weight_bits(bnn.GenDense(1, 1, forward_map=KINDS[kind]["forward_map"]))
    of_unit, of_class = (4 if kind == "1 bit, sign" else 8), (8 if kind == "float" else 16)
    rows = [n * ceil(inputs * bits / 8) for inputs, n in pairwise(widths)]
    return sum(rows) + of_unit * sum(widths[1:-1]) + of_class * widths[-1]


def shape(pixels: str, depth: int, taper: float, first: int) -> Shape:
    """A network whose first hidden layer has `first` neurons."""
    hidden = (max(1, round(first * taper**i)) for i in range(depth))
    return Shape(pixels, (PIXELS[pixels][1] ** 2, *hidden, 10))


def widest(kind: str, budget: int, pixels: str, depth: int, taper: float) -> Shape | None:
    """The widest network within the bytes; None if not even one neuron fits."""
    fits = partial(shape, pixels, depth, taper)
    first = bisect_right(range(1, 10_000), budget, key=lambda n: stored_bytes(kind, fits(n).widths))
    return fits(first) if first else None


Scores = Callable[[Shape, Sequence[float], int], list[float]]  # (network, rates, epochs) -> on held-out images


def best_rate(scores: Scores, network: Shape, rate: float, epochs: int, walk: bool = True) -> tuple[float, float]:
    """(accuracy, rate): the best of `rate` and its two neighbours, and so on as long as a neighbour is better."""
    i = RATES.index(rate)
    near = RATES[max(0, i - 1) : i + 2]
    best = max(zip(scores(network, near, epochs), near, strict=True))
    return best if best[1] == rate or not walk else best_rate(scores, network, best[1], epochs)


def choose(kind: str, budget: int, scores: Scores) -> tuple[Shape, float]:
    """The network and the rate of a cell, see above."""
    place = {"pixels": "14x14", "depth": 2, "taper": 1 / 2}
    start = widest(kind, budget, **place)
    tried = {start: best_rate(scores, start, 0.01, FEW_EPOCHS)}
    rate = tried[start][1]

    def score(place: dict) -> float:
        network = widest(kind, budget, **place | ({"taper": 1} if place["depth"] == 1 else {}))
        if network is not None and network not in tried:
            tried[network] = *scores(network, [rate], FEW_EPOCHS), rate
        return tried[network][0] if network else 0

    before = None
    while place != before:
        before = place
        for axis, (values, reach) in AXES.items():
            last = None
            while place != last:
                last, i = place, values.index(place[axis])
                near = [place | {axis: value} for value in values[max(0, i - reach) : i + reach + 1]]
                place = max([place, *near], key=score)
    finalists = sorted(tried, key=tried.get, reverse=True)[:FINALISTS]
    best = {network: best_rate(scores, network, tried[network][1], EPOCHS) for network in finalists}
    network = max(best, key=best.get)
    return network, best[network][1]


def recipe(cell: Cell, network: Shape, rate: float, epochs: int) -> Recipe:
    """The settings for `bnn.train`. Runs of more than ten epochs have augmented images."""
    settings = {"learning_rate": rate, "epochs": epochs, "network": KINDS[cell.kind] | {"widths": network.widths}}
    if epochs > EPOCHS:
        middle, side = PIXELS[network.pixels]  # `recipes.augment(1)`, which moves an image by one of 28 pixels
        settings["augment"] = partial(bnn.random_affine, degrees=5, translate=side / middle, scale=0.05)
    base = TEN_EPOCHS if epochs <= EPOCHS else SIXTY_EPOCHS
    return changed(base, **settings)._replace(data=f"{cell.data}, {network.pixels}")


def train_missing(table: Table, runs: list[tuple[str, int, Recipe]], held_out: bool = False) -> None:
    """Train together the runs, (name, seed, recipe), that have no row yet. The recipes may differ in the rate."""
    runs = [(name, seed, recipe) for name, seed, recipe in runs if not table.has(name, seed, recipe, held_out)]
    if not runs:
        return
    _, seeds, recipes = zip(*runs, strict=True)
    models = [r.build(generator=torch.Generator().manual_seed(seed)) for r, seed in zip(recipes, seeds, strict=True)]
    data, config = images(recipes[0].data, held_out), recipes[0].config
    rates = [r.config.learning_rate for r in recipes]
    with torch.random.fork_rng([]):
        torch.manual_seed(seeds[0])
        train_together(models, rates, seeds, data, config.epochs, config.augment, config.batch_size)
    for (name, seed, run), model in zip(runs, models, strict=True):
        loss_train, acc_train = bnn.evaluate(model, data.train_images[:10_000], data.train_labels[:10_000])
        loss_test, acc_test = bnn.evaluate(model, data.test_images, data.test_labels)
        row = {"loss_train": loss_train, "loss_test": loss_test, "acc_train": acc_train, "acc_test": acc_test}
        row = {column: round(value, 4) for column, value in row.items()}
        table.add(name, seed, {"epoch": config.epochs, **row, "data": data.name}, run)


class Choices:
    """The scores of a cell's candidates, from a table. Missing ones are trained, or are a `KeyError`."""

    def __init__(self, cell: Cell, table: Table, train: bool = False):
        self.cell, self.table, self.train = cell, table, train

    def __call__(self, network: Shape, rates: Sequence[float], epochs: int) -> list[float]:
        name = f"{self.cell}, {network.pixels}, {'-'.join(map(str, network.widths))}"
        names = [f"{name}, rate {rate}, {epochs} epochs" for rate in rates]
        recipes = [recipe(self.cell, network, rate, epochs) for rate in rates]
        if self.train:
            train_missing(self.table, list(zip(names, [0] * len(names), recipes, strict=True)), held_out=True)
        for name, run in zip(names, recipes, strict=True):
            if not self.table.has(name, 0, run, held_out=True):
                raise KeyError(name)
        return [self.table[name, 0] for name in names]


def chosen(cell: Cell, epochs: int, choices: Table, train: bool = False) -> Recipe:
    """The settings of a row of the result."""
    scores = Choices(cell, choices, train)
    network, rate = choose(cell.kind, cell.budget, scores)
    if epochs > EPOCHS:
        _, rate = best_rate(scores, network, rate, epochs, walk=False)
    return recipe(cell, network, rate, epochs)


ROWS = {str(cell): (cell, EPOCHS) for cell in CELLS}
ROWS |= {f"{cell}, 60 epochs": (cell, 60) for cell in CELLS if cell.budget == 12_000}


def chosen_recipes() -> dict[str, Recipe]:
    """The recipes of the rows whose choices are complete in the stored table."""
    choices, recipes = Table(CHOICES), {}
    for name, (cell, epochs) in ROWS.items():
        with suppress(KeyError):
            recipes[name] = chosen(cell, epochs, choices)._replace(seeds=SEEDS)
    return recipes


RECIPES = chosen_recipes()

if __name__ == "__main__":
    torch.set_num_threads(1)
    results, choices = Table(RESULTS), Table(CHOICES)
    for name, row in ROWS.items():
        best = chosen(*row, choices, train=True)
        train_missing(results, [(name, seed, best) for seed in range(SEEDS)])
        scores = [results[name, seed] for seed in range(SEEDS)]
        print(f"{name}: {sum(scores) / SEEDS:.4f}; {best.settings()}", flush=True)
