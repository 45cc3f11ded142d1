"""Whole networks of equal accuracy as circuits: `python -m study.rivals.circuit.networks`.

A neuron of bits does less than one of 8 bits, so networks are compared that recognise equally much. The images are
the middle 20x20 pixels and means of four, so that every network can be synthesised whole. The reference is 100-32-10 of
bits, with pixels of one bit. A rival sees pixels of 8 bits, has activations of 8 bits and weights of 1, 4 or 8, and of
its widths the smallest is taken that reaches the reference's interval on held-out images. Then all are trained on the
whole training set, three seeds, and the first seed's network is synthesised in look-up tables of four inputs, weights
fixed.

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

from .synthesis import cells

RESULTS = Path(__file__).parents[2] / "results" / "circuit_networks.csv"
CHOICES = RESULTS.with_name("circuit_choices.csv")
KINDS = {
    "1 x 1": {"binary_input": True},
    "8 x 1": {"activation": bnn.quantised_relu},
    "8 x 4": {"activation": bnn.quantised_relu, "forward_map": partial(bnn.quantised_linear, bits=4)},
    "8 x 8": {"activation": bnn.quantised_relu, "forward_map": bnn.quantised_linear},
}
REFERENCE = "1 x 1, 32 hidden"
HIDDEN = (3, 4, 5, 6, 8, 12, 16)
CANDIDATES = {f"{kind}, {n} hidden": (kind, n) for n in HIDDEN for kind in list(KINDS)[1:]}


def recipe(kind: str, hidden: int) -> Recipe:
    start = changed(TEN_EPOCHS, batch_size=256, learning_rate=0.01)
    return changed(start, network=KINDS[kind] | {"widths": (100, hidden, 10)})._replace(data="MNIST, 10x10")


def train(table: Table, name: str, seed: int, chosen: Recipe, held_out: bool) -> torch.nn.Module | None:
    """Train a run that the table lacks, and add it."""
    if (name, seed) in table:
        return None
    data = images(chosen.data, held_out)
    history, model = chosen.train(seed, data, progress=False)
    row = history.drop(columns="seconds").round(4).to_dict("records")[-1]
    if not held_out and seed == 0:
        row |= synthesised(model)
    table.add(name, seed, row, chosen)
    print(name, seed, row, flush=True)
    return model


def synthesised(model: torch.nn.Module) -> dict[str, int]:
    """What the network needs, all at once."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.v"
        verilog.to_verilog(packed.PackedNetwork.from_model(model.eval()), path)
        return cells(path, "network", "LUT4")


def smallest(table: Table) -> list[str]:
    """Of each kind the network with the fewest hidden neurons that reaches the reference's interval."""
    scores = [100 * table[REFERENCE, seed] for seed in range(3)]
    least = sum(scores) / 3 - half_width(scores)
    reach = [name for name in CANDIDATES if (name, 0) in table and 100 * table[name, 0] >= least]
    return [next(name for name in reach if name.startswith(kind)) for kind in list(KINDS)[1:]]


def main() -> None:
    choices, results = Table(CHOICES), Table(RESULTS)
    for seed in range(3):
        train(choices, REFERENCE, seed, recipe("1 x 1", 32), held_out=True)
    least = [100 * choices[REFERENCE, seed] for seed in range(3)]
    least = sum(least) / 3 - half_width(least)
    for kind in list(KINDS)[1:]:
        for hidden in HIDDEN:
            name = f"{kind}, {hidden} hidden"
            train(choices, name, 0, recipe(kind, hidden), held_out=True)
            if 100 * choices[name, 0] >= least:
                break
    for seed in range(3):
        for name in [REFERENCE, *smallest(choices)]:
            kind, hidden = CANDIDATES.get(name, ("1 x 1", 32))
            train(results, name, seed, recipe(kind, hidden), held_out=False)


if __name__ == "__main__":
    main()
