"""Verilog that adds up bits, by trees of the module `count`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count

import numpy as np
from numpy import ndarray as Array

from .counts import Counts, Scaled, bits_of, signed_digits


def neuron(name: str, x: str, counts: Counts, m: int, inputs: str = "") -> Iterator[str]:
    """Verilog that counts what neuron m does; x has all the lowest bits first, `inputs` is the sum of the inputs."""
    columns, size = defaultdict(list), counts.digits.shape[2]
    for place, row in enumerate(counts.digits[:, m]):
        kept = np.flatnonzero(row)
        for bit in range(counts.bits if len(kept) else 0):
            if len(kept) == size:
                text = f"{x}[{size * bit} +: {size}] ~^ {size}'h{number(row > 0):x}"
            else:
                wires = [f"{'~' if row[k] < 0 else ''}{x}[{size * bit + k}]" for k in kept[::-1]]
                text = f"{{{', '.join(wires)}}}"
            columns[place + bit].append((text, len(kept)))
    if counts.plus_inputs:
        for bit in range(bits_of(size * (2**counts.bits - 1))):
            columns[bit].append((f"{inputs}[{bit}]", 1))
    return add_up(name, columns)


def times(name: str, n: str, scaled: Scaled, m: int, most: int) -> Iterator[str]:
    """Verilog for factor * n + constant of neuron m, the factor in signed digits; n is at the most `most`."""
    columns, constant = defaultdict(list), int(scaled.constant[m])
    for place, digit in enumerate(signed_digits(scaled.factor[m]).tolist()):
        for bit in range(bits_of(most) if digit else 0):
            columns[place + bit].append((f"{'~' if digit < 0 else ''}{n}[{bit}]", 1))
        constant -= (2 ** bits_of(most) - 1 << place) * (digit < 0)
    for place in range(scaled.width):
        if constant >> place & 1:
            columns[place].append(("1'b1", 1))
    return add_up(name, {i: parts for i, parts in columns.items() if i < scaled.width}, scaled.width)


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
        bits, texts = bits_of(size), ", ".join(text for text, _ in parts)
        texts = texts if len(parts) == 1 else f"{{{texts}}}"
        lines.append(f"wire [{bits - 1}:0] {wire};\ncount #({size}, {bits}) c_{wire}({texts}, {wire});")
        return [(f"{wire}[{j}]", 1) for j in range(bits)]

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
    while len(digits) < (width or max(columns, default=0) + 1) or (width is None and carry):
        low, *carry = counted(columns.get(len(digits), []) + carry) or [("1'b0", 1)]
        digits.insert(0, low[0])
    return iter([*lines, f"wire [{len(digits) - 1}:0] {name} = {{{', '.join(digits)}}};"])


def number(bits: Array) -> int:
    """The number of these bits, the lowest first."""
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
