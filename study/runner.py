"""What every study here does: train the missing runs, and write each row as soon as it is done.

A study is a table of named recipes, each trained with several seeds. An interrupted study continues where it stopped.
Each row records the settings of its run. If the settings of a recipe have changed, its rows are computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from bnn_tutorial.packed.files import replace

from .images import images
from .recipes import Recipe
from .teacher import TEACHER


class Table:
    """A CSV file of results, rewritten with each new row: `table[name, seed]` is the accuracy of a run.

    Args:
        path: the file, which need not exist.
        order: the names in the order of the rows; by default, rows stay in the order in which they are added.
    """

    def __init__(self, path: Path, order: Iterable[str] = ()):
        rows = pd.read_csv(path).to_dict("records") if path.exists() else []
        self.path, self.order = path, list(order)
        self.rows = {(row["name"], row["seed"]): row for row in rows}

    def __contains__(self, run: tuple[str, int]) -> bool:
        return run in self.rows

    def __getitem__(self, run: tuple[str, int]) -> float:
        return self.rows[run]["acc_test"]

    def add(self, name: str, seed: int, row: dict, recipe: Recipe) -> None:
        settings = {"settings": recipe.settings(), "torch": version("torch")}
        self.rows[name, seed] = {"name": name, "seed": seed, **row, **settings}
        if self.order:
            self.rows = dict(sorted(self.rows.items(), key=lambda item: (self.order.index(item[0][0]), item[0][1])))
        replace(self.path, pd.DataFrame(self.rows.values()).to_csv(index=False).encode())

    def has(self, name: str, seed: int, recipe: Recipe, held_out: bool = False) -> bool:
        """Whether the run is there, with the settings and the data of this recipe."""
        row, data = self.rows.get((name, seed)), recipe.data + ", held out" * held_out
        return row is not None and (row["settings"], row["data"]) == (recipe.settings(), data)


def run_missing(
    results: Path,
    recipes: dict[str, Recipe],
    held_out: bool = False,
    names: Iterable[str] | None = None,
    processes: int = 2,
) -> None:
    """Fill the CSV file `results` with one row per recipe and seed, and print the means.

    Args:
        results: the file. Its rows with the settings of the recipes are kept.
        recipes: by name, in the order of the table.
        held_out: score on held-out training images instead of the test set.
        names: the recipes to run; by default those named on the command line, or all.
        processes: how many run at the same time, unless the command line says otherwise. Two of one thread each are
            faster than one of two threads. But their seconds mean little: only a run that has the machine to itself
            writes them.
    """
    args = _arguments(recipes if names is None else (), processes)
    names = names or args.names or recipes
    table = Table(results, recipes)
    every = [(name, seed) for name, recipe in recipes.items() for seed in range(recipe.seeds)]
    table.rows = {run: table.rows[run] for run in every if table.has(*run, recipes[run[0]], held_out)}
    wanted = [(name, seed) for name in names for seed in range(recipes[name].seeds)]
    todo = sorted((run for run in wanted if run not in table), key=lambda run: run[1])  # all of a seed first
    for count, (name, seed, row) in enumerate(_trained(recipes, todo, held_out, args.processes), 1):
        if args.processes > 1:
            del row["seconds"]
        table.add(name, seed, row, recipes[name])
        print(f"{count} of {len(todo)}: {name}, seed {seed}: {row}", flush=True)
    scores = pd.read_csv(results).groupby("name", sort=False)["acc_test"]
    print(scores.agg(["mean", "std", "count"]).round(4).to_string())


def _arguments(names: Iterable[str], processes: int) -> argparse.Namespace:
    """Without names, any are accepted: they belong to another table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[[], *names] if names else None, help="run only these")
    parser.add_argument("--processes", type=int, default=processes, help="at the same time; default %(default)s")
    return parser.parse_args()


def _trained(recipes: dict, todo: list, held_out: bool, processes: int) -> Iterator[tuple[str, int, dict]]:
    """The rows in the order in which they are done. A failed run does not stop the others; its error is raised last."""
    teacher = None
    if any(recipes[name].distilled for name, _ in todo):
        _, teacher = TEACHER.train(0, images("MNIST", held_out))
    failed = []

    def results() -> Iterator[tuple[tuple[str, int], Callable[[], dict]]]:
        jobs = {run: (recipes[run[0]], run[1], held_out, teacher) for run in todo}
        if processes == 1:
            yield from ((run, partial(_row, *job)) for run, job in jobs.items())
            return
        with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            futures = {pool.submit(_row, *job): run for run, job in jobs.items()}
            try:
                yield from ((futures[future], future.result) for future in as_completed(futures))
            finally:
                pool.shutdown(cancel_futures=True)

    for run, result in results():
        try:
            row = result()
        except Exception as error:
            failed.append(error)
        else:
            yield *run, row
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(todo)} runs failed", failed)


def _row(recipe: Recipe, seed: int, held_out: bool, teacher: nn.Module | None) -> dict:
    """The last epoch's row, what else the recipe measures, the seconds of all epochs, and the data set."""
    data = images(recipe.data, held_out)
    history, model = recipe.train(seed, data, teacher, progress=False)
    last = history.drop(columns="seconds").round(4).to_dict("records")[-1]
    measured = recipe.measure(model, data) if recipe.measure else {}
    return {**last, **measured, "seconds": round(float(history["seconds"].sum()), 1), "data": data.name}


def best(candidates: dict[str, Recipe], choices: Path) -> Recipe | None:
    """The candidate with the best score on held-out images in the file `choices`; None until all have one."""
    table = Table(choices)
    tried = bool(candidates) and all(table.has(name, 0, recipe, held_out=True) for name, recipe in candidates.items())
    return candidates[max(candidates, key=lambda name: table[name, 0])] if tried else None
