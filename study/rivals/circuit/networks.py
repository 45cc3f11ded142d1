"""Whole networks of equal accuracy as circuits: `python -m study.rivals.circuit.networks`.

A neuron of bits does less than one of 8 bits, so networks are compared that recognise equally much. The images are
the middle 20x20 pixels and means of four, so that every network can be synthesised whole: 100 pixels, one hidden layer,
ten classes. A kind is named by its inputs x weights: pixels of one or of eight bits; hidden activations of one bit for
"1 x 1", of eight for all others; weights of 1, 4 or 8 bits. The reference is 100-32-10 of "1 x 1". Each kind chooses
its learning rate on held-out images, two seeds. Then it trains on the whole training set, five seeds, and gets hidden
neurons until its mean is no less than the lower end of the reference's 95 % interval. Bits get more neurons, too, since
a rival may come out ahead. The first seed's networks are synthesised, weights fixed: in look-up tables of four inputs,
and in the cells of an iCE40, where all but "1 x 1" add by carry chains (see `chains`).

Writes `circuit_choices.csv` and `circuit_networks.csv`. A quarter of an hour on one core.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.export import verilog
from study.images import images
from study.recipes import TEN_EPOCHS, Recipe, changed
from study.runner import Table
from study.statistics import half_width
from study.together import train_together

from . import chains
from .synthesis import cells

RESULTS = Path(__file__).parents[2] / "results" / "circuit_networks.csv"
CHOICES = RESULTS.with_name("circuit_choices.csv")
CODES, FOUR_BITS = {"activation": bnn.quantised_relu}, {"forward_map": partial(bnn.quantised_linear, bits=4)}
KINDS = {
    "1 x 1": {"binary_input": True},
    "8 x 4": CODES | FOUR_BITS,
    "8 x 8": CODES | {"forward_map": bnn.quantised_linear},
    "1 x 4": {"binary_input": True} | CODES | FOUR_BITS,
    "8 x 1": CODES,
}
WIDTHS = {
    "1 x 1": (32, 36, 40, 48),
    "8 x 4": (3, 4, 5, 6, 8),
    "8 x 8": (3, 4, 5, 6, 8),
    "1 x 4": (5, 6, 8, 10, 12),
    "8 x 1": (8, 10, 12, 16),
}
TRIED = {"1 x 1": 32, "8 x 4": 4, "8 x 8": 4, "1 x 4": 6, "8 x 1": 10}  # with how many neurons a rate is chosen
RATES, CHOICE_SEEDS, SEEDS = (0.003, 0.01, 0.03, 0.1, 0.3), 2, 5
Run = tuple[str, int, Recipe]  # name, seed and how to train it


def named(kind: str, hidden: int) -> str:
    return f"{kind}, {hidden} hidden"


REFERENCE = named("1 x 1", 32)


def recipe(kind: str, hidden: int, rate: float) -> Recipe:
    start = changed(TEN_EPOCHS, batch_size=256, learning_rate=rate)
    return changed(start, network=KINDS[kind] | {"widths": (100, hidden, 10)})._replace(data="MNIST, 10x10")


def chosen_rate(kind: str, choices: Table) -> float:
    """The best on held-out images."""
    return max(RATES, key=lambda rate: sum(choices[f"{kind}, rate {rate}", seed] for seed in range(CHOICE_SEEDS)))


def trained(runs: list[Run], held_out: bool) -> list[torch.nn.Sequential]:
    """Trained side by side; the recipes may differ in the rate."""
    _, seeds, recipes = zip(*runs, strict=True)
    models = [r.build(generator=torch.Generator().manual_seed(seed)) for r, seed in zip(recipes, seeds, strict=True)]
    config, data = recipes[0].config, images(recipes[0].data, held_out)
    rates = [r.config.learning_rate for r in recipes]
    train_together(models, rates, seeds, data, config.epochs, batch_size=config.batch_size)
    return [model.eval() for model in models]


def train_missing(table: Table, recipes: dict[str, Recipe], seeds: int, held_out: bool) -> None:
    """Add the rows that the table lacks, or has with other settings."""
    runs = [(name, seed, chosen) for name, chosen in recipes.items() for seed in range(seeds)]
    runs = [run for run in runs if table.rows.get(run[:2], {}).get("settings") != run[2].settings()]
    for (name, seed, chosen), model in zip(runs, trained(runs, held_out) if runs else (), strict=True):
        data = images(chosen.data, held_out)
        loss, accuracy = bnn.evaluate(model, data.test_images, data.test_labels)
        row = {"epoch": chosen.config.epochs, "loss_test": round(loss, 4), "acc_test": round(accuracy, 4)}
        table.add(name, seed, row | {"data": data.name}, chosen)
        print(name, seed, row, flush=True)


def synthesised(model: torch.nn.Sequential) -> dict[str, int]:
    """What the network needs, all at once."""
    network = packed.PackedNetwork.from_model(model)
    of_bits = network.layers[0].activation == "sign"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.v"
        verilog.to_verilog(network, path)
        found = cells(path, "network", "LUT4")
        if not of_bits:
            chains.to_verilog(network, path)
        chip = cells(path, "network", "iCE40", chains=not of_bits)
    return found | {f"iCE40 {kind}": chip[kind] for kind in ("LUT", "carry")}


def synthesise_missing(table: Table, name: str, chosen: Recipe) -> None:
    """Add to the row of the first seed what its network needs."""
    row = table.rows[name, 0]
    if not row.get("LUT", 0) > 0:
        (model,) = trained([(name, 0, chosen)], held_out=False)
        table.add(name, 0, row | synthesised(model), chosen)
        print(table.rows[name, 0], flush=True)


def smallest(table: Table) -> dict[str, int]:
    """Of each other kind the fewest hidden neurons whose mean reaches the reference's interval, if any do."""

    def scores(name: str) -> list[float]:
        return [100 * table[name, seed] for seed in range(SEEDS)]

    own, found = scores(REFERENCE), {}
    least = sum(own) / SEEDS - half_width(own)
    for kind in list(KINDS)[1:]:
        there = [n for n in WIDTHS[kind] if (named(kind, n), SEEDS - 1) in table]
        reach = [n for n in there if sum(scores(named(kind, n))) / SEEDS >= least]
        found |= {kind: reach[0]} if reach else {}
    return found


def main() -> None:
    choices, results = Table(CHOICES), Table(RESULTS)
    for kind, widths in WIDTHS.items():
        tried = {f"{kind}, rate {rate}": recipe(kind, TRIED[kind], rate) for rate in RATES}
        train_missing(choices, tried, CHOICE_SEEDS, held_out=True)
        for hidden in widths:
            name, chosen = named(kind, hidden), recipe(kind, hidden, chosen_rate(kind, choices))
            train_missing(results, {name: chosen}, SEEDS, held_out=False)
            enough = smallest(results).get(kind) == hidden
            if kind == "1 x 1" or enough:
                synthesise_missing(results, name, chosen)
            if enough:
                break


if __name__ == "__main__":
    main()
