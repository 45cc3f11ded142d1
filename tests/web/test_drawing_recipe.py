"""The page's networks were trained with the recipes as they are, on digits that look like drawn ones."""

import pytest
import torch

import bnn_tutorial as bnn
from bnn_tutorial import packed
from docs.web.make import recipe
from study.settings import describe


@pytest.fixture
def digits(full):
    return bnn.scale_pixels(full.train_images[:200])


@pytest.fixture
def drawn(digits):
    torch.manual_seed(0)
    return recipe.as_drawn(digits)


@pytest.mark.parametrize("name", recipe.FILES)
def test_a_file_was_made_with_its_recipe_and_is_as_good_as_it_says(name, full):
    network, made = packed.PackedNetwork.load(recipe.FILES[name]), recipe.RECIPES[name]
    accuracy = (network.predict(full.test_images) == full.test_labels.numpy()).mean()
    assert f"{accuracy:.4f}" == network.provenance["accuracy"]
    assert network.provenance["settings"] == made.settings()
    assert network.provenance.get("teacher") == (describe(recipe.TEACHER.config) if made.distilled else None)
    shapes = [module.weight.shape for module in made.build() if hasattr(module, "weight")]
    assert [layer.levels.shape for layer in network.layers] == shapes


def test_images_are_augmented_each_in_its_own_way(digits, drawn):
    assert drawn.shape == digits.shape
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn - digits).abs().sum(dim=1).min() > 5
    assert not torch.equal(recipe.as_drawn(digits), drawn)


def test_augmented_images_are_centred_and_scaled_as_the_page_does(drawn):
    ink = drawn.view(-1, 28, 28)
    mass, axis = ink.sum(dim=(1, 2)), torch.arange(28.0)
    for side in (1, 2):
        centre = (ink.sum(dim=side) * axis).sum(dim=1) / mass
        assert (centre - 14).abs().max() < 1
        assert (centre - 14).abs().mean() < 0.4  # uniform over half a pixel to either side is 0.25
    longest = torch.stack([(ink.amax(dim=side) > 0.25).sum(dim=1) for side in (1, 2)]).amax(dim=0)
    assert ((longest - 20).abs() <= 2).float().mean() > 0.9


def test_strokes_are_thinner_and_thicker(digits):
    torch.manual_seed(0)
    pixels = recipe.random_stroke_width(digits.view(-1, 1, 28, 28))
    share = torch.nn.functional.avg_pool2d(pixels, 2).sum(dim=(1, 2, 3)) / digits.sum(dim=1)
    assert share.min() < 0.6
    assert share.max() > 1.4
    assert share.min() > 0.1  # a digit of the thinnest strokes does not vanish


def test_without_rotation_and_shear_an_upright_bar_comes_upright_to_the_middle():
    bar = torch.zeros(1, 28, 28)
    bar[:, 2:22, 5:8] = 1
    bars = bar.view(1, 784).repeat(50, 1)
    columns = recipe.as_drawn(bars, degrees=0, shear=0, aspect=0).view(50, 28, 28).amax(dim=1)
    assert ((columns > 0.3).sum(dim=1) <= 6).all()
    centres = (columns * torch.arange(28)).sum(dim=1) / columns.sum(dim=1)
    assert (centres - 14).abs().max() < 1


def test_rotation_and_shear_go_to_both_sides_and_no_further():
    torch.manual_seed(0)
    rotations = recipe._random_matrices(1000, degrees=15, shear=0, aspect=0)
    angles = torch.rad2deg(torch.atan2(rotations[:, 1, 0], rotations[:, 0, 0]))
    assert -15 <= angles.min() < -14 < 14 < angles.max() <= 15
    shears = recipe._random_matrices(1000, degrees=0, shear=0.1, aspect=0)[:, 0, 1]
    assert -0.1 <= shears.min() < -0.09 < 0.09 < shears.max() <= 0.1
