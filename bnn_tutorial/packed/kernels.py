"""Products of signs, and of pixels, with weights of ±1, compiled by numba for the machine at hand.

A sign is a bit, 1 for +1, and 64 of them are a word. Two rows of K signs that differ in d places have the dot product
K - 2d, and d is the popcount (how many bits are 1) of the XOR of their words: `plain_products` is just that. Pixels of
8 bits are multiplied with weights of a byte each, four to a word.

`Neurons` does the same faster, by *tiling*, the old trick of matrix products (Goto and van de Geijn 2008): the sums of
a tile, 8 rows by two vectors of neurons, stay in registers while the loop goes over the words, so that a vector of
weights, once loaded, serves 8 rows. Python has no names for registers, so the tile is written in LLVM's language, into
which numba translates everything. With AVX-512 one instruction counts the ones in 512 bits (VPOPCNTDQ) or adds up 64
products of bytes (VNNI); elsewhere LLVM takes what there is.
"""

from __future__ import annotations

from types import FunctionType

import numba
import numpy as np
from llvmlite import binding, ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["pack_bits", "unpack_bits", "pixel_signs", "Neurons", "plain_products", "affine"]

WORD = 64  # signs in a word
LANES = 16  # numbers of 32 bits in a vector of 64 bytes
ROWS = 8  # rows of a tile
SMALL = 2**20  # bytes of weights to go through, all rows together, below which threads cost more than they bring
NEVER = np.iinfo(np.int32).max  # a threshold that no sum reaches

LONG, INT, SHORT, BYTE = (ir.IntType(bits) for bits in (64, 32, 16, 8))
LONGS, INTS, SHORTS, BYTES = (ir.VectorType(t, 512 // t.width) for t in (LONG, INT, SHORT, BYTE))


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """(N, K) bool -> (N, ceil(K / 64)) uint64: bit k % 64 of word k // 64 is column k, the rest are 0."""
    return _padded(np.packbits(bits, axis=1, bitorder="little"), WORD // 8).view(np.uint64)


def unpack_bits(words: np.ndarray, columns: int) -> np.ndarray:
    """(..., ceil(K / 64)) uint64 -> (..., K) bool: the inverse of `pack_bits`."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=columns, bitorder="little").astype(bool)


def pixel_signs(pixels: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Which pixels are at least their threshold: (N, K) uint8, (K,) int32 -> (N, ceil(K / 64)) uint64 of bits."""
    if pixels.dtype != np.uint8 or thresholds.dtype != np.int32 or thresholds.shape != pixels.shape[1:]:
        got = f"{pixels.dtype} of {pixels.shape} and {thresholds.dtype} of {thresholds.shape}"
        raise ValueError(f"expected (N, K) uint8 pixels and (K,) int32 thresholds, got {got}")
    out = np.zeros((len(pixels), -(-pixels.shape[1] // WORD)), np.uint64)
    pixels, thresholds = _padded(pixels, LANES), _padded(thresholds[None], LANES, NEVER)[0]
    _pixel_signs[pixels.nbytes >= SMALL](pixels, thresholds, out)
    return out


class Neurons:
    """Neurons with weights of ±1, made ready: tiled.

    Args:
        weights: a neuron a row; for inputs that are signs (M, W) uint64 of `pack_bits`, for pixels (M, K) int8 of ±1.
        inputs: K, how many inputs a neuron has.
        thresholds: (M,) int32, for `signs`.

    Examples:
        >>> x, w = pack_bits(np.array([[1, 0, 1]]) > 0), pack_bits(np.array([[1, 1, 1], [0, 1, 0]]) > 0)
        >>> x.tolist(), w.tolist()
        ([[5]], [[7], [2]])
        >>> neurons = Neurons(w, inputs=3, thresholds=np.array([1, 1]))
        >>> neurons.products(x).tolist(), neurons.signs(x).tolist()
        ([[1, -3]], [[1]])
    """

    def __init__(self, weights: np.ndarray, inputs: int, thresholds: np.ndarray | None = None):
        thresholds = np.full(len(weights), NEVER) if thresholds is None else thresholds
        if weights.dtype not in (np.uint64, np.int8) or weights.ndim != 2 or thresholds.shape != weights.shape[:1]:
            got = f"{weights.dtype} of shape {weights.shape} and thresholds of shape {thresholds.shape}"
            raise ValueError(f"expected weights (M, W) uint64 or (M, K) int8 and thresholds (M,), got {got}")
        of_pixels, self.inputs, (self.outputs, self._width) = weights.dtype == np.int8, inputs, weights.shape
        self._dtype, self._multiple = (np.dtype(np.uint8), LANES) if of_pixels else (np.dtype(np.uint64), 1)
        words = _padded(weights, LANES).view(np.uint32) if of_pixels else weights
        tile = 128 // words.itemsize  # neurons in two vectors: 16 for signs, 32 for pixels
        words = _padded(words.T, tile)
        self.columns = words.shape[1]  # neurons, those included that fill up the last tile
        self._weights = np.ascontiguousarray(words.reshape(len(words), -1, tile).swapaxes(0, 1))  # (tiles, words, tile)
        self._thresholds = _padded(thresholds[None].astype(np.int32), tile, NEVER)[0]

    def products(self, x: np.ndarray) -> np.ndarray:
        """The dot product of each row with each neuron's weights: (N, W) uint64 or (N, K) uint8 -> (N, M) int32."""
        out = np.empty((len(x), self.columns), np.int32)
        self._run(x, out)
        return out[:, : self.outputs]

    def signs(self, x: np.ndarray) -> np.ndarray:
        """Which products are at least the neuron's threshold: (N, W) or (N, K) -> (N, ceil(M / 64)) uint64 of bits."""
        out = np.zeros((len(x), -(-self.columns // WORD)), np.uint64)
        self._run(x, out)
        return out

    def _run(self, x: np.ndarray, out: np.ndarray) -> None:
        """The compiled code reads memory as it lies, so what it gets must be what it expects."""
        if x.dtype != self._dtype or x.ndim != 2 or x.shape[1] != self._width:
            raise ValueError(f"expected (N, {self._width}) {self._dtype} rows, got {x.dtype} of shape {x.shape}")
        threads = 1 if len(x) * self._weights.nbytes < SMALL else numba.get_num_threads()
        x = _padded(x, self._multiple)
        _layer[threads > 1](x, self._weights, self.inputs, self._thresholds, out, threads)


def _padded(values: np.ndarray, multiple: int, fill: int = 0) -> np.ndarray:
    """Contiguous, the columns filled up to a multiple; where there is nothing to do, no copy."""
    rows, columns = values.shape
    if columns % multiple == 0:
        return np.ascontiguousarray(values)
    padded = np.full((rows, -(-columns // multiple) * multiple), fill, values.dtype)
    padded[:, :columns] = values
    return padded


# What follows is compiled: first the loops, then what they do with a tile, in LLVM's language.


@intrinsic
def _popcount(typing_context, word):
    """How many bits of a word are 1."""
    return types.intp(types.uint64), lambda context, builder, signature, arguments: builder.ctpop(*arguments)


@njit(cache=True)
def plain_products(x: np.ndarray, weights: np.ndarray, inputs: int) -> np.ndarray:
    """`products` of signs without tiles: to read, and to compare with. Weights are (M, W) of `pack_bits`."""
    out = np.empty((len(x), len(weights)), np.int32)
    for n in range(len(x)):
        for m in range(len(weights)):
            differences = 0
            for k in range(x.shape[1]):
                differences += _popcount(x[n, k] ^ weights[m, k])
            out[n, m] = inputs - 2 * differences
    return out


@njit(cache=True, nogil=True)
def affine(sums: np.ndarray, unit: int, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """scale * (sums / unit) + shift: (N, M) int32 and (M,) float64 -> (N, M) float64."""
    out = np.empty(sums.shape)
    for n in range(len(sums)):
        for m in range(len(scale)):
            out[n, m] = scale[m] * (sums[n, m] / unit) + shift[m]
    return out


def _layer(x, weights, inputs, thresholds, out, threads):
    tiles, words, _ = weights.shape
    blocks = (len(x) + ROWS - 1) // ROWS
    parts = max(1, min(tiles, threads // max(1, blocks)))  # of the tiles, so that even one row keeps all threads busy
    for task in prange(blocks * parts):
        row, part = task // parts * ROWS, task % parts
        for tile in range(tiles * part // parts, tiles * (part + 1) // parts):
            _tile(x, weights, thresholds, out, row, min(ROWS, len(x) - row), tile, words, inputs)


def _pixel_signs(pixels, thresholds, out):
    for row in prange(len(pixels)):
        for vector in range(pixels.shape[1] // LANES):
            _pixels(pixels, thresholds, out, row, vector)


def _compiled(function):
    """For little and for much: with `range` in place of `prange`, and on as many threads as numba is allowed."""
    threaded = FunctionType(function.__code__, function.__globals__)
    threaded.__qualname__ = f"{function.__name__}_threaded"  # numba's cache tells functions by name, not by options
    return njit(function, cache=True, nogil=True), njit(threaded, cache=True, nogil=True, parallel=True)


_layer, _pixel_signs = map(_compiled, (_layer, _pixel_signs))


@intrinsic
def _tile(typing_context, x, weights, thresholds, out, row, rows, tile, words, inputs):
    """The dot products of up to 8 rows with the neurons of a tile, or their signs, into their place of `out`."""

    def generate(context, builder, signature, arguments):
        *arrays, row, rows, tile, words, inputs = arguments
        x, weights, thresholds, out = _addresses(context, builder, signature, arrays)
        of_signs, (_, _, features) = signature.args[0].dtype == types.uint64, context.codegen().magic_tuple()
        add_bytes = _add_bytes_by_vnni if "+avx512vnni" in features else _add_bytes
        lanes, add = (LONGS, _add_differences) if of_signs else (INTS, add_bytes)

        def sum_rows(first, count):
            numbers = [builder.add(first, LONG(i)) for i in range(count)]
            found = _sum_up(builder, add, lanes, [x(number) for number in numbers], weights(tile), words)
            for number, pair in zip(numbers, found, strict=True):
                vectors = [_products_from(builder, *pair, inputs)] if of_signs else pair
                for i, products in enumerate(vectors):
                    vector = builder.add(builder.mul(tile, LONG(len(vectors))), LONG(i))
                    _store(builder, products, thresholds, out, number, vector)

        with builder.if_else(builder.icmp_signed("==", rows, LONG(ROWS))) as (together, each):
            with together:
                sum_rows(row, ROWS)
            with each, cgutils.for_range(builder, rows) as loop:
                sum_rows(builder.add(row, loop.index), 1)
        return context.get_dummy_value()

    return types.void(x, weights, thresholds, out, *[types.intp] * 5), generate


@intrinsic
def _pixels(typing_context, pixels, thresholds, out, row, vector):
    """The signs of 16 neighbouring pixels, into their place of `out`."""

    def generate(context, builder, signature, arguments):
        *arrays, row, vector = arguments
        pixels, thresholds, out = _addresses(context, builder, signature, arrays)
        octets = _load(builder, pixels(row, builder.mul(vector, LONG(LANES))), ir.VectorType(BYTE, LANES))
        _store(builder, builder.zext(octets, INTS), thresholds, out, row, vector)
        return context.get_dummy_value()

    return types.void(pixels, thresholds, out, types.intp, types.intp), generate


def _store(builder, numbers, thresholds, out, row, vector):
    """out[row, vector] = 16 numbers as they are; or, where `out` has words of bits, which reach their thresholds."""
    lane, start = builder.mul(vector, LONG(LANES)), out(row)
    if start.type.pointee == INT:
        builder.store(numbers, builder.bitcast(builder.gep(start, [lane]), INTS.as_pointer()), align=4)
    else:
        reached = builder.icmp_signed(">=", numbers, _load(builder, thresholds(lane), INTS))
        place = builder.gep(builder.bitcast(start, SHORT.as_pointer()), [vector])
        builder.store(builder.bitcast(reached, SHORT), place)


def _sum_up(builder, add, lanes, rows, weights, words):
    """For each row two vectors: for word in words: sums[row] = add(sums[row], x[row, word], weights[word])."""
    sums = [[cgutils.alloca_once_value(builder, lanes(None)) for _ in range(2)] for _ in rows]
    rows = [builder.bitcast(row, lanes.element.as_pointer()) for row in rows]
    weights = builder.bitcast(weights, ir.ArrayType(lanes, 2).as_pointer())
    with cgutils.for_range(builder, words) as loop:
        pair = [_load(builder, builder.gep(weights, [loop.index, INT(i)]), lanes) for i in range(2)]
        for row, places in zip(rows, sums, strict=True):
            x = _spread(builder, builder.load(builder.gep(row, [loop.index]), align=1), lanes)
            for place, w in zip(places, pair, strict=True):
                builder.store(add(builder, builder.load(place), x, w), place)  # LLVM puts such places into registers
    return [[builder.load(place) for place in places] for places in sums]


def _add_differences(builder, counts, x, w):
    """counts + popcount(x ^ w), 64 bits each."""
    kind = ir.FunctionType(LONGS, [LONGS])
    popcount = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{LONGS.count}i64")
    return builder.add(counts, builder.call(popcount, [builder.xor(x, w)]))


def _products_from(builder, low, high, inputs):
    """inputs - 2 * differences, of two vectors of 64-bit numbers in one of 32."""
    lower_halves = INTS(list(range(0, 2 * LANES, 2)))
    differences = builder.shuffle_vector(builder.bitcast(low, INTS), builder.bitcast(high, INTS), lower_halves)
    return builder.sub(_spread(builder, builder.trunc(inputs, INT), INTS), builder.add(differences, differences))


def _add_bytes_by_vnni(builder, sums, x, w):
    """sums + the products of four unsigned bytes with four signed ones, 32 bits each."""
    operand = BYTES if binding.llvm_version_info >= (22,) else INTS
    kind = ir.FunctionType(INTS, [INTS, operand, operand])
    dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(dot, [sums, builder.bitcast(x, operand), builder.bitcast(w, operand)])


def _add_bytes(builder, sums, x, w):
    """The same, in 16 bits first, where a product with ±1, and the sum of two, have room."""
    x, w, eight = builder.bitcast(x, SHORTS), builder.bitcast(w, SHORTS), SHORTS([8] * SHORTS.count)
    even = builder.mul(builder.and_(x, SHORTS([255] * SHORTS.count)), builder.ashr(builder.shl(w, eight), eight))
    odd = builder.mul(builder.lshr(x, eight), builder.ashr(w, eight))
    pairs, sixteen = builder.bitcast(builder.add(even, odd), INTS), INTS([16] * LANES)
    low, high = builder.ashr(builder.shl(pairs, sixteen), sixteen), builder.ashr(pairs, sixteen)
    return builder.add(sums, builder.add(low, high))


def _addresses(context, builder, signature, arrays):
    """For each array a function: the address of an element; indices that are left out are 0."""

    def addresses_in(kind, array):
        array = context.make_array(kind)(context, builder, array)
        zeros = [LONG(0)] * kind.ndim
        return lambda *place: cgutils.get_item_pointer(context, builder, kind, array, [*place, *zeros][: kind.ndim])

    return [addresses_in(kind, array) for kind, array in zip(signature.args, arrays, strict=False)]


def _load(builder, address, vector):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=1)


def _spread(builder, value, vector):
    """The same number in all lanes."""
    first = builder.insert_element(vector(ir.Undefined), value, INT(0))
    return builder.shuffle_vector(first, first, ir.VectorType(INT, vector.count)(None))
