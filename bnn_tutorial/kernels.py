"""Products of ±1 by counting bits: 64 signs in a machine word, XOR, and a count of the bits that differ.

+1 is bit 1 and -1 is bit 0. Two rows of K signs that differ in c places have the dot product K - 2c. Rows are padded to
whole words with zeros on both sides, which never differ.

The heart is a tile of 8 rows by 16 neurons whose counts stay in registers, the old trick of matrix products (Goto and
van de Geijn 2008). It is spelled out in LLVM's language, which numba compiles for the machine at hand: with AVX-512
VPOPCNTDQ one instruction counts 512 bits, elsewhere LLVM takes what there is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "bit_planes",
    "count_differences",
    "fire",
    "fire_pixels",
    "pack_bits",
    "run_dense",
    "tile_weights",
    "unpack_bits",
]

WORD = 64  # signs in a word
LANES = 8  # words in a vector
COLUMNS = 2 * LANES  # neurons of a tile
ROWS = 8  # rows of a tile; for pixels the eight bit-planes of one image
SMALL = 64  # rows below which threads cost more than they bring
NO_LIMITS = np.empty(0, np.int64)  # where differences are counted, and nothing fires

BYTE, SHORT, LONG = (ir.IntType(bits) for bits in (8, 16, 64))
VECTOR, BYTES = ir.VectorType(LONG, LANES), ir.VectorType(BYTE, WORD)


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """(N, K) bool -> (N, ceil(K / 64)) uint64: bit k % 64 of word k // 64 is column k, the rest are 0.

    Examples:
        >>> pack_bits(np.array([[True, False, True]])).tolist()
        [[5]]
    """
    padded = np.zeros((len(bits), -(-bits.shape[1] // WORD) * WORD), bool)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def unpack_bits(words: np.ndarray, columns: int) -> np.ndarray:
    """(N, ceil(K / 64)) uint64 -> (N, K) bool: the inverse of `pack_bits`."""
    octets = np.ascontiguousarray(words, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, count=columns, bitorder="little").astype(bool)


def tile_weights(words: np.ndarray) -> np.ndarray:
    """(M, W) uint64, a neuron a row -> (ceil(M / 16), W, 16): what the kernels take, neurons padded with zeros."""
    neurons, width = words.shape
    tiles = -(-neurons // COLUMNS)
    padded = np.zeros((tiles * COLUMNS, width), np.uint64)
    padded[:neurons] = words
    return np.ascontiguousarray(padded.reshape(tiles, COLUMNS, width).transpose(0, 2, 1))


def count_differences(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, W) words and tiled weights (T, W, 16) -> (N, 16 T) int64: in how many places row and neuron differ."""
    _check(x, weights)
    counts = np.empty((len(x), weights.shape[0] * COLUMNS), np.int64)
    _pick(len(x), _compare)(x, weights, NO_LIMITS, counts, COLUMNS)
    return counts


def fire(x: np.ndarray, weights: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """(N, W) words, tiled weights (T, W, 16), limits (16 T,) int64 -> (N, ceil(T / 4)) words: the packed output bits.

    A neuron's bit is 1 where it differs from the row in at most `limits` places; a limit of -1 is never.
    """
    _check(x, weights, limits)
    out = _no_bits(len(x), weights)
    _pick(len(x), _compare)(x, weights, limits, out.view(np.uint16), 1)
    return out


def fire_pixels(planes: np.ndarray, weights: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """As `fire`, for 8-bit numbers: `planes` are those of `bit_planes`, (8 N, W), and plane b's differences count 2^b.

    Since sum_k p_k w_k = 255 P - sum_b 2^b c_b, where P is the number of a neuron's +1 and c_b the differences from
    plane b, a limit on the weighted differences is a limit on the sum.
    """
    _check(planes, weights, limits)
    if len(planes) % ROWS:
        raise ValueError(f"expected eight planes an image, got {len(planes)} rows")
    out = _no_bits(len(planes) // ROWS, weights)
    _pick(len(out), _fire_pixels)(planes, weights, limits, out.view(np.uint16))
    return out


def bit_planes(pixels: np.ndarray) -> np.ndarray:
    """(N, K) uint8 -> (8 N, ceil(K / 64)) words: rows 8 n to 8 n + 7 are the bits of image n, the lowest first."""
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise ValueError(f"expected uint8 pixels of shape (N, K), got {pixels.dtype} of shape {pixels.shape}")
    images, columns = pixels.shape
    padded = np.zeros((images, -(-columns // WORD) * WORD), np.uint8)
    padded[:, :columns] = pixels
    out = np.empty((images * ROWS, padded.shape[1] // WORD), np.uint64)
    _pick(images, _bit_planes)(padded, out)
    return out


def run_dense(
    images: np.ndarray,
    cut: int,
    widths: np.ndarray,
    weights: np.ndarray,
    limits: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
) -> np.ndarray:
    """All layers of a dense network in one call, so that a single image takes microseconds.

    Args:
        images: (N, widths[0]) uint8.
        cut: pixels from it on are +1; -1: all eight bits are used, and there is a hidden layer.
        widths: int64, from the input's to the output's.
        weights: the tiled weights of all layers, one after the other.
        limits: the limits of all hidden layers, 16 a tile, one after the other.
        scale: (widths[-1],) float64.
        shift: (widths[-1],) float64.

    Returns:
        (N, widths[-1]) float64: scale * sum + shift of the last layer.
    """
    out = np.empty((len(images), len(scale)))
    _pick(len(images), _dense)(images, cut, widths, weights, limits, scale, shift, out)
    return out


# What follows is compiled. `prange` is `range` in the serial variants.


@intrinsic
def _pointer(typing_context, array, index):
    """The address of an element, counted through the array's memory."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        return builder.gep(data, [arguments[1]])

    return types.CPointer(array.dtype)(array, types.intp), generate


def _tile(rows: int, finish: Callable):
    """An intrinsic: the counts of a tile, and what `finish` does with them.

    Its arguments are pointers to the first row, the tile, its 16 limits and its first output, the words of a row, and
    the ways from one row to the next, of x in words, of the output in its elements.
    """

    @intrinsic
    def tile(typing_context, x, weights, limits, out, words, x_stride, stride):
        def generate(context, builder, signature, arguments):
            x, weights, limits, out, words, x_stride, stride = arguments
            counts = _differences(builder, x, weights, words, x_stride, rows)
            finish(builder, counts, limits, out, stride)
            return context.get_dummy_value()

        return types.void(x, weights, limits, out, types.intp, types.intp, types.intp), generate

    return tile


def _differences(builder, x, weights, words, x_stride, rows):
    """LLVM: for word in words: counts[row][half] += popcount(x[row, word] ^ weights[word, half])."""
    count_type = ir.FunctionType(VECTOR, [VECTOR])
    popcount = cgutils.get_or_insert_function(builder.module, count_type, f"llvm.ctpop.v{LANES}i64")
    start, loop, end = builder.block, builder.append_basic_block("words"), builder.append_basic_block("counted")
    builder.branch(loop)
    builder.position_at_end(loop)
    word = builder.phi(LONG)
    counts = [[builder.phi(VECTOR) for _ in range(2)] for _ in range(rows)]
    place = builder.mul(word, LONG(COLUMNS))
    halves = [_load(builder, builder.gep(weights, [builder.add(place, LONG(half * LANES))])) for half in range(2)]
    new = []
    for row, pair in enumerate(counts):
        bits = _spread(builder, builder.load(builder.gep(x, [builder.add(word, builder.mul(x_stride, LONG(row)))])))
        new.append(
            [builder.add(c, builder.call(popcount, [builder.xor(bits, w)])) for c, w in zip(pair, halves, strict=True)]
        )
    following = builder.add(word, LONG(1))
    word.add_incoming(LONG(0), start)
    word.add_incoming(following, loop)
    for pair, sums in zip(counts, new, strict=True):
        for count, value in zip(pair, sums, strict=True):
            count.add_incoming(VECTOR([0] * LANES), start)
            count.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, words), loop, end)
    builder.position_at_end(end)
    return new


def _load(builder, pointer):
    return builder.load(builder.bitcast(pointer, VECTOR.as_pointer()), align=8)


def _spread(builder, value, vector=VECTOR):
    """The same number in all lanes."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.VectorType(ir.IntType(32), vector.count)([0] * vector.count))


def _bytes(builder, value):
    return _spread(builder, builder.trunc(value, BYTE), BYTES)


def _store(builder, counts, limits, out, stride):
    """The counts themselves where the output is of 64 bits, else which of them are within the limits."""
    store = _store_counts if out.type.pointee == LONG else _store_bits
    store(builder, counts, limits, out, stride)


def _store_counts(builder, counts, limits, out, stride):
    for row, pair in enumerate(counts):
        for half, count in enumerate(pair):
            place = builder.add(builder.mul(stride, LONG(row)), LONG(half * LANES))
            pointer = builder.bitcast(builder.gep(out, [place]), VECTOR.as_pointer())
            builder.store(count, pointer, align=8)


def _store_bits(builder, counts, limits, out, stride):
    """For each row the 16 bits of the tile, in a uint16."""
    for row, pair in enumerate(counts):
        low, high = (
            builder.icmp_signed("<=", count, _load(builder, builder.gep(limits, [LONG(half * LANES)])))
            for half, count in enumerate(pair)
        )
        both = builder.shuffle_vector(low, high, ir.VectorType(ir.IntType(32), COLUMNS)(list(range(COLUMNS))))
        builder.store(builder.bitcast(both, SHORT), builder.gep(out, [builder.mul(stride, LONG(row))]), align=2)


def _store_weighted_bits(builder, counts, limits, out, stride):
    weighted = [
        _sum(builder, [builder.shl(pair[half], VECTOR([plane] * LANES)) for plane, pair in enumerate(counts)])
        for half in range(2)
    ]
    _store_bits(builder, [weighted], limits, out, stride)


def _sum(builder, values):
    first, *rest = values
    for value in rest:
        first = builder.add(first, value)
    return first


_tile_of_rows, _tile_of_row = _tile(ROWS, _store), _tile(1, _store)
_tile_of_planes = _tile(ROWS, _store_weighted_bits)


@intrinsic
def _plane(typing_context, pixels, bit):
    """One bit of 64 neighbouring bytes, as a word."""

    def generate(context, builder, signature, arguments):
        values = builder.load(builder.bitcast(arguments[0], BYTES.as_pointer()), align=1)
        shifts = _bytes(builder, builder.sub(LONG(7), arguments[1]))
        top = builder.icmp_signed("<", builder.shl(values, shifts), BYTES([0] * WORD))  # the sign bit
        return builder.bitcast(top, LONG)

    return types.uint64(pixels, types.intp), generate


def _compare(x, weights, limits, out, step):
    """Every row with every tile, whose first output stands `step` elements after that of the tile before."""
    rows, words = x.shape
    for block in prange((rows + ROWS - 1) // ROWS):
        first = block * ROWS
        whole = first + ROWS <= rows
        for tile in range(weights.shape[0]):
            w, limit = _pointer(weights, tile * words * COLUMNS), _pointer(limits, tile * COLUMNS)
            if whole:
                y = _pointer(out, first * out.shape[1] + tile * step)
                _tile_of_rows(_pointer(x, first * words), w, limit, y, words, words, out.shape[1])
            else:
                for row in range(first, rows):
                    y = _pointer(out, row * out.shape[1] + tile * step)
                    _tile_of_row(_pointer(x, row * words), w, limit, y, words, 0, 0)


def _fire_pixels(planes, weights, limits, out):
    words = planes.shape[1]
    for image in prange(len(out)):
        for tile in range(weights.shape[0]):
            x, w = _pointer(planes, image * ROWS * words), _pointer(weights, tile * words * COLUMNS)
            y = _pointer(out, image * out.shape[1] + tile)
            _tile_of_planes(x, w, _pointer(limits, tile * COLUMNS), y, words, words, 0)


def _bit_planes(pixels, out):
    words = out.shape[1]
    for image in prange(len(pixels)):
        for word in range(words):
            x = _pointer(pixels, image * pixels.shape[1] + word * WORD)
            for bit in range(ROWS):
                out[image * ROWS + bit, word] = _plane(x, bit)


@intrinsic
def _at_least(typing_context, pixels, cut):
    """Which of 64 neighbouring bytes are at least `cut`, as a word."""

    def generate(context, builder, signature, arguments):
        values = builder.load(builder.bitcast(arguments[0], BYTES.as_pointer()), align=1)
        return builder.bitcast(builder.icmp_unsigned(">=", values, _bytes(builder, arguments[1])), LONG)

    return types.uint64(pixels, types.intp), generate


def _dense(images, cut, widths, weights, limits, scale, shift, out):
    depth, stride = len(widths) - 1, (widths.max() + WORD - 1) // WORD
    for block in prange((len(images) + ROWS - 1) // ROWS):
        first = block * ROWS
        rows = min(ROWS, len(images) - first)
        pixels, planes = np.zeros(stride * WORD, np.uint8), np.empty((ROWS, stride), np.uint64)
        x, y = np.zeros((ROWS, stride), np.uint64), np.zeros((ROWS, stride), np.uint64)
        counts = np.empty((ROWS, COLUMNS), np.int64)
        weight = limit = start = 0  # where a layer's weights and limits begin; the first layer that takes bits
        words, tiles = (widths[0] + WORD - 1) // WORD, (widths[1] + COLUMNS - 1) // COLUMNS
        bits = x.view(np.uint16)
        for row in range(rows):
            pixels[: widths[0]] = images[first + row]
            for word in range(words):
                here = _pointer(pixels, word * WORD)
                if cut >= 0:
                    x[row, word] = _at_least(here, cut)
                else:
                    for plane in range(ROWS):
                        planes[plane, word] = _plane(here, plane)
            if cut < 0:
                for tile in range(tiles):
                    w, bear = _pointer(weights, tile * words * COLUMNS), _pointer(limits, tile * COLUMNS)
                    fired = _pointer(bits, row * bits.shape[1] + tile)
                    _tile_of_planes(_pointer(planes, 0), w, bear, fired, words, stride, 0)
        if cut < 0:
            weight, limit, start = tiles * words * COLUMNS, tiles * COLUMNS, 1
        for layer in range(start, depth):
            words, tiles = (widths[layer] + WORD - 1) // WORD, (widths[layer + 1] + COLUMNS - 1) // COLUMNS
            y[:] = 0
            bits = y.view(np.uint16)
            for tile in range(tiles):
                w = _pointer(weights, weight + tile * words * COLUMNS)
                if layer == depth - 1:
                    for row in range(rows):
                        _tile_of_row(_pointer(x, row * stride), w, w, _pointer(counts, row * COLUMNS), words, 0, 0)
                        for column in range(tile * COLUMNS, min(widths[depth], tile * COLUMNS + COLUMNS)):
                            total = widths[layer] - 2 * counts[row, column - tile * COLUMNS]
                            out[first + row, column] = total * scale[column] + shift[column]
                    continue
                bear = _pointer(limits, limit + tile * COLUMNS)
                if rows == ROWS:
                    _tile_of_rows(_pointer(x, 0), w, bear, _pointer(bits, tile), words, stride, bits.shape[1])
                else:
                    for row in range(rows):
                        fired = _pointer(bits, row * bits.shape[1] + tile)
                        _tile_of_row(_pointer(x, row * stride), w, bear, fired, words, 0, 0)
            weight, limit = weight + tiles * words * COLUMNS, limit + tiles * COLUMNS
            x, y = y, x


def _compiled(function):
    """The function for few rows and for many: on one thread, and on as many as `numba.set_num_threads` allows."""
    return tuple(njit(function, cache=True, nogil=True, parallel=parallel) for parallel in (False, True))


_compare, _fire_pixels, _bit_planes, _dense = map(_compiled, (_compare, _fire_pixels, _bit_planes, _dense))


def _pick(rows: int, variants: tuple) -> Callable:
    return variants[rows >= SMALL]


def _no_bits(rows: int, weights: np.ndarray) -> np.ndarray:
    return np.zeros((rows, -(-weights.shape[0] * COLUMNS // WORD)), np.uint64)


def _check(x: np.ndarray, weights: np.ndarray, limits: np.ndarray | None = None) -> None:
    """The kernels read memory as it lies, so what they get must be what they expect."""
    fits = all(a.dtype == np.uint64 and a.flags.c_contiguous for a in (x, weights))
    if not fits or x.ndim != 2 or weights.shape[1:] != (x.shape[1], COLUMNS):
        raise ValueError(
            f"expected contiguous uint64 rows (N, W) and tiled weights (T, W, {COLUMNS}), got "
            f"{x.dtype} of shape {x.shape} and {weights.dtype} of shape {weights.shape}"
        )
    if limits is not None and (limits.dtype != np.int64 or limits.shape != (weights.shape[0] * COLUMNS,)):
        raise ValueError(f"expected {weights.shape[0] * COLUMNS} int64 limits, got {limits.dtype} of {limits.shape}")
