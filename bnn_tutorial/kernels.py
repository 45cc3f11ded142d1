"""Products with ±1 by counting bits: 64 signs in a machine word, XOR, and a count of the bits that differ.

+1 is bit 1 and -1 is bit 0. Two rows of K signs that differ in c places have the dot product K - 2c. Rows are padded to
whole words with zeros on both sides, which never differ.

Pixels of 8 bits go four to a word, and their weights as bytes of ±1 beside them: adding and subtracting bytes is then
what counting bits is for signs. Both answer the same question, how far a row is from a neuron's weights, as a whole
number that is small where they agree.

The heart is a tile of 8 rows by two vectors of neurons whose numbers stay in registers, the old trick of matrix
products (Goto and van de Geijn 2008). It is spelled out in LLVM's language, which numba compiles for the machine at
hand: with AVX-512 one instruction counts 512 bits (VPOPCNTDQ) or adds up 64 products of bytes (VNNI), elsewhere LLVM
takes what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import FunctionType

import numba
import numpy as np
from llvmlite import binding, ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["distances", "fire", "pack_bits", "pack_bytes", "pack_pixels", "run_dense", "tile", "unpack_bits"]

WORD = 64  # signs in a word
QUAD = 4  # pixels in a word
STEPS = 4  # words of pixels that a single row takes at a time: one sum would wait for itself
VECTOR = 64  # bytes
ROWS = 8  # rows of a tile
SMALL = 2**20  # bytes of weights to go through, all rows together, below which threads cost more than they bring
NO_LIMITS = np.empty(0, np.int32)  # where the distances themselves are wanted, and nothing fires

LONG, INT, SHORT, BYTE = (ir.IntType(bits) for bits in (64, 32, 16, 8))
LONGS, INTS, SHORTS, BYTES = (ir.VectorType(t, VECTOR * 8 // t.width) for t in (LONG, INT, SHORT, BYTE))


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """(N, K) bool -> (N, ceil(K / 64)) uint64: bit k % 64 of word k // 64 is column k, the rest are 0.

    Examples:
        >>> pack_bits(np.array([[True, False, True]])).tolist()
        [[5]]
    """
    padded = _padded(bits, WORD)
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def unpack_bits(words: np.ndarray, columns: int) -> np.ndarray:
    """(N, ceil(K / 64)) uint64 -> (N, K) bool: the inverse of `pack_bits`."""
    octets = np.ascontiguousarray(words, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, count=columns, bitorder="little").astype(bool)


def pack_pixels(pixels: np.ndarray) -> np.ndarray:
    """(N, K) uint8 -> (N, 4 ceil(K / 16)) uint32: four pixels a word, the last words filled up with 0."""
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise ValueError(f"expected uint8 pixels of shape (N, K), got {pixels.dtype} of shape {pixels.shape}")
    return _padded(pixels, QUAD * STEPS).view(np.uint32)


def pack_bytes(bits: np.ndarray) -> np.ndarray:
    """(M, K) bool, the weights of neurons that see pixels -> (M, 4 ceil(K / 16)) uint32: a byte for each, +1 as -1.

    So their sum of products with the pixels is small where the neuron's is large, as a count of differences is.
    """
    return _padded(np.where(bits, np.int8(-1), np.int8(1)), QUAD * STEPS).view(np.uint32)


def tile(words: np.ndarray) -> np.ndarray:
    """(M, W) words, a neuron a row -> (ceil(M / C), W, C): what the kernels take, neurons padded with zeros.

    C, the neurons of a tile, is 16 for words of bits and 32 for words of bytes: two vectors of 64 bytes.
    """
    neurons, width = words.shape
    columns = _columns(words.dtype)
    padded = np.zeros((-(-neurons // columns) * columns, width), words.dtype)
    padded[:neurons] = words
    return np.ascontiguousarray(padded.reshape(-1, columns, width).transpose(0, 2, 1))


def distances(x: np.ndarray, weights: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """How far each row is from each neuron.

    Args:
        x: (N, W) of `pack_bits` or `pack_pixels`.
        weights: (T, W, C), the `tile` of `pack_bits` or `pack_bytes`.
        out: (N, C T) int32, to be written into; default new memory, which for large products takes longer to get than
            to fill.

    Returns:
        (N, C T) int32: of bits in how many places they differ, of pixels minus the sum of their products with ±1.
    """
    _check(x, weights)
    tiles, _, columns = weights.shape
    shape = (len(x), tiles * columns)
    if out is None:
        out = np.empty(shape, np.int32)
    elif out.dtype != np.int32 or out.shape != shape or not out.flags.c_contiguous:
        raise ValueError(f"expected contiguous int32 out of shape {shape}, got {out.dtype} of shape {out.shape}")
    _pick(len(x), weights, _compare)(x, weights, NO_LIMITS, out, columns, _parts(len(x), tiles))
    return out


def fire(x: np.ndarray, weights: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Which neurons are at most their limit away from each row: their outputs, packed.

    Args:
        x: as in `distances`.
        weights: as in `distances`.
        limits: (C T,) int32; -1 is never, where `x` is bits.

    Returns:
        (N, ceil(C T / 64)) uint64, as of `pack_bits`.
    """
    _check(x, weights, limits)
    tiles, _, columns = weights.shape
    out = np.zeros((len(x), -(-tiles * columns // WORD)), np.uint64)
    bits = out.view(f"u{columns // 8}")
    _pick(len(x), weights, _compare)(x, weights, limits, bits, 1, _parts(len(x), tiles))
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
        cut: pixels from it on are +1; -1: the first layer takes all eight bits, and it is a hidden one.
        widths: int64, from the input's to the output's.
        weights: uint64, the tiled weights of all layers, one after the other.
        limits: int32, the limits of all hidden layers, one for each neuron of their tiles, one after the other.
        scale: (widths[-1],) float64.
        shift: (widths[-1],) float64.

    Returns:
        (N, widths[-1]) float64: scale * (widths[-2] - 2 * distance) + shift of the last layer.
    """
    out = np.empty((len(images), len(scale)))
    _pick(len(images), weights, _dense)(images, cut, widths, weights, limits, scale, shift, out)
    return out


def _padded(values: np.ndarray, multiple: int) -> np.ndarray:
    rows, columns = values.shape
    padded = np.zeros((rows, -(-columns // multiple) * multiple), values.dtype)
    padded[:, :columns] = values
    return padded


def _columns(dtype: np.dtype) -> int:
    return 2 * VECTOR // dtype.itemsize


def _parts(rows: int, tiles: int) -> int:
    """Into how many parts the tiles are divided, so that few rows keep all threads busy, too."""
    return max(1, min(tiles, numba.get_num_threads() // max(1, -(-rows // ROWS))))


# What follows is compiled. `prange` is `range` in the serial variants.


@intrinsic
def _start(typing_context, array):
    """The address of an array's first element."""

    def generate(context, builder, signature, arguments):
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def _at(typing_context, pointer, index):
    """The address so many elements further on."""

    def generate(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.intp), generate


def _tile(rows: int):
    """An intrinsic: the distances of some rows from the neurons of a tile, or which of them are within the limits.

    Its arguments are pointers to the first row, the tile, its limits and its first output, the words of a row, and the
    ways from one row to the next, of x in words, of the output in its elements.
    """

    @intrinsic
    def tile(typing_context, x, weights, limits, out, words, x_stride, stride):
        is_bits = x.dtype == types.uint64
        store = _store_distances if out.dtype == types.int32 else _store_bits

        def generate(context, builder, signature, arguments):
            x, weights, limits, out, words, x_stride, stride = arguments
            add = _add_differences if is_bits else _add_products(context)
            steps = STEPS if rows == 1 and not is_bits else 1
            found = _accumulate(builder, add, LONGS if is_bits else INTS, x, weights, words, x_stride, rows, steps)
            store(builder, [[_as_ints(builder, half) for half in pair] for pair in found], limits, out, stride)
            return context.get_dummy_value()

        return types.void(x, weights, limits, out, types.intp, types.intp, types.intp), generate

    return tile


def _accumulate(builder, add, vector, x, weights, words, x_stride, rows, steps):
    """LLVM: for word in words: sums[row][half] = add(sums[row][half], x[row, word], weights[word, half])."""
    start, loop, end = builder.block, builder.append_basic_block("words"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    word = builder.phi(LONG)
    sums = {place: builder.phi(vector) for place in product(range(rows), range(2), range(steps))}
    new = {}
    for step in range(steps):
        here = builder.add(word, LONG(step))
        halves = [_load(builder, weights, builder.add(_times(builder, here, 2), LONG(i)), vector) for i in range(2)]
        for row in range(rows):
            place = builder.add(here, _times(builder, x_stride, row))
            value = _spread(builder, builder.load(builder.gep(x, [place])), vector)
            for half, w in enumerate(halves):
                new[row, half, step] = add(builder, sums[row, half, step], value, w)
    following = builder.add(word, LONG(steps))
    word.add_incoming(LONG(0), start)
    word.add_incoming(following, loop)
    for place, phi in sums.items():
        phi.add_incoming(vector([0] * vector.count), start)
        phi.add_incoming(new[place], loop)
    builder.cbranch(builder.icmp_signed("<", following, words), loop, end)
    builder.position_at_end(end)
    return [[_sum(builder, [new[row, half, i] for i in range(steps)]) for half in range(2)] for row in range(rows)]


def _add_differences(builder, counts, bits, weights):
    """counts[lane] += popcount(bits[lane] ^ weights[lane])"""
    name = f"llvm.ctpop.v{LONGS.count}i64"
    popcount = cgutils.get_or_insert_function(builder.module, ir.FunctionType(LONGS, [LONGS]), name)
    return builder.add(counts, builder.call(popcount, [builder.xor(bits, weights)]))


def _add_products(context):
    """sums[lane] += the products of a lane's four unsigned bytes with four signed ones; in the machine's way."""
    _, _, features = context.codegen().magic_tuple()
    return _add_products_by_vnni if "+avx512vnni" in features else _add_products_of_bytes


def _add_products_by_vnni(builder, sums, pixels, weights):
    operand = BYTES if binding.llvm_version_info >= (22,) else INTS
    kind = ir.FunctionType(INTS, [INTS, operand, operand])
    dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(dot, [sums, builder.bitcast(pixels, operand), builder.bitcast(weights, operand)])


def _add_products_of_bytes(builder, sums, pixels, weights):
    """In 16 bits first, where a product with ±1 and the sum of two have room."""
    x, w, eight = builder.bitcast(pixels, SHORTS), builder.bitcast(weights, SHORTS), SHORTS([8] * SHORTS.count)
    low = builder.mul(builder.and_(x, SHORTS([255] * SHORTS.count)), builder.ashr(builder.shl(w, eight), eight))
    high = builder.mul(builder.lshr(x, eight), builder.ashr(w, eight))
    pairs, sixteen = builder.bitcast(builder.add(low, high), INTS), INTS([16] * INTS.count)
    return _sum(builder, [sums, builder.ashr(builder.shl(pairs, sixteen), sixteen), builder.ashr(pairs, sixteen)])


def _load(builder, pointer, index, vector):
    """The vector with this number, counted in vectors from the pointer."""
    vectors = builder.bitcast(pointer, vector.as_pointer())
    return builder.load(builder.gep(vectors, [index]), align=vector.element.width // 8)


def _spread(builder, value, vector):
    """The same number in all lanes."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, INT(0))
    return builder.shuffle_vector(first, undefined, ir.VectorType(INT, vector.count)([0] * vector.count))


def _as_ints(builder, values):
    return values if values.type == INTS else builder.trunc(values, ir.VectorType(INT, values.type.count))


def _times(builder, value, factor):
    return builder.mul(value, LONG(factor))


def _sum(builder, values):
    first, *rest = values
    for value in rest:
        first = builder.add(first, value)
    return first


def _store_distances(builder, found, limits, out, stride):
    for row, pair in enumerate(found):
        for half, values in enumerate(pair):
            place = builder.gep(out, [builder.add(_times(builder, stride, row), LONG(half * values.type.count))])
            builder.store(values, builder.bitcast(place, values.type.as_pointer()), align=4)


def _store_bits(builder, found, limits, out, stride):
    """For each row one bit a neuron, in one number."""
    for row, pair in enumerate(found):
        low, high = (
            builder.icmp_signed("<=", values, _load(builder, limits, LONG(half), values.type))
            for half, values in enumerate(pair)
        )
        columns = 2 * low.type.count
        both = builder.shuffle_vector(low, high, ir.VectorType(INT, columns)(list(range(columns))))
        place = builder.gep(out, [_times(builder, stride, row)])
        builder.store(builder.bitcast(both, ir.IntType(columns)), place, align=columns // 8)


_tile_of_rows, _tile_of_row = _tile(ROWS), _tile(1)


@njit
def _block(x, weights, limits, out, rows, words, tiles, columns, x_stride, stride, step):
    """Up to 8 rows with some tiles; the first output of a tile stands `step` elements after that of the one before."""
    for tile in range(tiles):
        w, limit, y = _at(weights, tile * words * columns), _at(limits, tile * columns), _at(out, tile * step)
        if rows == ROWS:
            _tile_of_rows(x, w, limit, y, words, x_stride, stride)
        else:
            for row in range(rows):
                _tile_of_row(_at(x, row * x_stride), w, limit, _at(y, row * stride), words, 0, 0)


def _compare(x, weights, limits, out, step, parts):
    """Every row with every tile: a block of rows with a part of the tiles at a time."""
    rows, words = x.shape
    tiles, _, columns = weights.shape
    stride = out.shape[1]
    for task in prange((rows + ROWS - 1) // ROWS * parts):
        block, part = task // parts, task % parts
        row, tile, end = block * ROWS, tiles * part // parts, tiles * (part + 1) // parts
        w, limit = _at(_start(weights), tile * words * columns), _at(_start(limits), tile * columns)
        y = _at(_start(out), row * stride + tile * step)
        here = _at(_start(x), row * words)
        _block(here, w, limit, y, min(ROWS, rows - row), words, end - tile, columns, words, stride, step)


@intrinsic
def _at_least(typing_context, pixels, cut):
    """Which of 64 neighbouring pixels are at least `cut`, as a word."""

    def generate(context, builder, signature, arguments):
        pointer, cut = arguments
        values = _load(builder, pointer, LONG(0), BYTES)
        cuts = _spread(builder, builder.trunc(cut, BYTE), BYTES)
        return builder.bitcast(builder.icmp_unsigned(">=", values, cuts), LONG)

    return types.uint64(pixels, types.intp), generate


def _dense(images, cut, widths, weights, limits, scale, shift, out):
    last, longest = len(widths) - 1, (widths.max() + WORD - 1) // WORD
    for block in prange((len(images) + ROWS - 1) // ROWS):
        first = block * ROWS
        rows = min(ROWS, len(images) - first)
        pixels = np.zeros((ROWS, (widths[0] + WORD - 1) // WORD * WORD), np.uint8)
        x, y = np.zeros((ROWS, longest), np.uint64), np.zeros((ROWS, longest), np.uint64)
        counts = np.empty((ROWS, (widths[last] + 15) // 16 * 16), np.int32)
        for row in range(rows):
            for column in range(widths[0]):  # to assign a slice takes six times as long
                pixels[row, column] = images[first + row, column]
        weight, limit, start = 0, 0, 0  # where a layer's weights and limits begin; the first layer that takes bits
        if cut < 0:
            quads, words, tiles = pixels.view(np.uint32), (widths[0] + 15) // 16 * 4, (widths[1] + 31) // 32
            bits = x.view(np.uint32)
            w, bear = _start(weights.view(np.uint32)), _start(limits)
            _block(_start(quads), w, bear, _start(bits), rows, words, tiles, 32, quads.shape[1], bits.shape[1], 1)
            weight, limit, start = tiles * words * 16, tiles * 32, 1
        else:
            for row in range(rows):
                for word in range((widths[0] + WORD - 1) // WORD):
                    x[row, word] = _at_least(_at(_start(pixels), row * pixels.shape[1] + word * WORD), cut)
        for layer in range(start, last):
            words, tiles = (widths[layer] + WORD - 1) // WORD, (widths[layer + 1] + 15) // 16
            w, bear = _at(_start(weights), weight), _at(_start(limits), limit)
            if layer < last - 1:
                y[:] = 0
                bits = y.view(np.uint16)
                _block(_start(x), w, bear, _start(bits), rows, words, tiles, 16, longest, bits.shape[1], 1)
            else:
                _block(_start(x), w, bear, _start(counts), rows, words, tiles, 16, longest, counts.shape[1], 16)
            weight, limit = weight + tiles * words * 16, limit + tiles * 16
            x, y = y, x
        for row in range(rows):
            for column in range(widths[last]):
                total = widths[last - 1] - 2 * counts[row, column]
                out[first + row, column] = total * scale[column] + shift[column]


def _compiled(function):
    """The function for little and for much: on one thread, and on as many as `numba.set_num_threads` allows."""
    threaded = FunctionType(function.__code__, function.__globals__)
    threaded.__qualname__ = f"{function.__name__}_threaded"  # numba's cache tells functions by name, not by options
    return njit(function, cache=True, nogil=True), njit(threaded, cache=True, nogil=True, parallel=True)


_compare, _dense = map(_compiled, (_compare, _dense))


def _pick(rows: int, weights: np.ndarray, variants: tuple) -> Callable:
    return variants[rows * weights.nbytes >= SMALL]


def _check(x: np.ndarray, weights: np.ndarray, limits: np.ndarray | None = None) -> None:
    """The kernels read memory as it lies, so what they get must be what they expect."""
    fits = x.dtype in (np.uint64, np.uint32) and all(a.dtype == x.dtype and a.flags.c_contiguous for a in (x, weights))
    if not fits or x.ndim != 2 or weights.shape[1:] != (x.shape[1], _columns(x.dtype)):
        raise ValueError(
            "expected contiguous rows (N, W), of uint64 for bits or uint32 for pixels, and their tiled weights, got "
            f"{x.dtype} of shape {x.shape} and {weights.dtype} of shape {weights.shape}"
        )
    neurons = weights.shape[0] * weights.shape[2]
    if limits is not None and (limits.dtype != np.int32 or limits.shape != (neurons,)):
        raise ValueError(f"expected {neurons} int32 limits, got {limits.dtype} of {limits.shape}")
