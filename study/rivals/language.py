"""The time of a character, and of a large product: `python -m study.rivals.language`, on one core.

The product is one row of 8-bit features with 4,096x4,096 weights, as in models of billions of weights, where each
character needs all of them. Eight matrices take turns, so that none is still in a near cache.
PyTorch has the same weights as float32, bfloat16 and int8, in both layouts. The results are medians over the rounds,
and ratios. The rows of other processors stay.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from llvmlite import binding

from bnn_tutorial.packed.language import PRODUCTS, Matrix, Product, load_pretrained

from .results import store

RESULTS = Path(__file__).parents[1] / "results" / "language_speed.csv"
SIZE, MATRICES, ROUNDS = 4096, 8, 15
RANDOM = np.random.default_rng(0)


def contestants() -> dict[str, Callable[[], object]]:
    """Each call takes the next matrix."""
    levels = [RANDOM.integers(-1, 2, (SIZE, SIZE), dtype=np.int8) for _ in range(MATRICES)]
    features = RANDOM.integers(-127, 128, SIZE).astype(np.int8)
    ours = cycle([Product(Matrix(level, np.ones(1), None)) for level in levels])
    calls = {"ternary, ours": lambda: next(ours).sums(features)}
    for name, dtype, multiply in (
        ("float32", torch.float32, torch.mm),
        ("bfloat16", torch.bfloat16, torch.mm),
        ("int8", torch.int8, torch._int_mm),
    ):
        x = torch.from_numpy(features).to(dtype)[None]
        weights = [torch.from_numpy(level).to(dtype) for level in levels]
        for layout, matrices in (
            (name, [w.T for w in weights]),
            (f"{name}, transposed", [w.T.contiguous() for w in weights]),
        ):
            calls[layout] = _taking_turns(multiply, x, cycle(matrices))
    return calls


def _taking_turns(multiply, x, matrices) -> Callable[[], object]:
    return lambda: multiply(x, next(matrices))


def seconds(run: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def product() -> list[dict]:
    calls = contestants()
    for run in calls.values():
        seconds(run, MATRICES)  # compile, warm up
    rounds = [{name: seconds(run, MATRICES) for name, run in calls.items()} for _ in range(ROUNDS)]
    return [
        {
            "what": f"product, {name}",
            "milliseconds": 1e3 * statistics.median(r[name] for r in rounds),
            "times_ours": statistics.median(r[name] / r["ternary, ours"] for r in rounds),
        }
        for name in calls
    ]


def character() -> list[dict]:
    """A character of the model in the package, its products alone, and the same products of PyTorch's floats."""
    model, text = load_pretrained(), RANDOM.integers(0, 62, 200)
    products = [block[name] for block in model.blocks for name in PRODUCTS]
    features = [np.zeros(product.inputs, np.int8) for product in products]
    weights = [torch.randn(len(product.plus), product.inputs) for product in products]
    inputs = [torch.randn(product.inputs, 1) for product in products]
    calls = {
        "whole": (lambda: list(model.read(text)), len(text)),
        "products": (lambda: [product.sums(x) for product, x in zip(products, features, strict=True)], 1),
        "products in float32": (lambda: [w @ x for w, x in zip(weights, inputs, strict=True)], 1),
    }
    times = {name: [seconds(run, 5) / count for _ in range(ROUNDS)] for name, (run, count) in calls.items()}
    return [{"what": f"character, {name}", "milliseconds": 1e3 * statistics.median(t)} for name, t in times.items()]


def main() -> None:
    torch.set_num_threads(1)
    table = pd.DataFrame(product() + character()).round(3)
    store(RESULTS, table.to_dict("records"), {"processor": binding.get_host_cpu_name()})
    print(table.to_string())


if __name__ == "__main__":
    main()
