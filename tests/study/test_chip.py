"""The emulated chips count what they run, the rivals compute what NumPy does, and the stored counts are today's."""

import numpy as np
import pandas as pd
import pytest
from unicorn import UC_MODE_MCLASS

from study.rivals.chip import emulator
from study.rivals.chip.__main__ import RESULTS, main
from study.rivals.chip.counts import RIVALS, SMALL, W1A8, count, jobs
from study.rivals.chip.emulator import CORES, Chip, compile_for
from study.rivals.chip.rivals import Rival

ADDS = """
#include <stdint.h>
int adds(const uint8_t *pixels, int32_t *sums)
{
    sums[0] = pixels[0];
    __asm__ volatile(".rept %d\\n adds r3, #1\\n .endr" : : : "r3", "cc");
    return pixels[1];
}
"""


def adding(number, core, tmp_path):
    path = tmp_path / "adds.c"
    path.write_text(ADDS % number)
    return Chip(core, compile_for(core, path, "adds"))


@pytest.mark.parametrize("core", CORES)
def test_every_instruction_is_counted(core, tmp_path):
    counts = []
    for number in (0, 1, 500):
        chip = adding(number, core, tmp_path)
        best, sums = chip.classify(np.array([7, 3], np.uint8))
        assert (best, sums[0]) == (3, 7)
        counts.append(chip.instructions - number)
    assert len(set(counts)) == 1


def test_instructions_have_two_or_four_bytes():
    assert emulator._instructions(bytes.fromhex("0120")) == 1  # movs r0, #1
    assert emulator._instructions(bytes.fromhex("00f001f8 7047")) == 2  # bl, bx lr


def test_a_chip_runs_no_instruction_that_it_has_not(tmp_path):
    path = tmp_path / "divides.c"
    path.write_text("#include <stdint.h>\nint divides(const uint8_t *p, int32_t *s) { s[0] = p[0] / p[1]; return 1; }")
    elf = compile_for("m3", path, "divides")
    chip = Chip("m3", elf)
    assert chip.classify(np.array([14, 7], np.uint8))[1][0] == 2
    with pytest.raises(Exception, match=r"Invalid instruction|Unhandled CPU exception"):
        Chip("m0", elf).classify(np.array([14, 7], np.uint8))


def test_errors_of_the_compiler_are_told(tmp_path):
    (tmp_path / "wrong.c").write_text("int wrong(")
    with pytest.raises(RuntimeError, match=r"wrong\.c"):
        compile_for("m0", tmp_path / "wrong.c", "wrong")


KINDS = ("ternary", "int2", "int4", "int8", "dual", "float32")


@pytest.mark.parametrize("widths", [(784, 12, 8, 10), (784, 20, 10)], ids=str)
@pytest.mark.parametrize(("kind", "core"), [*((kind, "m4") for kind in KINDS), ("int8", "m0")])
def test_rivals_compute_what_numpy_does(kind, core, widths, full, tmp_path):
    rival, path = Rival(widths, kind), tmp_path / "rival.c"
    path.write_text(rival.source(core))
    chip = Chip(core, compile_for(core, path, "classify", runtime=kind == "float32"))
    for image in full.test_images[:5].numpy():
        best, sums = rival.classify(image)
        found, found_sums = chip.classify(image)
        assert found == best
        np.testing.assert_allclose(found_sums, sums * (1000 if kind == "float32" else 1), atol=2 * (kind == "float32"))


def test_rivals_pass_over_pixels_without_ink(full, tmp_path):
    path = tmp_path / "rival.c"
    path.write_text(Rival(SMALL, "int8").source("m0"))
    chip, counts = Chip("m0", compile_for("m0", path, "classify")), []
    for image in (np.zeros(784, np.uint8), full.test_images[0].numpy(), np.full(784, 255, np.uint8)):
        chip.classify(image)
        counts.append(chip.instructions)
    assert 10 * counts[0] < counts[2]
    assert counts[0] < counts[1] < counts[2] / 3


@pytest.mark.parametrize("images", ["0", "50", "300", "20000"])
def test_numbers_of_images_that_are_not_at_equal_distances_are_refused(images, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["chip", "--images", images])
    with pytest.raises(SystemExit):
        main()
    assert "expected a divisor of 10,000" in capsys.readouterr().err


def test_a_core_that_unicorn_replaces_by_another_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(emulator, "UC_MODE_THUMB", emulator.UC_MODE_THUMB | UC_MODE_MCLASS)
    with pytest.raises(RuntimeError, match="expected Unicorn to emulate a Cortex-M0"):
        adding(1, "m0", tmp_path)


@pytest.mark.parametrize("core", CORES)
def test_the_fields_kernel_computes_what_numpy_does_and_takes_the_same_work_for_any_image(core):
    row = count("CMSIS-NN's algorithm, 784-40-10", core, "-O2", 4)  # `measure` compares classes and outputs
    assert row["mean"] == pytest.approx(row["all_ink"], rel=0.001)


def test_the_stored_counts_are_whole():
    table = pd.read_csv(RESULTS)
    rows = list(zip(table["name"], table["core"], table["optimise"], table["images"], strict=True))
    assert rows == list(jobs(10_000))
    assert set(table["name"]) == {"binary, 784-300-100-10", W1A8, *RIVALS}


@pytest.mark.parametrize(("name", "optimise"), [("binary, 784-300-100-10", "-O2"), ("int8, 784-40-10", "-O2")])
def test_a_stored_count_is_counted_again(name, optimise):
    stored = pd.read_csv(RESULTS).set_index(["name", "core", "optimise"]).loc[name, "m0", optimise]
    row = count(name, "m0", optimise, 100)
    assert [row[key] for key in ("all_ink", "flash")] == [stored[key] for key in ("all_ink", "flash")]
    assert row["mean"] == pytest.approx(stored["mean"], rel=0.05)
