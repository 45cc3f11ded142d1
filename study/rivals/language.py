"""How long a character takes, and a large product: `python -m study.rivals.language`, on one core.

The product is of one row of 8-bit features with 4,096x4,096 weights, as in models of billions, where what counts is to
get the weights from memory. Eight matrices take turns, so that none is still in a near cache. PyTorch has the same
weights as float32, bfloat16 and int8, in both layouts. Medians over the rounds, and ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import cycle

import numpy as np
import torch

from bnn_tutorial.packed.language import PRODUCTS, Matrix, Product, load_pretrained

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


def main() -> None:
    torch.set_num_threads(1)
    calls = contestants()
    for run in calls.values():
        seconds(run, MATRICES)  # compile, warm up
    rounds = [{name: seconds(run, MATRICES) for name, run in calls.items()} for _ in range(ROUNDS)]
    print(f"one row times {SIZE} x {SIZE}")
    for name in calls:
        took = statistics.median(r[name] for r in rounds)
        ratio = statistics.median(r[name] / r["ternary, ours"] for r in rounds)
        print(f"  {name:22} {1e3 * took:7.3f} ms  {ratio:5.1f}")
    model = load_pretrained()
    text = RANDOM.integers(0, 62, 200)
    whole = statistics.median(seconds(lambda: list(model.read(text)), 1) / len(text) for _ in range(5))
    ours = [(p.sums, np.zeros(p.inputs, np.int8)) for block in model.blocks for p in (block[name] for name in PRODUCTS)]
    theirs = [torch.randn(len(p.plus), p.inputs) for block in model.blocks for p in (block[name] for name in PRODUCTS)]
    inputs = [torch.randn(weight.shape[1], 1) for weight in theirs]
    sums = statistics.median(seconds(lambda: [run(x) for run, x in ours], 50) for _ in range(ROUNDS))
    floats = statistics.median(
        seconds(lambda: [w @ x for w, x in zip(theirs, inputs, strict=True)], 50) for _ in range(ROUNDS)
    )
    print(f"a character of the packed model: {1e3 * whole:.2f} ms, of these its 16 products {1e3 * sums:.3f}")
    print(f"the same 16 products in PyTorch's float32: {1e3 * floats:.3f} ms")


if __name__ == "__main__":
    main()
