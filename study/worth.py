"""What a bit is worth at equal bytes, with the input free: `python -m study.worth`.

Planned before any result was known.

The question: of networks that may store so many bytes, which kind of weights and activations recognises most? Every
kind gets the same budgets, weights, thresholds and scales together as `bnn.summary` counts them, and fills each with
the widest network that fits. What else is left to it, each kind chooses for itself, on held-out images: how many
pixels it looks at (28x28, their means down to 7x7, or the middle 20x20 and its means), how many hidden layers, how they
taper, and the learning rate.

The choice, for each set, kind and budget (a cell), one seed, on the last 10,000 training images, in two stages.
First a walk, three epochs a network: 14x14 pixels and two hidden layers that halve find their rate; at that rate the walk
goes along one axis at a time to the best place within two steps of pixels, or one step of the others, until no axis
leads on. Then the three best shapes train for all ten epochs, their rates walk again, and the best is taken. So a winner
lies on an edge only where an axis ends. The test set is not read.

The result: the whole training set, the recipe of ten epochs, accuracy on all 10,000 test images after the last epoch,
five seeds on both sets. The networks of 12,000 bytes also for sixty epochs of gently augmented images, the rate the best
of three neighbours, by one seed of sixty epochs on held-out images. Verdicts: differences of means by Welch's interval,
unpaired, since unlike networks share nothing by sharing a seed; corrected by Holm for all pairs of kinds in a column.

Networks of one shape are trained together (`together`), with the steps of `bnn.train`. Two hours on one core; a run
that was interrupted goes on where it was.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise, product
from math import ceil
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

import bnn_tutorial as bnn

from .recipes import SIXTY_EPOCHS, TEN_EPOCHS, Recipe, changed
from .runner import Table
from .teacher import images
from .together import quantised, ternary, train_together

RESULTS = Path(__file__).parent / "results" / "worth.csv"
CHOICES = RESULTS.with_name("worth_choices.csv")

BITS = {"ternary": bnn.ternary_linear} | {f"{n} bits": partial(bnn.quantised_linear, bits=n) for n in (2, 4, 8)}
KINDS = {
    "1 bit, sign": {"forward_map": bnn.binary_linear, "activation": bnn.clipped_sign_ste},
    "1 bit": {"forward_map": bnn.binary_linear, "activation": bnn.quantised_relu},
    **{name: {"forward_map": forward_map, "activation": bnn.quantised_relu} for name, forward_map in BITS.items()},
    "float": {"forward_map": bnn.linear, "activation": torch.relu},
}
QUANTISE = {"1 bit, sign": bnn.sign, "1 bit": bnn.sign, "ternary": ternary, "float": torch.clone}
QUANTISE |= {f"{n} bits": partial(quantised, bits=n) for n in (2, 4, 8)}
TUTORIAL = 35_090  # bytes of 784-300-100-10 with one bit for each weight
BUDGETS = (12_000, TUTORIAL, 3_000, 1_000)  # in the order of computing
SETS = ("MNIST", "FashionMNIST")
SEEDS = 5

# The axes of the choice: the middle square of the image and how many pixels a side are made of it; hidden layers; the
# width of a layer over that of the layer before; learning rates.
PIXELS = {"5x5": (20, 5), "7x7": (28, 7), "10x10": (20, 10), "14x14": (28, 14), "16x16": (28, 16), "20x20": (20, 20)}
PIXELS["28x28"] = (28, 28)
DEPTHS = (1, 2, 3, 4)
TAPERS = (2, 1, 1 / 2, 1 / 4, 1 / 8)
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
REACH = {"pixels": 2, "depth": 1, "taper": 1}
AXES = {"pixels": tuple(PIXELS), "depth": DEPTHS, "taper": TAPERS}
FEW_EPOCHS, EPOCHS, FINALISTS = 3, 10, 3


class Cell(NamedTuple):
    data: str
    kind: str
    budget: int

    def __str__(self) -> str:
        return f"{self.data}, {self.kind}, {self.budget:,} bytes"


class Shape(NamedTuple):
    """`pixels` names one of `PIXELS`; `widths` has them as its first number."""

    pixels: str
    widths: tuple[int, ...]


CELLS = [Cell(*cell) for cell in product(SETS, KINDS, BUDGETS)]
CELLS.sort(key=lambda cell: (SETS.index(cell.data), BUDGETS.index(cell.budget)))


@lru_cache(maxsize=4)
def smaller(name: str, pixels: str, held_out: bool) -> bnn.LabelledImages:
    """The middle of each image, and means of its pixels, rounded to whole numbers."""
    data, (middle, side) = images(name, held_out), PIXELS[pixels]
    edge = (28 - middle) // 2

    def made_smaller(x: torch.Tensor) -> torch.Tensor:
        x = x.view(-1, 1, 28, 28)[:, :, edge : 28 - edge, edge : 28 - edge].float()
        return F.adaptive_avg_pool2d(x, side).flatten(1).round().to(torch.uint8)

    train, test = made_smaller(data.train_images), made_smaller(data.test_images)
    return bnn.LabelledImages(train, data.train_labels, test, data.test_labels, f"{data.name}, {pixels}")


def stored_bytes(kind: str, widths: tuple[int, ...]) -> int:
    """What `bnn.summary` counts: a threshold a hidden unit, or scale and shift, and of a class two numbers."""
    bits = bnn.weight_bits(bnn.GenDense(1, 1, forward_map=KINDS[kind]["forward_map"]))
    of_unit, of_class = (4 if kind == "1 bit, sign" else 8), (8 if kind == "float" else 16)
    rows = [n * ceil(inputs * bits / 8) for inputs, n in pairwise(widths)]
    return sum(rows) + of_unit * sum(widths[1:-1]) + of_class * widths[-1]


def shape(pixels: str, depth: int, taper: float, first: int) -> Shape:
    hidden = (max(1, round(first * taper**i)) for i in range(depth))
    return Shape(pixels, (PIXELS[pixels][1] ** 2, *hidden, 10))


def widest(kind: str, budget: int, place: dict) -> Shape | None:
    """The widest network within the bytes at a place on the axes; None where not even a single unit fits."""
    first = bisect_right(range(1, 10_000), budget, key=lambda n: stored_bytes(kind, shape(**place, first=n).widths))
    return shape(**place, first=first) if first else None


def recipe(cell: Cell, network: Shape, rate: float, epochs: int) -> Recipe:
    """By `bnn.train`: what `trained` trains together."""
    base = TEN_EPOCHS if epochs <= 10 else changed(SIXTY_EPOCHS, augment=gentle(network.pixels))
    settings = {"learning_rate": rate, "epochs": epochs, "network": KINDS[cell.kind] | {"widths": network.widths}}
    return changed(base, **settings)._replace(data=f"{cell.data}, {network.pixels}")


def gentle(pixels: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """`recipes.augment(1)`: up to 5 degrees, one pixel of the 28, 5 % of the size."""
    middle, side = PIXELS[pixels]
    return partial(bnn.random_affine, degrees=5, translate=side / middle, scale=0.05)


def train_rows(table: Table, cell: Cell, network: Shape, runs: list, epochs: int, held_out: bool = False):
    """Train what has no row yet of `runs`, names with learning rate and seed, together."""
    runs = [(name, rate, seed) for name, rate, seed in runs if (name, seed) not in table]
    if not runs:
        return
    recipes = [recipe(cell, network, rate, epochs) for _, rate, _ in runs]
    models = [r.build(generator=torch.Generator().manual_seed(seed)) for r, (_, _, seed) in zip(recipes, runs)]
    data = smaller(cell.data, network.pixels, held_out)
    names, rates, seeds = zip(*runs)
    with torch.random.fork_rng([]):
        torch.manual_seed(seeds[0])
        train_together(models, rates, seeds, data, QUANTISE[cell.kind], epochs, recipes[0].config.augment)
    for name, r, seed, model in zip(names, recipes, seeds, models):
        train = bnn.evaluate(model, data.train_images[:10_000], data.train_labels[:10_000])
        test = bnn.evaluate(model, data.test_images, data.test_labels)
        scores = {"loss_train": train[0], "loss_test": test[0], "acc_train": train[1], "acc_test": test[1]}
        table.add(name, seed, {"epoch": epochs} | {k: round(v, 4) for k, v in scores.items()}, r, data.name)


class Choice:
    """The choice of a cell, by rows of `CHOICES`."""

    def __init__(self, cell: Cell, table: Table):
        self.cell, self.table = cell, table

    def name(self, network: Shape, rate: float, epochs: int) -> str:
        return f"{self.cell}, {network.pixels}, {'-'.join(map(str, network.widths))}, rate {rate}, {epochs} epochs"

    def best_rate(self, network: Shape, start: float, epochs: int, walk: bool = True) -> tuple[float, float]:
        """(accuracy, rate), from `start` on while a neighbour is better."""
        while True:
            i = RATES.index(start)
            near = RATES[max(0, i - 1) : i + 2]
            runs = [(self.name(network, rate, epochs), rate, 0) for rate in near]
            train_rows(self.table, self.cell, network, runs, epochs, held_out=True)
            score, best = max((self.table[name, 0], rate) for name, rate, _ in runs)
            if best == start or not walk:
                return score, best
            start = best

    def walk(self) -> dict[Shape, tuple[float, float]]:
        """Each shape that was tried, with its accuracy and rate after few epochs."""
        place = {"pixels": "14x14", "depth": 2, "taper": 1 / 2}
        start = widest(self.cell.kind, self.cell.budget, place)
        tried = {start: self.best_rate(start, 0.01, FEW_EPOCHS)}
        rate = tried[start][1]

        def score(place: dict) -> float:
            place = place | ({"taper": 1} if place["depth"] == 1 else {})
            network = widest(self.cell.kind, self.cell.budget, place)
            if network is None:
                return 0
            if network not in tried:
                name = self.name(network, rate, FEW_EPOCHS)
                train_rows(self.table, self.cell, network, [(name, rate, 0)], FEW_EPOCHS, held_out=True)
                tried[network] = self.table[name, 0], rate
            return tried[network][0]

        moved = True
        while moved:
            moved = False
            for axis, values in AXES.items():
                while True:
                    i, reach = values.index(place[axis]), REACH[axis]
                    near = [place | {axis: v} for v in values[max(0, i - reach) : i + reach + 1] if v != place[axis]]
                    best = max([place, *near], key=score)
                    if best == place:
                        break
                    place, moved = best, True
        return tried

    def best(self) -> tuple[Shape, float]:
        tried = self.walk()
        finalists = sorted(tried, key=tried.get, reverse=True)[:FINALISTS]
        of_ten = {network: self.best_rate(network, tried[network][1], EPOCHS) for network in finalists}
        network = max(of_ten, key=of_ten.get)
        return network, of_ten[network][1]


def run(results: Path = RESULTS, choices: Path = CHOICES) -> None:
    results, choices = Table(results), Table(choices)
    for cell in CELLS:
        network, rate = Choice(cell, choices).best()
        print(cell, network, rate, flush=True)
        train_rows(results, cell, network, [(str(cell), rate, seed) for seed in range(SEEDS)], EPOCHS)
        print(cell, [results[str(cell), seed] for seed in range(SEEDS)], flush=True)
    for cell in CELLS:
        if cell.budget == 12_000:
            choice = Choice(cell, choices)
            network, rate = choice.best()
            _, rate = choice.best_rate(network, rate, 60, walk=False)
            runs = [(f"{cell}, 60 epochs", rate, seed) for seed in range(SEEDS)]
            train_rows(results, cell, network, runs, 60)
            print(cell, "60 epochs", rate, [results[name, seed] for name, _, seed in runs], flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run()
