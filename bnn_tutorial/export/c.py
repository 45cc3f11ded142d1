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

import argparse
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy import ndarray as Array

from ..packed.files import replace
from ..packed.folding import FoldedLayer
from ..packed.network import PackedNetwork

WORD = 32  # signs in a word
TWELVE = 12  # neurons that look up at a time
PARTS = Path(__file__).parent / "parts"
SHARED = (
    "outputs",
    "count",
    "tables",
    "pixels",
    "signs",
    "plus_minus",
    "codes",
)  # in this order, where they are needed
TYPES = {"bits": "uint32_t", "bytes": "uint8_t", "signs": "int8_t"}  # of a layer's inputs: words, codes, ±1


def to_c(network: PackedNetwork, path: str | Path) -> None:
    """Write the network as a C file whose names begin with the file's.

    For "mnist.c" it has `int mnist_classify(const uint8_t pixels[], int32_t sums[])`, which returns the class and
    stores the last layer's sums; all else is `static`. Compiled with -Dmnist_MAIN it is a program that reads an image.

    Raises:
        ValueError: if the file's name is no name in C.
    """
    path = Path(path)
    if path.suffix != ".c" or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", path.stem):
        raise ValueError(f"expected a name in C with the suffix .c, such as mnist.c, got {path.name!r}")
    replace(path, _text(network, path.stem).encode())


def to_board(network: PackedNetwork, folder: str | Path) -> None:
    """Write a folder for boards, of the name of the network: a sketch for Arduino, and `pico` for a Raspberry Pi Pico.

    Both wait for the bytes of an example and answer with the class. They were compiled for a Cortex-M0+ and emulated
    with stand-ins for the boards' own functions; no board was at hand.

    Raises:
        ValueError: if the folder's name is no name in C.
    """
    folder = Path(folder)
    (folder / "pico").mkdir(parents=True, exist_ok=True)
    to_c(network, folder / f"{folder.name}.c")
    counts = {"INPUTS": math.prod(network.shape), "CLASSES": len(network.layers[-1].levels)}
    for part in (PARTS / "board").rglob("*.*"):
        text = re.sub(r"\bnet(?=\b|_)", folder.name, _filled(part.read_text(), counts))
        path = folder / part.relative_to(PARTS / "board")
        replace(path.with_stem(folder.name) if path.suffix == ".ino" else path, text.encode())


def _filled(text: str, counts: dict[str, int]) -> str:
    for mark, count in counts.items():
        text = text.replace(mark, str(count))
    return text


def _text(network: PackedNetwork, name: str) -> str:
    shapes = [network.shape]
    for layer in network.layers:
        shapes.append(layer.output_shape(shapes[-1]))
    xs = [_Input(i, layer, shapes[i], network.pixel_threshold) for i, layer in enumerate(network.layers)]
    used, layers, calls = {"outputs", *xs[0].parts}, [], [*xs[0].calls]
    for i, (layer, x) in enumerate(zip(network.layers, xs, strict=True)):
        constants, part, add_up = _sums(i, layer, x)
        layers.append(constants)
        if layer.activation == "logits":
            used.add(part)
            calls.append(add_up(x.name, "s"))
            break
        out = xs[i + 1]
        numbers, activation, activate = _activation(i, layer, out.form)
        layers.append(numbers)
        used |= {part, activation}
        if layer.levels.ndim == 2:
            calls += [add_up(x.name, "s"), activate("s", out.name)]
        else:
            layers.append(_places(i, layer, x, out, shapes[i + 1], add_up, activate))
            calls.append(f"net_places_{i}({x.name}, {out.name});")
        calls += out.calls
    last = network.layers[-1]
    layers += [_array("int32_t", f"net_{n}_{i}", getattr(last, n)) for n in ("multiplier", "offset")]
    counts = {"INPUTS": math.prod(shapes[0]), "CLASSES": shapes[-1][0]}
    buffers = [f"{TYPES[x.form]} {x.name}[{x.size}];" for x in xs if x.name != "pixels"]
    longest = max(len(layer.levels) + -len(layer.levels) % TWELVE for layer in network.layers)
    body = [*buffers, f"int32_t s[{longest}];", *calls, "for (int n = 0; n < CLASSES; n++)", "    sums[n] = s[n];"]
    body.append(f"return net_largest(sums, CLASSES, net_multiplier_{i}, net_offset_{i});")
    body = "\n".join(f"    {line}" for line in body)
    classify = f"int net_classify(const uint8_t pixels[INPUTS], int32_t sums[CLASSES])\n{{\n{body}\n}}\n"
    shared = [_part(part) for part in SHARED if part in used]
    text = "\n".join([_part("head"), *shared, *layers, classify, _part("main"), "#endif\n"])
    text = _filled(text, counts)
    text = re.sub(r"\b(net|NET)_", f"{name}_", text)
    text = text.replace("SHAPES", "-".join("x".join(map(str, shape)) for shape in shapes))
    return text.replace("PROVENANCE", _provenance(network))


class _Input:
    """What a layer gets: in which form, under which name, and how many numbers, the rest of a group included."""

    def __init__(self, i: int, layer: FoldedLayer, shape: tuple[int, ...], pixel_threshold: int | None):
        self.shape, self.places = shape, math.prod(shape[1:])
        self.form = "bytes" if layer.of_bytes else "bits" if layer.bits == 1 else "signs"
        self.channels_first = i == 0 and self.form != "bits"
        self.channels = -(-shape[0] // WORD) if self.form == "bits" else shape[0]  # words or numbers of a place
        inputs = self.places * self.channels
        self.group = _group(layer) if self.form == "bytes" and layer.bits == 1 and layer.levels.ndim == 2 else 1
        self.size, self.name, self.parts, self.calls = inputs + -inputs % self.group, f"x{i}", [], []
        if i == 0 and self.form == "bits":
            self.parts, call = ["pixels"], f"net_pixels(pixels, {self.places}, {shape[0]}, {pixel_threshold}, x0);"
            self.calls = [call]
        elif i == 0 and pixel_threshold is not None:
            self.calls = [
                f"for (int k = 0; k < {inputs}; k++)",
                f"    x0[k] = pixels[k] >= {pixel_threshold} ? 1 : -1;",
            ]
        elif i == 0 and self.size == inputs:
            self.name = "pixels"
        elif i == 0:
            self.calls = [f"for (int k = 0; k < {inputs}; k++)", "    x0[k] = pixels[k];"]
        if self.size > inputs:
            self.calls += [f"for (int k = {inputs}; k < {self.size}; k++)", f"    {self.name}[k] = 0;"]


def _group(layer: FoldedLayer) -> int:
    """Inputs of a table, 8 or 4. A pair of sums takes some four instructions, a look-up some five."""
    return min(4, 8, key=lambda size: (2 * 2**size + 5 * len(layer.levels)) * math.ceil(layer.inputs / size))


def _sums(i: int, layer: FoldedLayer, x: _Input) -> tuple[str, str, Callable]:
    """How layer i adds up: its constants and its own functions, the shared part, and the call in C."""
    neurons, levels = len(layer.levels), layer.levels.reshape(len(layer.levels), -1)
    if not x.channels_first and layer.levels.ndim + len(x.shape) > 3:
        levels = layer.levels.reshape(neurons, x.shape[0], -1).swapaxes(1, 2).reshape(neurons, -1)
    if x.form == "bits":
        words = levels.reshape(neurons, -1, x.shape[0]) > 0
        words = np.packbits(np.pad(words, [(0, 0), (0, 0), (0, -x.shape[0] % WORD)]), axis=2, bitorder="little")
        words = np.ascontiguousarray(words.reshape(neurons, -1)).view("<u4")
        counts = f"{layer.inputs}, {words.shape[1] // 3}, {words.shape[1] % 3}, net_weights_{i}, {neurons}"
        return _array("uint32_t", f"net_weights_{i}", words), "count", lambda x, s: f"net_count({x}, {counts}, {s});"
    by_tables = layer.bits == 1 and x.form == "bytes"
    text = _tables(i, layer, levels) if by_tables else _products(i, layer, levels, x)
    return text, "tables" if by_tables else "outputs", lambda x, s: f"net_layer_{i}({x}, {s});"


def _tables(i: int, layer: FoldedLayer, levels: Array) -> str:
    """Ink lies together, so in images of a suitable size a group is a block of 4x2 pixels, elsewhere a row."""
    (neurons, inputs), size, side = levels.shape, _group(layer), math.isqrt(levels.shape[1])
    order, lines = np.arange(inputs + -inputs % size), {"LINES": 1, "LINE": 0, "STEP": size, "OTHER": size - 4}
    if i == 0 and layer.levels.ndim == 2 and side**2 == inputs and side % 4 == 0 and size == 8:
        order = order.reshape(side // 2, 2, side // 4, 4).swapaxes(1, 2).ravel()
        lines = {"LINES": side // 2, "LINE": 2 * side, "STEP": 4, "OTHER": side}
    adds = np.pad(levels > 0, [(0, -neurons % TWELVE), (0, -inputs % size)])[:, order].reshape(
        -1, len(order) // size, size
    )
    signs = (adds << np.arange(size)).sum(axis=2).T  # (groups, neurons)
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
    text = _part("product_layer", i, **names, BITS=bits).replace("input_t", TYPES[x.form])
    return _array("uint8_t", f"net_codes_{i}", rows) + "\n" + text


def _activation(i: int, layer: FoldedLayer, form: str) -> tuple[str, str, Callable]:
    """What follows layer i: its constants, the shared part, and the call in C."""
    if layer.activation == "sign":
        part, names, more = {"bits": "signs", "signs": "plus_minus"}[form], ["threshold"], ""
    else:
        part, names, more = "codes", ["multiplier", "offset"], f", {layer.point}, {layer.top}"
    constants = "\n".join(_array("int32_t", f"net_{name}_{i}", getattr(layer, name)) for name in names)
    listed = ", ".join(f"net_{name}_{i}" for name in names)
    return constants, part, lambda s, out: f"net_{part}({s}, {len(layer.levels)}, {listed}{more}, {out});"


def _places(
    i: int, layer: FoldedLayer, x: _Input, out: _Input, shape: tuple, add_up: Callable, activate: Callable
) -> str:
    """A convolution: layer i at every place."""
    neurons, _, side, _ = layer.levels.shape
    (_, height, width), (_, rows, columns), size = x.shape, shape, side * side * x.channels
    size += -size % (_group(layer) if layer.bits == 1 and x.form == "bytes" else 1)
    steps = (height * width, width, 1) if x.channels_first else (1, width * x.channels, x.channels)
    names = {"CHANNELS": x.channels, "HEIGHT": height, "WIDTH": width}
    names |= dict(zip(("NEXT_CHANNEL", "NEXT_ROW", "NEXT"), steps, strict=True))
    names |= {"SIDE": side, "STRIDE": layer.stride, "PADDING": layer.padding, "POOL": 1 + layer.pooled, "SIZE": size}
    names |= {
        "NEURONS": neurons,
        "ROOM": neurons + -neurons % TWELVE,
        "ROWS": rows,
        "COLUMNS": columns,
        "OUTPUTS": out.channels,
    }
    text = _part("place_layer", i, **names).replace("input_t", TYPES[x.form]).replace("output_t", TYPES[out.form])
    text = text.replace("SUMS(window, sums);", add_up("window", "sums")).replace(
        "ACTIVATE(largest, out);", activate("largest", "out")
    )
    flipped = "" if layer.inverted is None else _array("uint8_t", f"net_flipped_{i}", layer.inverted.astype(int)) + "\n"
    return flipped + text.replace("FLIPPED(n)", f"net_flipped_{i}[n]" if flipped else "0")


def _part(name: str, i: int = 0, **constants: int) -> str:
    """The text of a part; of a layer's part with its number and its constants."""
    text = re.sub(r"_I\b", f"_{i}", (PARTS / f"{name}.c").read_text())
    return (
        re.sub(r"\b([A-Z_]+) = \d+", lambda found: f"{found[1]} = {constants[found[1]]}", text) if constants else text
    )


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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a packed network, what `PackedNetwork.save` wrote")
    parser.add_argument("--output", type=Path, help="the C file; default: beside it, with a name that C allows")
    parser.add_argument("--board", type=Path, help="in place of it a folder for Arduino and a Raspberry Pi Pico")
    options = parser.parse_args()
    name = re.sub(r"\W", "_", options.file.stem, flags=re.ASCII)
    output = options.output or options.file.with_name(f"{name if name[:1].isalpha() else f'net_{name}'}.c")
    try:
        write, output = (to_board, options.board) if options.board else (to_c, output)
        write(PackedNetwork.load(options.file), output)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
