"""Runs a synthesised circuit clock by clock, 64 images in each word, on the netlist of look-up tables that Yosys wrote.

A bit of 64 images is a word, so a look-up table is a few logical operations for all of them. Memories are words, too:
all images must read and write the same address at the same clock, which is checked.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numba
import numpy as np
from numpy import ndarray as Array

from bnn_tutorial.export.verilog import to_verilog
from bnn_tutorial.packed import PackedNetwork

from .synthesis import cells

IMAGES = 3  # of each word's place, one after the other, to see that they do not meet


class Circuit:
    """The netlist of module `top` of a Verilog file; its registers start at 0."""

    def __init__(self, verilog: Path, top: str, images: int):
        with TemporaryDirectory() as folder:
            netlist = Path(folder) / "netlist.json"
            self.cells = cells(verilog, top, "LUT4", netlist)
            module = json.loads(netlist.read_text())["modules"][top]
        found = list(module["cells"].values())
        self.images, self.ports = images, {name: port["bits"] for name, port in module["ports"].items()}
        luts = _in_order([_lut(cell) for cell in found if cell["type"] == "$lut"])
        self._inputs = np.array([lut[0] for lut in luts], np.int64).reshape(-1, 4)
        self._tables = np.array([lut[1] for lut in luts], np.int64)
        self._outputs = np.array([lut[2] for lut in luts], np.int64)
        registers = [cell["connections"] for cell in found if cell["type"] == "$_DFF_P_"]
        self._d, self._q = (np.array([_wire(c[pin][0]) for c in registers], np.int64) for pin in "DQ")
        self._memories = [_Memory(cell, -(-images // 64)) for cell in found if cell["type"] == "$mem_v2"]
        others = {cell["type"] for cell in found} - {"$lut", "$_DFF_P_", "$mem_v2", "$scopeinfo"}
        if others:
            raise ValueError(f"cells that the simulation does not know: {', '.join(sorted(others))}")
        wires = 1 + max(map(_wire, (b for c in found for pin in c["connections"].values() for b in pin)), default=1)
        self._values = np.zeros((wires, -(-images // 64)), np.uint64)
        self._values[1] = ~np.uint64(0)
        self.clocks = 0

    def step(self, **inputs: Array) -> dict[str, Array]:
        """One clock: (images, bits) bool for each input but the clock -> the same of each output, before the edge."""
        for name, bits in inputs.items():
            words = np.ascontiguousarray(np.pad(bits, [(0, -len(bits) % 64), (0, 0)]).T)
            octets = np.packbits(words, axis=1, bitorder="little")
            self._values[[_wire(b) for b in self.ports[name]]] = octets.view("<u8")
        _evaluate(self._values, self._inputs, self._tables, self._outputs)
        return {name: self._read(bits) for name, bits in self.ports.items() if name not in inputs and name != "clk"}

    def edge(self) -> None:
        """The clock's edge: registers and memories take what lies before them."""
        following = self._values[self._d]
        read = [memory.clock(self._values) for memory in self._memories]
        self._values[self._q] = following
        for wires, words in (pair for pairs in read for pair in pairs):
            self._values[wires] = words

    def _read(self, bits: list) -> Array:
        words = self._values[[_wire(b) for b in bits]]
        return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, : self.images].T.astype(bool)


def simulate(network: PackedNetwork, pixels: Array, at_once: int | None = None) -> tuple[Array, Array, Circuit]:
    """Write a network as Verilog, synthesise it, and run it.

    Args:
        network: a packed network.
        pixels: (N, inputs) uint8, N a multiple of `IMAGES`.
        at_once: see `to_verilog`.

    Returns:
        The sums of the last layer, (N, classes), the classes, (N,), and the circuit.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.v"
        to_verilog(network, path, at_once)
        circuit = Circuit(path, "network", len(pixels) // IMAGES)
    threshold = network.pixel_threshold
    bits = np.unpackbits(pixels, axis=1, bitorder="little") > 0 if threshold is None else pixels >= threshold
    batches = bits.reshape(IMAGES, circuit.images, -1)
    sums, classes = (_flow if at_once is None else _turns)(circuit, batches, len(network.layers))
    columns = len(network.layers[-1].levels)
    wide = np.stack(sums).reshape(len(pixels), columns, -1) if at_once is None else np.stack(sums)
    if at_once is not None:
        wide = wide.reshape(IMAGES, columns, circuit.images, -1).swapaxes(1, 2).reshape(len(pixels), columns, -1)
    return _number(wide, signed=True), np.concatenate([_number(c) for c in classes]), circuit


def _flow(circuit: Circuit, batches: Array, layers: int) -> tuple[list, list]:
    """An image at every clock: the sums come `layers` clocks later, the class one more."""
    outputs = []
    for clock in range(len(batches) + layers + 1):
        outputs.append(circuit.step(x=batches[min(clock, len(batches) - 1)]))
        circuit.edge()
    sums = [out["sums"] for out in outputs[layers : layers + len(batches)]]
    return sums, [out["best"] for out in outputs[layers + 1 :]]


def _turns(circuit: Circuit, batches: Array, layers: int) -> tuple[list, list]:
    """Some inputs at every clock that the circuit is ready; sums and classes come when it says so."""
    lanes, sums, classes = len(circuit.ports["x"]), [], []
    parts = (b[:, k : k + lanes] for b in batches for k in range(0, b.shape[1], lanes))
    nothing = np.zeros((circuit.images, lanes), bool)
    while len(classes) < len(batches):
        no = np.zeros((circuit.images, 1), bool)
        out = circuit.step(valid=no, x=nothing)
        if out["ready"].all() and (part := next(parts, None)) is not None:
            out = circuit.step(valid=~no, x=part)
        sums += [out["sum"]] if out["summed"].all() else []
        classes += [out["best"]] if out["done"].all() else []
        circuit.edge()
        circuit.clocks += 1
    return sums, classes


def _number(bits: Array, signed: bool = False) -> Array:
    """The first bit is the lowest; of a signed number the last one counts negative."""
    worth = 2 ** np.arange(bits.shape[-1])
    return bits.astype(np.int64) @ (worth * np.where(worth == worth[-1], -1, 1) if signed else worth)


class _Memory:
    """A memory with ports that read and write at the clock's edge."""

    def __init__(self, cell: dict, words: int):
        pins, numbers = cell["connections"], cell["parameters"]
        self.pins = {name: np.array([_wire(b) for b in bits], np.int64) for name, bits in pins.items()}
        width, size, self.abits = (int(numbers[name], 2) for name in ("WIDTH", "SIZE", "ABITS"))
        if "0" in numbers["RD_CLK_ENABLE"]:
            raise ValueError("a memory that is read without a clock is not simulated")
        self.width, self.reads, self.writes = width, *(int(numbers[name], 2) for name in ("RD_PORTS", "WR_PORTS"))
        start = numbers["INIT"].replace("x", "0")[::-1].ljust(width * size, "0")
        bits = np.frombuffer(start.encode(), np.uint8)[: width * size].reshape(size, width) == ord("1")
        self.content = np.repeat(np.where(bits, ~np.uint64(0), np.uint64(0))[:, :, None], words, axis=2)

    def clock(self, values: Array) -> list[tuple[Array, Array]]:
        """What is read, and where to; it is what was there before the same edge wrote."""
        read = [
            (self._part("RD_DATA", port), self._at("RD_ADDR", port, values))
            for port in range(self.reads)
            if values[self.pins["RD_EN"][port], 0]
        ]
        for port in range(self.writes):
            written, data = values[self._part("WR_EN", port)], values[self._part("WR_DATA", port)]
            for address, images in self._addresses("WR_ADDR", port, values) if written.any() else ():
                word, enabled = self.content[address], written & images
                word[:] = (data & enabled) | (word & ~enabled)
        return read

    def _at(self, pin: str, port: int, values: Array) -> Array:
        parts = [self.content[address] & images for address, images in self._addresses(pin, port, values)]
        return np.bitwise_or.reduce(parts)

    def _part(self, pin: str, port: int) -> Array:
        return self.pins[pin][port * self.width : (port + 1) * self.width]

    def _addresses(self, pin: str, port: int, values: Array) -> list[tuple[int, Array]]:
        """Each address with the images that have it, a bit each; most often all images have the same."""
        found = [(0, np.full(values.shape[1], ~np.uint64(0)))]
        for i, bit in enumerate(values[self.pins[pin][port * self.abits : (port + 1) * self.abits]]):
            halves = [half for a, images in found for half in ((a, images & ~bit), (a | 1 << i, images & bit))]
            found = [(address, images) for address, images in halves if images.any()]
        return found


def _wire(bit: int | str) -> int:
    """A wire's number; the constants are 0 and 1, and what is undefined is 0."""
    return bit if isinstance(bit, int) else int(bit == "1")


def _lut(cell: dict) -> tuple[list[int], int, int]:
    inputs = [_wire(b) for b in cell["connections"]["A"]]
    return inputs + [0] * (4 - len(inputs)), int(cell["parameters"]["LUT"], 2), _wire(cell["connections"]["Y"][0])


def _in_order(luts: list[tuple]) -> list[tuple]:
    """Each behind those that it reads."""
    drivers, level = {lut[2]: lut for lut in luts}, {}
    stack = list(drivers)
    while stack:
        wire = stack[-1]
        waiting = [i for i in drivers[wire][0] if i in drivers and i not in level]
        if not waiting:
            level[wire] = 1 + max((level.get(i, 0) for i in drivers[wire][0]), default=0)
            stack.pop()
        stack += waiting
    return sorted(luts, key=lambda lut: level[lut[2]])


@numba.njit
def _evaluate(values, inputs, tables, outputs):
    nothing, all_ones = np.uint64(0), ~np.uint64(0)
    for n in range(len(outputs)):
        a, b, c, d = inputs[n]
        for word in range(values.shape[1]):
            v, w, x, y = values[a, word], values[b, word], values[c, word], values[d, word]
            result = nothing
            for row in range(16):
                if tables[n] >> row & 1:
                    here = v if row & 1 else ~v
                    here &= w if row & 2 else ~w
                    here &= x if row & 4 else ~x
                    result |= here & (y if row & 8 else ~y)
            values[outputs[n], word] = result & all_ones
