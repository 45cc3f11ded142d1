"""Counted bits against NumPy, at all the widths where a word, a tile or a block of rows begins or ends."""

import numpy as np
import pytest

from bnn_tutorial import kernels

ROWS = [1, 7, 8, 9, 63, 64, 65, 130]  # blocks of 8; from 64 on the kernels use threads
SIZES = [(1, 1), (63, 15), (64, 16), (65, 17), (130, 65), (784, 300)]  # signs, neurons


@pytest.fixture
def random():
    return np.random.default_rng(0)


def bits(random, *shape):
    return random.integers(0, 2, shape).astype(bool)


@pytest.mark.parametrize("columns", [1, 7, 8, 63, 64, 65, 128, 784])
def test_packing_is_undone_by_unpacking(random, columns):
    given = bits(random, 5, columns)
    words = kernels.pack_bits(given)
    assert words.dtype == np.uint64
    assert words.shape == (5, -(-columns // 64))
    assert np.array_equal(kernels.unpack_bits(words, columns), given)


def test_the_first_sign_is_the_lowest_bit():
    given = np.zeros((1, 130), bool)
    given[0, [0, 2, 64, 129]] = True
    assert kernels.pack_bits(given).tolist() == [[5, 1, 2]]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("width", "neurons"), SIZES)
def test_differences_are_counted(random, rows, width, neurons):
    x, w = bits(random, rows, width), bits(random, neurons, width)
    counts = kernels.count_differences(kernels.pack_bits(x), kernels.tile_weights(kernels.pack_bits(w)))
    assert np.array_equal(counts[:, :neurons], (x[:, None] != w).sum(axis=2))
    dot = width - 2 * counts[:, :neurons]
    assert np.array_equal(dot, np.where(x, 1, -1) @ np.where(w, 1, -1).T)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("width", "neurons"), SIZES)
def test_a_neuron_fires_up_to_its_limit(random, rows, width, neurons):
    x, w = bits(random, rows, width), bits(random, neurons, width)
    weights, limits = kernels.tile_weights(kernels.pack_bits(w)), random.integers(-1, width + 1, neurons)
    fired = kernels.fire(kernels.pack_bits(x), weights, padded(limits, weights))
    assert np.array_equal(kernels.unpack_bits(fired, neurons), (x[:, None] != w).sum(axis=2) <= limits)
    assert not kernels.unpack_bits(fired, 64 * fired.shape[1])[:, neurons:].any()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("width", "neurons"), SIZES)
def test_a_limit_on_weighted_differences_is_a_limit_on_the_sum_of_pixels(random, rows, width, neurons):
    pixels, w = random.integers(0, 256, (rows, width)).astype(np.uint8), bits(random, neurons, width)
    sums = pixels.astype(int) @ np.where(w, 1, -1).T
    threshold = random.permutation(sums.ravel())[:neurons] if sums.size >= neurons else sums.ravel()[0]
    weights = kernels.tile_weights(kernels.pack_bits(w))
    limits = padded(255 * w.sum(axis=1) - threshold, weights)
    fired = kernels.fire_pixels(kernels.bit_planes(pixels), weights, limits)
    assert np.array_equal(kernels.unpack_bits(fired, neurons), sums >= threshold)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("width", [1, 63, 64, 65, 784])
def test_planes_are_the_bits_of_the_pixels(random, rows, width):
    pixels = random.integers(0, 256, (rows, width)).astype(np.uint8)
    planes = kernels.unpack_bits(kernels.bit_planes(pixels), width).reshape(rows, 8, width)
    assert np.array_equal((planes * 2 ** np.arange(8)[:, None]).sum(axis=1), pixels)


def padded(limits, weights):
    whole = np.full(weights.shape[0] * 16, -1)
    whole[: len(limits)] = limits
    return whole


WORDS, TILED = np.zeros((2, 3), np.uint64), np.zeros((1, 3, 16), np.uint64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.count_differences(WORDS.astype(np.int64), TILED), "expected contiguous uint64 rows"),
        (lambda: kernels.count_differences(WORDS[:, ::2], TILED[:, ::2]), "expected contiguous"),
        (lambda: kernels.count_differences(WORDS[:, :2].copy(), TILED), r"got uint64 of shape \(2, 2\)"),
        (lambda: kernels.count_differences(WORDS[0], TILED), r"got uint64 of shape \(3,\)"),
        (lambda: kernels.fire(WORDS, TILED, np.zeros(16)), "expected 16 int64 limits, got float64"),
        (lambda: kernels.fire(WORDS, TILED, np.zeros(3, int)), r"expected 16 int64 limits, got int64 of \(3,\)"),
        (lambda: kernels.fire_pixels(WORDS, TILED, np.zeros(16, int)), "expected eight planes an image, got 2 rows"),
        (lambda: kernels.bit_planes(np.zeros((2, 3))), r"expected uint8 pixels of shape \(N, K\), got float64"),
        (lambda: kernels.bit_planes(np.zeros(3, np.uint8)), r"got uint8 of shape \(3,\)"),
    ],
)
def test_memory_is_read_only_where_it_is_what_it_should_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_rows_are_no_rows():
    assert kernels.count_differences(WORDS[:0], TILED).shape == (0, 16)
    assert kernels.fire(WORDS[:0], TILED, np.zeros(16, int)).shape == (0, 1)
