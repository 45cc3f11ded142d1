"""Maps of few bits against the papers' formulas in NumPy, PyTorch's own fake quantisation, and searches."""

import math
import pickle
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial.forward_maps import MAX_STEPS

BITS = [{"bits": n} for n in range(1, 9)]
MAPS = [bnn.scaled_binary_linear, bnn.ternary_linear, *(partial(bnn.quantised_linear, **n) for n in BITS)]
DENSE_AND_CONV = [
    (bnn.binary_linear, bnn.binary_conv2d, {}),
    (bnn.scaled_binary_linear, bnn.scaled_binary_conv2d, {}),
    (bnn.ternary_linear, bnn.ternary_conv2d, {}),
    *((bnn.quantised_linear, bnn.quantised_conv2d, n) for n in BITS),
]


@pytest.fixture
def layer():
    return bnn.GenDense(50, 7, generator=torch.Generator().manual_seed(0))


def used_weights(layer, forward_map):
    """What multiplies the inputs: (7, 50)."""
    return forward_map(layer, torch.eye(50)).detach().numpy().T


def passed_back(layer, forward_map, x, dy):
    (gradient,) = torch.autograd.grad(forward_map(layer, x), layer.weight, dy)
    return gradient


@pytest.mark.parametrize("bits", MAX_STEPS)
def test_weights_take_the_nearest_of_so_many_levels(bits, layer):
    w = layer.weight.detach().double().numpy()
    levels = (np.arange(2**bits) - (2**bits - 1) / 2) * MAX_STEPS[bits] * np.sqrt((w**2).mean(axis=1))[:, None]
    nearest = np.abs(w[..., None] - levels[:, None]).argmin(axis=-1)
    expected = np.take_along_axis(levels, nearest, axis=1)
    used = used_weights(layer, partial(bnn.quantised_linear, bits=bits))
    np.testing.assert_allclose(used, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("bits", "step"), MAX_STEPS.items())
def test_steps_lose_least_of_a_normal_distribution(bits, step):
    x = np.linspace(-8, 8, 400_001)
    density = np.exp(-(x**2) / 2)

    def lost(step):
        last = 2 ** (bits - 1) - 0.5
        return (density * (x - step * np.clip(np.floor(x / step) + 0.5, -last, last)) ** 2).sum()

    assert lost(step) < min(lost(0.99 * step), lost(1.01 * step))


def test_one_bit_is_the_scaled_sign_but_for_the_scale(layer):
    one, scaled = (used_weights(layer, m) for m in (partial(bnn.quantised_linear, bits=1), bnn.scaled_binary_linear))
    np.testing.assert_array_equal(np.sign(one), np.sign(scaled))


def test_the_ternary_map_is_that_of_the_paper(layer):
    w = layer.weight.detach().double().numpy()
    gamma = np.abs(w).mean()
    expected = gamma * np.clip(np.rint(w / gamma), -1, 1)
    np.testing.assert_allclose(used_weights(layer, bnn.ternary_linear), expected, rtol=1e-5)
    assert {-1, 0, 1} == set(np.rint(expected / gamma).ravel())


def test_the_scale_of_the_signs_is_the_best_one(layer):
    w = layer.weight.detach().double().numpy()
    best = [np.linalg.lstsq(np.sign(row)[:, None], row, rcond=None)[0].item() for row in w]
    used = used_weights(layer, bnn.scaled_binary_linear)
    np.testing.assert_allclose(used, np.sign(w) * np.array(best)[:, None], rtol=1e-5)


@pytest.mark.parametrize("forward_map", [bnn.ternary_linear, partial(bnn.quantised_linear, bits=3)])
def test_the_gradient_is_that_of_the_weights_as_they_are(forward_map, layer):
    x, dy = torch.randn(9, 50), torch.randn(9, 7)
    torch.testing.assert_close(passed_back(layer, forward_map, x, dy), passed_back(layer, bnn.linear, x, dy))


def test_the_gradient_of_the_scaled_signs_is_that_of_both_factors(layer):
    x, dy = torch.randn(9, 50), torch.randn(9, 7)
    g, w = passed_back(layer, bnn.linear, x, dy), layer.weight.detach()
    of_sign, of_scale = g * w.abs().mean(dim=1, keepdim=True), w.sign() * (g * w.sign()).mean(dim=1, keepdim=True)
    torch.testing.assert_close(passed_back(layer, bnn.scaled_binary_linear, x, dy), of_sign + of_scale)


@pytest.mark.parametrize("forward_map", MAPS)
def test_a_row_of_zeros_gives_finite_numbers(forward_map, layer):
    with torch.no_grad():
        layer.weight.zero_()
    y = forward_map(layer, torch.ones(1, 50))
    y.sum().backward()
    assert y.isfinite().all()
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("bits", [0, 9, 1.5])
def test_other_numbers_of_bits_are_refused(bits, layer):
    with pytest.raises(ValueError, match="bits must be a whole number from 1 to 8, got"):
        bnn.quantised_linear(layer, torch.ones(1, 50), bits=bits)


@pytest.mark.parametrize(("bits", "limit"), [(8, 6.0), (4, 1.0), (1, 2.0)])
def test_the_activation_is_fake_quantisation_to_unsigned_integers(bits, limit):
    ours, theirs = (torch.linspace(-1, 8, 1000).requires_grad_() for _ in range(2))
    last = 2**bits - 1
    y = bnn.quantised_relu(ours, bits, limit)
    expected = torch.fake_quantize_per_tensor_affine(theirs, limit / last, 0, 0, last)
    torch.testing.assert_close(y, expected)
    dy = torch.randn(1000)
    y.backward(dy)
    expected.backward(dy)
    inside = (ours >= 0) & (ours <= limit)  # at the edges PyTorch's window is wider by half a step
    torch.testing.assert_close(ours.grad, torch.where(inside, dy, 0))
    torch.testing.assert_close(ours.grad[inside], theirs.grad[inside])


@pytest.mark.parametrize("options", [{"bits": 0}, {"limit": 0.0}, {"limit": math.nan}])
def test_an_activation_without_values_is_refused(options):
    with pytest.raises(ValueError, match="expected whole bits, at least 1, and a positive, finite limit"):
        bnn.quantised_relu(torch.zeros(3), **options)


@pytest.mark.parametrize(
    ("forward_map", "bits"),
    [(bnn.linear, 32), (bnn.ternary_linear, Fraction(8, 5)), (bnn.quantised_linear, 8), (bnn.scaled_binary_linear, 1)]
    + [(partial(bnn.quantised_linear, bits=n), n) for n in (1, 2, 4)],
)
def test_bytes_are_those_of_the_bits(forward_map, bits):
    model = bnn.binary_mlp((784, 5, 3), bnn.quantised_relu, forward_map)
    assert bnn.weight_bits(model[0]) == bits
    total = bnn.summary(model).loc["total"]
    if bits == 32:
        assert total["bytes_packed"] == 4 * (784 * 5 + 5 * 3 + 2 * 8)
    else:
        assert total["bytes_packed"] == 5 * (math.ceil(784 * bits / 8) + 8) + 3 * (math.ceil(5 * bits / 8) + 16)
    one_bit = 784 * 5 + 15 if bits == 1 else 0  # the others are counted with batch norm's four vectors
    assert [total["one_bit_weights"], total["float_parameters"]] == [one_bit, 784 * 5 + 15 + 4 * 8 - one_bit]


@pytest.mark.parametrize("forward_map", MAPS)
def test_maps_train_and_travel(forward_map, tiny):
    model = bnn.binary_mlp((784, 5, 10), bnn.quantised_relu, pickle.loads(pickle.dumps(forward_map)))
    before = model[0].weight.detach().clone()
    bnn.train(bnn.TrainConfig(epochs=1, device="cpu"), tiny, model, progress=False)
    assert not torch.equal(model[0].weight, before)


KEEPERS = [bnn.binary_linear, partial(bnn.binary_linear), partial(bnn.stochastic_binary_linear, generator=None), *MAPS]


@pytest.mark.parametrize("forward_map", KEEPERS)
def test_a_layer_multiplies_with_the_levels_and_the_scale_that_it_keeps(forward_map, layer):
    layer.forward_map = forward_map
    kept = bnn.kept_weights(layer.eval())
    np.testing.assert_array_equal(used_weights(layer, forward_map), kept.scale * kept.levels)
    assert kept.bits == bnn.weight_bits(layer)
    last = 1 if kept.bits == Fraction(8, 5) else 2**kept.bits - 1
    levels = range(-last, last + 1, 1 if kept.bits == Fraction(8, 5) else 2)
    assert set(kept.levels.unique().tolist()) <= set(levels)
    assert kept.scale.shape in [(), (7, 1)]
    assert (kept.scale > 0).all()
    assert not kept.scale.requires_grad


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_all_levels_are_reached(bits):
    layer = bnn.GenDense(1_000_000, 1, forward_map=partial(bnn.quantised_linear, bits=bits))
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    last = 2**bits - 1
    assert bnn.kept_weights(layer).levels.unique().tolist() == list(range(-last, last + 1, 2))


def test_real_weights_are_not_kept_in_few_bits():
    assert bnn.kept_weights(bnn.GenDense(2, 2)) is None
    assert bnn.kept_weights(nn.Linear(2, 2)) is None
    assert bnn.weight_bits(bnn.GenDense(2, 2)) == 32


def test_options_reach_the_rule_through_partials_of_partials(layer):
    inner = partial(bnn.quantised_linear, bits=4)
    inner.note = "so that the outer one does not swallow it"
    layer.forward_map = partial(inner)
    assert bnn.kept_weights(layer).bits == 4
    layer.forward_map = partial(inner, bits=2)
    assert bnn.kept_weights(layer).bits == 2


@pytest.mark.parametrize(("dense", "conv", "options"), DENSE_AND_CONV)
@pytest.mark.parametrize("padding", [0, 1])
def test_a_convolution_is_the_dense_map_of_each_window(dense, conv, options, padding):
    g = torch.Generator().manual_seed(0)
    layer = bnn.GenConv2d(2, 5, 3, stride=2, padding=padding, forward_map=partial(conv, **options), generator=g)
    twin = bnn.GenDense(18, 5, forward_map=partial(dense, **options))
    twin.load_state_dict({"weight": layer.weight.detach().flatten(1), "bias": torch.randn(5, generator=g)})
    layer.bias = twin.bias
    x = torch.randn(4, 2, 7, 7, generator=g)
    windows = nn.functional.unfold(x, 3, padding=padding, stride=2).mT
    ours, expected = layer(x).flatten(2).mT, twin(windows)
    torch.testing.assert_close(ours, expected)
    gradients = [torch.autograd.grad(y.square().sum(), w.weight)[0] for y, w in ((ours, layer), (expected, twin))]
    torch.testing.assert_close(gradients[0].flatten(1), gradients[1], rtol=1e-4, atol=1e-4)
    assert bnn.kept_weights(layer).scale.shape in [(), (5, 1, 1, 1)]
