"""Counted bits and summed bytes against NumPy, where a word, a tile or a block of rows begins or ends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnn_tutorial import kernels

ROWS = [1, 7, 8, 9, 65]  # blocks of 8
SIZES = [(1, 1), (15, 31), (16, 32), (17, 33), (63, 15), (64, 16), (65, 17), (130, 65), (784, 300)]  # inputs, neurons


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


@pytest.fixture(params=[0, 2**60], ids=["threaded", "serial"])
def threads(request, monkeypatch):
    """Both variants of the kernels, however small the work."""
    monkeypatch.setattr(kernels, "SMALL", request.param)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("width", "neurons"), SIZES)
def test_differences_are_counted(random, rows, width, neurons):
    x, w = bits(random, rows, width), bits(random, neurons, width)
    found = kernels.distances(kernels.pack_bits(x), kernels.tile(kernels.pack_bits(w)))[:, :neurons]
    assert np.array_equal(found, (x[:, None] != w).sum(axis=2))
    assert np.array_equal(width - 2 * found, np.where(x, 1, -1) @ np.where(w, 1, -1).T)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("width", "neurons"), SIZES)
def test_pixels_are_added_and_subtracted(random, rows, width, neurons):
    pixels, w = random.integers(0, 256, (rows, width)).astype(np.uint8), bits(random, neurons, width)
    found = kernels.distances(kernels.pack_pixels(pixels), kernels.tile(kernels.pack_bytes(w)))
    assert np.array_equal(-found[:, :neurons], pixels.astype(int) @ np.where(w, 1, -1).T)


def test_pixels_of_full_ink_do_not_overflow():
    pixels, w = np.full((9, 1000), 255, np.uint8), np.array([[True] * 1000, [False] * 1000])
    found = kernels.distances(kernels.pack_pixels(pixels), kernels.tile(kernels.pack_bytes(w)))
    assert found[:, :2].tolist() == [[-255_000, 255_000]] * 9


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("width", "neurons"), SIZES)
def test_a_neuron_fires_up_to_its_limit(random, rows, width, neurons):
    x, w = bits(random, rows, width), bits(random, neurons, width)
    weights, limits = kernels.tile(kernels.pack_bits(w)), random.integers(-1, width + 1, neurons)
    fired = kernels.fire(kernels.pack_bits(x), weights, padded(limits, weights))
    assert np.array_equal(kernels.unpack_bits(fired, neurons), (x[:, None] != w).sum(axis=2) <= limits)
    assert not kernels.unpack_bits(fired, 64 * fired.shape[1])[:, neurons:].any()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("width", "neurons"), SIZES)
def test_a_neuron_that_sees_pixels_fires_from_its_sum_on(random, rows, width, neurons):
    pixels, w = random.integers(0, 256, (rows, width)).astype(np.uint8), bits(random, neurons, width)
    sums = pixels.astype(int) @ np.where(w, 1, -1).T
    least = sums[random.integers(rows, size=neurons), np.arange(neurons)]  # of each neuron a sum that comes up
    weights = kernels.tile(kernels.pack_bytes(w))
    fired = kernels.fire(kernels.pack_pixels(pixels), weights, padded(-least, weights))
    assert np.array_equal(kernels.unpack_bits(fired, neurons), sums >= least)


def padded(limits, weights):
    whole = np.full(weights.shape[0] * weights.shape[2], np.iinfo(np.int32).min, np.int32)
    whole[: len(limits)] = limits
    return whole


def test_the_result_is_written_where_it_is_wanted(random):
    x, weights = kernels.pack_bits(bits(random, 9, 70)), kernels.tile(kernels.pack_bits(bits(random, 20, 70)))
    out = np.empty((9, 32), np.int32)
    assert kernels.distances(x, weights, out) is out
    assert np.array_equal(out, kernels.distances(x, weights))


def test_the_two_variants_are_two_functions_for_the_cache():
    for one, many in (kernels._compare, kernels._dense):
        assert one._cache.cache_path == many._cache.cache_path
        assert one._cache._impl.filename_base != many._cache._impl.filename_base


@pytest.mark.parametrize("features", ["", "+avx2,+popcnt"], ids=["plain", "AVX2"])
def test_machines_without_avx512_get_the_same_numbers(features, tmp_path):
    here, chosen = Path(__file__), "(are_counted or added or a_neuron) and 784 and serial"
    command = [sys.executable, "-m", "pytest", "-q", here, "-k", chosen, "-p", "no:cacheprovider"]
    machine = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(command, env=os.environ | machine, cwd=here.parent.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


WORDS, TILED = np.zeros((2, 3), np.uint64), np.zeros((1, 3, 16), np.uint64)
LIMITS = np.zeros(16, np.int32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.distances(WORDS.astype(np.int64), TILED), "expected contiguous rows"),
        (lambda: kernels.distances(WORDS[:, ::2], TILED[:, ::2]), "expected contiguous"),
        (lambda: kernels.distances(WORDS[:, :2].copy(), TILED), r"got uint64 of shape \(2, 2\)"),
        (lambda: kernels.distances(WORDS[0], TILED), r"got uint64 of shape \(3,\)"),
        (lambda: kernels.distances(WORDS, TILED.view(np.uint32)), r"uint32 of shape \(1, 3, 32\)"),
        (lambda: kernels.distances(WORDS, TILED, np.zeros((2, 16))), r"int32 out of shape \(2, 16\), got float64"),
        (lambda: kernels.distances(WORDS, TILED, np.zeros((2, 8), np.int32)), r"got int32 of shape \(2, 8\)"),
        (lambda: kernels.fire(WORDS, TILED, LIMITS.astype(float)), "expected 16 int32 limits, got float64"),
        (lambda: kernels.fire(WORDS, TILED, LIMITS[:3]), r"expected 16 int32 limits, got int32 of \(3,\)"),
        (lambda: kernels.pack_pixels(np.zeros((2, 3))), r"expected uint8 pixels of shape \(N, K\), got float64"),
        (lambda: kernels.pack_pixels(np.zeros(3, np.uint8)), r"got uint8 of shape \(3,\)"),
    ],
)
def test_memory_is_read_only_where_it_is_what_it_should_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_rows_are_no_rows():
    assert kernels.distances(WORDS[:0], TILED).shape == (0, 16)
    assert kernels.fire(WORDS[:0], TILED, LIMITS).shape == (0, 1)
