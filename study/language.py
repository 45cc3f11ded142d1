"""What a bit is worth in a language model: `python -m study.language`, some twelve hours on one core with bfloat16.

The text is Shakespeare's. Whole plays are held out: three to make choices, three for the results. The loss is in nats
per character, with n-grams for comparison.

- Equal layers (four blocks, 128 wide): only the forward map changes, and the rounding of activations, which the float
  model does not have.
- Equal bytes: each kind fills a budget, 8-bit embeddings included (the float model's are floats), with the best of 1,
  2, 4 and 8 blocks, which are as wide as fit. For the largest budget it is the number of the one before. Each row of 8,
  4 and 2 bits has a scale, of eight bytes in our file. With "2-byte scales" 4 and 2 bits have room for more weights: in
  the two smaller budgets, with the same blocks and rates.
- Numbers of blocks and rates are the best for the first seed at full length. More blocks, which take more time, must be
  better by more than 0.0025 nats. (Short trials chose at first. Of ternary weights they chose 0.01, which at full
  length is 0.03 nats worse than 0.003, and two blocks in 160 kB, which are 0.02 nats worse than four.) Of 0.001, 0.003
  and 0.01, the second was best for float, ternary and ±1 weights at equal layers. 8, 4 and 2 bits, of which the trials
  say the same, and wider models than these have it without a choice. Coarser activations and models less than 100 wide
  try larger ones.
- A "long" run has four times the steps, since one and a half passes over the text may be too few.

The products in training are in bfloat16 where the processor multiplies it, otherwise in float32; each row says which.
A row of both (4 bits, 40 kB, 4 blocks, rate 0.01, seed 0) has 1.7525 and 1.7530 nats. Nor does it matter whether the
embeddings have 8 bits in training, as at equal bytes, or only afterwards, as at equal layers: ternary weights in 160 kB
have 1.610 and 1.600 with seed 0, and 1.596 and 1.603 with seed 1.

An interrupted run continues with the row that it was working on. `python -m study.language ternary` fills only rows
whose name starts with that word. `--ngrams` measures the baseline. The ternary model of rate 0.003 and seed 0 is kept
for the page that writes.
"""

from __future__ import annotations

import argparse
import lzma
import math
from bisect import bisect_right
from collections import defaultdict
from functools import cache, partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

import bnn_tutorial as bnn
from bnn_tutorial import language
from bnn_tutorial.language import ALPHABET, LanguageModel
from bnn_tutorial.packed.files import replace

from .settings import PRODUCTS

RESULTS = Path(__file__).parent / "results" / "language.csv"
NGRAMS = RESULTS.with_name("language_ngrams.csv")
KEPT = RESULTS.parents[2] / "build" / "language_ternary.safetensors"  # not in git; what is packed from it is

KINDS = {
    "float": {"forward_map": bnn.linear, "activation_bits": None},
    **{f"{n} bits": {"forward_map": partial(bnn.quantised_linear, bits=n)} for n in (8, 4, 2)},
    "ternary": {"forward_map": bnn.ternary_linear},
    "±1": {"forward_map": language.centred_binary_linear},
}
SMALL_SCALES = [f"{n} bits, 2-byte scales" for n in (4, 2)]  # in their budgets 8 bits would be no wider
ACTIVATIONS = {f"ternary, {n}-bit activations": KINDS["ternary"] | {"activation_bits": n} for n in (4, 1)}
BUDGETS = (40_000, 160_000, 640_000)
COLUMNS = ["name", "seed", "loss_train", "nats_choose", "nats", "nats_8bit_embeddings", "settings", "torch", "products"]
RATES = dict.fromkeys(("float", "ternary", "±1"), (0.001, 0.003, 0.01)) | dict.fromkeys(
    ACTIVATIONS, (0.003, 0.01, 0.03)
)
NARROW_RATES, DEPTHS = (0.003, 0.01, 0.03, 0.1), (1, 2, 4, 8)
TRIAL_STEPS, STEPS, LONG_STEPS, SEEDS = 1000, 3000, 12_000, 3
GAIN = 0.0025  # nats
LEAST = (2, 3, 5, 8, 12, 20, 32, 64, 128)


class Run(NamedTuple):
    """What to train, how, and for how many seeds. A trial is only scored on the plays for choices."""

    options: dict
    rate: float
    steps: int = STEPS
    seeds: int = SEEDS
    trial: bool = False

    def settings(self) -> str:
        options = "; ".join(f"{name}={_typed(value)}" for name, value in self.options.items())
        return f"{options}; rate={self.rate}; steps={self.steps}"

    def train(self, seed: int, plays: language.Plays) -> tuple[dict, LanguageModel]:
        model = LanguageModel(**self.options, generator=torch.Generator().manual_seed(seed))
        losses = language.train_language(
            model, plays.train, self.steps, self.rate, seed=seed, autocast=PRODUCTS == "bfloat16"
        )
        row = {"loss_train": np.mean(losses[-100:]), "nats_choose": language.nats(model, plays.choose)}
        if not self.trial:
            row["nats"] = language.nats(model, plays.report)
        if not self.trial and "embedding_map" not in self.options:
            model.embed.forward_map = model.head.forward_map = bnn.quantised_linear  # after training
            row["nats_8bit_embeddings"] = language.nats(model, plays.report)
        return row, model


def _typed(value: object) -> str:
    if isinstance(value, partial):
        return f"{value.func.__name__}({', '.join(f'{name}={v}' for name, v in value.keywords.items())})"
    return getattr(value, "__name__", None) or repr(value)


def stored_bytes(
    forward_map: bnn.ForwardMap, embedding_map: bnn.ForwardMap = bnn.linear, width: int = 128, blocks: int = 4,
    scale: int = 8, **_,
) -> int:  # fmt: skip
    """Bytes of a model with these options: rows of weights in whole bytes, and `scale` bytes for each scale."""
    edges, shapes = (width, len(ALPHABET)), ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width))
    inside = sum(matrix_bytes(forward_map, *shape, scale) for shape in shapes)
    return blocks * inside + sum(matrix_bytes(embedding_map, *shape, scale) for shape in (edges, edges[::-1]))


def matrix_bytes(forward_map: bnn.ForwardMap, rows: int, columns: int, scale: int) -> int:
    kept = bnn.kept_weights(bnn.GenDense(1, 2, forward_map=forward_map))
    if kept is None:
        return 4 * rows * columns
    return rows * math.ceil(columns * kept.bits / 8) + scale * (rows if kept.scale.numel() == 2 else 1)


def widest(kind: str, budget: int, blocks: int) -> dict:
    """The options of the widest model of a kind within the bytes. Embeddings have 8 bits, except in the float model."""
    embedding_map = bnn.linear if kind == "float" else bnn.quantised_linear
    options = KINDS[kind.partition(",")[0]] | {"embedding_map": embedding_map, "blocks": blocks}
    sizes = [options | {"width": width} for width in range(4, 1000, 4)]
    scale = 2 if kind in SMALL_SCALES else 8
    return sizes[bisect_right(sizes, budget, key=lambda size: stored_bytes(**size, scale=scale)) - 1]


@cache
def every() -> dict[str, Run]:
    """All rows that the table may have, by name."""
    table = {"ternary, long, rate 0.003": Run(KINDS["ternary"], 0.003, LONG_STEPS, 1)}
    for (kind, options), rate in product((KINDS | ACTIVATIONS).items(), (0.001, 0.003, 0.01, 0.03)):
        table[f"{kind}, rate {rate}"] = Run(options, rate)
        table[f"{kind}, rate {rate}, {TRIAL_STEPS} steps"] = Run(options, rate, TRIAL_STEPS, 1, True)
    for (kind, budget), blocks in product([*product(KINDS, BUDGETS), *product(SMALL_SCALES, BUDGETS[:2])], DEPTHS):
        options = widest(kind, budget, blocks)
        table |= {f"{kind}, {budget // 1000} kB, {blocks} blocks, rate {r}": Run(options, r) for r in NARROW_RATES}
    return table


def runs(results: pd.DataFrame) -> dict[str, Run]:
    """The rows that the table should have, with the choices of those that it has."""
    first, wanted = valid(results[results["seed"] == 0]), {}
    losses = defaultdict(lambda: math.inf, zip(first["name"], first["nats_choose"], strict=True))

    def choose(ladder: list[str], least: int, gain: float = 0.0) -> str | None:
        """The best of the first rows, and of more for as long as the last is the best; None until all are there.

        A later row is better only by more than `gain`.
        """
        best, tried = ladder[0], []
        for row in ladder:
            if len(tried) >= least and best != tried[-1]:
                break
            tried.append(row)
            wanted.setdefault(row, every()[row]._replace(seeds=1))
            if round(losses[best] - losses[row], 4) > gain:
                best = row
        return None if any(losses[row] == math.inf for row in tried) else best

    def add(ladder: list[str]) -> str | None:
        if chosen := choose(ladder, 2):
            wanted[chosen] = every()[chosen]
        return chosen

    for kind in KINDS | ACTIVATIONS:
        add([f"{kind}, rate {rate}" for rate in RATES.get(kind, (0.003,))])
    for kind in KINDS:
        depths = DEPTHS
        for budget in BUDGETS:
            name = f"{kind}, {budget // 1000} kB, {{}} blocks, rate {{}}"
            if not (chosen := choose([name.format(blocks, 0.003) for blocks in depths], 3, GAIN)):
                break
            options = every()[chosen].options
            rates = NARROW_RATES if options["width"] < 100 else (0.003,)
            chosen = add([name.format(options["blocks"], rate) for rate in rates])
            if chosen and (row := chosen.replace(",", ", 2-byte scales,", 1)) in every():
                wanted[row] = every()[row]
            if budget == BUDGETS[1]:
                depths = (options["blocks"],)
    return wanted | {row: run for row, run in every().items() if run.steps != STEPS}


def valid(rows: pd.DataFrame) -> pd.DataFrame:
    """Those with the settings of their names. Others will be computed again."""
    return rows[rows["name"].map({name: run.settings() for name, run in every().items()}) == rows["settings"]]


class NGrams:
    """Interpolated Kneser-Ney with three discounts (Chen and Goodman 1999): the best table of counts in their study.

    p(x | h) = (c - d(c) + free(h) p(x | shorter h)) / sum of c, where free(h) is what all d(c) took away; it ends with
    1/62. The longest n-grams have their counts, shorter ones the number of different characters before them. N-grams of
    four and more that came less often than `least` are left out, and free(h) gets all of their counts.
    """

    def __init__(self, tokens: np.ndarray, n: int, least: int = 1):
        self.orders, self.least, longer = [], least, None
        for order in reversed(range(n)):
            grams, times = np.unique(_keys(tokens, order)[0], return_counts=True)
            counts = times
            if longer is not None:
                counts = np.bincount(
                    np.searchsorted(grams, longer % len(ALPHABET) ** (order + 1)), minlength=len(grams)
                )
            longer, kept = grams, (times >= least) | (order < 3)
            left = np.where(kept, counts - _discounts(counts)[np.minimum(counts, 3)], 0)
            histories, starts = np.unique(grams // len(ALPHABET), return_index=True)
            totals, followers = np.add.reduceat(counts, starts), np.add.reduceat(kept, starts, dtype=int)
            free, some = totals - np.add.reduceat(left, starts), followers > 0
            of_grams, of_histories = (grams, counts, left), (histories, totals, free, followers)
            self.orders.insert(0, (*(a[kept] for a in of_grams), *(a[some] for a in of_histories)))

    def nats(self, tokens: np.ndarray) -> float:
        """The mean loss per character of this text."""
        p = np.full(len(tokens), 1 / len(ALPHABET))
        for order, (grams, _, left, histories, totals, free, _) in enumerate(self.orders):
            keys, at = _keys(tokens, order)
            (own,), (total, rest) = _find(grams, keys, left), _find(histories, keys // len(ALPHABET), totals, free)
            p[at:] = np.where(total > 0, (own + rest * p[at:]) / np.maximum(total, 1), p[at:])
        return float(-np.log(p).mean())

    def tree(self) -> dict[str, np.ndarray]:
        """As a file has it: the characters of each order, their counts, how many characters follow each, and, where
        some were left out, the sum of all counts.
        """
        stored = {}
        for i, (grams, counts, _, histories, totals, _, followers) in enumerate(self.orders):
            stored[f"{i}.character"] = (grams % len(ALPHABET)).astype(np.uint8)
            stored[f"{i}.count"] = counts.astype(np.int32)
            if i > 0:
                before = self.orders[i - 1][0]
                stored[f"{i - 1}.kinds"] = np.zeros(len(before), np.uint8)
                stored[f"{i - 1}.kinds"][np.searchsorted(before, histories)] = followers
            if self.least > 1 and i > 2:
                stored[f"{i}.total"] = totals.astype(np.int32)
        return stored

    def bytes(self) -> int:
        """In use: three per n-gram (its last character, how many follow it, its count; the longest ones have a count of
        16 bits instead), and two for the sum of all counts.
        """
        sums = sum(len(order[3]) for order in self.orders[3:] if self.least > 1)
        return 3 * sum(len(grams) for grams, *_ in self.orders) + 2 * sums

    def bytes_of_file(self) -> int:
        """The same, each kind of number compressed by xz."""
        return sum(len(lzma.compress(numbers.tobytes())) for numbers in self.tree().values())


def _discounts(counts: np.ndarray) -> np.ndarray:
    """Of the counts 0, 1, 2 and all larger ones; some for each, so that nothing is impossible."""
    have = np.bincount(np.minimum(counts, 5), minlength=6)
    share, k = have[1] / max(have[1] + 2 * have[2], 1), np.arange(4)
    return (k - (k + 1) * share * have[k + 1] / np.maximum(have[k], 1)).clip(np.minimum(k, 0.1), k)


def _keys(tokens: np.ndarray, order: int) -> tuple[np.ndarray, int]:
    """Each character with the `order` before it, as one number; and the place of the first."""
    windows = np.lib.stride_tricks.sliding_window_view(tokens, order + 1)
    return windows @ len(ALPHABET) ** np.arange(order, -1, -1), order


def _find(keys: np.ndarray, wanted: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return [np.where(keys[at] == wanted, value[at], 0) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="only rows whose name starts with one of these")
    parser.add_argument("--ngrams", action="store_true", help="measure the baseline")
    args = parser.parse_args()
    torch.set_num_threads(1)
    plays = language.load_shakespeare()
    if args.ngrams:
        train, choose, report = (part.numpy() for part in plays)
        rows = []
        for n, least in [*((n, 1) for n in range(1, 10)), *product(range(4, 10), LEAST)]:
            table = NGrams(train, n, least)
            nats = {"nats_choose": table.nats(choose), "nats": table.nats(report)}
            rows.append(
                {"n": n, "least": least, **nats, "bytes": table.bytes(), "bytes_of_file": table.bytes_of_file()}
            )
        replace(NGRAMS, pd.DataFrame(rows).round(4).to_csv(index=False).encode())
        print(NGRAMS.read_text())
        return
    while todo := missing(args.names):
        name, seed, run = todo[0]
        row, model = run.train(seed, plays)
        if (name, seed) == ("ternary, rate 0.003", 0):
            from safetensors.torch import save

            KEPT.parent.mkdir(exist_ok=True)
            replace(KEPT, save(model.state_dict()))
        settings = {"settings": run.settings(), "torch": version("torch"), "products": PRODUCTS}
        rows = [*read().to_dict("records"), {"name": name, "seed": seed, **row, **settings}]
        table = pd.DataFrame(rows, columns=COLUMNS)
        replace(RESULTS, table.round(4).to_csv(index=False).encode())
        print(f"{name}, seed {seed}: {row}; {len(todo) - 1} to do", flush=True)


def read() -> pd.DataFrame:
    """The stored rows."""
    return pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=COLUMNS)


def scores() -> pd.DataFrame:
    """The rows of full length at the chosen rates and shapes, with their `kind` and `kB`, NaN at equal layers."""
    rows = valid(read())
    rows = rows[rows["name"].isin([name for name, run in runs(rows).items() if run.seeds == SEEDS])]
    return rows.join(rows["name"].str.extract(r"(?P<kind>.*?)(?:, (?P<kB>\d+) kB, \d+ blocks)?, rate")).astype(
        {"kB": float}
    )


def missing(names: list[str]) -> list[tuple[str, int, Run]]:
    """The missing runs, in order: ternary, float and ±1 first, then seed by seed."""
    table = read()
    done = set(zip(table["name"], table["seed"], table["settings"], strict=True))
    first = ["ternary", "float", "±1"]
    todo = [(name, seed, run) for name, run in runs(table).items() for seed in range(run.seeds)
            if (name, seed, run.settings()) not in done and (not names or name.startswith(tuple(names)))]  # fmt: skip

    def place(item: tuple) -> tuple:
        kind = item[0].partition(", rate")[0]
        return kind not in first, item[1], first.index(kind) if kind in first else 0

    return sorted(todo, key=place)


if __name__ == "__main__":
    main()
