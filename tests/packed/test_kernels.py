"""Products of signs and of bytes against NumPy, where a word, a tile or a block of rows begins or ends."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from bnn_tutorial.packed import kernels
from bnn_tutorial.packed.kernels import ByteProducts, SignProducts, pack_bits, unpack_bits

ROWS = [1, 7, 8, 9, 65]  # blocks of 4 or 8
SIZES = [(1, 1), (15, 31), (16, 32), (17, 33), (63, 15), (64, 16), (65, 17), (130, 65), (784, 300)]  # inputs, neurons
LEVELS = {"1 bit": [-1, 1], "ternary": [-1, 0, 1]}
LEVELS |= {f"{bits} bits": range(1 - 2**bits, 2**bits, 2) for bits in (4, 7, 8)}


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


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("inputs", "neurons"), SIZES)
def test_products_of_signs_are_numpys(random, rows, inputs, neurons):
    x, weights = bits(random, rows, inputs), bits(random, neurons, inputs)
    expected = signs(x).astype(int) @ signs(weights).T.astype(int)
    assert np.array_equal(SignProducts(pack_bits(weights), inputs)(pack_bits(x)), expected)
    assert np.array_equal(kernels.plain_products(pack_bits(x), pack_bits(weights), inputs), expected)


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize(("inputs", "neurons"), SIZES)
def test_products_of_bytes_and_of_signs_with_any_weights_are_numpys(random, levels, rows, inputs, neurons):
    weights = random.choice(np.array(levels, np.int16), (neurons, inputs))
    for x in (random.integers(0, 256, (rows, inputs)).astype(np.uint8), signs(bits(random, rows, inputs))):
        found = ByteProducts(weights, of_bytes=x.dtype == np.uint8)(x)
        assert np.array_equal(found, x.astype(int) @ weights.T.astype(int))


@pytest.mark.parametrize("weight", [1, 15, 64, 65, 127, 255])
def test_the_largest_sums_do_not_overflow(weight):
    x, weights = np.full((20, 1000), 255, np.uint8), np.array([[weight] * 1000, [-weight] * 1000], np.int16)
    assert ByteProducts(weights, of_bytes=True)(x).tolist() == [[255_000 * weight, -255_000 * weight]] * 20


@pytest.mark.parametrize("neurons", [1, 15, 64, 65, 300])
def test_sums_are_plus_one_from_the_threshold_on(random, neurons):
    sums, thresholds = random.integers(-3, 4, (2, 9, neurons + 4)).astype(np.int32)
    reached = sums[:, :neurons] >= thresholds[0, :neurons]
    for given in (sums, sums[:, :neurons], np.asfortranarray(sums), sums.reshape(3, 3, -1)):
        found = kernels.signs(given, thresholds[0, :neurons]).reshape(9, -1)
        assert np.array_equal(unpack_bits(found, neurons), reached)
        assert not unpack_bits(found, 64 * found.shape[-1])[:, neurons:].any()


def test_sums_that_are_not_int32_are_not_compared():
    with pytest.raises(ValueError, match="expected int32 sums and thresholds, got int64 and int32"):
        kernels.signs(np.zeros((4, 20), np.int64), np.zeros(20, np.int32))


def test_codes_are_the_definition_in_python(random):
    sums, multiplier, offset = (random.integers(-(2**28), 2**28, (5, 40)).astype(np.int32) for _ in range(3))
    found = kernels.codes(sums, multiplier[0], offset[0], 13, 255)
    for row, line in zip(sums.tolist(), found.tolist(), strict=True):
        affine = [(m * s >> 16) + o for s, m, o in zip(row, multiplier[0].tolist(), offset[0].tolist(), strict=True)]
        assert line == [min(max(y >> 13, 0), 255) for y in affine]


@pytest.mark.parametrize(
    "features", [pytest.param("", id="plain", marks=pytest.mark.slow), pytest.param("+avx2,+popcnt", id="AVX2")]
)
def test_machines_without_avx512_get_the_same_numbers(features, tmp_path):
    here, chosen = Path(__file__), "numpys and (784 or 130) or largest"
    command = [sys.executable, "-m", "pytest", "-q", here, "-k", chosen, "-p", "no:cacheprovider"]
    machine = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(command, env=os.environ | machine, cwd=here.parent.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "36 passed" in run.stdout


def test_without_a_folder_for_its_cache_numba_compiles_all_the_same(tmp_path):
    """A package that is read only, and no home."""
    code = "from numba.core import caching\ncaching.CacheImpl._locator_classes = []\nimport doctest\n"
    code += "from bnn_tutorial.packed import kernels\nprint(doctest.testmod(kernels))\n"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "failed=0" in run.stdout, run.stderr


# Threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_chunks_come_back_in_order_whatever_thread_ran_them():
    seen = set()
    chunks = kernels.spread(lambda chunk: seen.add(threading.current_thread().name) or chunk, np.arange(1000), 7)
    assert np.array_equal(np.concatenate(chunks), np.arange(1000))
    assert threading.current_thread().name not in seen


@pytest.mark.usefixtures("two_threads")
def test_threads_that_others_start_have_as_many_as_before():
    kernels.spread(len, np.arange(10), 1)
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [torch.get_num_threads()] == [2]


FORKED = """
import multiprocessing, threading
import numpy as np
import torch
torch.set_num_threads(2)
from bnn_tutorial import packed
network, images = packed.load_pretrained(), np.random.default_rng(0).integers(0, 256, (3000, 784)).astype(np.uint8)
expected = network.predict(images)
network.predict(images[:200])  # so few that this thread computes them itself, by PyTorch's threads
right = []
threads = [threading.Thread(target=lambda: right.append((network.predict(images) == expected).all())) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join(100) for thread in threads]
with multiprocessing.get_context("fork").Pool(2) as pool:
    right += [(found == expected).all() for found in pool.map_async(network.predict, [images] * 2).get(100)]
    right += [(found == expected[:200]).all() for found in pool.map_async(network.predict, [images[:200]]).get(100)]
print(sum(right))
"""


def test_several_threads_and_forked_processes_predict_the_same():
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=250)
    assert run.stdout == "7\n", run.stderr


WORDS, BYTES = np.zeros((2, 3), np.uint64), np.zeros((2, 3), np.uint8)
OF_SIGNS, OF_BYTES = SignProducts(np.zeros((16, 3), np.uint64), 192), ByteProducts(np.ones((16, 3), np.int16), True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OF_SIGNS(WORDS.astype(np.int64)), r"expected \(N, 3\) uint64 rows, got int64"),
        (lambda: OF_SIGNS(WORDS[:, :2]), r"got uint64 of shape \(2, 2\)"),
        (lambda: OF_SIGNS(WORDS[0]), r"got uint64 of shape \(3,\)"),
        (lambda: OF_BYTES(BYTES.astype(np.int8)), r"expected \(N, 3\) uint8 rows, got int8"),
        (lambda: OF_BYTES(BYTES[:, :2]), r"got uint8 of shape \(2, 2\)"),
    ],
)
def test_memory_is_read_only_where_it_is_what_it_should_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_need_not_be_contiguous(random):
    x, weights = bits(random, 9, 784), bits(random, 300, 784)
    of_signs, of_bytes = SignProducts(pack_bits(weights), 784), ByteProducts(signs(weights).astype(np.int16), False)
    for turned in (np.asfortranarray, lambda a: a.repeat(2, axis=0)[::2]):
        assert np.array_equal(of_signs(turned(pack_bits(x))), of_signs(pack_bits(x)))
        assert np.array_equal(of_bytes(turned(signs(x))), of_signs(pack_bits(x)))


def test_no_rows_are_no_rows():
    assert OF_SIGNS(WORDS[:0]).shape == OF_BYTES(BYTES[:0]).shape == (0, 16)
    assert kernels.signs(np.zeros((0, 20), np.int32), np.zeros(20, np.int32)).shape == (0, 1)
