"""Products of whole numbers, and what follows them, compiled for the machine at hand.

A sign is a bit, 1 for +1, and 64 of them are a word. Two rows of K signs that differ in d places have the dot product
K - 2d, and d is the popcount (how many bits are 1) of the XOR of their words: `plain_products` is just that.

`SignProducts` does the same faster, by *tiling*, the old trick of matrix products (Goto and van de Geijn 2008): the
sums of a tile, 4 or 8 rows by two vectors of neurons, stay in registers, as far as there are any, while the loop goes
over the words, so that a vector of weights, once loaded, serves all these rows. Python has no names for registers, so
the tile is written in LLVM's language, into which numba translates everything. With VPOPCNTDQ, an extension of AVX-512,
one instruction counts the ones in 512 bits; elsewhere LLVM takes what there is.

`ByteProducts` has the same tiles of words of four bytes. With VNNI one instruction multiplies 64 bytes and adds to sums
of 32 bits. Elsewhere sums are of 16 bits for as long as these cannot overflow: 64 words with weights of ±1, four with 4
bits, one with 8, in two halves. So there, fewer bits are faster.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import numba
import numpy as np
import torch
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy import ndarray as Array

T = TypeVar("T")
WORD = 64  # signs in a word
ROWS = 8 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 4  # of a tile
PROCESS = os.getpid()
FEATURES = cpu_target.target_context.codegen().magic_tuple()[2]  # of the machine, as numba compiles for it
VNNI = "+avx512vnni" in FEATURES


def pack_bits(bits: Array) -> Array:
    """(..., K) bool -> (..., ceil(K / 64)) uint64: bit k % 64 of word k // 64 is column k, the rest are 0."""
    octets = np.packbits(bits, axis=-1, bitorder="little")
    words = np.zeros((*octets.shape[:-1], -(-bits.shape[-1] // WORD)), np.uint64)
    words.view(np.uint8)[..., : octets.shape[-1]] = octets
    return words


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
    """Threads of our own, in each of which PyTorch uses just that one.

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
        self.neurons, self.words, self._tiles = *weights.shape, _tiled(weights)
        self._start = np.full(self._tiles[:, 0].size, inputs, np.int32)

    def __call__(self, x: Array) -> Array:
        """(N, W) uint64 -> (N, M) int32, a view."""
        return self.padded(x)[:, : self.neurons]

    def padded(self, x: Array) -> Array:
        """The same -> (N, M or more) int32, in one piece."""
        _expect(x, np.uint64, self.words)  # the compiled code reads memory as it lies
        return _products(np.ascontiguousarray(x), self._tiles, self._start, self.words)


class ByteProducts:
    """Products of bytes with weights that are whole numbers, which are made ready: a byte each.

    Weights of 8 bits, odd numbers from -255 to 255, are 2q + 1, and q fits into a byte.

    Args:
        levels: a neuron a row, (M, K) int16; all odd if any is beyond ±127.
        of_bytes: whether the inputs are 0 ... 255, as uint8; else ±1, as int8.

    Examples:
        >>> products = ByteProducts(np.array([[1, -1, 255]], np.int16), of_bytes=True)
        >>> products(np.array([[200, 100, 2]], np.uint8)).tolist()
        [[610]]
    """

    def __init__(self, levels: Array, of_bytes: bool):
        self.of_bytes, (self.neurons, self.inputs), self._odd = of_bytes, levels.shape, abs(levels).max() > 127
        weights = (levels >> 1 if self._odd else levels).astype(np.int8)
        largest = int(abs(weights.astype(int)).max())
        # A sum of 16 bits grows by two products of 255 and a weight at once. Beyond 64 that overflows: halves do not.
        self._in_halves = largest > 64 and not VNNI
        self._block = 2**31 if VNNI else (2**15 - 1) // (2 * 255 * min(max(1, largest), 64))
        parts = [weights >> 1, weights - (weights >> 1)] if self._in_halves else [weights]
        self._tiles = _tiled(np.concatenate([_words(part.view(np.uint8)) for part in parts], axis=1))
        self._start = np.zeros(self._tiles[:, 0].size, np.int32)
        if not of_bytes:  # the products are those of x + 128
            self._start[: self.neurons] = -128 * weights.sum(axis=1, dtype=np.int32)

    def __call__(self, x: Array) -> Array:
        """(N, K) uint8 or int8 -> (N, M) int32, a view."""
        return self.padded(x)[:, : self.neurons]

    def padded(self, x: Array) -> Array:
        """The same -> (N, M or more) int32, in one piece."""
        _expect(x, np.uint8 if self.of_bytes else np.int8, self.inputs)
        words = _words(x if self.of_bytes else x.view(np.uint8) ^ np.uint8(128))
        words = np.concatenate([words, words], axis=1) if self._in_halves else words
        sums = _products(words, self._tiles, self._start, self._block)
        return 2 * sums + x.sum(axis=1, dtype=np.int32, keepdims=True) if self._odd else sums


def _words(octets: Array) -> Array:
    """(N, K) uint8 -> (N, ceil(K / 4)) uint32, the rest 0."""
    rows, columns = octets.shape
    if columns % 4 == 0:
        return np.ascontiguousarray(octets).view(np.uint32)
    words = np.zeros((rows, -(-columns // 4)), np.uint32)
    words.view(np.uint8)[:, :columns] = octets
    return words


def _tiled(words: Array) -> Array:
    """(M, W) words, a neuron a row -> (tiles, W, neurons of a tile), the rest 0."""
    neurons = 2 * (_Signs if words.dtype == np.uint64 else _Bytes).vector.count
    padded = np.pad(words, [(0, -len(words) % neurons), (0, 0)])
    return np.ascontiguousarray(padded.reshape(-1, neurons, words.shape[1]).swapaxes(1, 2))


def signs(sums: Array, thresholds: Array) -> Array:
    """Which sums reach their threshold: (..., M or more) int32, (M,) int32 -> (..., ceil(M / 64)) uint64 of bits."""
    if {sums.dtype, thresholds.dtype} != {np.dtype(np.int32)}:
        raise ValueError(f"expected int32 sums and thresholds, got {sums.dtype} and {thresholds.dtype}")
    *shape, columns = sums.shape
    rows, words = math.prod(shape), -(-len(thresholds) // WORD)
    out = np.zeros((rows, words * (WORD // LANES)), np.uint16)
    _signs(np.ascontiguousarray(sums).reshape(rows, columns), thresholds, out)
    return out.view(np.uint64).reshape(*shape, words)


def _expect(x: Array, dtype: type, columns: int) -> None:
    if x.dtype != dtype or x.ndim != 2 or x.shape[1] != columns:
        raise ValueError(f"expected (N, {columns}) {np.dtype(dtype)} rows, got {x.dtype} of shape {x.shape}")


# What follows is compiled.


@compiled
def codes(sums: Array, multiplier: Array, offset: Array, point: int, top: int) -> Array:
    """clip((((multiplier * sum) >> 16) + offset) >> point, 0, top): (N, M or more), (M,) int32 -> (N, M) uint8."""
    out = np.empty((len(sums), len(multiplier)), np.uint8)
    for n in range(len(sums)):
        for m in range(len(multiplier)):
            code = ((np.int64(sums[n, m]) * multiplier[m] >> 16) + offset[m]) >> point
            out[n, m] = min(max(code, 0), top)
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


SHORT, INT, LONG = (ir.IntType(bits) for bits in (16, 32, 64))
LANES = 16  # sums that are compared at once


@intrinsic
def _compare(typing_context, sums, thresholds, out, row, part):
    """out[row, part] = the bits of 16 sums that are at least their threshold."""
    kinds = sums, thresholds, out

    def generate(context, builder, signature, arguments):
        *arrays, row, part = arguments
        lane, vector = builder.mul(part, LONG(LANES)), ir.VectorType(INT, LANES).as_pointer()
        pointers = []
        for kind, array, place in zip(kinds, arrays, ([row, lane], [lane], [row, part]), strict=True):
            array = context.make_array(kind)(context, builder, array)
            pointers.append(cgutils.get_item_pointer(context, builder, kind, array, place))
        sums, thresholds = (builder.load(builder.bitcast(pointer, vector), align=4) for pointer in pointers[:2])
        builder.store(builder.bitcast(builder.icmp_signed(">=", sums, thresholds), SHORT), pointers[2])
        return context.get_dummy_value()

    return types.void(*kinds, row, part), generate


@compiled
def _signs(sums: Array, thresholds: Array, out: Array) -> None:
    """The bits of the first M sums of each row, into (N, ceil(M / 16) or more) uint16 that are 0."""
    neurons = len(thresholds)
    for n in range(len(sums)):
        for part in range(neurons // LANES):
            _compare(sums, thresholds, out, n, part)
        for m in range(neurons // LANES * LANES, neurons):
            out[n, m // LANES] |= (sums[n, m] >= thresholds[m]) << (m % LANES)


class _Signs:
    """How a tile adds up products of signs: 64 at once in numbers of 64 bits, the ones of their XOR."""

    vector = sums = ir.VectorType(LONG, 8)  # 64 bytes, the width of AVX-512

    def add(self, builder, sums, x, weights):
        return builder.add(sums, _call(builder, "llvm.ctpop.v8i64", self.sums, builder.xor(x, weights)))

    def finish(self, builder, sums):
        ints = ir.VectorType(INT, 8)
        return builder.mul(builder.trunc(sums, ints), ints([-2] * 8))


class _Bytes:
    """How a tile adds up products of unsigned bytes with signed ones: in 32 bits with VNNI, else in 16 bits."""

    vector = ir.VectorType(INT, 16 if VNNI else 8)
    sums = vector if VNNI else ir.VectorType(SHORT, 16)

    def add(self, builder, sums, x, weights):
        if VNNI:
            kind = ir.VectorType(ir.IntType(8), 64) if binding.llvm_version_info >= (22,) else self.vector
            octets = (builder.bitcast(v, kind) for v in (x, weights))
            return _call(builder, "llvm.x86.avx512.vpdpbusd.512", self.sums, sums, *octets)
        if "+avx2" in FEATURES:
            octets = (builder.bitcast(v, ir.VectorType(ir.IntType(8), 32)) for v in (x, weights))
            return builder.add(sums, _call(builder, "llvm.x86.avx2.pmadd.ub.sw", self.sums, *octets))
        x, weights, eight = builder.bitcast(x, self.sums), builder.bitcast(weights, self.sums), self.sums([8] * 16)
        low = builder.mul(builder.lshr(builder.shl(x, eight), eight), builder.ashr(builder.shl(weights, eight), eight))
        return builder.add(sums, builder.add(low, builder.mul(builder.lshr(x, eight), builder.ashr(weights, eight))))

    def finish(self, builder, sums):
        if VNNI:
            return sums
        half = self.vector([16] * 8)
        sums = builder.bitcast(sums, self.vector)  # two sums of 16 bits in each 32: the low one plus the high one
        return builder.add(builder.ashr(builder.shl(sums, half), half), builder.ashr(sums, half))


def _call(builder, name, returned, *arguments):
    kind = ir.FunctionType(returned, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _tile_of(rows: int):
    """Of so many rows from `first` on, add the sums over words from `begin` to `end` to their place in `out`."""

    @intrinsic
    def tile(typing_context, x, tiles, out, tile, first, begin, end):
        arrays_of = x, tiles, out

        def generate(context, builder, signature, arguments):
            *_, tile, first, begin, end = arguments
            arrays = [context.make_array(kind)(context, builder, arguments[i]) for i, kind in enumerate(arrays_of)]
            way = _Signs() if x.dtype == types.uint64 else _Bytes()
            lanes = way.vector.count
            ints = ir.VectorType(INT, lanes)

            def at(i, *place):
                return cgutils.get_item_pointer(context, builder, arrays_of[i], arrays[i], place)

            def vector_at(i, kind, *place):
                return builder.bitcast(at(i, *place), kind.as_pointer())

            numbers, parts = [builder.add(first, LONG(i)) for i in range(rows)], (0, lanes)
            sums = [[cgutils.alloca_once_value(builder, way.sums(None)) for _ in parts] for _ in numbers]
            with cgutils.for_range(builder, end, begin) as loop:
                weights = [
                    builder.load(vector_at(1, way.vector, tile, loop.index, LONG(part)), align=4) for part in parts
                ]
                for number, row in zip(numbers, sums, strict=True):
                    word = builder.load(at(0, number, loop.index))
                    word = builder.insert_element(way.vector(ir.Undefined), word, INT(0))
                    word = builder.shuffle_vector(word, word, ints(None))  # the same in all lanes
                    for total, part in zip(row, weights, strict=True):
                        builder.store(way.add(builder, builder.load(total), word, part), total)  # in registers
            for number, row in zip(numbers, sums, strict=True):
                for part, total in zip(parts, row, strict=True):
                    neuron = builder.add(builder.mul(tile, LONG(2 * lanes)), LONG(part))
                    place = vector_at(2, ints, number, neuron)
                    total = way.finish(builder, builder.load(total))
                    builder.store(builder.add(builder.load(place, align=4), total), place, align=4)
            return context.get_dummy_value()

        return types.void(x, tiles, out, tile, first, begin, end), generate

    return tile


_tile_of_one, _tile_of_rows = _tile_of(1), _tile_of(ROWS)


@compiled
def _products(x: Array, tiles: Array, start: Array, block: int) -> Array:
    """(N, W) words, tiles of weights, a start for each of their neurons -> (N, neurons) int32: start + products.

    Sums are moved to 32 bits after each block of words.
    """
    out, words = np.empty((len(x), len(start)), np.int32), x.shape[1]
    out[:] = start
    whole = len(x) // ROWS * ROWS
    for tile in range(len(tiles)):
        for begin in range(0, words, block):
            end = min(begin + block, words)
            for row in range(0, whole, ROWS):
                _tile_of_rows(x, tiles, out, tile, row, begin, end)
            for row in range(whole, len(x)):
                _tile_of_one(x, tiles, out, tile, row, begin, end)
    return out
