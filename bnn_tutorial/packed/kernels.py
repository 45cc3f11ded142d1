"""Products of whole numbers, and what follows them, compiled for the machine at hand.

Of signs: a sign is a bit, 1 for +1, and 64 of them are a word. Two rows of K signs that differ in d places have the
dot product K - 2d, and d is the popcount (how many bits are 1) of the XOR of their words: `plain_products` is just
that. `SignProducts` does the same faster, by *tiling*, the old trick of matrix products (Goto and van de Geijn 2008):
the sums of a tile, 8 rows by 16 neurons, stay in registers while the loop goes over the words, so that a vector of
weights, once loaded, serves 8 rows. Python has no names for registers, so the tile is written in LLVM's language, into
which numba translates everything: a tile in Python takes 2.4 to 5 times as long. With AVX-512 one instruction counts
the ones in 512 bits (VPOPCNTDQ); elsewhere LLVM takes what there is.

Of bytes: `ByteProducts` takes PyTorch's product of matrices of bytes, oneDNN's, which knows the instructions of each
processor (AMX, VNNI, AVX2), and for few rows, or where PyTorch comes without oneDNN, a plain loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Barrier
from typing import TypeVar

import numba
import numpy as np
import torch
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy import ndarray as Array

T = TypeVar("T")
WORD = 64  # signs in a word
ROWS, NEURONS = 8, 16  # of a tile
FEW = 16  # rows for which it does not pay to ask oneDNN
PROCESS = os.getpid()


def pack_bits(bits: Array) -> Array:
    """(..., K) bool -> (..., ceil(K / 64)) uint64: bit k % 64 of word k // 64 is column k, the rest are 0."""
    return signs(bits, True)


def unpack_bits(words: Array, columns: int) -> Array:
    """(..., ceil(K / 64)) uint64 -> (..., K) bool: the inverse of `pack_bits`."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=columns, bitorder="little").astype(bool)


def compiled(function):
    """By numba, which keeps the machine code in a file; where there is no folder for it, compiled in each process."""
    try:
        return numba.njit(function, cache=True, nogil=True)
    except RuntimeError:  # no locator available
        return numba.njit(function, nogil=True)


def spread(run: Callable[[Array], T], x: Array, rows: int) -> list[T]:
    """[run(chunk), ...] of so many rows each, on as many threads as PyTorch is allowed."""
    chunks = [x[i : i + rows] for i in range(0, max(1, len(x)), rows)]
    threads = min(torch.get_num_threads(), len(chunks))
    if threads == 1 and os.getpid() == PROCESS:  # PyTorch's own threads do not come along into a forked process
        return [*map(run, chunks)]
    return [*_pool(os.getpid(), threads).map(run, chunks)]


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of our own, each of which lets PyTorch compute alone: no other's threads have to be there.

    A process that was forked begins anew, since threads do not come along.
    """
    started = Barrier(threads + 1)

    def start():
        torch.set_num_threads(1)
        started.wait()

    before, pool = torch.get_num_threads(), ThreadPoolExecutor(threads, initializer=start)
    for _ in range(threads):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(before)  # or else the threads that others start would inherit the 1
    return pool


class SignProducts:
    """Products of signs with weights of ±1, which are made ready: tiled.

    Args:
        weights: a neuron a row, (M, W) uint64 of `pack_bits`.
        inputs: K, how many inputs a neuron has.

    Examples:
        >>> x, w = pack_bits(np.array([[1, 0, 1]]) > 0), pack_bits(np.array([[1, 1, 1], [0, 1, 0]]) > 0)
        >>> x.tolist(), w.tolist()
        ([[5]], [[7], [2]])
        >>> SignProducts(w, inputs=3)(x).tolist()
        [[1, -3]]
    """

    def __init__(self, weights: Array, inputs: int):
        self.inputs, (self.neurons, self.words) = inputs, weights.shape
        self.added = np.zeros(self.neurons, np.int32)
        padded = np.pad(weights, [(0, -self.neurons % NEURONS), (0, 0)])
        self._tiles = np.ascontiguousarray(padded.reshape(-1, NEURONS, self.words).swapaxes(1, 2))

    def __call__(self, x: Array) -> Array:
        """(N, W) uint64 -> (N, M) int32, a view."""
        _expect(x, np.uint64, self.words)  # the compiled code reads memory as it lies
        out = np.empty((len(x), len(self._tiles) * NEURONS), np.int32)
        _products(np.ascontiguousarray(x), self._tiles, self.inputs, out)
        return out[:, : self.neurons]


class ByteProducts:
    """Products of bytes with weights that are whole numbers, which are made ready: a byte each.

    Weights of 8 bits, odd numbers from -255 to 255, are 2q + 1, and q fits into a byte.

    Args:
        levels: a neuron a row, (M, K) int16.
        of_bytes: whether the inputs are 0 ... 255, as uint8; else ±1, as int8.

    Attributes:
        added: (M,) int32, what has to be added to the result: bytes are multiplied as x - 128, which is signed.

    Examples:
        >>> products = ByteProducts(np.array([[1, -1, 255]], np.int16), of_bytes=True)
        >>> (products(np.array([[200, 100, 2]], np.uint8)) + products.added).tolist()
        [[610]]
    """

    def __init__(self, levels: Array, of_bytes: bool):
        self.of_bytes, self.inputs, self._odd = of_bytes, levels.shape[1], abs(levels).max() > 127
        weights = (levels >> 1 if self._odd else levels).astype(np.int8)
        self._few = np.ascontiguousarray(np.pad(weights, [(0, 0), (0, -self.inputs % 64)]))
        self._many = torch.from_numpy(self._few)[:, : self.inputs].T
        self.added = 128 * levels.sum(axis=1, dtype=np.int32) * np.int32(of_bytes)
        self._shift = 128 * weights.sum(axis=1, dtype=np.int32)

    def __call__(self, x: Array) -> Array:
        """(N, K) uint8 or int8 -> (N, M) int32: the products less `added`."""
        _expect(x, np.uint8 if self.of_bytes else np.int8, self.inputs)
        signed = (x ^ np.uint8(128)).view(np.int8) if self.of_bytes else np.ascontiguousarray(x)  # of bytes x - 128
        if len(x) > FEW and torch.backends.mkldnn.is_available():
            sums = torch._int_mm(torch.from_numpy(signed), self._many).numpy()
        else:
            padded = np.zeros((len(x), self._few.shape[1]), np.uint8)
            padded[:, : self.inputs] = signed.view(np.uint8) ^ np.uint8(128)
            sums = _dots(padded, self._few, self._shift)
        return 2 * sums + signed.sum(axis=1, dtype=np.int32, keepdims=True) if self._odd else sums


def signs(sums: Array, thresholds: Array) -> Array:
    """Which sums are at least their threshold: (..., M) int32, (M,) int32 -> (..., ceil(M / 64)) uint64 of bits."""
    *shape, neurons = sums.shape
    bits = np.zeros((*shape, -(-neurons // WORD) * WORD), bool)
    np.greater_equal(sums, thresholds, out=bits[..., :neurons])
    return np.packbits(bits, axis=-1, bitorder="little").view(np.uint64)


def _expect(x: Array, dtype: type, columns: int) -> None:
    if x.dtype != dtype or x.ndim != 2 or x.shape[1] != columns:
        raise ValueError(f"expected (N, {columns}) {np.dtype(dtype)} rows, got {x.dtype} of shape {x.shape}")


# What follows is compiled.


@compiled
def codes(sums: Array, added: Array, multiplier: Array, offset: Array, point: int, top: int) -> Array:
    """clip((((multiplier * (sum + added)) >> 16) + offset) >> point, 0, top): (N, M), (M,) int32 -> (N, M) uint8."""
    out = np.empty(sums.shape, np.uint8)
    for n in range(sums.shape[0]):
        for m in range(sums.shape[1]):
            code = ((np.int64(sums[n, m] + added[m]) * multiplier[m] >> 16) + offset[m]) >> point
            out[n, m] = min(max(code, 0), top)
    return out


INT, LONG, BYTE = ir.IntType(32), ir.IntType(64), ir.IntType(8)
INTS, LONGS, BYTES = (ir.VectorType(kind, 512 // kind.width) for kind in (INT, LONG, BYTE))  # of 64 bytes


def _address(context, builder, signature, arguments, i, *place):
    """Where an element of argument i lies."""
    array = context.make_array(signature.args[i])(context, builder, arguments[i])
    return cgutils.get_item_pointer(context, builder, signature.args[i], array, place)


def _add_by_vnni(builder, total, a, b):
    """The products of four bytes each, added to 32 bits, in one instruction."""
    operand = BYTES if binding.llvm_version_info >= (22,) else INTS
    kind = ir.FunctionType(INTS, [INTS, operand, operand])
    add = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(add, [total, builder.bitcast(a, operand), builder.bitcast(b, operand)])


def _add_products(builder, total, a, b):
    """The same with what every machine has: the products in four parts."""
    wide = ir.VectorType(INT, 64)
    products = builder.mul(builder.zext(a, wide), builder.sext(b, wide))
    for first in range(0, 64, 16):
        part = builder.shuffle_vector(products, products, INTS(list(range(first, first + 16))))
        total = builder.add(total, part)
    return total


@intrinsic
def _dot(typing_context, x, weights, row, neuron, steps):
    """The dot product of a row of unsigned bytes with a neuron's signed ones, in so many steps of 64."""

    def generate(context, builder, signature, arguments):
        starts = [_address(context, builder, signature, arguments, i, arguments[2 + i], LONG(0)) for i in (0, 1)]
        total = cgutils.alloca_once_value(builder, INTS(None))
        with cgutils.for_range(builder, arguments[4]) as loop:
            at = [builder.gep(start, [builder.mul(loop.index, LONG(64))]) for start in starts]
            a, b = (builder.load(builder.bitcast(place, BYTES.as_pointer()), align=1) for place in at)
            add = _add_by_vnni if "+avx512vnni" in context.codegen().magic_tuple()[2] else _add_products
            builder.store(add(builder, builder.load(total), a, b), total)
        kind = ir.FunctionType(INT, [INTS])
        reduce = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.add.v16i32")
        return builder.call(reduce, [builder.load(total)])

    return types.int32(x, weights, row, neuron, steps), generate


@compiled
def _dots(x: Array, weights: Array, less: Array) -> Array:
    """The dot product of each row of unsigned bytes with each neuron's signed ones, in columns filled up to 64."""
    out = np.empty((len(x), len(weights)), np.int32)
    for n in range(len(x)):
        for m in range(len(weights)):
            out[n, m] = _dot(x, weights, n, m, x.shape[1] // 64) - less[m]
    return out


@intrinsic
def _popcount(typing_context, word):
    """How many bits of a word are 1."""
    return types.intp(types.uint64), lambda context, builder, signature, arguments: builder.ctpop(*arguments)


@compiled
def plain_products(x: Array, weights: Array, inputs: int) -> Array:
    """`SignProducts` without tiles: to read, and to compare with. Weights are (M, W) of `pack_bits`."""
    out = np.empty((len(x), len(weights)), np.int32)
    for n in range(len(x)):
        for m in range(len(weights)):
            differences = 0
            for k in range(x.shape[1]):
                differences += _popcount(x[n, k] ^ weights[m, k])
            out[n, m] = inputs - 2 * differences
    return out


def _tile_of(rows: int):
    """Of so many rows from `first` on, the products with the neurons of a tile, into their place of `out`."""

    @intrinsic
    def tile(typing_context, x, tiles, inputs, out, first, tile, words):
        def generate(context, builder, signature, arguments):
            *_, inputs, _, first, tile, words = arguments

            address = partial(_address, context, builder, signature, arguments)

            def load(pointer, vector):
                return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)

            def spread(value, vector):
                """The same number in all lanes."""
                one = builder.insert_element(vector(ir.Undefined), value, INT(0))
                return builder.shuffle_vector(one, one, ir.VectorType(INT, vector.count)(None))

            kind = ir.FunctionType(LONGS, [LONGS])
            popcount = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{LONGS.count}i64")
            numbers = [builder.add(first, LONG(i)) for i in range(rows)]
            counts = [[cgutils.alloca_once_value(builder, LONGS(None)) for _ in range(2)] for _ in range(rows)]
            with cgutils.for_range(builder, words) as loop:
                halves = [load(address(1, tile, loop.index, LONG(i)), LONGS) for i in (0, NEURONS // 2)]
                for number, pair in zip(numbers, counts, strict=True):
                    word = spread(builder.load(address(0, number, loop.index)), LONGS)
                    for count, weights in zip(pair, halves, strict=True):
                        differences = builder.call(popcount, [builder.xor(word, weights)])
                        builder.store(builder.add(builder.load(count), differences), count)  # LLVM takes registers
            lower = INTS(list(range(0, 2 * NEURONS, 2)))  # halves of the 64 bits
            for number, pair in zip(numbers, counts, strict=True):
                differences = builder.shuffle_vector(*(load(count, INTS) for count in pair), lower)
                twice = builder.add(differences, differences)
                products = builder.sub(spread(builder.trunc(inputs, INT), INTS), twice)
                place = address(3, number, builder.mul(tile, LONG(NEURONS)))
                builder.store(products, builder.bitcast(place, INTS.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(x, tiles, inputs, out, first, tile, words), generate

    return tile


_tile_of_1, _tile_of_8 = _tile_of(1), _tile_of(ROWS)


@compiled
def _products(x: Array, tiles: Array, inputs: int, out: Array) -> None:
    whole = len(x) // ROWS * ROWS
    for tile in range(len(tiles)):
        for row in range(0, whole, ROWS):
            _tile_of_8(x, tiles, inputs, out, row, tile, x.shape[1])
        for row in range(whole, len(x)):
            _tile_of_1(x, tiles, inputs, out, row, tile, x.shape[1])
