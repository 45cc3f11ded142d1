"""Seconds per epoch of `bnn.train`, against its products alone, the stock loop, and the same network in floats.

The contestants take turns, an epoch of the whole training set at a time (the stock loop an eighth of one), so that a
slow minute of a shared machine slows all of them. Each ratio is the median of the ratios of all rounds.

(a) products: the eight matrix products of a step, forward and backward, in float32 and nothing else;
(b) stock:    the same network under the loop of most PyTorch tutorials: torchvision's MNIST with `ToTensor`, a
              shuffling `DataLoader`, `Adam` with its defaults;
(c) float:    `bnn.train` of the same layers with ReLU and float weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import bnn_tutorial as bnn
from bnn_tutorial.data import torchvision_datasets

WIDTHS = (784, 300, 100, 10)
BATCH = 64
IMAGES = 60_000  # in an epoch
STOCK_SHARE = 8


def ours(data: bnn.LabelledImages, **network: object) -> Callable[[], float]:
    def run() -> float:
        model = bnn.binary_mlp(WIDTHS, **{"activation": bnn.sign_ste, "normalise": False} | network)
        config = bnn.TrainConfig(epochs=1, batch_size=BATCH, score_images=1000, device="cpu")
        history, _ = bnn.train(config, data, model, progress=False)
        return history["seconds"].item()

    return run


def products() -> Callable[[], float]:
    """For each layer x Wᵀ and dyᵀ x, and dy W for all but the first, whose input needs no gradient."""
    layers = [(torch.randn(BATCH, i), torch.randn(o, i), torch.randn(BATCH, o)) for i, o in pairwise(WIDTHS)]

    def run() -> float:
        start = time.perf_counter()
        for _ in range(-(-IMAGES // BATCH)):
            for depth, (x, w, dy) in enumerate(layers):
                torch.mm(x, w.T)
                torch.mm(dy.T, x)
                if depth:
                    torch.mm(dy, w)
        return time.perf_counter() - start

    return run


def stock(data: bnn.LabelledImages) -> Callable[[], float]:
    datasets = torchvision_datasets()
    from torchvision.transforms import ToTensor

    class StockMnist(datasets.MNIST):
        """torchvision's MNIST with its way of making a sample, over images that are already in memory."""

        def __init__(self):
            part = IMAGES // STOCK_SHARE
            self.data, self.targets = data.train_images[:part].reshape(-1, 28, 28), data.train_labels[:part]
            self.transform, self.target_transform = ToTensor(), None

    loader = DataLoader(StockMnist(), batch_size=BATCH, shuffle=True)
    model = nn.Sequential(nn.Flatten(), bnn.tutorial_mlp())
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-4)

    def run() -> float:
        start = time.perf_counter()
        for x, y in loader:
            optimiser.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimiser.step()
        return (time.perf_counter() - start) * STOCK_SHARE

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=11, help="turns that each contestant takes (%(default)s)")
    options = parser.parse_args()

    data = bnn.load_mnist()
    contestants = {"bnn.train": ours(data), "(a) products": products(), "(b) stock": stock(data)}
    contestants["(c) float"] = ours(data, activation=torch.relu, forward_map=bnn.linear)
    for run in contestants.values():
        run()  # warm up
    rounds = [{name: run() for name, run in contestants.items()} for _ in range(options.rounds)]

    print(f"Training {'-'.join(map(str, WIDTHS))} at batch {BATCH}, {torch.get_num_threads()} threads, per epoch:")
    for name in contestants:
        print(f"  {name:13} {statistics.median(r[name] for r in rounds):6.2f} s")
    over_products = statistics.median(r["bnn.train"] / r["(a) products"] for r in rounds)
    over_stock = statistics.median(r["(b) stock"] / r["bnn.train"] for r in rounds)
    over_float = statistics.median(r["bnn.train"] / r["(c) float"] for r in rounds)
    print(f"  {over_products:.2f} times the products")
    print(f"  {over_stock:.2f} times faster than the stock loop (goal: at least 3.5)")
    print(f"  {over_float:.2f} times the float twin (goal: at most 1.25)")


if __name__ == "__main__":
    main()
