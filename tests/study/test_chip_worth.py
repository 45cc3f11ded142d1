"""The instructions of the networks of equal bytes: the stored table is whole and today's."""

import pandas as pd
import pytest

from study.rivals.chip import worth
from study.worth_28x28 import RECIPES

STORED = pd.read_csv(worth.RESULTS).set_index("name")


def test_the_stored_counts_are_those_of_the_chosen_networks():
    widths = ["-".join(map(str, RECIPES[name].build.keywords["widths"])) for name in worth.CELLS]
    assert STORED.index.tolist() == worth.CELLS
    assert STORED["widths"].tolist() == widths


@pytest.mark.parametrize("kind", ["1 bit, sign", "4 bits"])
def test_a_stored_count_is_counted_again(kind):
    name = f"MNIST, {kind}, 12,000 bytes"
    assert worth.row(name) == {"name": name, **STORED.loc[name]}
