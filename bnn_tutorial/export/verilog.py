"""A packed network as a circuit, in Verilog-2001: `python -m bnn_tutorial.export.verilog FILE`.

All at once: the circuit takes an example at every clock, and has a register behind each layer. Its weights are fixed:
where a weight is +1, the wire of the input goes on as it is, where it is -1, through an inverter. So a neuron of bits
is a count of ones, compared with its threshold. One after the other: for small chips, the neurons of a layer take turns
at one counter, and the weights lie in memory.

All that is counted is a number n from zero up. Of an input or a weight of several bits, the bits count 1, 2, 4 and so
on; where something has to be subtracted, its inverse is added. What is then too much is the same for all examples, and
part of the threshold. `verilog.v` has what is the same in all circuits.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np
from numpy import ndarray as Array

from ..packed.files import replace
from ..packed.folding import FRACTION, FoldedLayer
from ..packed.network import PackedNetwork

__all__ = ["to_verilog"]

PARTS, LAYER = (Path(__file__).with_name(name) for name in ("verilog.v", "verilog_layer.v"))
LARGEST_TABLE = 1024  # of what a class can count; beyond it, logits are multiplied


class Counts(NamedTuple):
    """What the neurons of a layer count: n, from 0 to `most`, (M,), of which the sum is unit * n - offset.

    `digits` (places, M, K) of -1, 0 and 1 are the weights: a digit in place j counts 2^j. With `plus_inputs` the inputs
    are added once more. An input is a number of so many `bits`.
    """

    digits: Array
    plus_inputs: bool
    bits: int
    unit: int
    offset: Array
    most: Array

    @classmethod
    def of(cls, digits: Array, bits: int, signs: bool, plus_inputs: bool = False) -> Counts:
        """With `signs`, the input's bit b stands for 2b - 1."""
        worth, once = (2 ** np.arange(len(digits)))[:, None], digits.shape[2] * plus_inputs
        added, inverted, used = ((worth * d.sum(axis=2)).sum(axis=0) for d in (digits, digits < 0, digits != 0))
        top = 2**bits - 1
        offset = 2 * inverted + added + once if signs else top * inverted
        return cls(digits, plus_inputs, bits, 1 + signs, offset, top * (used + once))


class Scaled(NamedTuple):
    """The fixed point that follows a count: ((factor * n + constant) modulo 2^width >> shift) + low."""

    factor: Array
    constant: Array
    shift: int
    low: int
    width: int

    @classmethod
    def of(cls, layer: FoldedLayer, counts: Counts) -> Scaled:
        factor, shift = layer.multiplier.astype(np.int64), FRACTION + (layer.point if layer.top else 0)
        constant = (layer.offset.astype(np.int64) << FRACTION) - factor * counts.offset
        factor = factor * counts.unit
        if layer.top:
            factor, constant, shift = _fewer_bits(factor, constant, shift, counts.most, layer.top)
        ends = np.stack([constant, factor * counts.most + constant]) >> shift
        low = int(ends.min())
        return cls(factor, constant - (low << shift), shift, low, shift + _bits(ends.max() - low))


def to_verilog(network: PackedNetwork, path: str | Path, at_once: int | None = None) -> None:
    """Write the network as one file of Verilog-2001, with a module of the file's name.

    For "mnist.v" it is `mnist(clk, x, best, sums)`. `x` has the inputs of an example, the first in the lowest bits: its
    bytes, or bits where the network has a `pixel_threshold`. So many clocks later as there are layers, `sums` has what
    the last one adds up, and one clock after that `best` is the class.

    With `at_once` it is `mnist(clk, valid, x, ready, summed, sum, done, best)`. It takes some inputs at each clock with
    `valid`, which needs `ready`; says `summed` with each sum of the last layer, and `done` with the best class.

    Args:
        network: of dense layers.
        path: of the file.
        at_once: None, or how many inputs a neuron of the first layer takes at a clock, the neurons one after the other.

    Raises:
        ValueError: if the file's name is no name in Verilog, or the network cannot be written, with the reason.
    """
    path, inputs = Path(path), network.layers[0].inputs
    if path.suffix != ".v" or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", path.stem):
        raise ValueError(f"expected a name in Verilog with the suffix .v, such as mnist.v, got {path.name!r}")
    if at_once is not None and not 0 < at_once <= inputs:
        raise ValueError(f"at_once must be from 1 to {inputs}, the inputs of the first layer, got {at_once}")
    for i, layer in enumerate(network.layers):
        if at_once and len(layer.levels) > (clocks := len(network.layers[0].levels) * -(-inputs // at_once)):
            busy = f"layer {i} has {len(layer.levels)} neurons, and the first layer is done after {clocks} clocks"
            raise ValueError(f"{busy}: take a smaller at_once")
        if layer.levels.ndim != 2:
            raise ValueError(f"layer {i} is a convolution: only dense layers are written, whose inputs are all wired")
        if at_once and layer.bits == Fraction(8, 5):
            raise ValueError(f"layer {i} is ternary: a weight in memory is bits that mean -1 and +1, which are never 0")
    bits = 8 if network.pixel_threshold is None else 1
    ports, *lines = _all_at_once(network, bits) if at_once is None else _one_after_the_other(network, bits, at_once)
    replace(path, "\n".join([f"module {path.stem}({ports});", *lines, "endmodule\n", PARTS.read_text()]).encode())


def _all_at_once(network: PackedNetwork, bits: int) -> Iterator[str]:
    wires, classes, wide = network.layers[0].inputs * bits, len(network.layers[-1].levels), _sum_bits(network)
    best, sums = f"output reg [{_bits(classes - 1) - 1}:0] best", f"output [{classes * wide - 1}:0] sums"
    yield f"input clk, input [{wires - 1}:0] x, {best}, {sums}"
    yield f"wire [{wires - 1}:0] x0 = x;"
    for i, layer in enumerate(network.layers):
        (neurons, size), few = layer.levels.shape, layer.bits in (1, Fraction(8, 5))
        digits = signed_digits(layer.levels.astype(np.int64) - (not few))  # of 2 q + 1 those of 2 q
        counts = Counts.of(digits, bits, not layer.of_bytes, not few)
        scaled = None if layer.activation == "sign" else Scaled.of(layer, counts)
        yield f"\n// Layer {i}: {neurons} neurons of {size} inputs of {bits} bit{'s' * (bits > 1)}."
        yield f"wire [{size * bits - 1}:0] p{i};\nplanes #({size}, {bits}) planes{i}(x{i}, p{i});"
        if counts.plus_inputs:
            yield from add_up(f"all{i}", {b: [(f"p{i}[{size * b} +: {size}]", size)] for b in range(bits)})
        bits = 8 if layer.top else 1
        if layer.activation != "logits":
            yield f"reg [{neurons * bits - 1}:0] x{i + 1};"
        for m, name in enumerate(f"n{i}_{m}" for m in range(neurons)):
            yield from neuron(name, f"p{i}", counts, m, f"all{i}")
            stored = f"always @(posedge clk) x{i + 1}[{bits * m} +: {bits}] <="
            if layer.activation == "sign":
                least = _least(layer, counts)[m]
                always_or_never = f"1'b{int(least <= 0)}"
                reached = f"{name} >= {_bits(least)}'d{least}" if 0 < least <= counts.most[m] else always_or_never
                yield f"{stored} {reached};"
            elif layer.activation == "codes":
                yield from _times(f"{name}z", name, scaled, m, counts.most[m])
                yield f"wire [7:0] {name}c;\n{_clip(f'{name}z', f'{name}c', scaled, layer.top)}"
                yield f"{stored} {name}c;"
            else:
                yield f"reg [{_bits(counts.most[m]) - 1}:0] r{m};\nalways @(posedge clk) r{m} <= {name};"
                less = counts.offset[m] % 2**wide
                yield f"assign sums[{wide * m} +: {wide}] = {counts.unit} * r{m} - {wide}'d{less};"
    yield "\n// The best class."
    if counts.most.max() < LARGEST_TABLE:
        table = _ranks(layer, counts)
        logit_bits = _bits(table.max())
        for m, ranks in enumerate(table):
            yield _table(f"y{m}", f"r{m}", ranks, logit_bits, at="*")
    else:
        logit_bits = scaled.width - scaled.shift
        for m in range(classes):
            yield from _times(f"z{m}", f"r{m}", scaled, m, counts.most[m])
            yield f"wire [{logit_bits - 1}:0] y{m} = z{m}[{scaled.width - 1}:{scaled.shift}];"
    logits = ", ".join(f"y{m}" for m in reversed(range(classes)))
    yield f"wire [{logit_bits - 1}:0] most;\nwire [{_bits(classes - 1) - 1}:0] who;"
    yield f"largest #({classes}, {logit_bits}, {_bits(classes - 1)}) of_all({{{logits}}}, most, who);"
    yield "always @(posedge clk) best <= who;"


def _one_after_the_other(network: PackedNetwork, bits: int, at_once: int) -> Iterator[str]:
    template, classes, wide = Template(LAYER.read_text()), len(network.layers[-1].levels), _sum_bits(network)
    for i, layer in enumerate(network.layers):
        (neurons, size), places = layer.levels.shape, int(layer.bits)
        codes = (layer.levels[:, :, None] + 2**places - 1) // 2 >> np.arange(places) & 1  # (M, K, places)
        counts = Counts.of(2 * codes.transpose(2, 0, 1).astype(np.int64) - 1, bits, not layer.of_bytes)
        scaled = None if layer.activation == "sign" else Scaled.of(layer, counts)
        if i == 0:
            period, width = neurons * -(-size // at_once), at_once
            lanes = [d for d in range(1, width + 1) if width % d == size % d == 0]
            lanes = next((d for d in lanes if size // d <= period), lanes[-1])
            yield (
                f"input clk, input valid, input [{lanes * bits - 1}:0] x, output ready, output summed, "
                f"output [{wide - 1}:0] sum, output done, output [{_bits(classes - 1) - 1}:0] best"
            )
            yield f"wire v0 = valid;\nwire [{lanes * bits - 1}:0] x0 = x;"
        else:
            width, lanes = next(p for p in count(1) if neurons * -(-size // p) <= period), 1
        words = -(-size // width)
        a, m, n = _bits(neurons * words - 1), _bits(neurons - 1), _bits(counts.most.max())
        # The inputs of the last word lie at its upper end, with zeros before them.
        padding = np.ones((neurons, words * width - size, places), codes.dtype)
        last = (words - 1) * width
        rows = np.concatenate([codes[:, :last], padding, codes[:, last:]], axis=1).reshape(neurons * words, -1)
        yield _table(f"w{i}", f"at{i}", map(_number, rows), width * places)
        sizes = {"neurons": neurons, "size": size, "width": width, "bits": bits, "places": places, "lanes": lanes}
        widths = {"a": a, "A": a - 1, "m": m, "M": m - 1, "n": n, "N": n - 1, "w": _bits(width)}
        yield template.substitute(i=i, next=i + 1, **sizes, **widths)
        if i == 0:
            yield "assign ready = ready0;"
        if layer.activation == "sign":
            yield _table(f"least{i}", f"m{i}", np.clip(_least(layer, counts), 0, counts.most + 1), n + 1)
            yield f"wire x{i + 1} = s{i} >= least{i};"
        elif layer.activation == "codes":
            yield from _multiplied(i, scaled)
            yield f"wire [7:0] x{i + 1};\n{_clip(f'z{i}', f'x{i + 1}', scaled, layer.top)}"
        bits = 8 if layer.top else 1
    yield _table("offset", f"m{i}", counts.offset % 2**wide, wide)
    yield f"assign summed = v{i + 1}, sum = {counts.unit} * s{i} - offset;"
    if counts.most.max() < LARGEST_TABLE:
        table = _ranks(layer, counts)
        logit_bits = _bits(table.max())
        by_address = np.pad(table, [(0, 0), (0, 2**n - table.shape[1])])
        yield _table("y", f"{{m{i}, n{i}}}", by_address.ravel(), logit_bits)
    else:
        logit_bits = scaled.width - scaled.shift
        yield from _multiplied(i, scaled)
        yield f"wire [{logit_bits - 1}:0] y = z{i}[{scaled.width - 1}:{scaled.shift}];"
    yield f"largest_so_far #({classes}, {logit_bits}, {m}) of_all(clk, v{i + 1}, y, who{i}, done, best);"


def neuron(name: str, x: str, counts: Counts, m: int, inputs: str = "") -> Iterator[str]:
    """Verilog that counts what neuron m does; x has all the lowest bits first, `inputs` is the sum of the inputs."""
    columns, size = defaultdict(list), counts.digits.shape[2]
    for place, row in enumerate(counts.digits[:, m]):
        kept = np.flatnonzero(row)
        for bit in range(counts.bits if len(kept) else 0):
            if len(kept) == size:
                text = f"{x}[{size * bit} +: {size}] ~^ {size}'h{_number(row > 0):x}"
            else:
                wires = [f"{'~' if row[k] < 0 else ''}{x}[{size * bit + k}]" for k in kept[::-1]]
                text = f"{{{', '.join(wires)}}}"
            columns[place + bit].append((text, len(kept)))
    if counts.plus_inputs:
        for bit in range(_bits(size * (2**counts.bits - 1))):
            columns[bit].append((f"{inputs}[{bit}]", 1))
    return add_up(name, columns)


def add_up(name: str, columns: dict[int, list[tuple[str, int]]], width: int | None = None) -> Iterator[str]:
    """Verilog that adds up bits: column i has texts with so many bits, each of which counts 2^i.

    In each round the ones of every column are counted, and the bits of these counts take their places in this column
    and the next ones, until no column has more than two. Those are added as on paper. With `width` the sum is modulo
    2^width.
    """
    numbers, lines = count(), []

    def counted(parts, wire=None):
        if [size for _, size in parts] in ([], [1]):
            return parts
        size, wire = sum(size for _, size in parts), wire or f"{name}_{next(numbers)}"
        texts = parts[0][0] if len(parts) == 1 else f"{{{', '.join(text for text, _ in parts)}}}"
        lines.append(f"wire [{_bits(size) - 1}:0] {wire};\ncount #({size}, {_bits(size)}) c_{wire}({texts}, {wire});")
        return [(f"{wire}[{j}]", 1) for j in range(_bits(size))]

    if list(columns) == [0] and width is None and columns[0][0][1] > 1:
        counted(columns[0], name)
        return iter(lines)
    while any(sum(size for _, size in parts) > 2 for parts in columns.values()):
        following = defaultdict(list)
        for i, parts in sorted(columns.items()):
            single = all(size == 1 for _, size in parts)
            take = 2 ** ((len(parts) + 1).bit_length() - 1) - 1 if single else len(parts)  # then only full adders
            following[i] += parts[take:]
            for j, bit in enumerate(counted(parts[:take])):
                following[i + j].append(bit)
        columns = {i: parts for i, parts in following.items() if width is None or i < width}
    carry, digits = [], []
    while len(digits) < (width or max(columns) + 1) or (width is None and carry):
        low, *carry = counted(columns.get(len(digits), []) + carry) or [("1'b0", 1)]
        digits.insert(0, low[0])
    return iter([*lines, f"wire [{len(digits) - 1}:0] {name} = {{{', '.join(digits)}}};"])


def signed_digits(numbers: Array) -> Array:
    """(places, ...) of -1, 0 and 1: the few powers of two whose sum a number is, no two of them neighbours.

    Source: Reitwiesner 1960, the "canonical signed digits".
    """
    digits = []
    while numbers.any() or not digits:
        digits.append(np.where(numbers % 2 == 1, 2 - numbers % 4, 0))
        numbers = (numbers - digits[-1]) // 2
    return np.stack(digits)


def _times(name: str, n: str, scaled: Scaled, m: int, most: int) -> Iterator[str]:
    """Verilog for factor * n + constant, the factor in signed digits."""
    columns, constant = defaultdict(list), int(scaled.constant[m])
    for place, digit in enumerate(signed_digits(scaled.factor[m]).tolist()):
        for bit in range(_bits(most) if digit else 0):
            columns[place + bit].append((f"{'~' if digit < 0 else ''}{n}[{bit}]", 1))
        constant -= (2 ** _bits(most) - 1 << place) * (digit < 0)
    for place in range(scaled.width):
        if constant >> place & 1:
            columns[place].append(("1'b1", 1))
    return add_up(name, {i: parts for i, parts in columns.items() if i < scaled.width}, scaled.width)


def _multiplied(i: int, scaled: Scaled) -> Iterator[str]:
    """The same by a multiplier, the numbers from memory."""
    signed = 1 + _bits(abs(scaled.factor).max())
    yield _table(f"factor{i}", f"m{i}", scaled.factor % 2**signed, signed)
    yield _table(f"constant{i}", f"m{i}", (int(c) % 2**scaled.width for c in scaled.constant), scaled.width)
    product = f"$signed(factor{i}) * $signed({{1'b0, s{i}}})"
    yield f"wire [{scaled.width - 1}:0] z{i} = {product} + $signed(constant{i});"


def _clip(z: str, code: str, scaled: Scaled, top: int) -> str:
    sizes = f"{scaled.width - scaled.shift}, 8, {-scaled.low}, {top}"
    return f"clip #({sizes}) clip_{code}({z}[{scaled.width - 1}:{scaled.shift}], {code});"


def _fewer_bits(factor: Array, constant: Array, shift: int, most: Array, top: int) -> tuple[Array, Array, int]:
    """The smallest numbers with which clip((factor * n + constant) >> shift, 0, top) stays the same for every n."""
    falls, slope, codes = factor < 0, abs(factor)[:, None], np.arange(1, top + 1)
    start = np.where(falls, factor * most + constant, constant)[:, None]  # a falling line is taken from its end
    first = np.clip(-((start - (codes << shift)) // np.maximum(slope, 1)), 0, most[:, None] + 1)  # n with such a code
    first = np.where(slope > 0, first, np.where(start >= codes << shift, 0, most[:, None] + 1))
    for fewer in range(shift + 1):
        steps, rough = codes << fewer, slope + (1 << shift - fewer >> 1) >> shift - fewer
        lower = np.where(first <= most[:, None], steps - rough * first, -(2**60)).max(axis=1)
        upper = np.where(first > 0, steps - 1 - rough * (first - 1), 2**60).min(axis=1)
        if (lower <= upper).all():
            break
    start, rough = np.clip(0, lower, upper), rough[:, 0]
    return np.where(falls, -rough, rough), np.where(falls, start + rough * most, start), fewer


def _least(layer: FoldedLayer, counts: Counts) -> Array:
    """The smallest counts with which the neurons give +1."""
    return -(-(layer.threshold + counts.offset) // counts.unit)


def _ranks(layer: FoldedLayer, counts: Counts) -> Array:
    """(classes, counts) -> numbers in the order of the logits; of equal logits the first class has the largest."""
    sums = counts.unit * np.arange(counts.most.max() + 1) - counts.offset[:, None]
    logits = (sums * layer.multiplier[:, None] >> FRACTION) + layer.offset[:, None]
    classes = np.broadcast_to(np.arange(len(logits))[:, None], logits.shape)
    order, ranks = np.lexsort((-classes.ravel(), logits.ravel())), np.empty(logits.size, np.int64)
    ranks[order] = np.cumsum(np.diff(classes.ravel()[order], prepend=-1) != 0) - 1
    return ranks.reshape(logits.shape)


def _table(name: str, address: str, values: Iterable[int], bits: int, at: str = "(posedge clk)") -> str:
    """A memory: what it has at the address comes at the next clock, or with "*" at once."""
    sign = "=" if at == "*" else "<="
    cases = [f"  {k}: {name} {sign} {bits}'h{int(value):x};" for k, value in enumerate(values)]
    head = f"reg [{bits - 1}:0] {name};\nalways @{at} case ({address})"
    return "\n".join([head, *cases, f"  default: {name} {sign} {bits}'bx;", "endcase"])


def _sum_bits(network: PackedNetwork) -> int:
    return 1 + _bits(network.layers[-1].largest)


def _bits(most: int) -> int:
    """Of a number from 0 to `most`."""
    return max(1, int(most).bit_length())


def _number(bits: Array) -> int:
    """The first bit is the lowest."""
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a packed network, what `PackedNetwork.save` wrote")
    parser.add_argument("--at-once", type=int, help="inputs at a clock; then the neurons come one after the other")
    parser.add_argument("--output", type=Path, help="the Verilog file; default: beside it, with the suffix .v")
    options = parser.parse_args()
    output = options.output or options.file.with_suffix(".v")
    try:
        to_verilog(PackedNetwork.load(options.file), output, options.at_once)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
