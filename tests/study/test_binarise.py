"""The page "Binarise your own network": its figures are the stored ones, and its code runs."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch

import bnn_tutorial as bnn
from bnn_tutorial import packed
from study import binarise, worth_28x28
from study.statistics import contrast

PAGE = (Path(__file__).parents[2] / "docs" / "binarise-your-own.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
EIGHT_BITS = "FashionMNIST, 1 bit, same layers"  # four rates were tried there
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.fixture(scope="module")
def scores():
    return pd.read_csv(binarise.RESULTS).groupby("name")


def test_every_row_of_the_tables_is_a_stored_one(scores):
    mean, deviation = scores["acc_test"].mean(), scores["acc_test"].std()
    told = {row[0]: row[1] for row in ROWS if row[0] in mean.index}
    assert told == {name: f"{mean[name]:.3f} ± {deviation[name]:.3f}" for name in mean.index}
    assert set(told) >= set(binarise.RECIPES)


def test_no_gain_of_the_float_start_is_shown(scores):
    of = {name: (100 * group).tolist() for name, group in scores["acc_test"]}
    found = contrast(of, {"from random weights, 20 epochs": 1, "from the trained float weights": -1})
    interval = f"with a 95 % interval from {-found['from']:.2f} ahead to {found['to']:.2f} behind."
    assert f"it is {found['difference']:.2f} points behind, {interval}" in " ".join(PAGE.split())


def test_bytes_and_flips_of_the_tables_are_computed(scores):
    flips = scores["flip_ratio"].mean()
    for name, _, *rest in (row for row in ROWS if row[0] in binarise.RECIPES):
        if name in binarise.STEPS:
            model = binarise.RECIPES[name].build(generator=torch.Generator())
            assert rest == [f"{bnn.summary(model).loc['total', 'bytes_packed']:,.0f}"]
        elif rest:
            assert rest[0] == f"{100 * flips[name]:.1f} %"


def test_the_row_of_8_bit_activations_is_that_of_the_other_study():
    runs = pd.read_csv(binarise.RESULTS.with_name("worth_28x28.csv")).set_index("name").loc[EIGHT_BITS]
    model = bnn.binary_mlp(activation=bnn.quantised_relu)
    accuracy, size = runs["acc_test"], bnn.summary(model).loc["total", "bytes_packed"]
    assert len(accuracy) == 5
    assert ["8-bit activations", f"{accuracy.mean():.3f} ± {accuracy.std():.3f}", f"{size:,.0f}"] in ROWS


def test_rates_of_the_page_are_those_that_were_chosen():
    names = ["float", "binary activations", "binary weights in layer 2", "in all layers", EIGHT_BITS]
    names += ["float", "in all layers"]
    configs = {name: recipe.config for name, recipe in (worth_28x28.RECIPES | binarise.RECIPES).items()}
    chosen = [configs[name].learning_rate for name in names]
    assert [float(rate) for rate in re.findall(r"^train\(\w+, rate=([\d.]+)\)", PAGE, re.MULTILINE)] == chosen


def test_the_trained_float_weights_fit_the_binary_network():
    recipe = binarise.starts(binarise.RECIPES["in all layers"])["from the trained float weights"]
    start, network = (each.build(generator=torch.Generator()) for each in (recipe.start, recipe))
    network.load_state_dict(start.state_dict())


def test_the_recipe_of_notebook_03_reaches_its_goal_on_fashion(scores):
    assert scores["acc_test"].mean()["in all layers"] >= 0.875


def test_the_code_runs_from_top_to_bottom(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(bnn, "load_images", lambda name, root: tiny)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in CODE:
        exec(block.replace("epochs=10", "epochs=2"), names)
    network = packed.PackedNetwork.load(tmp_path / "fashion.safetensors")
    assert (network.predict(tiny.test_images) == names["network"].predict(tiny.test_images)).all()
    assert (tmp_path / "fashion.c").stat().st_size > 100_000


def test_the_layers_with_relu_are_the_plain_network(tiny):
    """A bias before batch norm does nothing, so `GenDense` has none there."""
    plain, layers = binarise.plain(torch.Generator().manual_seed(0)), binarise.network(torch.relu)
    for layer, (linear, *norm) in zip(layers, [plain[:2], plain[3:5], plain[6:]], strict=True):
        layer.load_state_dict(linear.state_dict() | {"bias": linear.bias}, strict=False)
        assert len(norm) == (layer.norm is not None)
    x = bnn.scale_pixels(tiny.train_images)
    torch.testing.assert_close(layers(x), plain(x))
