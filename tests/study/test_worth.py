"""Worth: networks fill their budgets, choices walk to where no axis leads on, and side by side is one by one."""

import itertools
import math
from functools import partial
from operator import attrgetter

import pytest
import torch
from datasets import first

import bnn_tutorial as bnn
from study import runner, worth
from study.images import PIXELS, fewer_pixels, images
from study.recipes import TEN_EPOCHS, changed
from study.runner import Table
from study.together import train_together

PLACES = [
    {"pixels": pixels, "depth": depth, "taper": taper}
    for pixels, depth, taper in itertools.product(["7x7", "28x28"], [1, 2, 4], [2, 1, 0.5])
]


@pytest.mark.parametrize("kind", worth.KINDS)
def test_bytes_are_counted_as_summary_counts(kind):
    model = bnn.binary_mlp((49, 13, 7, 10), generator=torch.Generator(), **worth.KINDS[kind])
    assert bnn.summary(model, (49,)).loc["total", "bytes_packed"] == worth.stored_bytes(kind, (49, 13, 7, 10))


@pytest.mark.parametrize(("kind", "budget"), list(itertools.product(worth.KINDS, worth.BUDGETS)))
def test_a_network_fits_its_budget_and_no_wider_one_would(kind, budget):
    for place in PLACES:
        network = worth.widest(kind, budget, **place)
        first = network.widths[1] if network else 0
        assert network is None or worth.stored_bytes(kind, network.widths) <= budget
        assert worth.stored_bytes(kind, worth.shape(**place, first=first + 1).widths) > budget


def hill(network, rates, epochs, best=(100, 1, 0.003)):
    """Scores that fall with the distance from one place."""
    pixels, depth = network.widths[0], len(network.widths) - 2
    return [
        1 - abs(math.log(pixels / best[0])) - abs(depth - best[1]) - abs(math.log(rate / best[2])) for rate in rates
    ]


@pytest.mark.parametrize("best", [(100, 1, 0.003), (784, 4, 0.1), (25, 3, 0.0003)])
def test_the_choice_walks_to_the_best_place(best):
    network, rate = worth.choose("4 bits", 12_000, partial(hill, best=best))
    assert (network.widths[0], len(network.widths) - 2, rate) == best


def test_a_choice_that_is_not_complete_is_an_error(tmp_path):
    with pytest.raises(KeyError, match=r"14x14, 196-88-44-10, rate 0.003, 3 epochs"):
        worth.chosen(worth.Cell("MNIST", "4 bits", 12_000), 10, Table(tmp_path / "choices.csv"))


def test_at_most_one_winner_in_ten_lies_on_an_edge_of_pixels_or_rates():
    """Of depths, one hidden layer is no edge of ours: none would not be a network."""
    pixels, rates = worth.AXES["pixels"][0], worth.RATES
    winners = [(recipe.data.split(", ")[1], recipe.config.learning_rate) for recipe in worth.RECIPES.values()]
    for axis, chosen in zip((pixels, rates), zip(*winners, strict=True), strict=True):
        assert sum(value in (axis[0], axis[-1]) for value in chosen) <= len(winners) / 10


def test_at_most_one_winner_in_ten_lies_on_an_edge_of_shapes():
    hidden = [recipe.build.keywords["widths"][1:-1] for recipe in worth.RECIPES.values()]
    assert max(map(len, hidden)) < worth.AXES["depth"][0][-1]
    tapers = [second / first for first, second, *_ in (widths for widths in hidden if len(widths) > 1)]
    assert sum(taper > 1.9 or taper < 0.18 for taper in tapers) <= len(hidden) / 10


def test_means_of_pixels_are_rounded(tiny):
    small = fewer_pixels(tiny, "14x14")
    by_hand = tiny.test_images.view(-1, 14, 2, 14, 2).double().mean(dim=(2, 4)).flatten(1).round()
    assert small.name == f"{tiny.name}, 14x14"
    assert torch.equal(small.test_images.double(), by_hand)


@pytest.mark.parametrize("pixels", PIXELS)
def test_fewer_pixels_are_the_middle_of_the_image(pixels, tiny):
    middle, side = PIXELS[pixels]
    ones = tiny.test_images.clone().view(-1, 28, 28).zero_()
    edge = (28 - middle) // 2
    ones[:, edge : 28 - edge, edge : 28 - edge] = 200
    data = bnn.LabelledImages(tiny.train_images, tiny.train_labels, ones.flatten(1), tiny.test_labels)
    assert (fewer_pixels(data, pixels).test_images == 200).all()
    assert fewer_pixels(data, pixels).test_images.shape[1] == side**2


def test_held_out_images_of_fewer_pixels_are_training_images():
    held_out, whole = images("MNIST, 7x7", held_out=True), images("MNIST, 7x7")
    assert torch.equal(held_out.test_images, whole.train_images[50_000:])
    assert held_out.name == "MNIST, 7x7, held out"


@pytest.mark.parametrize("kind", worth.KINDS)
def test_networks_side_by_side_are_trained_as_one_by_one(kind, full):
    data = fewer_pixels(first(full, 200, 100), "7x7")
    cell, network = worth.Cell("MNIST", kind, 1000), worth.Shape("7x7", (49, 9, 5, 10))
    recipes = [worth.recipe(cell, network, rate, 1) for rate in (0.003, 0.01)]
    models = [r.build(generator=torch.Generator().manual_seed(seed)) for seed, r in enumerate(recipes)]
    train_together(models, [0.003, 0.01], [0, 1], data, epochs=1)
    for seed, (recipe, model) in enumerate(zip(recipes, models, strict=True)):
        _, alone = recipe.train(seed, data, progress=False)
        for layer, same in zip(model, alone, strict=True):
            for name in ("weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
                torch.testing.assert_close(attrgetter(name)(layer), attrgetter(name)(same), atol=1e-4, rtol=1e-3)


def test_networks_that_take_pixels_as_bits_are_trained_side_by_side():
    # A pixel that is constant in a batch would have gradients of rounding alone, which Adam blows up: noise has none.
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (256, 9), generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (256,), generator=generator)
    data = bnn.LabelledImages(pixels, labels, pixels, labels, "noise")
    network = {"widths": (9, 5, 10), "binary_input": True, "activation": torch.relu}
    recipe = changed(TEN_EPOCHS, epochs=1, network=network)
    model = recipe.build(generator=torch.Generator().manual_seed(0))
    train_together([model], [recipe.config.learning_rate], [0], data, epochs=1)
    _, alone = recipe.train(0, data, progress=False)
    for layer, same in zip(model[1:], alone[1:], strict=True):
        torch.testing.assert_close(layer.weight, same.weight, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_stored_row_is_computed_again_one_by_one():
    """By `bnn.train`; rounding leads to a row like any seed's."""
    name = "MNIST, 4 bits, 12,000 bytes"
    row = runner._row(worth.RECIPES[name], 0, False, None)
    assert row["acc_test"] == pytest.approx(Table(worth.RESULTS)[name, 0], abs=0.004)
