"""Each amount of `random_affine` alone, where one can say what the picture must become."""

import pytest
import torch

import bnn_tutorial as bnn

NOTHING = {"degrees": 0, "translate": 0, "scale": 0}


@pytest.fixture
def digits(subset):
    return bnn.scale_pixels(subset.train_images[:50])


def centres(pixels):
    """Centres of mass, in pixels from the middle: (N, 2), right and down."""
    square = pixels.view(-1, 28, 28)
    axis = torch.arange(28) - 13.5
    mass = square.sum(dim=(1, 2))
    return torch.stack([(square.sum(dim=1) * axis).sum(dim=1) / mass, (square.sum(dim=2) * axis).sum(dim=1) / mass], 1)


def test_nothing_asked_nothing_changed(digits):
    torch.testing.assert_close(bnn.random_affine(digits, **NOTHING), digits, atol=1e-4, rtol=0)


def test_translate_moves_by_at_most_that_many_pixels_each_image_by_its_own(digits, generator):
    moved = bnn.random_affine(digits, **NOTHING | {"translate": 2}, generator=generator)
    translation = centres(moved) - centres(digits)
    assert translation.abs().max() < 2.05
    assert translation.abs().max(dim=0).values.min() > 1.5
    assert translation.min(dim=0).values.max() < 0 < translation.max(dim=0).values.min()
    assert len(translation.round(decimals=3).unique(dim=0)) == len(digits)


def test_degrees_turn_about_the_middle(generator):
    bar = torch.zeros(1, 28, 28)
    bar[:, 13:15, 4:24] = 1
    bars = bar.expand(200, 28, 28).reshape(200, 784)
    turned = bnn.random_affine(bars, **NOTHING | {"degrees": 30}, generator=generator).view(200, 28, 28)
    right = turned[:, :, 20:]
    height = (right.sum(dim=2) * (torch.arange(28) - 13.5)).sum(dim=1) / right.sum(dim=(1, 2))
    angle = torch.rad2deg(torch.atan(height / 8))
    assert -31 < angle.min() < -24
    assert 24 < angle.max() < 31


def test_scale_changes_the_ink_as_the_square_of_the_size(generator):
    square = torch.zeros(1, 28, 28)
    square[:, 9:19, 9:19] = 1
    many = square.expand(200, 28, 28).reshape(200, 784)
    size = bnn.random_affine(many, **NOTHING | {"scale": 0.2}, generator=generator).sum(dim=1).div(100).sqrt()
    assert 1 / 1.2 - 0.02 < size.min() < 0.87
    assert 1.2 < size.max() < 1 / 0.8 + 0.02


def test_rotation_and_scale_do_not_change_the_translation(generator):
    dot = torch.zeros(1, 28, 28)
    dot[:, 13:15, 13:15] = 1  # the middle, which neither rotation nor scale moves
    dots = dot.expand(500, 28, 28).reshape(500, 784)
    translation = centres(bnn.random_affine(dots, degrees=45, translate=3, scale=0.3, generator=generator))
    assert 2.9 < translation.abs().max() < 3.1


def test_any_float_will_do(digits):
    one, two = (bnn.random_affine(x, generator=torch.Generator().manual_seed(3)) for x in (digits, digits.double()))
    assert two.dtype == torch.float64
    torch.testing.assert_close(one.double(), two, atol=1e-4, rtol=0)


def test_scales_that_turn_an_image_inside_out_are_refused(digits):
    with pytest.raises(ValueError, match=r"scale must be in \[0, 1\), got 1"):
        bnn.random_affine(digits, scale=1)


def test_pixels_stay_between_zero_and_one_and_the_input_as_it_was(digits, generator):
    before = digits.clone()
    moved = bnn.random_affine(digits, generator=generator)
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-6
    assert torch.equal(digits, before)


def test_same_generator_same_images(digits):
    one, two = (bnn.random_affine(digits, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("shape", [(784,), (2, 783), (2, 28, 28)])
def test_images_that_are_not_square_rows_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected square images in rows, .* got shape"):
        bnn.random_affine(torch.zeros(shape))
