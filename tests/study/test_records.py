"""What the records are made of: shortcuts, elastic distortions, a training in two stages, and the bytes of each try."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

import bnn_tutorial as bnn
from study import reactnet, recipes, records_choices
from study.elastic import random_elastic


@pytest.fixture
def images(full):
    return bnn.scale_pixels(full.train_images[:64])


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("pool", [1, 2])
def test_where_the_convolution_gives_nothing_the_shortcut_is_all(pool, shifted, generator):
    block = reactnet.Block(3, 5, pool, shifted, generator).eval()
    torch.nn.init.zeros_(block.convolution.norm.weight)
    x = torch.rand(2, 3, 8, 8, generator=generator)  # positive, where an untrained PReLU is the identity
    inner = x[:, :, 1:-1, 1:-1]
    expected = inner if pool == 1 else inner.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    assert torch.allclose(block(x), expected[:, [0, 1, 2, 0, 1]], atol=1e-6)


def test_a_block_adds_a_normalised_convolution_of_signs(generator):
    block = reactnet.Block(2, 2, 1, False, generator).eval()
    x = torch.randn(1, 2, 5, 5, generator=generator)
    signs, weight = (torch.where(t >= 0, 1.0, -1.0) for t in (x, block.convolution.weight))
    expected = F.conv2d(signs, weight) / (1 + 1e-5) ** 0.5 + x[:, :, 1:-1, 1:-1]
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_the_sign_is_shifted_for_each_channel():
    sign = reactnet.ShiftedSign(2, learned=True)
    sign.shift.data[1] = 1
    assert sign(torch.full((1, 2, 1, 1), -0.5)).flatten().tolist() == [-1, 1]


def test_a_prelu_bends_where_it_is_told(generator):
    activation = reactnet.ShiftedPReLU(1)
    activation.before.data[:], activation.after.data[:] = 1, 10
    assert activation(torch.tensor([0.0, -3.0]).view(2, 1, 1, 1)).flatten().tolist() == [11, 9.5]  # slope 1/4 below


def test_without_displacement_a_distortion_is_affine(images):
    torch.manual_seed(0)
    distorted = random_elastic(images, pixels_moved=0)
    torch.manual_seed(0)
    assert torch.allclose(distorted, bnn.random_affine(images, 5, 1, 0.05), atol=1e-4)


def test_a_distortion_moves_neighbours_alike_and_images_differently():
    ramp = torch.linspace(0, 1, 28).repeat(64, 28)  # a pixel's value is its column
    torch.manual_seed(0)
    moved = 27 * (random_elastic(ramp, 1.0, 0, 0) - ramp).view(64, 28, 28)[:, 4:-4, 4:-4]
    assert 0.4 < moved.std() < 1.5
    assert moved.std(dim=(1, 2)).mean() > 0.3  # within an image, too: more than the translation alone
    assert (moved[:, 1:] - moved[:, :-1]).abs().mean() < 0.3 * moved.abs().mean()
    assert moved.flatten(1).std(dim=0).min() > 0.3


@pytest.fixture
def small():
    recipe = recipes.Recipe(build=partial(bnn.binary_mlp, (784, 8, 10)))
    return recipes.changed(recipe, epochs=1, score_images=None)


def test_a_second_stage_begins_with_what_the_first_has_learned(small, tiny):
    _, first = small.train(0, tiny, progress=False)
    _, second = recipes.changed(small, learning_rate=1e-12)._replace(start=small).train(0, tiny, progress=False)
    assert torch.allclose(second[0].weight, first[0].weight, atol=1e-6)
    assert not torch.equal(small.build(generator=torch.Generator().manual_seed(0))[0].weight, first[0].weight)


def test_a_first_stage_has_the_latent_weights_themselves(small):
    stage = records_choices.in_two_stages(recipes.changed(small, epochs=6)).start
    model = stage.build(generator=torch.Generator().manual_seed(0))
    assert bnn.binary_layers(model) == []
    assert stage.config.epochs == 3
    assert stage.settings() in records_choices.in_two_stages(recipes.changed(small, epochs=6)).settings()


@pytest.mark.parametrize("name", records_choices.RECIPES)
def test_every_try_keeps_to_its_bytes(name):
    stored = bnn.summary(records_choices.RECIPES[name].build()).loc["total", "bytes_packed"]
    assert 0.9 < stored / (35_090 if name.startswith("dense") else 12_000) <= 1
