"""The other way to add, on chips that have carry chains: numbers in pairs, each pair by an adder of the chip.

Beside their look-up table the cells of most FPGAs have a fast wire that takes the carry to the next cell. With it a bit
of a sum costs one cell, and not the two tables of a full adder. It pays where numbers of many bits are added, so it is
what rivals of 8 bits take. To count single bits, the exporter's way needs fewer cells.

Yosys makes one sum of `a + b + c`, without chains, so each adder is a module, and modules are joined after synthesis:
see `chains` of `synthesis.cells`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from unittest.mock import patch

from bnn_tutorial.export import adders, verilog
from bnn_tutorial.packed import PackedNetwork

ADDER = """
module chain #(parameter A = 1, B = 1, N = 2) (input [A-1:0] a, input [B-1:0] b, output [N-1:0] n);
  assign n = a + b;
endmodule
"""
ZERO = "1'b0"


def to_verilog(network: PackedNetwork, path: Path) -> None:
    """The exporter's circuit, all at once, with other adders."""
    with patch.object(verilog, "add_up", add_up), patch.object(adders, "add_up", add_up):
        verilog.to_verilog(network, path)
    path.write_text(path.read_text() + ADDER)


def add_up(name: str, columns: dict[int, list[tuple[str, int]]], width: int | None = None) -> Iterator[str]:
    """What the exporter's `add_up` does, by a tree of adders, the shortest numbers first."""
    lines, bits = [], {}
    for i, parts in sorted(columns.items()):
        for j, (text, size) in enumerate(parts):
            lines.append(f"wire [{size - 1}:0] {name}_{i}_{j} = {text};")
            bits.setdefault(i, []).extend(f"{name}_{i}_{j}[{k}]" for k in range(size))
    numbers = list(zip_longest(*(bits.get(i, []) for i in range(max(bits) + 1)), fillvalue=ZERO))
    while len(numbers) > 1:
        a, b, *numbers = sorted(map(_trimmed, numbers), key=len)
        low = min(next(i for i, bit in enumerate(x) if bit != ZERO) for x in (a, b))
        wire, size = f"{name}_sum{len(numbers)}", len(b) - low + 1
        lines.append(f"wire [{size - 1}:0] {wire};\nchain #({len(a) - low}, {len(b) - low}, {size}) of_{wire}(")
        lines.append(f"  {_joined(a[low:])},\n  {_joined(b[low:])}, {wire}\n);")
        numbers.append((ZERO,) * low + tuple(f"{wire}[{k}]" for k in range(size)))
    number = numbers[0] + (ZERO,) * ((width or 0) - len(numbers[0]))
    return iter([*lines, f"wire [{(width or len(number)) - 1}:0] {name} = {_joined(number[:width])};"])


def _trimmed(number: tuple[str, ...]) -> tuple[str, ...]:
    """Without zeros at its upper end."""
    return number[: max(i + 1 for i, bit in enumerate(number) if bit != ZERO)]


def _joined(number: tuple[str, ...]) -> str:
    return f"{{{', '.join(reversed(number))}}}"
