"""The tutorial's network over five seeds: `python -m experiments.tutorial_seeds`.

Whole MNIST, the tutorial's settings, accuracy on all 10,000 test images after the last epoch. A row is written as soon
as its seed is done; seeds that have a row are not run again, so a run that was broken off goes on where it was.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pandas as pd

import bnn_tutorial as bnn

RESULTS = Path(__file__).with_suffix(".csv")
SEEDS = range(5)


def run(seed: int, data: bnn.Mnist) -> dict:
    history, _ = bnn.train(bnn.TrainConfig(seed=seed, device="cpu"), data)
    last = history.drop(columns="seconds").round(4).to_dict("records")[-1]
    return {"seed": seed, **last, "torch": version("torch")}


def main() -> None:
    rows = pd.read_csv(RESULTS).to_dict("records") if RESULTS.exists() else []
    data = bnn.load_mnist(source="full")
    for seed in sorted(set(SEEDS) - {row["seed"] for row in rows}):
        rows.append(run(seed, data))
        pd.DataFrame(rows).sort_values("seed").to_csv(RESULTS, index=False)
    accuracy = pd.DataFrame(rows)["acc_test"]
    print(pd.DataFrame(rows).to_string(index=False))
    print(
        f"test accuracy {accuracy.mean():.3f} ± {accuracy.std():.3f}, from {accuracy.min():.3f} to {accuracy.max():.3f}"
    )


if __name__ == "__main__":
    main()
