"""A packed network as one C file for a small chip: `python -m bnn_tutorial.export.c FILE`.

The file is freestanding C99: no library, no allocation, no floats; its weights are constants. It computes the integers
that `PackedNetwork.sums` does, and names the class that `PackedNetwork.predict` does.

The first layer adds pixels by *tables of partial sums*, the "method of the four Russians" (Arlazarov, Dinic, Kronrod,
Faradzev 1970): of up to eight pixels it writes down the sums of all their subsets once, and then looks up each
neuron's, for which of them a neuron adds is an index. Groups of pixels without ink cost next to nothing. The other
layers are XOR and a count of ones in plain C, since Arm's Cortex-M0 to M7 have no instruction that counts them.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy import ndarray as Array

from ..packed.files import replace
from ..packed.folding import FoldedLayer
from ..packed.network import PackedNetwork

__all__ = ["to_c"]

WORD = 32  # signs in a word
GROUP = 8  # pixels in a table at most, whose index is a byte
WRITTEN = 4  # pixels whose sums are not worth a call
UNROLLED = 12  # times that the innermost loop is written out


def to_c(network: PackedNetwork, path: str | Path) -> None:
    """Write the network as a C file whose names begin with the file's.

    For "mnist.c" it has `int mnist_classify(const uint8_t pixels[], int32_t sums[])`, which returns the class and
    stores the last layer's sums; all else is `static`.

    Raises:
        ValueError: if the file's name is no name in C, or the network cannot be written, with the reason.
    """
    path = Path(path)
    if path.suffix != ".c" or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", path.stem):
        raise ValueError(f"expected a name in C with the suffix .c, such as mnist.c, got {path.name!r}")
    if len(network.layers) < 2:
        raise ValueError("a network of one layer has nothing binary but its weights, and is not written")
    first, last = network.layers[0], network.layers[-1]
    shapes, parts = [network.shape], []
    for i, layer in enumerate(network.layers):
        shapes.append(layer.output_shape(shapes[-1]))
        if layer is first:
            parts.append(_of_pixels(layer, network.pixel_threshold))
        elif layer is last:
            parts.append(_last(i, layer, shapes[i]))
        else:
            parts.append(_of_signs(i, layer, shapes[i]))
        if layer.weight.ndim == 4:
            parts.append(_convolution(i, layer, shapes[i], shapes[i + 1]))
    text = "\n".join([_head(network, shapes, path.stem), COUNT, *parts, _classify(network, shapes)])
    replace(path, re.sub(r"@(?=\w)", f"{path.stem}_", text).encode())


def _head(network: PackedNetwork, shapes: list, name: str) -> str:
    sizes = "-".join("x".join(map(str, shape)) for shape in shapes)
    lines = [f"{name}: {text}" for name, text in network.provenance.items()]
    told = "".join(f" * {line}\n" for line in lines).replace("*/", "* /").replace("@", "(at)")
    pixels, classes = math.prod(network.shape), shapes[-1][0]
    return f"""\
/*
 * A binary neural network, {sizes}, written by bnn_tutorial.export.c.
 *
{told} *
 * Freestanding C99. A weight is a bit, 1 for +1 and 0 for -1, and so is the output of a hidden neuron; 32 of them are a
 * word, the first in its lowest bit.
 */
#ifndef {name.upper()}_C
#define {name.upper()}_C

#include <stdint.h>

/* A function that is called often, and better compiled by itself. */
#ifdef __GNUC__
#define @NOINLINE __attribute__((noinline))
#else
#define @NOINLINE
#endif

/* The class of an image of {pixels} pixels, 0 to 255, where much is ink; the last layer's {classes} sums are stored. */
int @classify(const uint8_t pixels[{pixels}], int32_t sums[{classes}]);
"""


COUNT = """\
/* The bits of a word that are 1, counted in pairs of bits, in fours, in bytes, and at last over the bytes. */
static uint32_t @popcount(uint32_t v)
{
    v = v - (v >> 1 & 0x55555555);
    v = (v & 0x33333333) + (v >> 2 & 0x33333333);
    v = (v + (v >> 4)) & 0x0f0f0f0f;
    return v * 0x01010101 >> 24;
}

/*
 * In how many places do a neuron's weights differ from its inputs? That many bits are 1 in their XOR. Three words at a
 * time: in each place, a + b + c = ones + 2 * twos, and two words are counted in place of three.
 */
static int32_t @differences(const uint32_t x[], const uint32_t weights[], int threes, int rest)
{
    uint32_t count = 0;
    for (; threes > 0; threes--, x += 3, weights += 3) {
        const uint32_t a = x[0] ^ weights[0], b = x[1] ^ weights[1], c = x[2] ^ weights[2];
        uint32_t ones = a ^ b ^ c, twos = (a & b) | ((a ^ b) & c), fours;
        ones = ones - (ones >> 1 & 0x55555555);
        twos = twos - (twos >> 1 & 0x55555555);
        fours = (ones & 0x33333333) + (ones >> 2 & 0x33333333);
        fours += 2 * ((twos & 0x33333333) + (twos >> 2 & 0x33333333));
        count += ((fours & 0x0f0f0f0f) + (fours >> 4 & 0x0f0f0f0f)) * 0x01010101 >> 24;
    }
    for (; rest > 0; rest--)
        count += @popcount(*x++ ^ *weights++);
    return (int32_t)count;
}
"""


def _of_pixels(layer: FoldedLayer, cut: int | None) -> str:
    """The neurons of the layer that sees pixels."""
    neurons, inputs = len(layer.weight), layer.inputs
    weight, threshold = layer.weight.reshape(neurons, inputs), layer.threshold.astype(np.int64)
    if cut is None:
        seen, meaning = "{}", "as they are"
    else:  # x = 2b - 1, so the sum of w x is 2 (sum of w b) - (sum of w), and the sum of w is 2 (number of +1) - inputs
        seen, meaning = f"({{}} >= {cut})", f"that count as 1 from {cut} on, else as 0; the thresholds make a -1 of it"
        threshold = -(-(threshold + 2 * weight.sum(axis=1) - inputs) // 2)
    order, size, (loop, corner, count) = _groups(layer)
    bits = np.pad(weight[:, order], [(0, -neurons % UNROLLED), (0, -inputs % size)])
    signs = (bits.reshape(len(bits), -1, size) << np.arange(size)).sum(axis=2).T  # (groups, neurons)
    rest = inputs % size or size  # pixels of the last group
    pixels = [seen.format(f"corner[{k}]") for k in order[:size] - order[0]]
    pixels = [f"pixels > {k} ? {pixel} : 0" if k >= rest else pixel for k, pixel in enumerate(pixels)]
    start = "-@threshold_0[n]" if len(bits) == neurons else f"n < {neurons} ? -@threshold_0[n] : 0"
    return f"""\
/*
 * Layer 0: {neurons} neurons of {inputs} pixels, {meaning}.
 *
 * Of {size} pixels at a time, the table has twice the sums of all their subsets: sums[b] of those whose bit in b is 1.
 * The weights of a neuron for these pixels are a b, too, so the ink where its weights are +1 stands in the table. All
 * other ink it subtracts: its sum is twice that ink less all of it. Pixels without ink change nothing.
 */
{_array("uint8_t", "@signs_0", signs)}
{_array("int32_t", "@threshold_0", threshold)}
typedef union {{
    uint32_t pairs[{2**size // 2}];
    uint16_t sums[{2**size}];
}} @table;

/* Behind the sums without two pixels those with the one, the other, both; two at a time, which never carry. */
static @NOINLINE void @fourfold(uint32_t pairs[], int quarter, uint32_t p, uint32_t q)
{{
    for (const uint32_t *end = pairs + quarter; pairs < end; pairs += {2**WRITTEN // 2}) {{
{
        _lines(
            line
            for k in range(2**WRITTEN // 2)
            for line in (
                f"pairs[quarter + {k}] = pairs[{k}] + p;",
                f"pairs[2 * quarter + {k}] = pairs[{k}] + q;",
                f"pairs[3 * quarter + {k}] = pairs[{k}] + p + q;",
            )
        )
    }
    }}
}}

static uint32_t @tabulate(const uint8_t corner[], int pixels, @table *table)
{{
    const uint32_t p[{size}] = {{
        {_columns(pixels)}
    }};
    const uint32_t all = {" + ".join(f"p[{k}]" for k in range(size))};
    (void)pixels;
    if (all == 0)
        return 0;
    table->sums[0] = 0;
    table->sums[1] = (uint16_t)(2 * p[0]);
    for (int k = 1; k < {WRITTEN}; k++)
        for (int b = 0; b < 1 << (k - 1); b++)
            table->pairs[(1 << (k - 1)) + b] = table->pairs[b] + p[k] * 0x20002;
    for (int k = {WRITTEN}; k < {size}; k += 2)
        @fourfold(table->pairs, 1 << (k - 1), p[k] * 0x20002, p[k + 1] * 0x20002);
    return all;
}}

static void @add(int32_t ink[], const @table *a, const uint8_t a_signs[], const @table *b, const uint8_t b_signs[])
{{
    for (int left = {len(bits) // UNROLLED}; left > 0; left--) {{
{_lines(f"ink[{k}] += a->sums[a_signs[{k}]] + b->sums[b_signs[{k}]];" for k in range(UNROLLED))}
        ink += {UNROLLED}, a_signs += {UNROLLED}, b_signs += {UNROLLED};
    }}
}}

static void @neurons_0(const uint8_t x[], uint32_t out[])
{{
    @table tables[2];
    const uint8_t *signs = @signs_0, *waiting = 0; /* for the table of a second group */
    int32_t ink[{len(bits)}], all = 0;
    for (int n = 0; n < {len(bits)}; n++)
        ink[n] = {start};
    {loop} {{
            const uint32_t here = @tabulate({corner}, {count}, &tables[waiting != 0]);
            if (here != 0 && waiting)
                @add(ink, &tables[0], waiting, &tables[1], signs);
            if (here != 0)
                waiting = waiting ? 0 : signs;
            all += (int32_t)here;
            signs += {len(bits)};
        }}
    if (waiting) {{
        for (int k = 0; k < {2**size // 2}; k++)
            tables[1].pairs[k] = 0;
        @add(ink, &tables[0], waiting, &tables[1], waiting);
    }}
    for (int n = {neurons}, w = {(neurons - 1) // 32}; w >= 0; w--) {{
        uint32_t word = 0;
        for (; n > 32 * w; n--)
            word = word << 1 | (ink[n - 1] >= all);
        out[w] = word;
    }}
}}
"""


def _columns(texts: list[str], per_line: int = 4) -> str:
    return ",\n        ".join(", ".join(texts[k : k + per_line]) for k in range(0, len(texts), per_line))


def _lines(texts: Iterable[str], indent: int = 8) -> str:
    return "\n".join(" " * indent + text for text in texts)


def _groups(layer: FoldedLayer) -> tuple[Array, int, tuple[str, str, str]]:
    """The order of the pixels, how many are in a group, and in C: the loop over the groups, where one begins, its size.

    Ink lies together, so in images of a suitable size a group is a block of 4x2 pixels, elsewhere a row of pixels.
    """
    neurons, inputs = len(layer.weight), layer.inputs
    side = math.isqrt(inputs)
    if layer.weight.ndim == 2 and side**2 == inputs and side % 4 == 0:
        order = np.arange(inputs).reshape(side // 2, 2, side // 4, 4).swapaxes(1, 2).ravel()
        loop = f"for (int y = 0; y < {side}; y += 2)\n        for (int column = 0; column < {side}; column += 4)"
        return order, GROUP, (loop, f"x + {side} * y + column", str(GROUP))
    # A pair of sums takes some four instructions, a look-up some five.
    size = min(range(WRITTEN, GROUP + 1, 2), key=lambda size: (2 * 2**size + 5 * neurons) * math.ceil(inputs / size))
    loop = f"for (int k = 0; k < {inputs}; k += {size})"
    return np.arange(inputs), size, (loop, "x + k", f"{inputs} - k < {size} ? {inputs} - k : {size}")


def _of_signs(i: int, layer: FoldedLayer, shape: tuple) -> str:
    """The neurons of a hidden layer behind another one."""
    words, weights = _words(layer, shape)
    neurons, most = len(layer.weight), (layer.inputs - layer.threshold.astype(np.int64)) // 2
    differences = f"@differences(x, @weights_{i} + n * {words}, {words // 3}, {words % 3})"
    kind = "int16_t" if abs(most).max() < 2**15 else "int32_t"
    return f"""\
/*
 * Layer {i}: {neurons} neurons of {layer.inputs} signs. A neuron's sum is {layer.inputs} - 2 * differences; it reaches
 * the threshold where the differences are not more than @most_{i}.
 */
{_array("uint32_t", f"@weights_{i}", weights)}
{_array(kind, f"@most_{i}", most)}
static void @neurons_{i}(const uint32_t x[], uint32_t out[])
{{
    uint32_t word = 0;
    for (int n = {neurons - 1}; n >= 0; n--) {{
        word = word << 1 | (uint32_t)({differences} <= @most_{i}[n]);
        if (n % 32 == 0)
            out[n / 32] = word;
    }}
}}
"""


def _convolution(i: int, layer: FoldedLayer, before: tuple, after: tuple) -> str:
    """The neurons of layer i at every place, and of the four places of a square what pooling makes of them."""
    neurons, channels, side, _ = layer.weight.shape
    words, (_, height, width), pooled = -(-neurons // WORD), after, layer.inverted is not None
    if i == 0:
        kind, inputs, size = "uint8_t", f"{channels} * {before[1]} * {before[2]}", layer.inputs
        place = f"(c * {before[1]} + top + y) * {before[2]} + left + x"
        gather = f"""\
                for (int c = 0; c < {channels}; c++)
                    for (int y = 0; y < {side}; y++)
                        for (int x = 0; x < {side}; x++)
                            *w++ = in[{place}];"""
    else:
        per = -(-channels // WORD)
        kind, inputs, size = "uint32_t", f"{before[1]} * {before[2]} * {per}", side * side * per
        gather = f"""\
                for (int y = 0; y < {side}; y++)
                    for (int x = 0; x < {side * per}; x++)
                        *w++ = in[((top + y) * {before[2]} + left) * {per} + x];"""
    inverted = _array("uint32_t", f"@inverted_{i}", _pack(layer.inverted[None])) if pooled else ""
    step, squares = (2, 4) if pooled else (1, 1)
    at = f"({step} * row + square / 2) * {layer.stride}", f"({step} * column + square % 2) * {layer.stride}"
    keep = f"(any[k] & ~@inverted_{i}[k]) | (all[k] & @inverted_{i}[k])" if pooled else "any[k]"
    comment = (
        "Of each square of 2x2 a neuron gives 1 where any of the four is 1, an inverted one where all are."
        if pooled
        else "A kernel at every place."
    )
    return f"""\
/* {comment} */
{inverted}static void @layer_{i}(const {kind} in[{inputs}], uint32_t out[{height} * {width} * {words}])
{{
    for (int row = 0; row < {height}; row++)
        for (int column = 0; column < {width}; column++, out += {words}) {{
            uint32_t one[{words}], any[{words}], all[{words}];
            for (int square = 0; square < {squares}; square++) {{
                const int top = {at[0]}, left = {at[1]};
                {kind} window[{size}], *w = window;
{gather}
                @neurons_{i}(window, one);
                for (int k = 0; k < {words}; k++) {{
                    any[k] = square == 0 ? one[k] : any[k] | one[k];
                    all[k] = square == 0 ? one[k] : all[k] & one[k];
                }}
            }}
            for (int k = 0; k < {words}; k++)
                out[k] = {keep};
        }}
}}
"""


def _last(i: int, layer: FoldedLayer, shape: tuple) -> str:
    words, weights = _words(layer, shape)
    scale, shift, kind = _fixed_point(layer)
    return f"""\
/*
 * Layer {i}: {len(layer.weight)} classes of {layer.inputs} signs. A class's logit is scale * sum + shift, here as whole
 * numbers. They are rounded from floats, but for every class and every sum that there is in the same order as those.
 */
{_array("uint32_t", f"@weights_{i}", weights)}
{_array(kind, "@scale", scale)}
{_array(kind, "@shift", shift)}
static int @largest(const uint32_t x[], int32_t sums[])
{{
    {kind} most = 0;
    int best = 0;
    for (int n = 0; n < {len(layer.weight)}; n++) {{
        sums[n] = {layer.inputs} - 2 * @differences(x, @weights_{i} + n * {words}, {words // 3}, {words % 3});
        const {kind} logit = @scale[n] * sums[n] + @shift[n];
        if (n == 0 || logit > most) {{
            most = logit;
            best = n;
        }}
    }}
    return best;
}}
"""


def _fixed_point(layer: FoldedLayer) -> tuple[Array, Array, str]:
    """Scale and shift times a power of two, rounded; of 64 bits only if 32 change the order of any two logits."""
    sums = np.arange(-layer.inputs, layer.inputs + 1, 2)[:, None]
    logits = (layer.scale * sums + layer.shift).ravel()
    largest = max(np.abs(layer.scale).max() * layer.inputs + np.abs(layer.shift).max(), 1e-300)
    order = np.argsort(logits, kind="stable")
    for bits in (32, 64):
        factor = 2.0 ** (bits - 2 - math.ceil(math.log2(largest)))
        scale, shift = (np.rint(values * factor).astype(np.int64) for values in (layer.scale, layer.shift))
        whole = (scale * sums + shift).ravel()
        if (np.sign(np.diff(logits[order])) == np.sign(np.diff(whole[order]))).all():
            return scale, shift, f"int{bits}_t"
    raise ValueError("two logits are so close to each other that whole numbers of 64 bits would change their order")


def _classify(network: PackedNetwork, shapes: list) -> str:
    """All layers, one after the other."""
    layers = network.layers[:-1]
    sizes = [math.prod(shape[1:]) * -(-shape[0] // WORD) for shape in shapes[1:-1]]
    declared = ", ".join(f"x{i}[{size}]" for i, size in enumerate(sizes, 1))
    calls = []
    for i, layer in enumerate(layers):
        function = f"@layer_{i}" if layer.weight.ndim == 4 else f"@neurons_{i}"
        calls.append(f"    {function}({f'x{i}' if i else 'pixels'}, x{i + 1});")
    calls = "\n".join(calls)
    return f"""\
int @classify(const uint8_t pixels[{math.prod(shapes[0])}], int32_t sums[{shapes[-1][0]}])
{{
    uint32_t {declared};
{calls}
    return @largest(x{len(layers)}, sums);
}}

#endif
"""


def _words(layer: FoldedLayer, shape: tuple) -> tuple[int, Array]:
    """How many words a neuron's weights are, and those of all: place by place, as the layer before leaves its signs."""
    channels = shape[0] if len(shape) == 3 else layer.inputs
    by_place = layer.weight.reshape(len(layer.weight), channels, -1).swapaxes(1, 2)  # (M, places, channels)
    packed = _pack(by_place.reshape(-1, channels)).reshape(len(layer.weight), -1)
    return packed.shape[1], packed


def _pack(bits: Array) -> Array:
    """(N, K) bool -> (N, ceil(K / 32)) uint32, the first in the lowest bit."""
    padded = np.pad(bits, [(0, 0), (0, -bits.shape[1] % WORD)])
    return np.packbits(padded, axis=1, bitorder="little").view("<u4")


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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a packed network, what `PackedNetwork.save` wrote")
    parser.add_argument("--output", type=Path, help="the C file; default: beside it, with the suffix .c")
    options = parser.parse_args()
    output = options.output or options.file.with_suffix(".c")
    to_c(PackedNetwork.load(options.file), output)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
