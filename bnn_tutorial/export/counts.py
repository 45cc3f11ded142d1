"""What the neurons of a circuit count, and the whole numbers that follow from it.

A circuit counts from zero up. Of an input or a weight of several bits, the bits count 1, 2, 4 and so on; where
something has to be subtracted, its inverse is added. What this adds too much is the same for all examples: it goes into
the threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray as Array

from ..packed.folding import FRACTION, FoldedLayer


class Counts(NamedTuple):
    """What the neurons of a layer count: n, from 0 to `most`, (M,), of which the sum is unit * n - offset.

    `digits` (places, M, K) of -1, 0 and 1 are the weights: a digit in place j counts 2^j. With `plus_inputs` the inputs
    are added once more. An input is a number of so many `bits`.
    """

    digits: Array
    plus_inputs: bool
    bits: int
    unit: int
    offset: Array
    most: Array

    @classmethod
    def of(cls, digits: Array, bits: int, signs: bool, plus_inputs: bool = False) -> Counts:
        """With `signs`, the input's bit b stands for 2b - 1."""
        worth, once = (2 ** np.arange(len(digits)))[:, None], digits.shape[2] * plus_inputs
        added, inverted, used = ((worth * d.sum(axis=2)).sum(axis=0) for d in (digits, digits < 0, digits != 0))
        top = 2**bits - 1
        offset = 2 * inverted + added + once if signs else top * inverted
        return cls(digits, plus_inputs, bits, 1 + signs, offset, top * (used + once))

    def least(self, threshold: Array) -> Array:
        """The smallest counts of which the sums reach the threshold."""
        return -(-(threshold + self.offset) // self.unit)

    def ranks(self, last: FoldedLayer) -> Array:
        """(classes, counts) -> numbers in the order of the logits; of equal logits the first class has the largest."""
        sums = self.unit * np.arange(self.most.max() + 1) - self.offset[:, None]
        logits = (sums * last.multiplier[:, None] >> FRACTION) + last.offset[:, None]
        classes = np.broadcast_to(np.arange(len(logits))[:, None], logits.shape)
        order, ranks = np.lexsort((-classes.ravel(), logits.ravel())), np.empty(logits.size, np.int64)
        ranks[order] = np.cumsum(np.diff(classes.ravel()[order], prepend=-1) != 0) - 1
        return ranks.reshape(logits.shape)


class Scaled(NamedTuple):
    """The fixed point that follows a count: ((factor * n + constant) modulo 2^width >> shift) + low."""

    factor: Array
    constant: Array
    shift: int
    low: int
    width: int

    @classmethod
    def of(cls, layer: FoldedLayer, counts: Counts) -> Scaled:
        factor, shift = layer.multiplier.astype(np.int64), FRACTION + (layer.point if layer.top else 0)
        constant = (layer.offset.astype(np.int64) << FRACTION) - factor * counts.offset
        factor = factor * counts.unit
        if layer.top:
            factor, constant, shift = fewer_bits(factor, constant, shift, counts.most, layer.top)
        ends = np.stack([constant, factor * counts.most + constant]) >> shift
        low = int(ends.min())
        return cls(factor, constant - (low << shift), shift, low, shift + bits_of(ends.max() - low))


def fewer_bits(factor: Array, constant: Array, shift: int, most: Array, top: int) -> tuple[Array, Array, int]:
    """The smallest numbers with which clip((factor * n + constant) >> shift, 0, top) stays the same for every n."""
    falls, slope, codes = factor < 0, abs(factor)[:, None], np.arange(1, top + 1)
    start = np.where(falls, factor * most + constant, constant)[:, None]  # a falling line is taken from its end
    first = np.clip(-((start - (codes << shift)) // np.maximum(slope, 1)), 0, most[:, None] + 1)  # n with such a code
    first = np.where(slope > 0, first, np.where(start >= codes << shift, 0, most[:, None] + 1))
    for fewer in range(shift + 1):
        steps, rough = codes << fewer, slope + (1 << shift - fewer >> 1) >> shift - fewer
        lower = np.where(first <= most[:, None], steps - rough * first, -(2**60)).max(axis=1)
        upper = np.where(first > 0, steps - 1 - rough * (first - 1), 2**60).min(axis=1)
        if (lower <= upper).all():
            break
    start, rough = np.clip(0, lower, upper), rough[:, 0]
    return np.where(falls, -rough, rough), np.where(falls, start + rough * most, start), fewer


def signed_digits(numbers: Array) -> Array:
    """(places, ...) of -1, 0 and 1: the few powers of two that add up to a number, no two of them neighbours.

    Source: Reitwiesner 1960, the "canonical signed digits".
    """
    digits = []
    while numbers.any() or not digits:
        digits.append(np.where(numbers % 2 == 1, 2 - numbers % 4, 0))
        numbers = (numbers - digits[-1]) // 2
    return np.stack(digits)


def bits_of(most: int) -> int:
    """How many bits a number from 0 to `most` has."""
    return max(1, int(most).bit_length())
