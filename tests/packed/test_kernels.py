"""Products of signs and of pixels against NumPy, where a word, a tile or a block of rows begins or ends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnn_tutorial.packed import kernels
from bnn_tutorial.packed.kernels import Neurons, pack_bits, pixel_signs, unpack_bits

ROWS = [1, 7, 8, 9, 65]  # blocks of 8
SIZES = [(1, 1), (15, 31), (16, 32), (17, 33), (63, 15), (64, 16), (65, 17), (130, 65), (784, 300)]  # inputs, neurons


@pytest.fixture
def random():
    return np.random.default_rng(0)


def bits(random, *shape):
    return random.integers(0, 2, shape).astype(bool)


def signs(bits):
    return np.where(bits, np.int8(1), np.int8(-1))


@pytest.mark.parametrize("columns", [1, 7, 8, 63, 64, 65, 128, 784])
def test_packing_is_undone_by_unpacking(random, columns):
    given = bits(random, 5, columns)
    words = pack_bits(given)
    assert words.dtype == np.uint64
    assert words.shape == (5, -(-columns // 64))
    assert np.array_equal(unpack_bits(words, columns), given)


def test_the_first_sign_is_the_lowest_bit():
    given = np.zeros((1, 130), bool)
    given[0, [0, 2, 64, 129]] = True
    assert pack_bits(given).tolist() == [[5, 1, 2]]


@pytest.fixture(params=[0, 2**60], ids=["threaded", "serial"])
def threads(request, monkeypatch):
    """Both variants of the kernels, however small the work."""
    monkeypatch.setattr(kernels, "SMALL", request.param)


@pytest.fixture(params=["signs", "pixels"])
def case(request, random):
    """A function: some rows, neurons with or without thresholds, and the products that NumPy finds."""

    def make(rows, inputs, outputs, thresholds=None):
        weights = signs(bits(random, outputs, inputs))
        if request.param == "pixels":
            x = random.integers(0, 256, (rows, inputs)).astype(np.uint8)
            return x, Neurons(weights, inputs, thresholds), x.astype(int) @ weights.T.astype(int)
        x = bits(random, rows, inputs)
        neurons = Neurons(pack_bits(weights > 0), inputs, thresholds)
        return pack_bits(x), neurons, signs(x).astype(int) @ weights.T.astype(int)

    return make


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_products_are_numpys(case, rows, inputs, outputs):
    x, neurons, expected = case(rows, inputs, outputs)
    assert np.array_equal(neurons.products(x), expected)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_neurons_give_plus_one_from_their_thresholds_on(case, random, rows, inputs, outputs):
    thresholds = random.integers(-inputs, inputs + 2, outputs).astype(np.int32)
    x, neurons, products = case(rows, inputs, outputs, thresholds)
    found = neurons.signs(x)
    assert np.array_equal(unpack_bits(found, outputs), products >= thresholds)
    assert not unpack_bits(found, 64 * found.shape[1])[:, outputs:].any()


def test_a_product_that_is_the_threshold_gives_plus_one(case):
    x, neurons, products = case(20, 70, 1)
    for product in np.unique(products):
        neurons._thresholds[0] = product
        assert np.array_equal(neurons.signs(x)[:, 0] & 1, products[:, 0] >= product)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_the_plain_products_are_the_tiled_ones(random, rows, inputs, outputs):
    x, weights = pack_bits(bits(random, rows, inputs)), pack_bits(bits(random, outputs, inputs))
    expected = kernels.plain_products(x, weights, inputs)
    assert np.array_equal(Neurons(weights, inputs).products(x), expected)


def test_pixels_of_full_ink_do_not_overflow():
    pixels, weights = np.full((9, 1000), 255, np.uint8), signs(np.array([[True] * 1000, [False] * 1000]))
    assert Neurons(weights, 1000).products(pixels).tolist() == [[255_000, -255_000]] * 9


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("columns", [1, 15, 16, 17, 64, 65, 784])
@pytest.mark.parametrize("threshold", [0, 1, 128, 255, 256])
def test_pixels_are_plus_one_from_the_threshold_on(random, columns, threshold):
    pixels = random.integers(0, 256, (9, columns)).astype(np.uint8)
    pixels.flat[:2] = [0, 255]
    found = pixel_signs(pixels, np.full(columns, threshold, np.int32))
    assert np.array_equal(found, pack_bits(pixels >= threshold))


def test_affine_is_scale_times_sum_plus_shift(random):
    sums, (scale, shift) = random.integers(-9, 9, (7, 5)).astype(np.int32), random.normal(size=(2, 5))
    assert np.array_equal(kernels.affine(sums, 255, scale, shift), scale * (sums / 255) + shift)


def test_the_two_variants_are_two_functions_for_the_cache():
    for one, many in (kernels._layer, kernels._pixel_signs):
        assert one._cache.cache_path == many._cache.cache_path
        assert one._cache._impl.filename_base != many._cache._impl.filename_base


@pytest.mark.parametrize("features", ["", "+avx2,+popcnt"], ids=["plain", "AVX2"])
def test_machines_without_avx512_get_the_same_numbers(features, tmp_path):
    here, chosen = Path(__file__), "(numpys or plus_one) and 784 and serial"
    command = [sys.executable, "-m", "pytest", "-q", here, "-k", chosen, "-p", "no:cacheprovider"]
    machine = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(command, env=os.environ | machine, cwd=here.parent.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "25 passed" in run.stdout


WORDS, SIXTEEN = np.zeros((2, 3), np.uint64), np.zeros(16, np.int32)
NEURONS = Neurons(np.zeros((16, 3), np.uint64), 192)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Neurons(np.zeros((2, 3)), 3), r"expected weights .*, got float64 of shape \(2, 3\)"),
        (lambda: Neurons(WORDS[0], 3), r"got uint64 of shape \(3,\)"),
        (lambda: Neurons(WORDS, 192, SIXTEEN), r"and thresholds of shape \(16,\)"),
        (lambda: NEURONS.products(WORDS.astype(np.int64)), r"expected \(N, 3\) uint64 rows, got int64"),
        (lambda: NEURONS.products(WORDS.astype(np.uint8)), "got uint8"),
        (lambda: NEURONS.products(WORDS[:, :2]), r"got uint64 of shape \(2, 2\)"),
        (lambda: NEURONS.signs(WORDS[0]), r"got uint64 of shape \(3,\)"),
        (lambda: pixel_signs(np.zeros((2, 16)), SIXTEEN), r"expected \(N, K\) uint8 pixels .*, got float64"),
        (lambda: pixel_signs(np.zeros((2, 3), np.uint8), SIXTEEN), r"uint8 of \(2, 3\) and int32 of \(16,\)"),
        (lambda: pixel_signs(np.zeros((2, 16), np.uint8), SIXTEEN.astype(float)), "float64"),
    ],
)
def test_memory_is_read_only_where_it_is_what_it_should_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_need_not_be_contiguous(case):
    x, neurons, expected = case(9, 784, 300)
    assert np.array_equal(neurons.products(np.asfortranarray(x)), expected)
    assert np.array_equal(neurons.products(x.repeat(2, axis=0)[::2]), expected)


def test_no_rows_are_no_rows(case):
    x, neurons, _ = case(0, 70, 20)
    assert neurons.products(x).shape == (0, 20)
    assert neurons.signs(x).shape == (0, 1)
