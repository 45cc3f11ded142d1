"""What every experiment here does: train what has no result yet, and write each row as soon as it is there.

An experiment is a table of named recipes, each trained for some seeds. A run that was broken off goes on where it was;
to compute a row again, delete it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

import bnn_tutorial as bnn

from .teacher import images, teacher

TUTORIAL = bnn.TrainConfig(score_images=10_000, device="cpu")


class Recipe(NamedTuple):
    """How to train and what: `build(generator=...)` makes the network.

    Attributes:
        taught: the teacher replaces the labels.
        seeds: how many runs, from seed 0.
    """

    config: bnn.TrainConfig = TUTORIAL
    build: Callable[..., nn.Module] = bnn.binary_mlp
    taught: bool = False
    seeds: int = 5

    def run(self, seed: int, source: str) -> dict:
        """Train from this seed; the last epoch's row, and the seconds of all. See `teacher.images` for `source`."""
        config = replace(self.config, seed=seed, teacher=teacher(source) if self.taught else None)
        model = self.build(generator=torch.Generator().manual_seed(seed))
        history, _ = bnn.train(config, images(source), model, progress=False)
        last = history.drop(columns="seconds").round(4).to_dict("records")[-1]
        return {**last, "seconds": round(float(history["seconds"].sum()), 1)}


def run_missing(results: Path, recipes: dict[str, Recipe], source: str = "full", processes: int = 2) -> None:
    """Fill the CSV file `results` with a row for each recipe and seed, and print the means.

    Args:
        results: the file; rows that it has are kept.
        recipes: by name, in the order of the table. Names on the command line choose among them.
        source: "full": scored on the test set; "full, held out": on held-out training images.
        processes: at a time, unless the command line says otherwise. Two of one thread each get more done than one of
            two threads; where seconds are a result, pass 1, which leaves PyTorch all of its threads.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[[], *recipes], help="run only these")
    parser.add_argument("--processes", type=int, default=processes, help="at a time; default %(default)s")
    args = parser.parse_args()
    chosen = args.names or recipes
    rows = pd.read_csv(results).to_dict("records") if results.exists() else []
    done = {(row["name"], row["seed"]) for row in rows}
    wanted = [(name, seed) for name in chosen for seed in range(recipes[name].seeds)]
    todo = sorted((run for run in wanted if run not in done), key=lambda run: run[1])  # all of a seed first
    if any(recipes[name].taught for name, _ in todo):
        teacher(source)  # trained here once, not in each process
    for count, (name, seed, row) in enumerate(_trained(recipes, todo, source, args.processes), 1):
        rows.append({"name": name, "seed": seed, **row, "torch": version("torch")})
        rank = {name: i for i, name in enumerate(recipes)}
        rows.sort(key=lambda row: (rank.get(row["name"], len(rank)), row["seed"]))
        part = results.with_suffix(".part")
        pd.DataFrame(rows).to_csv(part, index=False)
        part.replace(results)
        print(f"{count} of {len(todo)}: {name}, seed {seed}: {row}", flush=True)
    print(summarise(pd.read_csv(results)).to_string())


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, a row for each name, in the table's order."""
    return table.groupby("name", sort=False)["acc_test"].agg(["mean", "std", "count"]).round(4)


def _trained(recipes: dict, todo: list, source: str, processes: int) -> Iterator[tuple[str, int, dict]]:
    if processes == 1:
        yield from ((name, seed, recipes[name].run(seed, source)) for name, seed in todo)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(recipes[name].run, seed, source): (name, seed) for name, seed in todo}
        for future in as_completed(futures):
            yield *futures[future], future.result()
