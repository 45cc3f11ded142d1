"""Networks on chips that one can buy, placed and routed: `python -m study.rivals.circuit.chips`.

The clock is nextpnr's estimate for one seed. All pixels of an image go through the pins of a chip, a few at each clock,
and that alone may limit how many images there are a second. The networks, and the rivals that recognise as much, are
those of `networks`, which has to run before; one seed.

Writes `circuit_chips.csv`, and where the cells of the first network lie in `circuit_floor.csv`.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.export.verilog import to_verilog
from bnn_tutorial.packed.files import replace
from study.images import images
from study.recipes import Recipe, changed
from study.runner import Table

from . import chains, networks
from .place import CHIPS, frame, place

RESULTS = Path(__file__).parents[2] / "results" / "circuit_chips.csv"
FLOOR = RESULTS.with_name("circuit_floor.csv")


class Job(NamedTuple):
    """A network and how it comes to its pixels: `pins` wires at a clock all at once, or `at_once` of `to_verilog`."""

    recipe: Recipe | None
    pins: int | None = None
    at_once: int | None = None
    chains: bool = False


ON = "iCE40 UP5K", "ECP5 25F"
FIRST = "100-32-10, 1 x 1"


def jobs() -> dict[str, Job]:
    """The reference of `networks`, a larger one, the rivals of equal accuracy; networks with weights in block RAM."""
    choices, results = Table(networks.CHOICES), Table(networks.RESULTS)
    equal = [("1 x 1", 32), ("1 x 1", 40), *networks.smallest(results).items()]
    small = {
        f"100-{n}-10, {kind}": (networks.recipe(kind, n, networks.chosen_rate(kind, choices)), kind)
        for kind, n in equal
    }
    wired = {name: Job(recipe, pins=4 * int(kind[0]), chains=kind != "1 x 1") for name, (recipe, kind) in small.items()}
    bits = changed(small[FIRST][0], network={"widths": (784, 64, 10)})._replace(data="MNIST")
    return wired | {
        "784-64-10, 1 x 1, weights in block RAM": Job(bits, at_once=112),
        "784-300-100-10, 8 x 1, weights in block RAM": Job(None, at_once=98),
    }


def network_of(job: Job) -> tuple[packed.PackedNetwork, float]:
    """The trained network and its accuracy on the test images."""
    if job.recipe is None:
        network, data = packed.load_pretrained("mnist"), bnn.load_mnist()
    else:
        data = images(job.recipe.data)
        network = packed.PackedNetwork.from_model(job.recipe.train(0, data, progress=False)[1].eval())
    right = network.predict(data.test_images.numpy()) == data.test_labels.numpy()
    return network, float(right.mean())


def row(name: str, job: Job, chip: str, network: packed.PackedNetwork, accuracy: float) -> tuple[dict, list]:
    """What a chip says to a network; where it does not fit, the reason."""
    found = {
        "name": name,
        "chip": chip,
        "accuracy": round(accuracy, 4),
        "nextpnr": version(f"yowasp-{CHIPS[chip].program.replace('_', '-')}"),
    }
    wires = network.layers[0].inputs * (8 if network.pixel_threshold is None else 1)
    with TemporaryDirectory() as folder:
        path, top = Path(folder) / "network.v", "network"
        if job.chains:
            chains.to_verilog(network, path)
        else:
            to_verilog(network, path, job.at_once)
        if job.pins:
            path.write_text(path.read_text() + frame("network", wires, job.pins, 4))
            top = "chip"
        try:
            placed = place(path, top, chip, chains=job.chains)
        except (RuntimeError, TimeoutError) as error:
            needed = re.search(r"of (\d+) ICESTORM_LCs", str(error))
            return found | {"cells": f"{needed[1]} needed" if needed else None, "refused": str(error)[:200]}, []
    layer = network.layers[0]
    clocks = wires / job.pins if job.pins else len(layer.levels) * -(-layer.inputs // job.at_once)
    used = {kind: f"{n} of {most}" for kind, (n, most) in placed.used.items()}
    cells = next(v for k, v in used.items() if k in ("ICESTORM_LC", "TRELLIS_COMB"))
    memory = next((v for k, v in used.items() if k in ("ICESTORM_RAM", "DP16KD")), "0")
    found |= {"cells": cells, "RAM blocks": memory, "MHz": round(placed.megahertz, 1), "clocks": clocks}
    return found | {"images a second": round(placed.megahertz * 1e6 / clocks, -2)}, placed.places


def main() -> None:
    rows = pd.read_csv(RESULTS).to_dict("records") if RESULTS.exists() else []
    done = {(row["name"], row["chip"]) for row in rows}
    every = jobs()
    order = list(every)
    for name, job in every.items():
        todo = [chip for chip in ON if (name, chip) not in done]
        trained = network_of(job) if todo else ()
        for chip in todo:
            found, places = row(name, job, chip, *trained)
            print(found, flush=True)
            rows = sorted([*rows, found], key=lambda row: order.index(row["name"]))
            replace(RESULTS, pd.DataFrame(rows).to_csv(index=False).encode())
            if (name, chip) == (FIRST, ON[0]):
                replace(FLOOR, pd.DataFrame(places, columns=["cell", "x", "y"]).to_csv(index=False).encode())


if __name__ == "__main__":
    main()
