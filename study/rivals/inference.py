"""One-bit products and packed networks against float32 and int8, as ratios measured in the same run.

The rivals have the same number of threads, and their weights in the layout that suits them best. For float32, the
fastest of PyTorch, NumPy and ONNX Runtime counts. For int8, the faster of ONNX Runtime and of oneDNN through PyTorch
counts (see `int8`). The contestants take turns. Each ratio is the median of the ratios of all rounds. The last lines
compare the products with a limit: one instruction of this machine's widest kind per cycle.

What decides most is which instructions the processor has for bytes. `--store` writes this machine's rows into
`inference.csv`, beside those of others. oneDNN can be held to older instructions by its own variable,
ONEDNN_MAX_CPU_ISA (AVX2, AVX512_CORE, AVX512_CORE_VNNI, AVX512_CORE_AMX). ONNX Runtime cannot.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numba
import numpy as np
import onnxruntime
import torch
from llvmlite import binding
from threadpoolctl import threadpool_limits

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.packed import kernels

from .int8 import integer_product, to_float32, to_int8, to_onednn
from .results import store

RESULTS = Path(__file__).parents[1] / "results" / "inference.csv"
RANDOM = np.random.default_rng(0)
PRODUCT, SINGLE = "product 10,000 x 1,024 x 1,024", "product 1 x 4,096 x 4,096"
PIXELS = "product of pixels 10,000 x 784 x 300"


def compare(ours: Callable, peers: dict[str, Callable], rounds: int, repeat: int = 1) -> tuple[float, dict[str, float]]:
    """Seconds of ours, and how many times as long each rival takes, as medians over the rounds."""
    contestants = {"ours": ours, **peers}
    for run in contestants.values():
        run()  # compile, warm up
    times = [{name: timed(run, repeat) for name, run in contestants.items()} for _ in range(rounds)]
    ratios = {name: statistics.median(t[name] / t["ours"] for t in times) for name in peers}
    return statistics.median(t["ours"] for t in times), ratios


def timed(run: Callable, repeat: int) -> float:
    """Seconds per run, after a warm-up. First a pause: threads of OpenBLAS and OpenMP spin on after their work."""
    time.sleep(0.2)
    run()
    start = time.perf_counter()
    for _ in range(repeat):
        run()
    return (time.perf_counter() - start) / repeat


def product(rows: int, width: int, neurons: int) -> tuple[Callable, dict[str, Callable]]:
    bits, weights = (RANDOM.integers(0, 2, (n, width)).astype(bool) for n in (rows, neurons))
    words, tiled = kernels.pack_bits(bits), kernels.SignProducts(kernels.pack_bits(weights), width)
    x, w = (np.where(b, np.float32(1), np.float32(-1)) for b in (bits, weights))
    x_torch, w_torch = torch.from_numpy(x), torch.from_numpy(w)
    x_columns, w_columns = np.ascontiguousarray(w.T), w_torch.T.contiguous()
    # To get 40 MB from the system takes longer than the one-bit product. So rivals write into memory that is there,
    # and ours gives each chunk's back, as a network does.
    out = np.empty((rows, neurons), np.float32)
    out_torch = torch.from_numpy(out)
    x_int8, w_int8 = x_torch.to(torch.int8), w_torch.to(torch.int8)
    w_int8_columns = w_int8.T.contiguous()
    out_int8 = torch.empty(out.shape, dtype=torch.int32)
    session, octets = integer_product(w_int8, _options()), (x + 1).astype(np.uint8)
    return lambda: kernels.spread(lambda chunk: tiled(chunk).shape, words, 512), {
        "PyTorch": lambda: torch.mm(x_torch, w_torch.T, out=out_torch),
        "PyTorch, transposed": lambda: torch.mm(x_torch, w_columns, out=out_torch),
        "NumPy": lambda: np.matmul(x, w.T, out=out),
        "NumPy, transposed": lambda: np.matmul(x, x_columns, out=out),
        "int8, ONNX Runtime": lambda: session.run(None, {"x": octets}),
    } | of_onednn(
        {
            "int8, oneDNN": lambda: torch._int_mm(x_int8, w_int8.T, out=out_int8),
            "int8, oneDNN, transposed": lambda: torch._int_mm(x_int8, w_int8_columns, out=out_int8),
        }
    )


def pixel_product(rows: int, width: int, neurons: int) -> tuple[Callable, dict[str, Callable]]:
    """The first layer: 8-bit pixels times ±1. PyTorch's int8 has no unsigned bytes, so it gets pixels of seven bits."""
    pixels = RANDOM.integers(0, 128, (rows, width)).astype(np.uint8)
    weights = RANDOM.choice(np.array([-1, 1], np.int8), (neurons, width))
    ours, x = kernels.ByteProducts(weights.astype(np.int16), of_bytes=True), torch.from_numpy(pixels)
    x_float, x_int8, w = x.float(), x.to(torch.int8), torch.from_numpy(weights)
    w_float, w_int8, session = w.float().T.contiguous(), w.T.contiguous(), integer_product(w, _options())
    return lambda: kernels.spread(ours, pixels, 512), {
        "PyTorch": lambda: x_float @ w_float,
        "int8, ONNX Runtime": lambda: session.run(None, {"x": pixels}),
    } | of_onednn({"int8, oneDNN": lambda: torch._int_mm(x_int8, w_int8)})


def of_onednn(peers: dict[str, Callable]) -> dict[str, Callable]:
    """None without VNNI: PyTorch's product of bytes is a plain loop there, 20 times as slow as ONNX Runtime's."""
    return peers if torch.cpu._is_vnni_supported() else {}


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return options


def onnx_sessions() -> dict[str, onnxruntime.InferenceSession]:
    """784-300-100-10 with ReLU: float weights, and 8-bit weights and activations."""
    pixels = torch.from_numpy(RANDOM.integers(0, 256, (1000, 784)).astype(np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        float32, int8 = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        to_float32(bnn.binary_mlp(activation=torch.relu, forward_map=bnn.linear), float32)
        to_int8(float32, int8, pixels)
        return {path.stem: onnxruntime.InferenceSession(path, _options()) for path in (float32, int8)}


def network(
    images: int, onnx: dict, binary_input: bool = False, codes: bool = False
) -> tuple[Callable, dict[str, Callable]]:
    """784-300-100-10, from uint8 pixels to the class; the rivals have batch norm folded into one bias.

    With `codes`, hidden activations have eight bits, and are ReLU's in the rivals of floats; otherwise they are signs.
    """
    activation = bnn.quantised_relu if codes else bnn.clipped_sign_ste
    model = bnn.binary_mlp(activation=activation, binary_input=binary_input).eval()
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
    with_onednn = to_onednn([*zip(w_torch, b_torch, strict=True)], pixels_torch[:1000])

    in_numpy = partial(np.maximum, np.float32(0)) if codes else partial(np.copysign, np.float32(1))
    in_torch = torch.relu if codes else torch.sign

    def with_numpy():
        x = np.sign(pixels.astype(np.float32) - 127.5) if binary_input else pixels.astype(np.float32)
        for w, b in zip(columns[:-1], biases[:-1], strict=True):
            x = in_numpy(x @ w + b)
        return (x @ columns[-1] + biases[-1]).argmax(axis=1)

    @torch.inference_mode()
    def with_torch():
        x = torch.sign(pixels_torch.float() - 127.5) if binary_input else pixels_torch.float()
        for w, b in zip(w_torch[:-1], b_torch[:-1], strict=True):
            x = in_torch(torch.nn.functional.linear(x, w, b))
        return torch.nn.functional.linear(x, w_torch[-1], b_torch[-1]).argmax(dim=1)

    def with_onnx():
        return onnx["float32"].run(None, {"pixels": pixels.astype(np.float32)})[0].argmax(axis=1)

    def with_int8():
        return onnx["int8"].run(None, {"pixels_quantized": pixels})[0].argmax(axis=1)

    peers = {"PyTorch": with_torch, "NumPy": with_numpy, "ONNX Runtime": with_onnx, "int8, ONNX Runtime": with_int8}
    return lambda: ours.predict(pixels), peers | {"int8, oneDNN": lambda: with_onednn(pixels_torch)}


def memory(codes: bool) -> int:
    """Bytes of arrays that 784-300-100-10 holds once it has been ready for one image and for many."""
    model = bnn.binary_mlp(activation=bnn.quantised_relu if codes else bnn.clipped_sign_ste).eval()
    tracemalloc.start()
    ours = packed.PackedNetwork.from_model(model)
    for images in (1, 1000):
        ours.predict(np.zeros((images, 784), np.uint8))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


@numba.njit
def _chain(steps):
    x = np.uint64(1)
    for _ in range(steps):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return x


def cycles_per_second() -> float:
    """From a chain of three shifts and three XORs, each of which takes a cycle and waits for the previous one."""
    steps = 10_000_000
    _chain(steps)
    return 6 * steps / min(timed(lambda: _chain(steps), 1) for _ in range(9))


def widest() -> tuple[tuple[int, str], tuple[int, str]]:
    """How many bits this machine's widest instruction counts, and how many pairs of bytes another multiplies."""
    features = binding.get_host_cpu_features()
    # Without it, LLVM looks up the ones of half a byte in a register, 32 bytes at a time: some seven instructions.
    bits = (512, "AVX-512 VPOPCNTDQ") if features.get("avx512vpopcntdq") else (256, "VPSHUFB")
    if features.get("avx512vnni"):
        return bits, (64, "AVX-512 VNNI")
    return bits, (32, "VPMADDUBSW of AVX2") if features.get("avx2") else (16, "multiplication of 16 bytes")


def instructions() -> str:
    """What this machine has for products of bytes, by name, as far as oneDNN is allowed to know."""
    features, limit = binding.get_host_cpu_features(), os.environ.get("ONEDNN_MAX_CPU_ISA")
    kinds = {"amx-int8": "AMX", "avx512vnni": "VNNI", "avxvnni": "AVX-VNNI", "avx2": "AVX2", "dotprod": "Arm's SDOT"}
    found = next((name for feature, name in kinds.items() if features.get(feature)), "none of these")
    return f"{found}, oneDNN limited to {limit}" if limit else found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21, help="turns that each contestant takes (%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of all (%(default)s)")
    parser.add_argument("--store", action="store_true", help=f"write the rows into {RESULTS.name}")
    options = parser.parse_args()
    numba.set_num_threads(options.threads)  # first, since numba's OpenMP sets PyTorch's threads, too
    torch.set_num_threads(options.threads)

    onnx = onnx_sessions()
    cases = {
        PRODUCT: (product(10_000, 1024, 1024), 1, 15),
        SINGLE: (product(1, 4096, 4096), 20, 50),
        PIXELS: (pixel_product(10_000, 784, 300), 1, None),
        "784-300-100-10, 10,000 images of 8-bit pixels": (network(10_000, onnx), 1, 5),
        "784-300-100-10, 10,000 images of 1-bit pixels": (network(10_000, onnx, binary_input=True), 1, 15),
        "784-300-100-10, 10,000 images, W1A8": (network(10_000, onnx, codes=True), 1, None),
        "784-300-100-10, one image of 8-bit pixels": (network(1, onnx), 200, 2),
        "784-300-100-10, one image of 1-bit pixels": (network(1, onnx, binary_input=True), 200, 2),
        "784-300-100-10, one image, W1A8": (network(1, onnx, codes=True), 200, None),
    }
    print(f"One-bit inference against float32 and int8, {options.threads} threads, {binding.get_host_cpu_name()}:")
    seconds, rows = {}, []
    machine = {"processor": binding.get_host_cpu_name(), "instructions": instructions(), "threads": options.threads}
    with threadpool_limits(options.threads):
        for name, ((ours, peers), repeat, goal) in cases.items():
            seconds[name], ratios = compare(ours, peers, options.rounds, repeat)
            float32, int8 = (min((r, n) for n, r in ratios.items() if ("int8" in n) == is_int8) for is_int8 in (0, 1))
            reach = "" if goal is None else f" (to reach: {goal})"
            print(f"  {name:46} {seconds[name] * 1e6:10.1f} µs, {float32[0]:5.1f} times {float32[1]}{reach}")
            print(f"  {'':46} {'':14} {int8[0]:5.1f} times {int8[1]}")
            times = {"float32": round(float32[0], 2), "int8": round(int8[0], 2), "int8_by": int8[1].split(", ")[1]}
            rows.append({"what": name, "microseconds": round(seconds[name] * 1e6, 1)} | times)
    if options.store:
        store(RESULTS, rows, machine)
    for name, codes in (("W1A1", False), ("W1A8", True)):
        held = memory(codes)
        print(f"  784-300-100-10, {name}: {held:,} bytes in memory, {held / 266_200:.1f} times the weights of int8.")
    cycles = cycles_per_second() * options.threads
    (bits, of_bits), (macs, of_bytes) = widest()
    a_cycle = 10_000 * 1024**2 / seconds[PRODUCT] / cycles
    print(f"  {PRODUCT}: {a_cycle:.0f} bits a cycle and thread, {a_cycle / bits:.0%} of one {of_bits} a cycle.")
    print("    The limit: loading, XOR and adding take two to three instructions for each one that counts bits.")
    a_cycle = 10_000 * 784 * 300 / seconds[PIXELS] / cycles
    print(f"  {PIXELS}: {a_cycle:.0f} pixels a cycle and thread, {a_cycle / macs:.0%} of one {of_bytes} a cycle.")
    print(f"  {SINGLE}: {4096**2 / 8 / seconds[SINGLE] / 1e9:.0f} GB/s of weights.")
    print("    The limit: each weight is used once, so the caches set the pace, not the counting.")


if __name__ == "__main__":
    main()
