"""The network of the page reads what people draw, and was trained on digits that look like it."""

import json
import os
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import bnn_tutorial as bnn
from experiments import demo, perturbed, pretrained
from experiments.runner import Recipe
from experiments.settings import TUTORIAL, describe

IMAGES, MEAN, CELL = 1000, 0.95, 0.92  # of the grid
HANDS = json.loads((Path(__file__).parent / "golden" / "hands.json").read_text())


@pytest.fixture(scope="module")
def network():
    return bnn.PackedNetwork.load(demo.FILE)


@pytest.fixture(scope="module")
def tests(request, subset):
    """The whole test set where it is, else the subset's."""
    return request.getfixturevalue("full") if "BNN_TUTORIAL_DATA" in os.environ else subset


def test_the_file_is_small_and_as_good_as_it_says(network, full):
    accuracy = (network.predict(full.test_images) == full.test_labels.numpy()).mean()
    assert demo.FILE.stat().st_size <= 40_000
    assert f"{accuracy:.4f}" == network.provenance["accuracy"]
    assert accuracy >= 0.97


def test_the_file_was_made_with_the_recipe_as_it_is(network):
    assert [layer.weight.shape for layer in network.layers] == [(300, 784), (100, 300), (10, 100)]
    assert network.provenance["settings"] == demo.RECIPE.settings()
    assert network.provenance["teacher"] == describe(demo.TEACHER)


def test_the_hands_are_thirty_of_three_writers_and_fit_the_canvas():
    assert sorted((h["digit"], h["hand"]) for h in HANDS) == sorted(
        (digit, hand) for digit in range(10) for hand in {h["hand"] for h in HANDS}
    )
    points = np.concatenate([stroke for h in HANDS for stroke in h["strokes"]])
    assert len(HANDS) == 30
    assert points.min() >= 0
    assert points.max() <= 280


def test_at_least_28_of_30_scripted_digits_are_read(network):
    prepared = np.stack([bnn.prepare_strokes(h["strokes"]) for h in HANDS])
    assert (network.predict(prepared) == [h["digit"] for h in HANDS]).sum() >= 28


def test_place_size_pen_and_angle_are_stood(network, tests):
    """On a tenth of the test set, from all over it; `python -m experiments.perturbed` takes all of it."""
    every = len(tests.test_labels) // IMAGES
    table = perturbed.accuracies(network, tests.test_images[::every], tests.test_labels[::every])
    assert table[table < CELL].to_dict() == {}
    assert table.mean() >= MEAN


def test_a_grid_has_27_cells_of_the_same_digits_each_drawn_otherwise(subset):
    images = subset.test_images[:20]
    grid = perturbed.drawn(images)
    assert set(grid) == set(product((0.4, 1.0, 1.5), (0.5, 1.0, 2.0), (-15, 0, 15)))
    ink = {width: grid[1.0, width, 0].sum() / images.sum() for width in perturbed.WIDTHS}
    assert 0.4 < ink[0.5] < 0.6
    assert 0.85 < ink[1.0] < 1.05
    assert 1.4 < ink[2.0] < 2


# The drawings that it was trained on


@pytest.fixture
def digits(subset):
    return bnn.scale_pixels(subset.train_images[:200])


@pytest.fixture
def drawn(digits):
    torch.manual_seed(0)
    return demo.as_drawn(digits)


def test_drawings_are_images_each_another(digits, drawn):
    assert drawn.shape == digits.shape
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn - digits).abs().sum(dim=1).min() > 5
    assert not torch.equal(demo.as_drawn(digits), drawn)


def test_drawings_are_centred_and_sized_as_the_page_does(drawn):
    ink = drawn.view(-1, 28, 28)
    mass, axis = ink.sum(dim=(1, 2)), torch.arange(28.0)
    for side in (1, 2):
        centre = (ink.sum(dim=side) * axis).sum(dim=1) / mass
        assert (centre - 14).abs().max() < 1
        assert (centre - 14).abs().mean() < 0.4  # even over half a pixel to either side is 0.25
    longest = torch.stack([(ink.amax(dim=side) > 0.25).sum(dim=1) for side in (1, 2)]).amax(dim=0)
    assert ((longest - 20).abs() <= 2).float().mean() > 0.9


def test_pens_are_thinner_and_thicker(digits):
    torch.manual_seed(0)
    ink = torch.nn.functional.avg_pool2d(demo.other_pen(digits.view(-1, 1, 28, 28)), 2).sum(dim=(1, 2, 3))
    share = ink / digits.sum(dim=1)
    assert share.min() < 0.6
    assert share.max() > 1.4
    assert share.min() > 0.1  # a digit of the thinnest strokes does not vanish


def test_without_turning_an_upright_bar_stays_one():
    bar = torch.zeros(1, 28, 28)
    bar[:, 4:24, 13:16] = 1
    columns = demo.as_drawn(bar.view(1, 784).repeat(50, 1), degrees=0, slant=0, aspect=0).view(50, 28, 28).amax(dim=1)
    assert ((columns > 0.3).sum(dim=1) <= 6).all()


def test_angles_and_slants_go_to_both_sides_and_no_further():
    torch.manual_seed(0)
    turn = demo._turns(1000, degrees=15, slant=0, aspect=0)
    angles = torch.rad2deg(torch.atan2(turn[:, 1, 0], turn[:, 0, 0]))
    assert -15 <= angles.min() < -14 < 14 < angles.max() <= 15
    slanted = demo._turns(1000, degrees=0, slant=0.1, aspect=0)[:, 0, 1]
    assert -0.1 <= slanted.min() < -0.09 < 0.09 < slanted.max() <= 0.1


def test_training_writes_the_network_and_how_it_was_made(tiny, tmp_path, capsys):
    recipe = Recipe(TUTORIAL, lambda generator: bnn.binary_mlp((784, 10), generator=generator))
    file = tmp_path / "new" / "model.safetensors"
    pretrained.train_and_save(file, recipe, tiny, "experiments.some")
    said = bnn.PackedNetwork.load(file).provenance
    assert json.loads(capsys.readouterr().out.rpartition("\n")[0].rpartition("}")[0] + "}") == said
    assert (said["command"], said["seed"]) == ("python -m experiments.some", "0")
    assert said["data"] == "MNIST, 200 images to train, 100 to test"


def test_a_taught_network_says_how_its_teacher_was_trained(tiny, tmp_path, monkeypatch):
    asked, teaching = [], replace(TUTORIAL, epochs=1)
    monkeypatch.setattr(pretrained, "teacher", lambda *args: asked.append(args) or torch.nn.Linear(784, 10))
    recipe = Recipe(teaching, lambda generator: bnn.binary_mlp((784, 10), generator=generator), taught=True)
    pretrained.train_and_save(tmp_path / "model.safetensors", recipe, tiny, "experiments.some", teaching)
    assert asked == [("tiny", teaching)]
    assert bnn.PackedNetwork.load(tmp_path / "model.safetensors").provenance["teacher"] == "epochs=1"
