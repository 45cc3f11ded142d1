"""Batch norm and sign as one whole number: against float64 on every sum that there can be, and exactly on ties."""

from itertools import product

import numpy as np
import pytest
import torch
from networks import CONV, DENSE
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial import ste
from bnn_tutorial.packed.folding import fold, fold_sign

GAMMAS = [1, -1, 0.0, -0.0, 0.3, -0.7, 1e-38, -1e-38, 1e-45, 3e38, -3e38]
BETAS = [0.0, -0.0, 1, -1, 0.1, -2.5, 1e30, -1e30, 1e-38, -1e-38]
MEANS = [0, 1, -2, 3, 0.5, 1 / 3, 100.25, 1e30, -1e30, 1e-30]
SIGMAS = [1, 2, np.sqrt(50.3 + 1e-5), np.sqrt(1e-5)]


@pytest.mark.parametrize("unit", [1, 255])
def test_thresholds_are_float64_on_every_sum_that_there_can_be(unit):
    numbers = np.array([*product(MEANS, SIGMAS, GAMMAS, BETAS)])
    numbers[:, [0, 2, 3]] = numbers[:, [0, 2, 3]].astype(np.float32)  # as parameters are
    mean, sigma, gamma, beta = numbers.T
    sums = np.arange(-3 * unit, 3 * unit + 1)[:, None]
    expected = sums / unit * (gamma / sigma) + (beta - mean * (gamma / sigma)) >= 0
    threshold = fold_sign(mean, sigma, gamma, beta, unit, inputs=3)
    assert np.array_equal(np.where(gamma < 0, -sums, sums) >= threshold, expected)


@pytest.mark.parametrize("unit", [1, 255])
@pytest.mark.parametrize("gamma", [2.0, -0.5])
@pytest.mark.parametrize(
    ("mean", "sigma", "beta", "tie"), [(3, 1.0, 0, 3), (-2, 7.3, 0, -2), (0, 2.0, 1, -2), (5, 3, 2, -1)]
)
def test_a_sum_exactly_on_the_threshold_gives_plus_one(unit, gamma, mean, sigma, beta, tie):
    mean, sigma, gammas, beta = (np.array([float(v)]) for v in (mean, sigma, gamma, gamma * beta))
    threshold = fold_sign(mean, sigma, gammas, beta, unit, inputs=100)
    assert threshold == unit * (tie if gamma > 0 else -tie)


def test_a_gamma_of_zero_leaves_the_sign_of_beta():
    zeros, beta = np.zeros(4), np.array([1e-300, 0.0, -0.0, -1e-300])
    for gamma in (zeros, -zeros):
        assert fold_sign(zeros, zeros + 1, gamma, beta, 255, 10).tolist() == [-2550, -2550, -2550, 2551]


def test_what_no_sum_reaches_is_one_more_than_the_largest():
    zeros, beta = np.zeros(4), np.array([11, 10.5, -10.5, -1e30])
    assert fold_sign(zeros, zeros + 1, zeros + 1, beta, 1, 10).tolist() == [-10, -10, 11, 11]


def test_a_bias_is_the_beta_of_a_batch_norm():
    layer = DENSE(3, 2, activation=bnn.sign)
    layer.bias.data = torch.tensor([1.0, -0.5])
    _, _, (folded, _) = fold(nn.Sequential(layer, DENSE(2, 1)))
    assert folded.threshold.tolist() == [-255, 128]


def test_weights_of_a_negative_gamma_are_flipped():
    layer = DENSE(2, 2, activation=bnn.sign, normalise=True)
    layer.weight.data = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    layer.norm.weight.data = torch.tensor([1.0, -1.0])
    _, _, (folded, last) = fold(nn.Sequential(layer, DENSE(2, 1)))
    assert folded.weight.tolist() == [[True, False], [False, True]]
    assert last.threshold is folded.scale is None


@pytest.mark.parametrize("threshold", [-0.1, 0.0, 0.2, 0.5, 0.999, 1.0, 1.5])
def test_a_pixel_on_the_threshold_is_plus_one(threshold):
    _, found, _ = fold(nn.Sequential(bnn.BinaryInput(threshold), DENSE(1, 1)))
    pixels = bnn.scale_pixels(torch.arange(256, dtype=torch.uint8))
    assert torch.equal(torch.arange(256) >= found, bnn.BinaryInput(threshold)(pixels) > 0)


def with_value(value, norm=False):
    model = bnn.binary_mlp((4, 3, 2), activation=bnn.sign_ste, normalise=norm)
    if norm:
        model[0].norm.eps, model[0].norm.running_var[1] = 0, value
    else:
        model[0].bias.data[1] = value
    return model


SIGN, UNFLATTEN = {"activation": bnn.sign}, nn.Unflatten(1, (1, 2, 2))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (bnn.binary_mlp(activation=torch.relu), "layer 0, .* the activation of a hidden layer must be a sign"),
        (bnn.binary_mlp(activation=torch.nn.functional.hardtanh), "the activation of a hidden layer must be a sign"),
        (nn.Sequential(DENSE(4, 3), DENSE(3, 2)), "layer 0, .* the activation of a hidden layer must be a sign"),
        (nn.Sequential(bnn.GenDense(4, 2)), "layer 0, .* its forward map must be binary_linear"),
        (nn.Sequential(bnn.GenDense(4, 2, forward_map=bnn.stochastic_binary_linear)), "must be binary_linear"),
        (nn.Sequential(DENSE(4, 2, **SIGN)), "the last layer must be dense and without an activation"),
        (nn.Sequential(UNFLATTEN, CONV(1, 2, 2)), "the last layer must be dense"),
        (nn.Sequential(UNFLATTEN, CONV(1, 2, 2, padding=1), nn.Flatten(), DENSE(18, 2)), "padding"),
        (nn.Sequential(CONV(1, 2, 2), nn.Flatten(), DENSE(2, 2)), "a convolution has to come after nn.Unflatten"),
        (nn.Sequential(nn.Linear(4, 4), DENSE(4, 2)), r"layer 0, Linear\(.*\): packing does not know it here"),
        (nn.Sequential(DENSE(4, 3, **SIGN), bnn.BinaryInput(), DENSE(3, 2)), "layer 1, BinaryInput"),
        (nn.Sequential(bnn.BinaryInput(), bnn.BinaryInput(), DENSE(3, 2)), "layer 1, BinaryInput"),
        (nn.Sequential(nn.Flatten()), "expected a Sequential of layers, a GenDense at its end, got Sequential"),
        (DENSE(4, 2), "expected a Sequential of layers, a GenDense at its end, got GenDense"),
        (with_value(torch.nan), "layer 0, .* parameters that are not finite"),
        (with_value(torch.inf), "layer 0, .* parameters that are not finite"),
        (with_value(-1.0, norm=True), "layer 0, .* parameters that are not finite"),
        (with_value(0.0, norm=True), "layer 0, .* parameters that are not finite"),
    ],
)
def test_a_model_that_cannot_be_packed_exactly_is_refused_with_the_reason(model, message):
    with pytest.raises(ValueError, match=message):
        fold(model)


@pytest.mark.parametrize("name", [name for name in ste.__all__ if name.endswith(("sign", "_ste"))])
def test_a_network_of_every_estimator_can_be_packed(name):
    _, _, layers = fold(bnn.binary_mlp((4, 3, 2), activation=getattr(bnn, name)))
    assert layers[0].threshold.shape == (3,)


def test_a_layer_that_is_there_twice_is_folded_twice():
    shared = DENSE(4, 4, activation=bnn.sign)
    _, _, layers = fold(nn.Sequential(DENSE(4, 4, activation=bnn.sign), shared, shared, DENSE(4, 2)))
    assert len(layers) == 4
    assert np.array_equal(layers[1].weight, layers[2].weight)
