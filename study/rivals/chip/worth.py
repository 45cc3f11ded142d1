"""Instructions on an emulated Cortex-M0 of the networks of `study.worth_28x28`: `python -m study.rivals.chip.worth`.

One row for each cell of that table from 12,000 bytes on, over 500 test images of its own data set at equal distances,
20 for floats. (Of fewer bytes the networks have so few neurons that a table of partial sums does not pay for itself,
and other C would be faster.) One-bit weights are in the exporter's C, the others in that of `rivals`. The layers are
those that `study.worth_28x28` chose; the weights are random, and every class and sum is compared with Python's. Writes
`chip_worth.csv`. Two minutes on two cores.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import torch

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.packed.files import replace
from study.images import images
from study.worth_28x28 import RECIPES

from .counts import measure, w1a8
from .rivals import Rival

RESULTS = Path(__file__).parents[2] / "results" / "chip_worth.csv"
RIVALS = {
    "ternary": "ternary",
    "2 bits": "int2",
    "4 bits": "int4",
    "8 bits": "int8",
    "float": "float32",
}
CELLS = [name for name in RECIPES if name.endswith((" 12,000 bytes", " 35,090 bytes", " same layers"))]


def row(name: str) -> dict:
    """One row of the table; `name` is one of `CELLS`."""
    data, kind = name.split(", ")[:2]
    widths = RECIPES[name].build.keywords["widths"]
    pixels = images(data).test_images.numpy()
    if name.startswith(f"{data}, {kind}, sign"):
        model = bnn.binary_mlp(widths, generator=torch.Generator().manual_seed(0))
        network = packed.PackedNetwork.from_model(model.eval())
    elif kind == "1 bit":
        network = w1a8(widths, images(data).train_images)
    else:
        network = Rival(widths, RIVALS[kind])
    every = 500 if kind == "float" else 20
    return {"name": name, "widths": "-".join(map(str, widths)), **measure(network, "m0", "-O2", pixels[::every])}


def main() -> None:
    with ProcessPoolExecutor(2) as pool:
        table = pd.DataFrame(pool.map(row, CELLS))
    print(table.to_string(index=False))
    replace(RESULTS, table.to_csv(index=False).encode())


if __name__ == "__main__":
    main()
