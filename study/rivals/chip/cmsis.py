"""The field's own kernel for 8-bit weights on a Cortex-M: CMSIS-NN's fully connected layer, by its algorithm.

No package has Arm's C, so this is written anew from its description (Lai, Suda and Chandra 2018, arXiv 1801.06601, and
the documentation of `arm_fully_connected_s8`), and may differ from it by some instructions: int8 weights, a neuron a
row; int8 inputs, whose offset is multiplied with each neuron's weights beforehand; three rows at a time, or where there
is `SMLAD` two rows and four columns; then a multiplication of 32 by 32 bits and a rounding shift bring each sum back to
int8. It passes over no input that is 0, so its work does not depend on the image.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray as Array

from .rivals import Rival

MULTIPLIER = 1_518_500_250  # of 2^31, about 0.7: any would take as long
HEAD = """\
#include <stdint.h>
static int32_t requantised(int32_t sum, int shift)
{
    const int32_t high = (int32_t)(((int64_t)sum * 1518500250 + (1 << 30)) >> 31);
    const int32_t mask = (1 << shift) - 1;
    return (high >> shift) + ((high & mask) > (mask >> 1) + (high < 0));
}
static int8_t stored(int32_t sum, int shift, int least)
{
    const int32_t y = requantised(sum, shift) - 128 + least;
    return (int8_t)(y < -128 ? -128 : y > 127 ? 127 : y);
}
"""
PLAIN = """\
static void layer(const int8_t *x, int inputs, const int8_t *w, const int32_t *bias, int outputs, int shift, int least,
                  int8_t *out)
{
    for (; outputs >= 3; outputs -= 3, w += 3 * inputs, bias += 3) {
        const int8_t *p = w, *q = w + inputs, *r = w + 2 * inputs;
        int32_t a = bias[0], b = bias[1], c = bias[2];
        for (int k = 0; k < inputs; k++) {
            const int32_t input = x[k];
            a += input * *p++;
            b += input * *q++;
            c += input * *r++;
        }
        *out++ = stored(a, shift, least);
        *out++ = stored(b, shift, least);
        *out++ = stored(c, shift, least);
    }
    for (; outputs > 0; outputs--, w += inputs, bias++) {
        int32_t a = *bias;
        for (int k = 0; k < inputs; k++)
            a += x[k] * w[k];
        *out++ = stored(a, shift, least);
    }
}
"""
DUAL = """\
#include <arm_acle.h>
static uint32_t four(const int8_t **at)
{
    uint32_t word;
    __builtin_memcpy(&word, *at, 4);
    *at += 4;
    return word;
}
static void layer(const int8_t *x, int inputs, const int8_t *w, const int32_t *bias, int outputs, int shift, int least,
                  int8_t *out)
{
    for (; outputs > 0; outputs -= 2, w += 2 * inputs, bias += 2) { /* as many as we have are even */
        const int8_t *in = x, *p = w, *q = w + inputs;
        int32_t a = bias[0], b = bias[1];
        for (int left = inputs / 4; left > 0; left--) {
            const uint32_t v = four(&in), s = four(&p), t = four(&q);
            const int16x2_t even = __sxtb16(v), odd = __sxtb16(__ror(v, 8));
            a = __smlad(even, __sxtb16(s), a);
            a = __smlad(odd, __sxtb16(__ror(s, 8)), a);
            b = __smlad(even, __sxtb16(t), b);
            b = __smlad(odd, __sxtb16(__ror(t, 8)), b);
        }
        *out++ = stored(a, shift, least);
        *out++ = stored(b, shift, least);
    }
}
"""


class Cmsis(Rival):
    """A dense network with ReLU and random weights of 8 bits; the widths are even, the inputs multiples of four."""

    def __init__(self, widths: tuple[int, ...]):
        super().__init__(widths, "cmsis")

    def classify(self, pixels: Array) -> tuple[int, Array]:
        """What the C computes, by NumPy: (pixels,) uint8 -> the class, and the outputs of the last layer."""
        x, layers = pixels.astype(np.int64) - 128, self.weights()
        for i, (w, b) in enumerate(layers):
            high = ((x + 128) @ w.astype(np.int64) + b) * MULTIPLIER + 2**30 >> 31
            shift = self.shift(len(w))
            mask = 2**shift - 1
            y = (high >> shift) + ((high & mask) > (mask >> 1) + (high < 0)) - 128 + self._least(i)
            x = y.clip(-128, 127)
        return int(x.argmax()), x

    def _least(self, i: int) -> int:
        return 128 if i == len(self.widths) - 2 else 0  # what is added to the last layer's outputs, of both signs

    def source(self, core: str) -> str:
        """The C file for a core; `int classify(const uint8_t *pixels, int32_t *sums)`."""
        parts, calls = [HEAD, DUAL if core in ("m4", "m7") else PLAIN], []
        for i, (w, b) in enumerate(self.weights()):
            bias = b + 128 * w.sum(axis=0, dtype=np.int32)
            for kind, name, values in (("int8_t", f"w{i}", w.T), ("int32_t", f"b{i}", bias)):
                numbers = ", ".join(map(str, values.ravel().tolist()))
                parts.append(f"static const {kind} {name}[{values.size}] = {{{numbers}}};\n")
            calls.append(f"    int8_t x{i + 1}[{len(b)}];")
            numbers = f"{len(w)}, w{i}, b{i}, {len(b)}, {self.shift(len(w))}, {self._least(i)}"
            calls.append(f"    layer(x{i}, {numbers}, x{i + 1});")
        begin = f"    int8_t x0[{self.widths[0]}];\n    for (int k = 0; k < {self.widths[0]}; k++)\n"
        begin += "        x0[k] = (int8_t)(pixels[k] - 128);\n"
        last, classes = f"x{len(self.widths) - 1}", self.widths[-1]
        end = f"    int best = 0;\n    for (int n = 0; n < {classes}; n++) {{\n        sums[n] = {last}[n];\n"
        end += f"        if ({last}[n] > {last}[best])\n            best = n;\n    }}\n    return best;\n"
        body = begin + "\n".join(calls) + "\n" + end
        return "\n".join([*parts, f"int classify(const uint8_t *pixels, int32_t *sums)\n{{\n{body}}}\n"])
