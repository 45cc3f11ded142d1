"""Batch norm and sign as one whole number: against float64 on every sum that there can be, and exactly on ties."""

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from networks import CONV, DENSE, Inverted, Negated, WithShortcut
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial import ste
from bnn_tutorial.packed import PackedNetwork, kernels
from bnn_tutorial.packed.folding import fold, fold_codes, fold_logits, fold_sign

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
    threshold = fold_sign(mean, sigma, gamma, beta, unit, largest=3 * unit)
    assert np.array_equal(np.where(gamma < 0, -sums, sums) >= threshold, expected)


@pytest.mark.parametrize("unit", [1, 255])
@pytest.mark.parametrize("gamma", [2.0, -0.5])
@pytest.mark.parametrize(
    ("mean", "sigma", "beta", "tie"), [(3, 1.0, 0, 3), (-2, 7.3, 0, -2), (0, 2.0, 1, -2), (5, 3, 2, -1)]
)
def test_a_sum_exactly_on_the_threshold_gives_plus_one(unit, gamma, mean, sigma, beta, tie):
    mean, sigma, gammas, beta = (np.array([float(v)]) for v in (mean, sigma, gamma, gamma * beta))
    threshold = fold_sign(mean, sigma, gammas, beta, unit, largest=100 * unit)
    assert threshold == unit * (tie if gamma > 0 else -tie)


def test_a_gamma_of_zero_leaves_the_sign_of_beta():
    zeros, beta = np.zeros(4), np.array([1e-300, 0.0, -0.0, -1e-300])
    for gamma in (zeros, -zeros):
        assert fold_sign(zeros, zeros + 1, gamma, beta, 255, 2550).tolist() == [-2550, -2550, -2550, 2551]


def test_what_no_sum_reaches_is_one_more_than_the_largest():
    zeros, beta = np.zeros(4), np.array([11, 10.5, -10.5, -1e30])
    assert fold_sign(zeros, zeros + 1, zeros + 1, beta, 1, 10).tolist() == [-10, -10, 11, 11]


def test_a_bias_is_the_beta_of_a_batch_norm():
    layer = DENSE(3, 2, activation=bnn.sign)
    layer.bias.data = torch.tensor([1.0, -0.5])
    folded, _ = fold(nn.Sequential(layer, DENSE(2, 1))).layers
    assert folded.threshold.tolist() == [-255, 128]


def test_a_bias_before_a_batch_norm_is_part_of_it(generator):
    layer = DENSE(16, 8, activation=bnn.sign)
    nn.init.normal_(layer.bias, std=3, generator=generator)
    layer.norm = nn.BatchNorm1d(8)  # which `normalise=True` would have put in the bias's place
    model, x = nn.Sequential(bnn.BinaryInput(), layer, DENSE(8, 3)), torch.rand(200, 16, generator=generator)
    model(x)
    pixels = (255 * x).round().to(torch.uint8)
    expected = model.eval()[:2](pixels / 255).detach().numpy() == 1
    assert np.array_equal(PackedNetwork.from_model(model).hidden(pixels)[0], expected)


def test_weights_of_a_negative_gamma_are_flipped():
    layer = DENSE(2, 2, activation=bnn.sign, normalise=True)
    layer.weight.data = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    layer.norm.weight.data = torch.tensor([1.0, -1.0])
    folded, last = fold(nn.Sequential(layer, DENSE(2, 1))).layers
    assert folded.levels.tolist() == [[1, -1], [-1, 1]]
    assert last.threshold is folded.scale is None


@pytest.mark.parametrize("threshold", [-0.1, 0.0, 0.2, 0.5, 0.999, 1.0, 1.5])
def test_a_pixel_on_the_threshold_is_plus_one(threshold):
    found = fold(nn.Sequential(bnn.BinaryInput(threshold), DENSE(1, 1))).pixel_threshold
    pixels = bnn.scale_pixels(torch.arange(256, dtype=torch.uint8))
    assert torch.equal(torch.arange(256) >= found, bnn.BinaryInput(threshold)(pixels) > 0)


def with_value(value, norm=False):
    model = bnn.binary_mlp((4, 3, 2), activation=bnn.sign_ste, normalise=norm)
    if norm:
        model[0].norm.eps, model[0].norm.running_var[1] = 0, value
    else:
        model[0].bias.data[1] = value
    return model


def normalised(norm):
    model = bnn.binary_mlp((4, 3, 2))
    model[0].norm = norm
    return model


def with_kernel(size):
    layer = CONV(1, 2, 2)
    layer.kernel_size = size
    return layer


class Shifted(nn.BatchNorm1d):
    def forward(self, x):
        return super().forward(x) + 5


def with_own_forward(layer):
    layer.forward = torch.neg
    return layer


def with_hook(layer):
    layer.register_forward_hook(lambda module, x, output: -output)
    return layer


LIMITS = bnn.QuantisedInput([0.0, 0.0], [1.0, 1.0])
SIGN, UNFLATTEN = {"activation": bnn.sign}, nn.Unflatten(1, (1, 2, 2))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (bnn.binary_mlp(activation=torch.relu), "layer 0, .* the activation of a hidden layer must be a sign"),
        (bnn.binary_mlp(activation=torch.nn.functional.hardtanh), "the activation of a hidden layer must be a sign"),
        (nn.Sequential(DENSE(4, 3), DENSE(3, 2)), "layer 0, .* the activation of a hidden layer must be a sign"),
        (bnn.binary_mlp(activation=partial(bnn.quantised_relu, bits=9)), "quantised_relu of at most 8 bits"),
        (nn.Sequential(bnn.GenDense(4, 2)), "layer 0, .* its forward map keeps real weights"),
        (nn.Sequential(DENSE(4, 2, **SIGN)), "the last layer must be dense and without an activation"),
        (nn.Sequential(UNFLATTEN, CONV(1, 2, 2)), "the last layer must be dense"),
        (nn.Sequential(bnn.BinaryInput(), UNFLATTEN, CONV(1, 2, 2, padding=1), nn.Flatten(), DENSE(18, 2)), "padding"),
        (nn.Sequential(UNFLATTEN, CONV(1, 2, 1, pool=3), nn.Flatten(), DENSE(2, 2)), "pooling must be over 2×2"),
        (nn.Sequential(UNFLATTEN, with_kernel((2, 2)), nn.Flatten(), DENSE(2, 2)), "must be whole numbers"),
        (normalised(nn.LayerNorm(3)), "must be a batch norm with running statistics"),
        (normalised(nn.BatchNorm1d(3, track_running_stats=False)), "must be a batch norm with running statistics"),
        (nn.Sequential(bnn.BinaryInput(), LIMITS, DENSE(2, 2)), "layer 1, QuantisedInput"),
        (nn.Sequential(bnn.BinaryInput(torch.rand(4)), DENSE(4, 2)), "layer 0, BinaryInput"),
        (bnn.binary_mlp(activation=partial(bnn.quantised_relu, bits=2.5)), "expected whole bits, at least 1, .* 2.5"),
        (bnn.binary_mlp(activation=partial(bnn.quantised_relu, limit=-1)), "a positive, finite limit, got 8 and -1"),
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
        (bnn.binary_mlp(activation=partial(bnn.quantised_relu, limit=torch.inf)), "finite limit, got 8 and inf"),
        (nn.Sequential(WithShortcut(4, 2)), "expected the forward of GenDense, WithShortcut has its own"),
        (Inverted(DENSE(4, 2)), "the model: expected the forward of Sequential, Inverted has its own"),
        (nn.Sequential(Negated(), DENSE(4, 2)), "layer 0, .*: expected the forward of Dropout, Negated has its own"),
        (nn.Sequential(nn.Unflatten(1, (1, -1, 2)), CONV(1, 2, 2), nn.Flatten(), DENSE(2, 2)), "height and width"),
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten(), DENSE(4, 2)), r"height and width, got \(2, 2\)"),
        (normalised(Shifted(3)), "batch norm: expected the forward of _BatchNorm, Shifted has its own"),
        (nn.Sequential(with_own_forward(DENSE(4, 2))), "expected the forward of GenDense, GenDense has its own"),
        (nn.Sequential(with_hook(DENSE(4, 2))), "layer 0, .*: it has a forward hook"),
    ],
)
def test_a_model_that_cannot_be_packed_exactly_is_refused_with_the_reason(model, message):
    with pytest.raises(ValueError, match=message):
        fold(model)


@pytest.mark.parametrize("name", [name for name in dir(ste) if name.endswith(("sign", "_ste")) and name[0] != "_"])
def test_a_network_of_every_estimator_can_be_packed(name):
    layers = fold(bnn.binary_mlp((4, 3, 2), activation=getattr(bnn, name))).layers
    assert layers[0].threshold.shape == (3,)


def test_a_layer_that_is_there_twice_is_folded_twice():
    shared = DENSE(4, 4, activation=bnn.sign)
    layers = fold(nn.Sequential(DENSE(4, 4, activation=bnn.sign), shared, shared, DENSE(4, 2))).layers
    assert len(layers) == 4
    assert np.array_equal(layers[1].levels, layers[2].levels)


def lines(generator, count=200):
    """Slopes and shifts of all sizes and both signs, and so many neurons that are constant."""
    slope = generator.normal(size=count) * 10.0 ** generator.uniform(-9, 6, count)
    slope[::20] = 0
    return slope, generator.normal(size=count) * 10.0 ** generator.uniform(-3, 6, count)


@pytest.mark.parametrize("top", [1, 15, 255])
@pytest.mark.parametrize("largest", [1, 100, 2295, 199_920, 2**30])
def test_codes_are_the_line_rounded_down_and_cut_off(top, largest):
    random = np.random.default_rng(largest)
    slope, shift = lines(random)
    steepest = min(top + 3, 2**29 / largest)  # no line needs to be, or can be, any steeper
    kept = abs(slope) <= steepest
    folded = fold_codes(slope := slope[kept], shift := shift[kept], top, largest)
    crossing = np.clip((random.uniform(0, top, slope.shape) - shift) / np.where(slope, slope, 1), -largest, largest)
    sums = [crossing, crossing - 1, 0 * slope - largest, 0 * slope + largest]
    sums = np.clip(sums, -largest, largest).astype(np.int32)
    exact = (slope * sums + shift).clip(0, top)
    found = kernels.codes(sums, **folded, top=top)
    assert (np.abs(found - exact + 0.5) <= 0.5 + 0.02 + 2.0 ** -folded["point"]).all() or largest == 2**30
    assert (found == np.floor(exact))[:, slope == 0].all()


def test_a_line_from_nothing_to_the_largest_code_between_two_sums_is_a_threshold():
    slope, shift = np.array([1e9, -1e9, 1e9]), np.array([-2.5e9, 2.5e9, 1e300])
    sums = np.repeat(np.arange(-5, 6, dtype=np.int32)[:, None], 3, axis=1)
    found = kernels.codes(sums, **fold_codes(slope, shift, 255, 5), top=255)
    assert np.array_equal(found == 255, np.stack([sums[:, 0] >= 3, sums[:, 0] < 3, sums[:, 0] >= -5], axis=1))
    assert set(found.ravel()) == {0, 255}


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 1e20])
@pytest.mark.parametrize("largest", [1, 1000, 2**30])
def test_logits_in_fixed_point_are_those_of_floats_to_four_digits_and_fit_32_bits(scale, largest):
    scales, shifts = scale * np.random.default_rng(0).normal(size=(2, 10))
    folded = fold_logits(scales, shifts, largest)
    sums = np.array([[-largest], [largest // 3], [largest]])
    whole = (sums * folded["multiplier"].astype(np.int64) >> 16) + folded["offset"]
    exact = scales * sums + shifts
    assert abs(whole).max() < 2**31
    np.testing.assert_allclose(whole * 2.0 ** -folded["point"], exact, rtol=0, atol=1e-4 * abs(exact).max() + 1e-300)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_kinds_of_floats_are_folded_too(dtype):
    model = bnn.binary_mlp((4, 3, 2), normalise=True)
    expected, found = fold(model.to(dtype).float()), fold(model.to(dtype))
    for one, other in zip(expected.layers, found.layers, strict=True):
        assert np.array_equal(one.levels, other.levels)


def test_a_batch_norm_without_its_own_numbers_has_gamma_1_and_beta_0():
    plain = normalised(nn.BatchNorm1d(3, affine=False))
    assert fold(plain).layers[0].threshold.tolist() == fold(normalised(nn.BatchNorm1d(3))).layers[0].threshold.tolist()


def test_packing_asks_no_float64_of_the_models_device(monkeypatch):
    """Apple's has none: a tensor has to come to the CPU first, here to one that stays known."""
    moved, cpu, double = [], torch.Tensor.cpu, torch.Tensor.double
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t: moved.append(cpu(t).clone()) or moved[-1])
    monkeypatch.setattr(torch.Tensor, "double", lambda t: double(t) if any(t is m for m in moved) else 1 / 0)
    fold(bnn.binary_mlp((4, 3, 2)))
    assert moved
