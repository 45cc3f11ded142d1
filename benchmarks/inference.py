"""One-bit products and packed networks against float32, as ratios measured in the same run.

The peer is the faster of PyTorch and NumPy on the same number of threads, with its weights in the layout that it likes
best. The contestants take turns; each ratio is the median over the rounds of the ratio in a round. The last lines say
how close the product comes to a limit: in each cycle one popcount of this machine's widest kind.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numba
import numpy as np
import torch
from llvmlite import binding
from threadpoolctl import threadpool_limits

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.packed import kernels

RANDOM = np.random.default_rng(0)


def compare(ours: Callable, peers: dict[str, Callable], rounds: int, repeat: int = 1) -> tuple[float, float, str]:
    """Seconds of ours, median ratio to the faster peer, and which peer that is."""
    contestants = {"ours": ours, **peers}
    for run in contestants.values():
        run()  # compile, warm up
    times = [{name: timed(run, repeat) for name, run in contestants.items()} for _ in range(rounds)]
    best = min(peers, key=lambda name: statistics.median(t[name] for t in times))
    ratio = statistics.median(t[best] / t["ours"] for t in times)
    return statistics.median(t["ours"] for t in times), ratio, best


def timed(run: Callable, repeat: int) -> float:
    """Seconds a run, warmed up. First a rest: OpenBLAS's and OpenMP's threads spin on for a while after their work."""
    time.sleep(0.2)
    run()
    start = time.perf_counter()
    for _ in range(repeat):
        run()
    return (time.perf_counter() - start) / repeat


def product(rows: int, width: int, neurons: int) -> tuple[Callable, dict[str, Callable]]:
    bits, weights = (RANDOM.integers(0, 2, (n, width)).astype(bool) for n in (rows, neurons))
    words, tiled = kernels.pack_bits(bits), kernels.Neurons(kernels.pack_bits(weights), width)
    x, w = (np.where(b, np.float32(1), np.float32(-1)) for b in (bits, weights))
    x_torch, w_torch = torch.from_numpy(x), torch.from_numpy(w)
    x_columns, w_columns = np.ascontiguousarray(w.T), w_torch.T.contiguous()
    # All write into memory that is there: to get 40 MB from the system takes longer than the one-bit product.
    sums, out = np.empty((rows, tiled.columns), np.int32), np.empty((rows, neurons), np.float32)
    out_torch = torch.from_numpy(out)
    return lambda: tiled._run(words, sums), {
        "PyTorch": lambda: torch.mm(x_torch, w_torch.T, out=out_torch),
        "PyTorch, transposed": lambda: torch.mm(x_torch, w_columns, out=out_torch),
        "NumPy": lambda: np.matmul(x, w.T, out=out),
        "NumPy, transposed": lambda: np.matmul(x, x_columns, out=out),
    }


def network(images: int, binary_input: bool) -> tuple[Callable, dict[str, Callable]]:
    """784-300-100-10, from uint8 pixels to the class; the peers have batch norm folded into one bias."""
    model = bnn.binary_mlp(binary_input=binary_input).eval()
    ours = packed.PackedNetwork.from_model(model)
    pixels = RANDOM.integers(0, 256, (images, 784)).astype(np.uint8)
    weights = [
        np.where(layer.weight.detach().numpy() >= 0, np.float32(1), np.float32(-1))
        for layer in bnn.binary_layers(model)
    ]
    columns = [np.ascontiguousarray(w.T) for w in weights]
    biases = [np.zeros(len(w), np.float32) for w in weights]
    w_torch, b_torch = ([torch.from_numpy(array) for array in arrays] for arrays in (weights, biases))
    pixels_torch = torch.from_numpy(pixels)

    def with_numpy():
        x = np.sign(pixels.astype(np.float32) - 127.5) if binary_input else pixels.astype(np.float32)
        for w, b in zip(columns[:-1], biases[:-1], strict=True):
            x = np.copysign(np.float32(1), x @ w + b)
        return (x @ columns[-1] + biases[-1]).argmax(axis=1)

    @torch.inference_mode()
    def with_torch():
        x = torch.sign(pixels_torch.float() - 127.5) if binary_input else pixels_torch.float()
        for w, b in zip(w_torch[:-1], b_torch[:-1], strict=True):
            x = torch.sign(torch.nn.functional.linear(x, w, b))
        return torch.nn.functional.linear(x, w_torch[-1], b_torch[-1]).argmax(dim=1)

    return lambda: ours.predict(pixels), {"PyTorch": with_torch, "NumPy": with_numpy}


@numba.njit
def _chain(steps):
    x = np.uint64(1)
    for _ in range(steps):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return x


def cycles_per_second() -> float:
    """From a chain of three shifts and three XORs, each of which takes a cycle and waits for the one before."""
    steps = 10_000_000
    _chain(steps)
    return 6 * steps / min(timed(lambda: _chain(steps), 1) for _ in range(9))


def popcount_width() -> tuple[int, str]:
    """Bits that this machine's widest popcount takes in an instruction, and the instruction."""
    features = binding.get_host_cpu_features()
    if features.get("avx512vpopcntdq"):
        return 512, "AVX-512 VPOPCNTDQ"
    return (64, "POPCNT") if features.get("popcnt") else (8, "tables")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21, help="turns that each contestant takes (%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of all (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    numba.set_num_threads(options.threads)

    cases = {
        "product 10,000 x 1,024 x 1,024": (product(10_000, 1024, 1024), 1, 15),
        "product 1 x 4,096 x 4,096": (product(1, 4096, 4096), 20, 50),
        "784-300-100-10, 10,000 images of 8-bit pixels": (network(10_000, False), 1, 5),
        "784-300-100-10, 10,000 images of 1-bit pixels": (network(10_000, True), 1, 15),
        "784-300-100-10, one image of 8-bit pixels": (network(1, False), 200, 2),
        "784-300-100-10, one image of 1-bit pixels": (network(1, True), 200, 2),
    }
    print(f"One-bit inference against float32, {options.threads} threads:")
    seconds = {}
    with threadpool_limits(options.threads):
        for name, ((ours, peers), repeat, goal) in cases.items():
            seconds[name], ratio, best = compare(ours, peers, options.rounds, repeat)
            print(f"  {name:46} {seconds[name] * 1e6:10.1f} µs, {ratio:5.1f} times {best} (to reach: {goal})")
    batch, single = "product 10,000 x 1,024 x 1,024", "product 1 x 4,096 x 4,096"
    width, instruction = popcount_width()
    a_cycle = 10_000 * 1024**2 / seconds[batch] / cycles_per_second() / options.threads
    print(f"  {batch}: {a_cycle:.0f} bits a cycle and thread, {a_cycle / width:.0%} of one {instruction} a cycle.")
    print("    What holds it back: to load, XOR and add takes two to three instructions for each that counts.")
    print(f"  {single}: {4096**2 / 8 / seconds[single] / 1e9:.0f} GB/s of weights.")
    print("    What holds it back: each weight is used once, so the caches set the pace, not the counting.")


if __name__ == "__main__":
    main()
