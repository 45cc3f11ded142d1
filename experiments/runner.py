"""What every experiment here does: train what has no result yet, and write each row as soon as it is there.

An experiment is a table of named recipes, each trained for some seeds. A run that was broken off goes on where it was.
A row says with which settings it was computed; where a recipe has others now, it is computed again.
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

from .settings import TUTORIAL, describe, typed
from .teacher import images, teacher, train_whole


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
        history = train_whole(config, images(source), model, progress=False)
        last = history.drop(columns="seconds").round(4).to_dict("records")[-1]
        return {**last, "seconds": round(float(history["seconds"].sum()), 1)}

    def settings(self) -> str:
        """The network, and what differs from the tutorial's training, as it would be typed."""
        texts = [typed(self.build), describe(self.config), "taught" if self.taught else ""]
        return "; ".join(text for text in texts if text)


def run_missing(results: Path, recipes: dict[str, Recipe], source: str = "full", processes: int = 2) -> None:
    """Fill the CSV file `results` with a row for each recipe and seed, and print the means.

    Args:
        results: the file; rows that it has, with the recipe's settings, are kept.
        recipes: by name, in the order of the table. Names on the command line choose among them.
        source: "full": scored on the test set; "full, held out": on held-out training images.
        processes: at a time, unless the command line says otherwise. Two of one thread each get more done than one of
            two threads, but their seconds say little: those are written only where each run has the machine to itself.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[[], *recipes], help="run only these")
    parser.add_argument("--processes", type=int, default=processes, help="at a time; default %(default)s")
    args = parser.parse_args()
    valid = {(name, seed, recipe.settings()) for name, recipe in recipes.items() for seed in range(recipe.seeds)}
    rows = pd.read_csv(results).to_dict("records") if results.exists() else []
    rows = [row for row in rows if (row["name"], row["seed"], row["settings"]) in valid]
    done = {(row["name"], row["seed"]) for row in rows}
    wanted = [(name, seed) for name in args.names or recipes for seed in range(recipes[name].seeds)]
    todo = sorted((run for run in wanted if run not in done), key=lambda run: run[1])  # all of a seed first
    if any(recipes[name].taught for name, _ in todo):
        teacher(source)  # trained here once, not in each process
    rank = {name: i for i, name in enumerate(recipes)}
    for count, (name, seed, row) in enumerate(_trained(recipes, todo, source, args.processes), 1):
        if args.processes > 1:
            del row["seconds"]
        settings = {"settings": recipes[name].settings(), "source": source, "torch": version("torch")}
        rows.append({"name": name, "seed": seed, **row, **settings})
        rows.sort(key=lambda row: (rank[row["name"]], row["seed"]))
        part = results.with_suffix(".part")
        pd.DataFrame(rows).to_csv(part, index=False)
        part.replace(results)
        print(f"{count} of {len(todo)}: {name}, seed {seed}: {row}", flush=True)
    print(summarise(pd.read_csv(results)).to_string())


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, a row for each name, in the table's order."""
    return table.groupby("name", sort=False)["acc_test"].agg(["mean", "std", "count"]).round(4)


def _trained(recipes: dict, todo: list, source: str, processes: int) -> Iterator[tuple[str, int, dict]]:
    """The rows as they are done. A run that fails does not take the others with it; its error comes last."""
    if processes == 1:
        yield from ((name, seed, recipes[name].run(seed, source)) for name, seed in todo)
        return
    failed = []
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(recipes[name].run, seed, source): (name, seed) for name, seed in todo}
        try:
            for future in as_completed(futures):
                if error := future.exception():
                    failed.append(error)
                else:
                    yield *futures[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(todo)} runs failed", failed)
