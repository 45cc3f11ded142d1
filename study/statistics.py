"""Means, differences and their 95 % intervals, by Student's t, for the tables of scores.

Runs of two networks are compared unpaired, by Welch's interval. A seed that two different networks share gives them
neither the same initial weights nor the same errors, so pairing would cancel nothing. An interval covers the random
variation between seeds. It does not cover the choice of the 10,000 test images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95


def half_width(scores: Sequence[float]) -> float:
    """The interval of the mean is the mean ± this; NaN of a single score."""
    return contrast({"": scores}, {"": 1})["to"] - np.mean(scores)


def contrast(scores: Mapping[str, Sequence[float]], factors: Mapping[str, float], level: float = LEVEL) -> pd.Series:
    """The sum of means times factors, with its interval (`from`, `to`): {"a": 1, "b": -1} is the difference a - b.

    The variances need not be equal: degrees of freedom by Welch and Satterthwaite.

    Examples:
        >>> contrast({"a": [2.0, 4.0], "b": [1.0, 1.0]}, {"a": 1, "b": -1}).round(2).to_dict()
        {'difference': 2.0, 'from': -10.71, 'to': 14.71}
    """
    runs = [(factor, np.asarray(scores[name], float)) for name, factor in factors.items()]
    mean = sum(factor * x.mean() for factor, x in runs)
    parts = np.array([factor**2 * x.var(ddof=1) / len(x) if len(x) > 1 else np.nan for factor, x in runs])
    spread = [part**2 / (len(x) - 1) for part, (_, x) in zip(parts, runs, strict=True) if part]
    freedom = parts.sum() ** 2 / sum(spread) if spread else 1
    half = stats.t.ppf((1 + level) / 2, freedom) * parts.sum() ** 0.5  # 0 if all scores are equal
    return pd.Series({"difference": mean, "from": mean - half, "to": mean + half})


def differences(scores: Mapping[str, Sequence[float]], *pairs: tuple[str, str]) -> pd.DataFrame:
    """A row for each pair, "a - b", with its own interval, uncorrected."""
    return pd.DataFrame({f"{a} - {b}": contrast(scores, {a: 1, b: -1}) for a, b in pairs}).T


def all_differences(scores: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """All pairs, with intervals that hold *together* with 95 %: a row for each pair of names, in both orders.

    Welch's intervals, each at the level 0.95^(1 / pairs): Šidák's correction for the number of comparisons.
    """
    level = LEVEL ** (1 / math.comb(len(scores), 2))
    rows = {pair: contrast(scores, {pair[0]: 1, pair[1]: -1}, level) for pair in permutations(scores, 2)}
    return pd.DataFrame(rows).T.rename_axis(["kind", "over"])


def scores_of(table: pd.DataFrame, column: str = "acc_test") -> dict[str, list[float]]:
    """The scores in per cent by the names of the rows in a table of results."""
    return {name: (100 * group).tolist() for name, group in table.groupby("name", sort=False)[column]}
