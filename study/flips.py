"""What a flipped bit of the stored weights costs: `python -m study.flips`.

Memory loses bits at a low voltage or under radiation. Here, each bit of the packed weights flips with the same
probability, while thresholds, scales and the processor's sums stay intact. There are four networks: one-bit weights
with signs and with 8-bit activations, and 8-bit weights in the same layers and in about the same bytes. They are
trained with the recipe of ten epochs, and with the rate and shape that `worth_28x28` chose. Each is trained once, with
seed 0, and then damaged anew for each rate and each of five seeds. Accuracies are on all 10,000 test images. Three
minutes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bnn_tutorial.packed import PackedNetwork, files
from bnn_tutorial.packed.files import pack_levels, unpack_levels

from .images import images
from .worth_28x28 import RECIPES

RESULTS = Path(__file__).parent / "results" / "flips.csv"
NETWORKS = {
    "W1A1": RECIPES["MNIST, 1 bit, sign, same layers"],
    "W1A8": RECIPES["MNIST, 1 bit, same layers"],
    "int8, same layers": RECIPES["MNIST, 8 bits, same layers"],
    "int8, same bytes": RECIPES["MNIST, 8 bits, 35,090 bytes"],
}
RATES = (0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2)
SEEDS = 5


def flipped(network: PackedNetwork, rate: float, seed: int) -> PackedNetwork:
    """The network after each bit of its stored weights has flipped with the probability `rate`."""
    random, layers = np.random.default_rng(seed), []
    for layer in network.layers:
        octets = pack_levels(layer.levels, layer.bits)
        flips = np.packbits(random.random((*octets.shape, 8)) < rate, axis=-1)[..., 0]
        levels = unpack_levels(octets ^ flips, layer.bits, layer.levels[0].size)
        layers.append(replace(layer, levels=levels.reshape(layer.levels.shape)))
    return PackedNetwork(network.shape, layers)


def rows(name: str) -> list[dict]:
    """Train a network and damage it, at each rate with each seed."""
    recipe, data = NETWORKS[name], images("MNIST")
    network = PackedNetwork.from_model(recipe.train(0, data, progress=False)[1])
    result = []
    for rate in RATES:
        for seed in range(SEEDS if rate else 1):
            classes = flipped(network, rate, seed).predict(data.test_images)
            accuracy = round(float((classes == data.test_labels.numpy()).mean()), 4)
            row = {"name": name, "rate": rate, "seed": seed, "acc_test": accuracy}
            result.append(row | {"bytes": int(network.summary().loc["total", "bytes"]), "settings": recipe.settings()})
    return result


if __name__ == "__main__":
    table = pd.DataFrame([row for name in NETWORKS for row in rows(name)])
    files.replace(RESULTS, table.to_csv(index=False).encode())
    print(table.pivot_table("acc_test", "rate", "name").round(4).to_string())
