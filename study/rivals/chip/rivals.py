"""The rivals on a small chip: networks of 8-bit activations with weights of 1 to 8 bits, and of floats, in C.

They are written as fast as we could. `int8`, `int4` and `float32` go through their inputs and add each one's column of
weights to all sums, four inputs at a time, and pass over inputs that are zero, pixels without ink as well as neurons
that ReLU cut off. `int8` holds its weights plus 128, since a Cortex-M0 has no cheap way to read a byte with a sign, and
takes two inputs at a time there, for want of registers. `int4` multiplies two weights at once, in the halves of a word.
`dual` is int8 for the M4 and the M7, whose SMLAD multiplies and adds two pairs of 16 bits at once: it takes its inputs
in pairs, two pairs at a time, and passes over a pair where both are zero. `ternary` and `int2` look up sums of eight
inputs in the exporter's tables of partial sums, once for each bit of a weight.

The weights are random: neither the number of instructions nor the bytes depend on them, but for how many hidden
neurons ReLU cuts off, which is half of them here, as it is in trained networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

from bnn_tutorial.export.c import PARTS

OF_TABLES = (PARTS / "tables.c").read_text()
COLUMNS = """
static void layer_{i}(const {held} *x, {sum} *sums)
{{
    const {weight} *columns[{columns}];
    {wide} inputs[{columns}];
    int found = 0;
{start}
    for (int k = 0; k < {inputs} + {step} * ({columns} - 1); k += {step}) {{
        if (k < {inputs}) {{
            const {wide} input = {input};
            if (input == 0)
                continue;
            inputs[found] = input;{noted}
            columns[found++] = weights_{i} + k / {step} * {row};
        }} else if (found > 0) {{ /* fill up the last ones */
            inputs[found] = 0;
            columns[found++] = weights_{i};
        }}
        if (found == {columns}) {{
{add}
            found = 0;
        }}
    }}
{end}}}
"""
START = """\
    for (int n = 0; n < {outputs}; n++)
        sums[n] = bias_{i}[n];"""
BYTES = {"start": f"    int32_t all = 0;\n{START}", "noted": " all += input;"}
BYTES["end"] = """\
    for (int n = 0; n < {outputs}; n++) /* a weight is its code - 128 */
        sums[n] -= 128 * all;
"""
FLOATS = {"start": START, "noted": "", "end": ""}
NIBBLES = {  # two weights at once: four times 255 times 15 does not fill the half of a word
    "start": """\
    int32_t all = 0;
    for (int n = 0; n < 8 * {row}; n++)
        sums[n] = 0;""",
    "add": """\
            int32_t *out = sums;
            for (int w = 0; w < {row}; w++, out += 8) {{
                uint32_t p = columns[0][w], q = columns[1][w], r = columns[2][w], s = columns[3][w];
                for (int n = 0; n < 4; n++, p >>= 4, q >>= 4, r >>= 4, s >>= 4) {{
                    const uint32_t two = inputs[0] * (p & 0x000f000f) + inputs[1] * (q & 0x000f000f)
                                         + inputs[2] * (r & 0x000f000f) + inputs[3] * (s & 0x000f000f);
                    out[n] += (int32_t)(two & 0xffff);
                    out[n + 4] += (int32_t)(two >> 16);
                }}
            }}""",
    "noted": " all += (int32_t)input;",
    "end": """\
    for (int n = 0; n < {outputs}; n++) /* a weight is 2 * code - 15 */
        sums[n] = 2 * sums[n] - 15 * all + bias_{i}[n];
""",
}
DUAL = {
    "start": START,
    "add": """\
            const int16x2_t a = (int16x2_t)inputs[0], b = (int16x2_t)inputs[1];
            const uint32_t *p = columns[0], *q = columns[1];
            int32_t *out = sums;
            for (int left = {outputs} / 2; left > 0; left--, out += 2, p++, q++) {{
                const int32_t one = __smlad(__sxtb16(*p), a, out[0]);
                const int32_t two = __smlad(__sxtb16(__ror(*p, 8)), a, out[1]);
                out[0] = __smlad(__sxtb16(*q), b, one);
                out[1] = __smlad(__sxtb16(__ror(*q, 8)), b, two);
            }}""",
    "noted": "",
    "end": "",
}
TABLES = """
static void layer_{i}(const uint8_t *x, int32_t *sums)
{{
    net_table table;
    const uint8_t *codes = codes_{i};
    int32_t all = 0;
    for (int n = 0; n < {outputs}; n++)
        sums[n] = 0;
    {loop} {{
        const uint32_t ink = net_tabulate(x + k, x + k + {other}, &table); /* twice the partial sums */
        if (ink > 0) {{
            all += (int32_t)ink;
            #pragma clang loop unroll_count(12)
            for (int n = 0; n < {outputs}; n++)
                sums[n] += {looked_up};
        }}
        codes += 2 * {outputs};
    }}
    for (int n = 0; n < {outputs}; n++)
        sums[n] = {total} + bias_{i}[n];
}}
"""
PLANES = {  # the bits of weights, how they are looked up, and what the sum is of those
    "ternary": (
        lambda w: [w > 0, w < 0],
        "table.sums[codes[n]] - table.sums[codes[{outputs} + n]]",
        "sums[n] / 2",
    ),
    "int2": (
        lambda w: [w + 3 & 2, w + 3 & 4],
        "table.sums[codes[n]] + 2 * table.sums[codes[{outputs} + n]]",
        "sums[n] - 3 * all",
    ),
}
LEVELS = {  # the weights, and how far a sum of as many inputs as one is spread
    "ternary": ((-1, 0, 1), 0.7),
    "int2": ((-3, -1, 1, 3), 1.8),
    "int4": (tuple(range(-15, 16, 2)), 7.6),
}
RELU = """
static void relu_{i}(const int32_t *sums, uint8_t *out)
{{
    for (int n = 0; n < {outputs}; n++) {{
        const int32_t y = sums[n] >> {shift};
        out[n] = (uint8_t)(y < 0 ? 0 : y > 255 ? 255 : y);
    }}
}}
"""
RELU_FLOAT = """
static void relu_{i}(const float *sums, float *out)
{{
    for (int n = 0; n < {outputs}; n++)
        out[n] = sums[n] < 0 ? 0 : sums[n];
}}
"""


@dataclass(frozen=True)
class Rival:
    """A dense network with ReLU and random weights.

    Attributes:
        widths: pixels, hidden widths, classes.
        kind: "ternary", "int2", "int4", "int8", "float32", or "dual", which takes inputs and neurons in
            twos, so all its widths are even.
    """

    widths: tuple[int, ...]
    kind: str

    def weights(self) -> list[tuple[Array, Array]]:
        """(inputs, outputs) and (outputs,) of each layer: int8 and int32, or float32."""
        random, layers = np.random.default_rng(0), []
        for inputs, outputs in zip(self.widths, self.widths[1:], strict=False):
            w, b = random.integers(-127, 128, (inputs, outputs)), random.integers(-5000, 5000, outputs)
            if self.kind in LEVELS:
                levels, spread = LEVELS[self.kind]
                layers.append((random.choice(levels, w.shape).astype(np.int8), (b * spread / 60).astype(np.int32)))
            elif self.kind == "float32":
                layers.append((w.astype(np.float32) / np.float32(1000), b.astype(np.float32) / np.float32(1000)))
            else:
                layers.append((w.astype(np.int8), b.astype(np.int32)))
        return layers

    def shift(self, inputs: int) -> int:
        """The power of two that brings sums of so many products back to a byte."""
        return int(np.ceil(np.log2(LEVELS.get(self.kind, ((), 60))[1] * np.sqrt(inputs))))

    def classify(self, pixels: Array) -> tuple[int, Array]:
        """What the C computes, by NumPy: (pixels,) uint8 -> the class, and the sums of the last layer."""
        is_float = self.kind == "float32"
        x = pixels / np.float32(255) if is_float else pixels.astype(np.int32)
        *hidden, (w, b) = self.weights()
        for v, c in hidden:
            y = x @ v.astype(x.dtype) + c
            x = np.maximum(y, 0) if is_float else np.clip(y >> self.shift(len(v)), 0, 255)
        sums = x @ w.astype(x.dtype) + b
        return int(sums.argmax()), sums

    def source(self, core: str) -> str:
        """The C file for a core; `int classify(const uint8_t *pixels, int32_t *sums)`."""
        number = "float" if self.kind == "float32" else "int32_t"
        held = "float" if self.kind == "float32" else "uint8_t"
        parts = ["#include <stdint.h>\n", "#include <arm_acle.h>\n" if self.kind == "dual" else ""]
        parts += ["#define NET_NOINLINE __attribute__((noinline))", OF_TABLES] if self.kind in PLANES else []
        calls, before = [], "pixels"
        if self.kind == "float32":
            calls.append(f"    float x[{self.widths[0]}];\n    for (int k = 0; k < {self.widths[0]}; k++)\n")
            calls.append("        x[k] = (float)pixels[k] * (1.0f / 255.0f);\n")
            before = "x"
        for i, (w, b) in enumerate(self.weights()):
            names = {"i": i, "inputs": len(w), "outputs": len(b), "shift": self.shift(len(w)), "held": held}
            names["columns"] = 2 if self.kind == "dual" or (self.kind == "int8" and core == "m0") else 4
            parts.append(self._layer(w, names))
            parts.append(f"static const {number} bias_{i}[{b.size}] = {{{_listed(b)}}};\n")
            parts.append(self._function(names))
            calls.append(f"    {number} sums_{i}[{_padded(len(b))}];\n    layer_{i}({before}, sums_{i});\n")
            if i < len(self.widths) - 2:
                parts.append((RELU_FLOAT if self.kind == "float32" else RELU).format(**names))
                calls.append(f"    {held} x_{i}[{_padded(len(b))}];\n    relu_{i}(sums_{i}, x_{i});\n")
                if self.kind in PLANES:  # the last table is of eight inputs, too
                    calls += [f"    x_{i}[{n}] = 0;\n" for n in range(len(b), _padded(len(b)))]
                before = f"x_{i}"
        end = f"""\
    int best = 0;
    for (int n = 0; n < {self.widths[-1]}; n++) {{
        sums[n] = (int32_t)({f"1000 * sums_{i}[n]" if self.kind == "float32" else f"sums_{i}[n]"});
        if (sums_{i}[n] > sums_{i}[best])
            best = n;
    }}
    return best;
"""
        parts.append(f"int classify(const uint8_t *pixels, int32_t *sums)\n{{\n{''.join(calls)}{end}}}\n")
        return "\n".join(parts)

    def _layer(self, w: Array, names: dict) -> str:
        """The weights as a constant array, in the order in which they are read."""
        i, (inputs, outputs) = names["i"], w.shape
        if self.kind in PLANES:
            planes = PLANES[self.kind][0](w)
            order = _blocks() if i == 0 else np.arange(inputs)
            bits = np.stack([np.pad(plane[order], [(0, -inputs % 8), (0, 0)]) != 0 for plane in planes])
            codes = np.packbits(bits.reshape(len(planes), -1, 8, outputs), axis=2, bitorder="little")[:, :, 0]
            return _array("uint8_t", f"codes_{i}", codes.swapaxes(0, 1))
        if self.kind == "int4":
            codes = np.pad((w.astype(np.int64) + 15) // 2, [(0, 0), (0, -outputs % 8)]).reshape(inputs, -1, 8)
            return _array("uint32_t", f"weights_{i}", (codes << np.array([0, 4, 8, 12, 16, 20, 24, 28])).sum(axis=2))
        if self.kind == "dual":  # bytes of two inputs and two neurons: of one, both neurons, then of the other
            squares = w.reshape(inputs // 2, 2, outputs // 2, 2).swapaxes(1, 2)
            return _array("uint32_t", f"weights_{i}", squares.ravel().view("<u4"))
        if self.kind == "int8":
            return _array("uint8_t", f"weights_{i}", w.astype(np.int32) + 128)
        return _array("float", f"weights_{i}", w)

    def _function(self, names: dict) -> str:
        if self.kind in PLANES:
            _, looked_up, total = PLANES[self.kind]
            loop = f"for (int k = 0; k < {names['inputs']}; k += 8)"
            if names["i"] == 0:  # blocks of 4x2 pixels
                loop = "for (int row = 0; row < 784; row += 56)\n    for (int k = row; k < row + 28; k += 4)"
            names |= {"loop": loop, "other": 4 if names["i"] else 28, "total": total}
            return TABLES.format(**names, looked_up=looked_up.format(**names))
        wide, weight, row, pieces = {
            "int4": ("uint32_t", "uint32_t", _padded(names["outputs"]) // 8, NIBBLES),
            "int8": ("int32_t", "uint8_t", names["outputs"], BYTES),
            "dual": ("uint32_t", "uint32_t", names["outputs"] // 2, DUAL),
            "float32": ("float", "float", names["outputs"], FLOATS),
        }[self.kind]
        names |= {"sum": "float" if wide == "float" else "int32_t", "wide": wide, "weight": weight, "row": row}
        names |= {"step": 1, "input": "x[k]"}
        if self.kind == "dual":
            names |= {"step": 2, "input": "x[k] | (uint32_t)x[k + 1] << 16"}
        pieces = {"add": _added(**names)} | {name: piece.format(**names) for name, piece in pieces.items()}
        return COLUMNS.format(**names, **pieces)


def _added(sum: str, weight: str, columns: int, outputs: int, **_) -> str:
    """In C: so many columns, each times its input, are added to the sums, ten of which are written out."""
    inputs, pointers = "abcd"[:columns], "pqrs"[:columns]

    def lines(count: int, indent: int) -> str:
        products = [" + ".join(f"{x} * {p}[{n}]" for x, p in zip(inputs, pointers, strict=True)) for n in range(count)]
        return "".join(f"{' ' * indent}out[{n}] += {product};\n" for n, product in enumerate(products))

    return f"""\
            {sum} *out = sums;
            const {sum} {", ".join(f"{x} = inputs[{k}]" for k, x in enumerate(inputs))};
            const {weight} {", ".join(f"*{p} = columns[{k}]" for k, p in enumerate(pointers))};
            for (int left = {outputs // 10}; left > 0; left--) {{
{lines(10, 16)}                out += 10, {", ".join(f"{p} += 10" for p in pointers)};
            }}
{lines(outputs % 10, 12)}""".rstrip()


def _blocks() -> Array:
    """The order of the pixels of an image of 28x28, in blocks of 4x2."""
    return np.arange(784).reshape(14, 2, 7, 4).swapaxes(1, 2).ravel()


def _padded(size: int) -> int:
    return size + -size % 8


def _array(kind: str, name: str, values: Array) -> str:
    return f"static const {kind} {name}[{values.size}] = {{{_listed(values)}}};\n"


def _listed(values: Array) -> str:
    texts = [f"{float(v)!r}f" if values.dtype == np.float32 else str(v) for v in values.ravel().tolist()]
    return "\n    " + ",\n    ".join(", ".join(texts[k : k + 20]) for k in range(0, len(texts), 20)) + "\n"
