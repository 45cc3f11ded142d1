"""Intervals are those of the textbooks."""

import numpy as np
import pytest
from scipy import stats

from study.statistics import all_differences, contrast, differences, half_width

RANDOM = np.random.default_rng(0)
SCORES = {"a": RANDOM.normal(98, 0.1, 5), "b": RANDOM.normal(97, 0.4, 5), "c": RANDOM.normal(97.5, 0.2, 3)}


def test_the_interval_of_a_mean_is_student_s():
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.303 / 3**0.5, abs=1e-3)  # by the printed table
    assert half_width([0.5, 0.5]) == 0


def test_a_difference_has_welch_s_interval():
    low, high = stats.ttest_ind(SCORES["a"], SCORES["c"], equal_var=False).confidence_interval()
    row = differences(SCORES, ("a", "c")).loc["a - c"]
    assert row.tolist() == pytest.approx([SCORES["a"].mean() - SCORES["c"].mean(), low, high])


def test_a_contrast_of_equal_parts_holds_the_truth_in_19_of_20():
    samples = RANDOM.normal(0, 1, (2000, 4, 5))
    factors = dict(zip("abcd", (1, -1, -1, 1), strict=True))
    rows = [contrast(dict(zip("abcd", sample, strict=True)), factors) for sample in samples]
    assert np.mean([row["from"] < 0 < row["to"] for row in rows]) == pytest.approx(0.95, abs=0.02)


def test_of_two_names_the_corrected_interval_is_welch_s():
    two = {name: SCORES[name] for name in "ab"}
    assert all_differences(two).loc[("a", "b")].equals(contrast(two, {"a": 1, "b": -1}))


def test_corrected_intervals_hold_all_together_in_19_of_20():
    samples = RANDOM.normal(0, 1, (400, 4, 5))
    held = []
    for sample in samples:
        table = all_differences(dict(zip("abcd", sample, strict=True)))
        held.append(((table["from"] < 0) & (table["to"] > 0)).all())
    assert 0.92 < np.mean(held) < 0.99


def test_a_difference_turns_round_with_its_names():
    table = all_differences(SCORES)
    there, back = table.loc[("a", "b")], table.loc[("b", "a")]
    assert (there["difference"], there["from"]) == (-back["difference"], -back["to"])
