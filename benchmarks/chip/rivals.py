"""The rivals on a small chip: 784-300-100-10 and 784-40-10 of 8-bit weights and activations, and of floats, in C.

They are written as fast as we could: a layer goes through its inputs and adds each one's column of weights to all sums,
four inputs at a time, and passes over inputs that are zero, pixels without ink as well as neurons that ReLU cut off.
`dual` is for the M4 and the M7, whose SMLAD multiplies and adds two pairs of 16 bits at once: it goes through the
neurons instead, two at a time, and can pass over nothing.

The weights are random: neither the number of instructions nor the bytes depend on them, but for how many hidden
neurons ReLU cuts off, which is half of them here, as it is in trained networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

SKIPPING = """
static void layer_{i}(const {held} *x, {sum} *sums)
{{
    const {weight} *columns[4];
    {sum} inputs[4];
    int found = 0;
    for (int n = 0; n < {outputs}; n++)
        sums[n] = bias_{i}[n];
    for (int k = 0; k < {inputs} + 3; k++) {{
        if (k < {inputs}) {{
            if (x[k] == 0)
                continue;
            inputs[found] = x[k];
            columns[found++] = weights_{i} + k * {outputs};
        }} else if (found > 0) {{ /* fill up the last four */
            inputs[found] = 0;
            columns[found++] = weights_{i};
        }}
        if (found == 4) {{
            const {sum} a = inputs[0], b = inputs[1], c = inputs[2], d = inputs[3];
            const {weight} *p = columns[0], *q = columns[1], *r = columns[2], *s = columns[3];
            for (int n = 0; n < {outputs}; n++)
                sums[n] += a * p[n] + b * q[n] + c * r[n] + d * s[n];
            found = 0;
        }}
    }}
}}
"""
DUAL = """
static void layer_{i}(const uint8_t *x, int32_t *sums)
{{
    uint32_t pairs[{inputs} / 2]; /* inputs 0 and 2, 1 and 3, 4 and 6, ... as SXTB16 takes weights apart */
    for (int k = 0; k < {inputs} / 4; k++) {{
        pairs[2 * k] = (uint32_t)x[4 * k] | (uint32_t)x[4 * k + 2] << 16;
        pairs[2 * k + 1] = (uint32_t)x[4 * k + 1] | (uint32_t)x[4 * k + 3] << 16;
    }}
    const int8x4_t *v = (const int8x4_t *)rows_{i}, *w = v + {inputs} / 4;
    for (int n = 0; n < {outputs}; n += 2, v = w, w = v + {inputs} / 4) {{
        int32_t one = bias_{i}[n], two = bias_{i}[n + 1];
        for (int k = 0; k < {inputs} / 2; k += 2, v++, w++) {{
            const int16x2_t even = (int16x2_t)pairs[k], odd = (int16x2_t)pairs[k + 1];
            one = __smlad(__sxtb16(*v), even, one);
            two = __smlad(__sxtb16(*w), even, two);
            one = __smlad(__sxtb16(__ror(*v, 8)), odd, one);
            two = __smlad(__sxtb16(__ror(*w, 8)), odd, two);
        }}
        sums[n] = one;
        sums[n + 1] = two;
    }}
}}
"""
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
        kind: "int8", "float32", or "dual", which takes a layer's inputs in fours and its neurons in twos.
    """

    widths: tuple[int, ...]
    kind: str

    def weights(self) -> list[tuple[Array, Array]]:
        """(inputs, outputs) and (outputs,) of each layer: int8 and int32, or float32."""
        random, layers = np.random.default_rng(0), []
        for inputs, outputs in zip(self.widths, self.widths[1:], strict=False):
            w, b = random.integers(-127, 128, (inputs, outputs)), random.integers(-5000, 5000, outputs)
            if self.kind == "float32":
                layers.append((w.astype(np.float32) / np.float32(1000), b.astype(np.float32) / np.float32(1000)))
            else:
                layers.append((w.astype(np.int8), b.astype(np.int32)))
        return layers

    def shift(self, inputs: int) -> int:
        """The power of two that brings sums of so many products back to a byte."""
        return int(np.ceil(np.log2(60 * np.sqrt(inputs))))

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

    def source(self) -> str:
        """The C file; `int classify(const uint8_t *pixels, int32_t *sums)`."""
        number = "float" if self.kind == "float32" else "int32_t"
        held = "float" if self.kind == "float32" else "uint8_t"
        parts = ["#include <stdint.h>\n", "#include <arm_acle.h>\n" if self.kind == "dual" else ""]
        calls, before = [], "pixels"
        if self.kind == "float32":
            calls.append(f"    float x[{self.widths[0]}];\n    for (int k = 0; k < {self.widths[0]}; k++)\n")
            calls.append("        x[k] = (float)pixels[k] * (1.0f / 255.0f);\n")
            before = "x"
        for i, (w, b) in enumerate(self.weights()):
            of = "float" if self.kind == "float32" else "int8_t"
            names = {"i": i, "inputs": len(w), "outputs": len(b), "shift": self.shift(len(w))}
            names |= {"held": held, "sum": number, "weight": of}
            kind, stored = ("rows", w.T) if self.kind == "dual" else ("weights", w)
            aligned = " __attribute__((aligned(4)))" if self.kind == "dual" else ""
            parts.append(f"static const {of} {kind}_{i}[{w.size}]{aligned} = {{{_listed(stored)}}};\n")
            parts.append(f"static const {number} bias_{i}[{b.size}] = {{{_listed(b)}}};\n")
            parts.append((DUAL if self.kind == "dual" else SKIPPING).format(**names))
            last = i == len(self.widths) - 2
            calls.append(f"    {number} sums_{i}[{len(b)}];\n    layer_{i}({before}, sums_{i});\n")
            if not last:
                parts.append((RELU_FLOAT if self.kind == "float32" else RELU).format(**names))
                calls.append(f"    {held} x_{i}[{len(b)}];\n    relu_{i}(sums_{i}, x_{i});\n")
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


def _listed(values: Array) -> str:
    texts = [f"{float(v)!r}f" if values.dtype == np.float32 else str(v) for v in values.ravel().tolist()]
    return "\n    " + ",\n    ".join(", ".join(texts[k : k + 20]) for k in range(0, len(texts), 20)) + "\n"
