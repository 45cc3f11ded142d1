"""A packed network as a circuit, in Verilog-2001: `python -m bnn_tutorial.export.verilog FILE`.

All at once: the circuit takes an image at every clock, and has a register behind each layer. Its weights are fixed:
where a weight is +1, the wire of the input goes on as it is, where it is -1, through an inverter. So a neuron of bits
is a count of ones, compared with its threshold. One after the other: for small chips, the neurons of a layer take turns
at one counter, and the weights lie in memory.

All that is counted is a whole number n from zero up. Of an input of several bits, the bits count 1, 2, 4 and so on;
where one has to be subtracted, its inverse is added. What is then too much is the same for all images, and part of the
threshold. `parts.v` has what is the same in all circuits.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray as Array

from ..packed import kernels
from ..packed.files import replace
from ..packed.folding import FoldedLayer
from ..packed.network import PackedNetwork

__all__ = ["to_verilog"]

PARTS = Path(__file__).with_name("parts.v")


class Counts(NamedTuple):
    """What the neurons of a layer count: n, with sum = unit * n - offset, and at most `most`.

    `digits` (places, M, K) of -1, 0 and 1 are the weights: a digit in place j counts 2^j. An input has so many `bits`.
    """

    digits: Array
    bits: int
    unit: int
    offset: Array
    most: Array

    @classmethod
    def of(cls, digits: Array, bits: int, signs: bool) -> Counts:
        """An input is a number b of so many bits; with `signs` it stands for 2b - 1."""
        worth = (2 ** np.arange(len(digits)))[:, None] * (2**bits - 1)
        added, inverted, used = ((worth * d.sum(axis=2)).sum(axis=0) for d in (digits, digits < 0, digits != 0))
        return cls(digits, bits, 1 + signs, 2 * inverted + added if signs else inverted, used)


def to_verilog(network: PackedNetwork, path: str | Path, at_once: int | None = None) -> None:
    """Write the network as one file of Verilog-2001, with a module of the file's name.

    For "mnist.v" it is `mnist(clk, x, best, sums)`. `x` has the inputs of an image, the first in the lowest bits. A
    network of n layers has the last layer's sums after n clocks, and the best class after one more.

    With `at_once` it is `mnist(clk, valid, x, ready, summed, sum, done, best)`. It takes some inputs at each clock with
    `valid`, which needs `ready`; says `summed` with each sum of the last layer, and `done` with the best class.

    Args:
        network: of dense layers.
        path: of the file.
        at_once: None, or how many inputs a neuron of the first layer takes at a clock, the neurons one after the other.

    Raises:
        ValueError: if the file's name is no name in Verilog, or the network cannot be written, with the reason.
    """
    path = Path(path)
    if path.suffix != ".v" or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", path.stem):
        raise ValueError(f"expected a name in Verilog with the suffix .v, such as mnist.v, got {path.name!r}")
    for i, layer in enumerate(network.layers):
        if layer.weight.ndim != 2:
            raise ValueError(f"layer {i} is a convolution: only dense layers are written, whose inputs are all wired")
    if at_once is not None and not 0 < at_once <= network.layers[0].inputs:
        raise ValueError(f"at_once must be from 1 to {network.layers[0].inputs}, the inputs, got {at_once}")
    lines = _all_at_once(network) if at_once is None else _one_after_the_other(network, at_once)
    lines = [f"module {path.stem}({lines[0]});", *(f"  {line}" for line in lines[1:]), "endmodule", ""]
    replace(path, ("\n".join(lines) + "\n" + PARTS.read_text()).encode())


def _layers(network: PackedNetwork) -> Iterable[tuple[int, FoldedLayer, Counts]]:
    bits = 8 if network.pixel_threshold is None else 1
    for i, layer in enumerate(network.layers):
        digits = signed_digits(2 * layer.weight.astype(np.int64) - 1)
        yield i, layer, Counts.of(digits, 1 if i else bits, signs=i > 0 or bits == 1)


def _all_at_once(network: PackedNetwork) -> list[str]:
    lines = []
    for i, layer, counts in _layers(network):
        neurons, size = layer.weight.shape
        wires = size * counts.bits
        lines += ["", f"// Layer {i}: {neurons} neurons, {size} inputs of {counts.bits} bit{'s' * (counts.bits > 1)}."]
        lines += [f"wire [{wires - 1}:0] p{i};", f"planes #({size}, {counts.bits}) planes_{i}({f'x{i}' if i else 'x'}, p{i});"]
        lines += [line for m in range(neurons) for line in neuron(f"n{i}_{m}", f"p{i}", counts, m)]
        if layer.threshold is not None:
            values = [_reached(f"n{i}_{m}", least, counts.most[m]) for m, least in enumerate(_least(layer, counts))]
            lines += _register(f"x{i + 1}", 1, values)
    wide, classes, table = _sum_width(counts), _width(neurons - 1), _ranks(layer, counts)
    lines += ["", "// The best class: each count n has the rank of its logit among all logits that there are."]
    for m, ranks in enumerate(table):
        lines += _register(f"r{m}", _width(counts.most[m]), [f"n{i}_{m}"])
        lines += [f"assign sums[{wide * m} +: {wide}] = {counts.unit} * r{m} - {wide}'d{counts.offset[m] % 2**wide};"]
        lines += _table(f"rank{m}", f"r{m}", ranks, table.max(), clock="*")
    ranks = ", ".join(f"rank{m}" for m in reversed(range(neurons)))
    lines += [f"wire [{_width(table.max()) - 1}:0] most;", f"wire [{classes - 1}:0] who;"]
    lines += [f"largest #({neurons}, {_width(table.max())}, {classes}) best_of({{{ranks}}}, most, who);"]
    lines += ["always @(posedge clk) best <= who;"]
    inputs, bits = network.layers[0].inputs, 8 if network.pixel_threshold is None else 1
    ports = f"input clk, input [{inputs * bits - 1}:0] x, output reg [{classes - 1}:0] best, output [{neurons * wide - 1}:0] sums"
    return [ports, *lines]


def _one_after_the_other(network: PackedNetwork, at_once: int) -> list[str]:
    lines, period = [], None
    for i, layer, counts in _layers(network):
        (neurons, size), lanes, width = layer.weight.shape, 1, at_once
        if period is None:
            period = neurons * -(-size // width)
            lanes = [d for d in range(1, width + 1) if width % d == size % d == 0]
            lanes = next((d for d in lanes if size // d <= period), lanes[-1])
            first = f"input clk, input valid, input [{lanes * counts.bits - 1}:0] x, output ready"
        else:
            width = next(p for p in count(1) if neurons * -(-size // p) <= period)
        words = -(-size // width)
        a, m, s = _width(neurons * words - 1), _width(neurons - 1), _width(counts.most.max())
        sizes = f"{size}, {neurons}, {width}, {counts.bits}, 1, {s}, {lanes}, {a}, {m}, {_width(width)}"
        begin, end = np.split(counts.digits[0] > 0, [(words - 1) * width], axis=1)
        padded = np.concatenate([begin, np.ones((neurons, words * width - size), bool), end], axis=1)
        lines += ["", f"// Layer {i}: {neurons} neurons of {size} inputs, {width} at a time."]
        lines += [f"wire [{a - 1}:0] at{i};", f"wire [{m - 1}:0] m{i};", f"wire [{s - 1}:0] n{i};", f"wire done{i};"]
        lines += _table(f"w{i}", f"at{i}", map(_number, padded.reshape(-1, width)), 2**width - 1)
        came = ("valid", "x", "ready") if i == 0 else (f"v{i}", f"x{i}", "")
        lines += [f"layer #({sizes}) layer{i}(clk, {', '.join(came)}, at{i}, w{i}, done{i}, m{i}, n{i});"]
        lines += [f"reg [{s - 1}:0] s{i};", f"reg v{i + 1};", f"initial v{i + 1} = 0;"]
        lines += [f"always @(posedge clk) {{v{i + 1}, s{i}}} <= {{done{i}, n{i}}};"]
        if layer.threshold is not None:
            lines += _table(f"least{i}", f"m{i}", np.clip(_least(layer, counts), 0, counts.most + 1), counts.most.max() + 1)
            lines += [f"wire x{i + 1} = s{i} >= least{i};"]
    wide, table = _sum_width(counts), _ranks(layer, counts)
    by_address = np.zeros((neurons, 2**s), np.int64)
    by_address[:, : table.shape[1]] = table
    lines += _table("offset", f"m{i}", counts.offset % 2**wide, 2**wide - 1)
    lines += _table("rank", f"{{m{i}, n{i}}}", by_address.ravel(), table.max())
    lines += [f"reg [{m - 1}:0] who;", f"always @(posedge clk) who <= m{i};"]
    lines += [f"assign summed = v{i + 1}, sum = {counts.unit} * s{i} - offset;"]
    lines += [f"largest_so_far #({neurons}, {_width(table.max())}, {m}) best_of(clk, v{i + 1}, rank, who, done, best);"]
    return [f"{first}, output summed, output [{wide - 1}:0] sum, output done, output [{m - 1}:0] best", *lines]


def signed_digits(numbers: Array) -> Array:
    """(places, ...) of -1, 0 and 1: the few powers of two whose sum a number is, no two of them neighbours.

    Source: Reitwiesner 1960, the "canonical signed digits".
    """
    digits = []
    while numbers.any() or not digits:
        digits.append(np.where(numbers % 2 == 1, 2 - numbers % 4, 0))
        numbers = (numbers - digits[-1]) // 2
    return np.stack(digits)


def neuron(name: str, x: str, counts: Counts, m: int) -> list[str]:
    """Verilog that counts what neuron m does; x has all the lowest bits of the inputs first."""
    columns = defaultdict(list)
    for place, row in enumerate(counts.digits[:, m]):
        (kept,) = np.nonzero(row)
        for bit in range(counts.bits if len(kept) else 0):
            start = bit * len(row)
            if len(kept) == len(row):
                text = f"{x}[{start + len(row) - 1}:{start}] ~^ {len(row)}'h{_number(row > 0):x}"
            else:
                wires = [f"{'~' * (row[k] < 0)}{x}[{start + k}]" for k in kept[::-1]]
                text = f"{{{', '.join(wires)}}}"
            columns[place + bit].append((text, len(kept)))
    return add_up(name, columns)


def add_up(name: str, columns: dict[int, list[tuple[str, int]]]) -> list[str]:
    """Verilog that adds up bits: column i has texts with so many bits, each of which counts 2^i.

    In each round the ones of every column are counted, and the bits of these counts take their places in this column
    and the next ones, until no column has more than two. Those are added as on paper.
    """
    lines, numbers = [], count()

    def counted(parts, wire=None):
        size, wire = sum(bits for _, bits in parts), wire or f"{name}_{next(numbers)}"
        texts = parts[0][0] if len(parts) == 1 else f"{{{', '.join(text for text, _ in parts)}}}"
        lines.append(f"wire [{_width(size) - 1}:0] {wire};")
        lines.append(f"count #({size}, {_width(size)}) c_{wire}({texts}, {wire});")
        return [(f"{wire}[{j}]", 1) for j in range(_width(size))]

    if list(columns) == [0]:
        counted(columns[0], name)
        return lines
    while any(sum(bits for _, bits in parts) > 2 for parts in columns.values()):
        following = defaultdict(list)
        for i, parts in sorted(columns.items()):
            small = sum(bits for _, bits in parts) <= 2
            for j, bit in [(0, part) for part in parts] if small else enumerate(counted(parts)):
                following[i + j].append(bit)
        columns = following
    carry, digits = [], []
    while carry or len(digits) <= max(columns, default=0):
        parts = columns.get(len(digits), []) + carry
        low, *carry = counted(parts) if len(parts) > 1 else parts or [("1'b0", 1)]
        digits.insert(0, low[0])
    return [*lines, f"wire [{len(digits) - 1}:0] {name} = {{{', '.join(digits)}}};"]


def _least(layer: FoldedLayer, counts: Counts) -> Array:
    """The smallest counts with which the neurons give +1."""
    return -(-(layer.threshold + counts.offset) // counts.unit)


def _reached(name: str, least: int, most: int) -> str:
    return f"1'b{int(least <= 0)}" if not 0 < least <= most else f"{name} >= {_width(least)}'d{least}"


def _register(name: str, bits: int, values: list[str]) -> list[str]:
    """A register of values of so many bits, the first in the lowest bits."""
    stored = [f"  {name}[{bits * m} +: {bits}] <= {value};" for m, value in enumerate(values)]
    return [f"reg [{bits * len(values) - 1}:0] {name};", "always @(posedge clk) begin", *stored, "end"]


def _table(name: str, address: str, values: Iterable[int], most: int, clock: str = "(posedge clk)") -> list[str]:
    """A memory: what it has at the address comes at the next clock, or with clock "*" at once."""
    sign, bits = "=" if clock == "*" else "<=", _width(most)
    cases = [f"  {k}: {name} {sign} {bits}'h{int(value):x};" for k, value in enumerate(values)]
    end = [f"  default: {name} {sign} {bits}'bx;", "endcase"]
    return [f"reg [{bits - 1}:0] {name};", f"always @{clock} case ({address})", *cases, *end]


def _ranks(layer: FoldedLayer, counts: Counts) -> Array:
    """(classes, counts) -> numbers in the order of the logits; of equal logits the first class has the largest."""
    sums = counts.unit * np.arange(counts.most.max() + 1)[:, None] - counts.offset
    logits = kernels.affine(sums.astype(np.int32), 1, layer.scale, layer.shift).T
    classes = np.broadcast_to(np.arange(len(logits))[:, None], logits.shape)
    order, ranks = np.lexsort((-classes.ravel(), logits.ravel())), np.empty(logits.size, np.int64)
    ranks[order] = np.cumsum(np.diff(classes.ravel()[order], prepend=-1) != 0) - 1
    return ranks.reshape(logits.shape)


def _sum_width(counts: Counts) -> int:
    return 1 + _width(counts.unit * counts.most.max() + abs(counts.offset).max())


def _width(most: int) -> int:
    """Bits of a number from 0 to `most`."""
    return max(1, int(most).bit_length())


def _number(bits: Array) -> int:
    """The first bit is the lowest."""
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a packed network, what `PackedNetwork.save` wrote")
    parser.add_argument("--at-once", type=int, help="inputs at a clock, neurons one after the other")
    parser.add_argument("--output", type=Path, help="the Verilog file; default: beside it, with the suffix .v")
    options = parser.parse_args()
    output = options.output or options.file.with_suffix(".v")
    to_verilog(PackedNetwork.load(options.file), output, options.at_once)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
