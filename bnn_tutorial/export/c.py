"""A packed network as one C file for a small chip: `python -m bnn_tutorial.export.c FILE`.

The file is freestanding C99: no library, no allocation, no floats; its weights are constants. It computes the integers
that `PackedNetwork.sums` does, and names the class that `PackedNetwork.predict` does.

Bytes meet weights of ±1 by *tables of partial sums*, the "method of the four Russians" (Arlazarov, Dinic, Kronrod,
Faradzev 1970): of eight inputs it writes down the sums of all their subsets once, and then looks up each neuron's, for
which of them a neuron adds is an index. Inputs of 0 cost next to nothing. Signs meet signs by XOR and a count of ones
in plain C, since Arm's Cortex-M0 to M7 have no instruction that counts them. All else is multiplied.

The C stands in `parts`. Names begin there with net_ or NET_, in place of the file's name; in the parts of a layer, _I
stands for its number, and the constants in `enum` are those of an example until they are filled in.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy import ndarray as Array

from ..packed.files import replace
from ..packed.folding import FoldedLayer
from ..packed.network import PackedNetwork
from .command import check_name, run, valid_name

WORD = 32  # signs in a word
TWELVE = 12  # neurons that look up at a time
PARTS = Path(__file__).parent / "parts"
SHARED = [
    "outputs",
    "count",
    "tables",
    "pixels",
    "signs",
    "plus_minus",
    "codes",
]  # in this order, where they are needed
TYPES = {"bits": "uint32_t", "bytes": "uint8_t", "signs": "int8_t"}  # of a layer's inputs: words, codes, ±1


def to_c(network: PackedNetwork, path: str | Path) -> None:
    """Write the network as a C file whose names begin with the file's.

    For "mnist.c" it has `int mnist_classify(const uint8_t pixels[], int32_t sums[])`, which returns the class and
    stores the last layer's sums; all else is `static`. Compiled with -Dmnist_MAIN it is a program that reads an image.

    Raises:
        ValueError: if the file's name is no name in C.
    """
    path = Path(path)
    check_name(path, ".c", "C")
    replace(path, _text(network, path.stem).encode())


def to_board(network: PackedNetwork, folder: str | Path) -> None:
    """Write a folder for boards, of the name of the network: a sketch for Arduino, and `pico` for a Raspberry Pi Pico.

    Both wait for the bytes of an example and answer with the class. They were compiled for a Cortex-M0+ and emulated
    with stand-ins for the boards' own functions; no board was at hand.

    Raises:
        ValueError: if the folder's name is no name in C.
    """
    folder = Path(folder)
    check_name(folder / f"{folder.name}.c", ".c", "C")
    (folder / "pico").mkdir(parents=True, exist_ok=True)
    to_c(network, folder / f"{folder.name}.c")
    marks = {r"net(?=\b|_)": folder.name} | _ends(network)
    for part in (PARTS / "board").rglob("*.*"):
        text = _filled(part.read_text(), marks)
        path = folder / part.relative_to(PARTS / "board")
        replace(path.with_stem(folder.name) if path.suffix == ".ino" else path, text.encode())


def _text(network: PackedNetwork, name: str) -> str:
    shapes = [network.shape]
    for layer in network.layers:
        shapes.append(layer.output_shape(shapes[-1]))
    xs = [_Input(i, layer, shapes[i], network.pixel_threshold) for i, layer in enumerate(network.layers)]
    used, texts, calls = {"outputs"}, [], []
    for i, (layer, x, out) in enumerate(zip(network.layers, xs, [*xs[1:], None], strict=True)):
        parts, constants, run_layer = _layer(i, layer, x, out, shapes[i + 1])
        used |= x.parts | parts
        texts += constants
        calls += x.calls + run_layer
    shared = [_part(part) for part in SHARED if part in used]
    text = "\n".join([_part("head"), *shared, *texts, _classify(network, xs, calls), _part("main"), "#endif\n"])
    marks = {"(?:net|NET)(?=_)": name, "SHAPES": "-".join("x".join(map(str, shape)) for shape in shapes)}
    return _filled(text, marks | _ends(network) | {"PROVENANCE": _provenance(network)})


def _ends(network: PackedNetwork) -> dict[str, str]:
    return {"INPUTS": str(math.prod(network.shape)), "CLASSES": str(len(network.layers[-1].levels))}


def _filled(text: str, marks: dict[str, str]) -> str:
    """All marks in one go, so that what stands in place of one may look like another."""
    texts = list(marks.values())
    pattern = "|".join(rf"\b({mark})" for mark in marks)
    return re.sub(pattern, lambda found: texts[found.lastindex - 1], text) if marks else text


class _Input:
    """What a layer gets: in which form, under which name, and how many numbers, the rest of a group included."""

    def __init__(self, i: int, layer: FoldedLayer, shape: tuple[int, ...], pixel_threshold: int | None):
        self.shape, self.places = shape, math.prod(shape[1:])
        self.form = "bytes" if layer.of_bytes else "bits" if layer.bits == 1 else "signs"
        self.channels_first = i == 0 and self.form != "bits"
        self.channels = -(-shape[0] // WORD) if self.form == "bits" else shape[0]  # words or numbers of a place
        self.by_tables = self.form == "bytes" and layer.bits == 1
        self.group = _group(layer) if self.by_tables else 1
        inputs, self.parts, self.calls = self.places * self.channels, set(), []
        self.size = inputs + (-inputs % self.group if layer.levels.ndim == 2 else 0)
        self.name = "pixels" if i == 0 and pixel_threshold is None and self.size == inputs else f"x{i}"
        each = f"for (int k = 0; k < {inputs}; k++)"
        if i == 0 and self.form == "bits":
            self.parts = {"pixels"}
            self.calls = [f"net_pixels(pixels, {self.places}, {shape[0]}, {pixel_threshold}, x0);"]
        elif i == 0 and pixel_threshold is not None:
            self.calls = [each, f"    x0[k] = pixels[k] >= {pixel_threshold} ? 1 : -1;"]
        elif i == 0 and self.size > inputs:
            self.calls = [each, "    x0[k] = pixels[k];"]
        if self.size > inputs:
            self.calls += [f"for (int k = {inputs}; k < {self.size}; k++)", f"    {self.name}[k] = 0;"]


def _group(layer: FoldedLayer) -> int:
    """Inputs of a table, 8 or 4. A pair of sums takes some four instructions, a look-up some five."""
    return min(4, 8, key=lambda size: (2 * 2**size + 5 * len(layer.levels)) * math.ceil(layer.inputs / size))


def _classify(network: PackedNetwork, xs: list[_Input], calls: list[str]) -> str:
    """The function that the file is for."""
    buffers = [f"{TYPES[x.form]} {x.name}[{x.size}];" for x in xs if x.name != "pixels"]
    longest, i = max(len(layer.levels) + -len(layer.levels) % TWELVE for layer in network.layers), len(xs) - 1
    end = ["for (int n = 0; n < CLASSES; n++)", "    sums[n] = s[n];"]
    end.append(f"return net_largest(sums, CLASSES, net_multiplier_{i}, net_offset_{i});")
    body = "\n".join(f"    {line}" for line in [*buffers, f"int32_t s[{longest}];", *calls, *end])
    return f"int net_classify(const uint8_t pixels[INPUTS], int32_t sums[CLASSES])\n{{\n{body}\n}}\n"


def _layer(
    i: int, layer: FoldedLayer, x: _Input, out: _Input | None, shape: tuple[int, ...]
) -> tuple[set[str], list[str], list[str]]:
    """Of layer i the shared parts that it needs, its constants and own functions, and its calls."""
    is_dense = layer.levels.ndim == 2
    part, text, add_up = _sums(i, layer, x, *((x.name, "s") if is_dense else ("window", "sums")))
    names = ["threshold"] if layer.activation == "sign" else ["multiplier", "offset"]
    texts = [text, *(_array("int32_t", f"net_{name}_{i}", getattr(layer, name)) for name in names)]
    if out is None:
        return {part}, texts, [add_up]
    activation = {"bits": "signs", "signs": "plus_minus", "bytes": "codes"}[out.form]
    numbers = [str(len(layer.levels)), *(f"net_{name}_{i}" for name in names)]
    numbers += [str(layer.point), str(layer.top)] if layer.activation == "codes" else []
    sums, to = ("s", out.name) if is_dense else ("largest", "out")
    activate = f"net_{activation}({sums}, {', '.join(numbers)}, {to});"
    if is_dense:
        return {part, activation}, texts, [add_up, activate]
    texts.append(_places(i, layer, x, out, shape, {r"SUMS\(.*": add_up, r"ACTIVATE\(.*": activate}))
    return {part, activation}, texts, [f"net_places_{i}({x.name}, {out.name});"]


def _sums(i: int, layer: FoldedLayer, x: _Input, inputs: str, sums: str) -> tuple[str, str, str]:
    """How layer i adds up: the shared part, its constants and its own functions, and the call in C."""
    neurons, levels = len(layer.levels), layer.levels.reshape(len(layer.levels), -1)
    if layer.levels.ndim == 4 or (len(x.shape) == 3 and not x.channels_first):  # a window has the channels last
        levels = levels.reshape(neurons, x.shape[0], -1).swapaxes(1, 2).reshape(neurons, -1)
    if x.form == "bits":
        words = levels.reshape(neurons, -1, x.shape[0]) > 0
        words = np.packbits(np.pad(words, [(0, 0), (0, 0), (0, -x.shape[0] % WORD)]), axis=2, bitorder="little")
        words = np.ascontiguousarray(words.reshape(neurons, -1)).view("<u4")
        counts = f"{layer.inputs}, {words.shape[1] // 3}, {words.shape[1] % 3}, net_weights_{i}, {neurons}"
        return "count", _array("uint32_t", f"net_weights_{i}", words), f"net_count({inputs}, {counts}, {sums});"
    part, text = ("tables", _tables(i, layer, levels)) if x.by_tables else ("outputs", _products(i, layer, levels, x))
    return part, text, f"net_layer_{i}({inputs}, {sums});"


def _tables(i: int, layer: FoldedLayer, levels: Array) -> str:
    """Ink lies together, so in images of a suitable size a group is a block of 4x2 pixels, elsewhere a row."""
    (neurons, inputs), size, side = levels.shape, _group(layer), math.isqrt(levels.shape[1])
    order, lines = np.arange(inputs + -inputs % size), {"LINES": 1, "LINE": 0, "STEP": size, "OTHER": size - 4}
    if i == 0 and layer.levels.ndim == 2 and side**2 == inputs and side % 4 == 0 and size == 8:
        order = order.reshape(side // 2, 2, side // 4, 4).swapaxes(1, 2).ravel()
        lines = {"LINES": side // 2, "LINE": 2 * side, "STEP": 4, "OTHER": side}
    adds = np.pad(levels > 0, [(0, -neurons % TWELVE), (0, -inputs % size)])[:, order]
    signs = np.packbits(adds.reshape(len(adds), -1, size), axis=2, bitorder="little")[..., 0].T  # (groups, neurons)
    lines |= {"NEURONS": signs.shape[1], "GROUPS": len(signs) // lines["LINES"]}
    return _array("uint8_t", f"net_signs_{i}", signs) + "\n" + _part("table_layer", i, **lines)


def _products(i: int, layer: FoldedLayer, levels: Array, x: _Input) -> str:
    """Codes of 2, 4 or 8 bits, so many neurons in a byte, those of an input together."""
    ternary = layer.bits == Fraction(8, 5)
    bits = 2 if ternary else next(bits for bits in (1, 2, 4, 8) if bits >= layer.bits)
    factor, less = (1, 1) if ternary else (2, 2**layer.bits - 1)
    codes = np.pad((levels.T + less) // factor, [(0, 0), (0, -len(levels) % (8 // bits))])
    rows = (codes.reshape(len(codes), -1, 8 // bits) << np.arange(0, 8, bits)).sum(axis=2)
    names = {"COUNT": len(codes), "NEURONS": codes.shape[1], "ROW": rows.shape[1], "FACTOR": factor, "LESS": less}
    text = _part("product_layer", i, {"input_t": TYPES[x.form]}, **names, BITS=bits)
    return _array("uint8_t", f"net_codes_{i}", rows) + "\n" + text


def _places(i: int, layer: FoldedLayer, x: _Input, out: _Input, shape: tuple[int, ...], calls: dict[str, str]) -> str:
    """A convolution: layer i at every place."""
    neurons, _, side, _ = layer.levels.shape
    (_, height, width), (_, rows, columns), size = x.shape, shape, side * side * x.channels
    channel, row, place = (height * width, width, 1) if x.channels_first else (1, width * x.channels, x.channels)
    sizes = {"CHANNELS": x.channels, "HEIGHT": height, "WIDTH": width}
    sizes |= {"NEXT_CHANNEL": channel, "NEXT_ROW": row, "NEXT": place, "SIZE": size + -size % x.group}
    sizes |= {"SIDE": side, "STRIDE": layer.stride, "PADDING": layer.padding, "POOL": 1 + layer.pooled}
    sizes |= {"NEURONS": neurons, "ROOM": neurons + -neurons % TWELVE}
    sizes |= {"ROWS": rows, "COLUMNS": columns, "OUTPUTS": out.channels}
    flipped, is_flipped = "", "0"
    if layer.inverted is not None:
        flipped, is_flipped = _array("uint8_t", f"net_flipped_{i}", 1 * layer.inverted) + "\n", f"net_flipped_{i}[n]"
    marks = {"input_t": TYPES[x.form], "output_t": TYPES[out.form], r"FLIPPED\(n\)": is_flipped}
    return flipped + _part("place_layer", i, marks | calls, **sizes)


def _part(name: str, i: int = 0, marks: dict[str, str] | None = None, **constants: int) -> str:
    """The text of a part; of a layer's part with its number, and with its marks and constants filled in."""
    text = re.sub(r"_I\b", f"_{i}", (PARTS / f"{name}.c").read_text())
    return _filled(text, {f"{name} = [0-9]+": f"{name} = {value}" for name, value in constants.items()} | (marks or {}))


def _provenance(network: PackedNetwork) -> str:
    """Lines of a comment that nothing in them can end or begin anew."""
    lines = [line for name, text in network.provenance.items() for line in f"{name}: {text}".splitlines()]
    if network.limits is not None:
        lines.append("The inputs are features x as bytes: 255 (x - low) / (high - low), rounded, from 0 to 255.")
        lines += [
            f"{name}: {', '.join(map(str, limit))}"
            for name, limit in zip(("low", "high"), network.limits.tolist(), strict=True)
        ]
    lines = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines]  # no NUL, no bidi marks
    return "".join(f" * {line}\n" for line in lines).replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def _array(kind: str, name: str, values: Array) -> str:
    """A constant array; rows of a table begin on a line of their own."""
    lines = []
    for row in np.atleast_2d(values):
        texts = [f"{value:#010x}" if kind == "uint32_t" else str(value) for value in row.tolist()]
        per_line = 120 // (max(map(len, texts)) + 2)
        lines += [", ".join(texts[k : k + per_line]) for k in range(0, len(texts), per_line)]
    body = ",\n    ".join(lines)
    return f"static const {kind} {name}[{np.size(values)}] = {{\n    {body}\n}};\n"


def main() -> None:
    def write(network, options):
        path = options.board or options.output or valid_name(options.file, ".c")
        (to_board if options.board else to_c)(network, path)
        return path

    output = {"type": Path, "help": "the C file; default: beside it, with a name that C allows"}
    board = {"type": Path, "help": "in place of it a folder for Arduino and a Raspberry Pi Pico"}
    run(__doc__, write, output=output, board=board)


if __name__ == "__main__":
    main()
