"""The page's network reads other handwriting: the grid of perturbed test images, and thirty drawn digits."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bnn_tutorial import packed
from docs.web.make import grid, handwriting
from docs.web.make.prepare import prepare_strokes
from docs.web.make.recipe import FILES

PAGE = Path(__file__).parents[2] / "docs" / "draw.md"
WRITTEN = json.loads(handwriting.FILE.read_text())


@pytest.fixture(scope="module", params=FILES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    return packed.PackedNetwork.load(FILES[name])


@pytest.mark.parametrize("count", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_the_grid_has_27_cells_of_the_same_digits_with_other_stroke_widths(full, count):
    images = full.test_images[:count]
    cells = grid.perturbed(images)
    assert set(cells) == set(product((0.4, 1.0, 1.5), (0.5, 1.0, 2.0), (-15, 0, 15)))
    ink = {width: cells[1.0, width, 0].sum() / images.sum() for width in grid.WIDTHS}
    assert 0.4 < ink[0.5] < 0.6
    assert 0.85 < ink[1.0] < 1.05
    assert 1.4 < ink[2.0] < 2


@pytest.mark.slow
def test_of_test_digits_in_other_hands_as_many_are_read_as_the_page_says(network, name, full):
    """On a tenth of the test set, from all over it; `python -m docs.web.make.grid` takes all of it."""
    table = grid.accuracies(network, full.test_images[::10], full.test_labels[::10])
    said = re.search(rf"^\| {name.upper()} .* ([\d.]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert 100 * table.mean() == pytest.approx(float(said), abs=1)
    assert table.min() >= 0.9


def test_three_writers_wrote_each_digit_on_the_canvas():
    assert [(entry["digit"], entry["writer"]) for entry in WRITTEN] == [*product(range(10), handwriting.WRITERS)]
    points = np.concatenate([stroke for entry in WRITTEN for stroke in entry["strokes"]])
    assert points.min() >= 0
    assert points.max() <= 280


def test_at_least_28_of_the_30_written_digits_are_read(network):
    images = np.stack([prepare_strokes(entry["strokes"]) for entry in WRITTEN])
    assert (network.predict(images) == [entry["digit"] for entry in WRITTEN]).sum() >= 28
