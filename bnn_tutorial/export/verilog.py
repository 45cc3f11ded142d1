"""A packed network as a circuit, in Verilog-2001: `python -m bnn_tutorial.export.verilog FILE`.

The circuit takes an image at every clock and has a register behind each layer. Its weights are fixed: where a weight
is +1, the wire of the input goes on as it is, where it is -1, through an inverter. So a neuron of bits is a count of
ones, compared with its threshold. All that is counted is a whole number from zero up: of an input of several bits, the
bits count 1, 2, 4 and so on, and where one has to be subtracted, its inverse is added. What is then too much is the same
for all images, so it is part of the threshold.

`parts.v` has the counters, which are the same in all circuits. What they count gives the sums of `PackedNetwork.sums`,
and the class is that of `PackedNetwork.predict`.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray as Array

from ..packed import kernels
from ..packed.files import replace
from ..packed.folding import UNIT, FoldedLayer
from ..packed.network import PackedNetwork

__all__ = ["to_verilog"]

PARTS = Path(__file__).with_name("parts.v")


class Counts(NamedTuple):
    """What the neurons of a layer count: n, from which sum = unit (n - offset) for the neurons of bytes.

    Attributes:
        digits: (places, M, K) of -1, 0 and 1: the weights, of which a digit in place j counts 2^j.
        bits: of an input.
        unit, offset: sum = unit * n - offset; `offset` is (M,).
        most: (M,), the largest n.
    """

    digits: Array
    bits: int
    unit: int
    offset: Array
    most: Array

    @classmethod
    def of(cls, digits: Array, bits: int, signs: bool) -> Counts:
        """An input is a number of so many bits b; with `signs` it is 2b - 1."""
        worth = (2 ** np.arange(len(digits)))[:, None]
        added, inverted, used = (
            (worth * (2**bits - 1) * kind.sum(axis=2)).sum(axis=0) for kind in (digits, digits < 0, digits != 0)
        )
        return cls(digits, bits, 1 + signs, 2 * inverted + added if signs else inverted, used)


def to_verilog(network: PackedNetwork, path: str | Path) -> None:
    """Write the network as one file of Verilog-2001, with a module of the file's name.

    For "mnist.v" it is `mnist(clk, x, best, sums)`. `x` has the inputs of an image, the first in the lowest bits. A network
    of n layers has the last layer's sums after n clocks, and the number of the best class after one more.

    Raises:
        ValueError: if the file's name is no name in Verilog, or the network cannot be written, with the reason.
    """
    path = Path(path)
    if path.suffix != ".v" or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", path.stem):
        raise ValueError(f"expected a name in Verilog with the suffix .v, such as mnist.v, got {path.name!r}")
    for i, layer in enumerate(network.layers):
        if layer.weight.ndim != 2:
            raise ValueError(f"layer {i} is a convolution: only dense layers are written, of which all places are wired")
    replace(path, f"{_all_at_once(network, path.stem)}\n{PARTS.read_text()}".encode())


def _all_at_once(network: PackedNetwork, name: str) -> str:
    lines, bits = [], 8 if network.pixel_threshold is None else 1
    inputs = network.layers[0].inputs * bits
    for i, layer in enumerate(network.layers):
        counts, (neurons, size) = Counts.of(_digits(layer), bits, i > 0 or bits == 1), layer.weight.shape
        lines += ["", f"  // Layer {i}: {neurons} neurons, {size} inputs of {bits} bit{'s' * (bits > 1)}."]
        lines += [f"  wire [{size * bits - 1}:0] p{i};", f"  planes #({size}, {bits}) planes_{i}(x{i}, p{i});"]
        lines += [line for m in range(neurons) for line in neuron(f"n{i}_{m}", f"p{i}", counts, m)]
        if layer.threshold is not None:
            least = -(-(layer.threshold + counts.offset) // counts.unit)
            reached = [_reached(f"n{i}_{m}", *pair) for m, pair in enumerate(zip(least, counts.most, strict=True))]
            lines += _register(f"x{i + 1}", reached)
            bits = 1
    wide = int(counts.unit * counts.most.max() + abs(counts.offset).max()).bit_length() + 1
    lines += ["", "  // The class whose logit is largest. Each count has the rank of its logit among all there are."]
    lines += _largest(layer, counts, f"n{i}", wide)
    ports = f"input clk, input [{inputs - 1}:0] x, output reg [{_width(neurons - 1) - 1}:0] best"
    head = f"module {name}({ports}, output [{neurons * wide - 1}:0] sums);\n  wire [{inputs - 1}:0] x0 = x;"
    return "\n".join([head, *lines, "endmodule", ""])


def neuron(name: str, x: str, counts: Counts, m: int) -> list[str]:
    """Verilog that counts what neuron m does."""
    columns = defaultdict(list)
    for place, row in enumerate(counts.digits[:, m]):
        (kept,) = np.nonzero(row)
        for bit in range(counts.bits if len(kept) else 0):
            start = bit * len(row)
            if len(kept) == len(row):
                ones = sum(1 << int(k) for k in np.flatnonzero(row > 0))
                text = f"{x}[{start + len(row) - 1}:{start}] ~^ {len(row)}'h{ones:x}"
            else:
                wires = [f"{'~' * (row[k] < 0)}{x}[{start + k}]" for k in kept[::-1]]
                text = f"{{{', '.join(wires)}}}"
            columns[place + bit].append((text, len(kept)))
    return add_up(name, columns)


def add_up(name: str, columns: dict[int, list[tuple[str, int]]]) -> list[str]:
    """Verilog that adds up bits: column i has texts with so many bits, each of which counts 2^i.

    In each round, the ones of every column are counted, and the bits of what is counted take their places in this
    column and the next ones, until no column has more than two. Those are added as on paper.
    """
    lines, numbers = [], count()

    def counted(parts, wire=None):
        size, wire = sum(bits for _, bits in parts), wire or f"{name}_{next(numbers)}"
        texts = parts[0][0] if len(parts) == 1 else f"{{{', '.join(text for text, _ in parts)}}}"
        lines.append(f"  wire [{_width(size) - 1}:0] {wire};")
        lines.append(f"  count #({size}, {_width(size)}) c_{wire}({texts}, {wire});")
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
    carry, digits, i = [], [], 0
    while carry or i <= max(columns, default=0):
        parts = columns.get(i, []) + carry
        low, *carry = counted(parts) if len(parts) > 1 else parts or [("1'b0", 1)]
        digits.insert(0, low[0])
        i += 1
    return [*lines, f"  wire [{len(digits) - 1}:0] {name} = {{{', '.join(digits)}}};"]


def _digits(layer: FoldedLayer) -> Array:
    return 2 * layer.weight.astype(np.int64)[None] - 1


def _reached(name: str, least: int, most: int) -> str:
    return f"1'b{int(least <= 0)}" if not 0 < least <= most else f"{name} >= {_width(least)}'d{least}"


def _register(name: str, values: list[str], bits: int = 1) -> list[str]:
    """A register of values of so many bits, the first in the lowest bits."""
    stored = [f"    {name}[{bits * m} +: {bits}] <= {value};" for m, value in enumerate(values)]
    return [f"  reg [{bits * len(values) - 1}:0] {name};", "  always @(posedge clk) begin", *stored, "  end"]


def _largest(layer: FoldedLayer, counts: Counts, name: str, wide: int) -> list[str]:
    n = np.arange(counts.most.max() + 1)[:, None]
    ranks, width = _ranks(kernels.affine((counts.unit * n - counts.offset).astype(np.int32), 1, layer.scale, layer.shift))
    lines, classes = [], _width(len(layer.weight) - 1)
    for m, (column, most) in enumerate(zip(ranks.T, counts.most, strict=True)):
        digits = _width(most)
        lines += [f"  reg [{digits - 1}:0] r{m};", f"  reg [{width - 1}:0] rank_{m};"]
        lines += [f"  always @(posedge clk) r{m} <= {name}_{m};"]
        lines += [f"  assign sums[{wide * m} +: {wide}] = {counts.unit} * r{m} - {wide}'d{counts.offset[m] % 2**wide};"]
        cases = " ".join(f"{digits}'d{k}: rank_{m} = {rank};" for k, rank in enumerate(column[: most + 1].tolist()))
        lines += [f"  always @* case (r{m}) {cases} default: rank_{m} = {width}'bx; endcase"]
    best = [(f"rank_{m}", f"{classes}'d{m}") for m in range(len(layer.weight))]
    for k in count():
        if len(best) == 1:
            return [*lines, f"  always @(posedge clk) best <= {best[0][1]};"]
        (a, i), (b, j), *rest = best
        lines += [f"  wire [{width - 1}:0] top{k} = {a} > {b} ? {a} : {b};"]
        lines += [f"  wire [{classes - 1}:0] who{k} = {a} > {b} ? {i} : {j};"]
        best = [*rest, (f"top{k}", f"who{k}")]


def _ranks(logits: Array) -> tuple[Array, int]:
    """(sums, classes) -> numbers in the same order, of which none is in two classes: of equal logits the first wins."""
    classes = np.broadcast_to(np.arange(logits.shape[1]), logits.shape)
    order = np.lexsort((-classes.ravel(), logits.ravel()))
    changes = np.diff(classes.ravel()[order], prepend=-1) != 0
    ranks = np.empty(logits.size, np.int64)
    ranks[order] = np.cumsum(changes) - 1
    return ranks.reshape(logits.shape), _width(ranks.max())


def _width(most: int) -> int:
    """Bits of a number from 0 to `most`."""
    return max(1, int(most).bit_length())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a packed network, what `PackedNetwork.save` wrote")
    parser.add_argument("--output", type=Path, help="the Verilog file; default: beside it, with the suffix .v")
    options = parser.parse_args()
    output = options.output or options.file.with_suffix(".v")
    to_verilog(PackedNetwork.load(options.file), output)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
