"""Layers and forward maps: shapes, values against NumPy, names, errors."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import weight_norm as old_weight_norm

import bnn_tutorial as bnn
from bnn_tutorial.language import centred_binary_linear


def numpy_sign(w):
    return np.where(w.detach().numpy() >= 0, 1.0, -1.0)


def test_binary_dense_is_the_numpy_product(generator):
    layer = bnn.GenDense(5, 3, activation=bnn.sign_ste, forward_map=bnn.binary_linear, generator=generator)
    nn.init.uniform_(layer.bias, -1, 1, generator=generator)
    x = torch.randn(7, 5, generator=generator)
    a = x.numpy() @ numpy_sign(layer.weight).T + layer.bias.detach().numpy()
    np.testing.assert_array_equal(layer(x).detach().numpy(), np.where(a >= 0, 1.0, -1.0))


def test_binary_convolution_is_the_numpy_sum(generator):
    layer = bnn.GenConv2d(2, 3, kernel_size=2, forward_map=bnn.binary_conv2d, generator=generator)
    x = torch.randn(1, 2, 4, 4, generator=generator)
    w = numpy_sign(layer.weight)
    windows = np.lib.stride_tricks.sliding_window_view(x.numpy()[0], (2, 2), axis=(1, 2))  # (2, 3, 3, 2, 2)
    np.testing.assert_allclose(layer(x).detach().numpy()[0], np.einsum("chwij,ocij->ohw", windows, w), atol=1e-5)


@pytest.mark.parametrize(("stride", "padding", "side"), [(1, 0, 26), (2, 0, 13), (1, 1, 28), (2, 1, 14)])
def test_stride_and_padding_set_the_size(stride, padding, side):
    layer = bnn.GenConv2d(1, 4, kernel_size=3, stride=stride, padding=padding)
    assert layer(torch.zeros(2, 1, 28, 28)).shape == (2, 4, side, side)


@pytest.mark.parametrize("forward_map", [bnn.binary_conv2d, bnn.conv2d])
def test_pooling_takes_the_largest_of_each_square(forward_map, generator):
    layer = bnn.GenConv2d(2, 3, kernel_size=3, pool=2, forward_map=forward_map, generator=generator)
    x = torch.randn(4, 2, 9, 8, generator=generator)
    a = forward_map(layer, x)[:, :, :6].reshape(4, 3, 3, 2, 3, 2)  # 7 rows: the last has no partner
    assert torch.equal(layer(x), a.amax(dim=(3, 5)))


def test_binary_input_is_one_bit_a_pixel():
    layer = bnn.BinaryInput(threshold=0.25)
    assert layer(torch.tensor([0.0, 0.2, 0.25, 1.0])).tolist() == [-1, -1, 1, 1]
    assert repr(layer) == "BinaryInput(threshold=0.25)"
    with pytest.raises(ValueError, match=r"BinaryInput expects float x, .* got torch.uint8 of shape \(3,\)"):
        layer(torch.zeros(3, dtype=torch.uint8))


def test_real_maps_are_those_of_pytorch(generator):
    dense, conv = bnn.GenDense(6, 2, generator=generator), bnn.GenConv2d(1, 2, kernel_size=3, generator=generator)
    x, picture = torch.randn(4, 6, generator=generator), torch.randn(1, 1, 5, 5, generator=generator)
    assert torch.equal(dense(x), F.linear(x, dense.weight, dense.bias))
    assert torch.equal(conv(picture), F.conv2d(picture, conv.weight, conv.bias))


def test_gradient_reaches_the_latent_weights_as_if_binary_were_identity(generator):
    layer = bnn.GenDense(4, 2, forward_map=bnn.binary_linear, generator=generator)
    x = torch.randn(3, 4, generator=generator)
    layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum(dim=0).expand(2, 4))


def test_start_is_glorot_uniform_with_zero_bias(generator):
    layer = bnn.GenDense(784, 300, generator=generator)
    bound = np.sqrt(6 / (784 + 300))
    assert 0.99 * bound < layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / np.sqrt(3), rel=0.01)
    assert not layer.bias.any()


def test_same_generator_same_start():
    first, second = (bnn.GenDense(9, 4, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (bnn.GenDense(3, 2), "GenDense(3, 2)"),
        (bnn.GenDense(3, 2, bias=False), "GenDense(3, 2, bias=False)"),
        (
            bnn.GenDense(3, 2, activation=partial(bnn.stochastic_sign_ste, generator=torch.Generator())),
            "GenDense(3, 2, activation=stochastic_sign_ste())",
        ),
        (
            bnn.GenDense(3, 2, activation=partial(bnn.clipped_sign_ste, clip=2.0), forward_map=bnn.binary_linear),
            "GenDense(3, 2, activation=clipped_sign_ste(clip=2.0), forward_map=binary_linear)",
        ),
        (
            bnn.GenConv2d(1, 8, kernel_size=3, stride=2, padding=1, pool=2, activation=bnn.sign_ste),
            "GenConv2d(1, 8, kernel_size=3, stride=2, padding=1, pool=2, activation=sign_ste)",
        ),
    ],
)
def test_print_shows_what_differs_from_the_default(layer, text):
    assert repr(layer) == text


def test_normalised_layer_shows_its_batch_norm_and_has_no_bias():
    layer = bnn.GenDense(3, 2, normalise=True)
    assert "3, 2, normalise=True\n" in repr(layer)
    assert layer.bias is None


def test_normalised_pre_activations_have_mean_zero_and_deviation_one(generator):
    layer = bnn.GenDense(20, 5, forward_map=bnn.binary_linear, normalise=True, generator=generator)
    z = layer(torch.randn(500, 20, generator=generator) + 3)
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(dim=0), torch.ones(5), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    "layer",
    [
        bnn.GenDense(50, 40, activation=bnn.stochastic_sign_ste),
        bnn.GenDense(50, 40, forward_map=bnn.stochastic_binary_linear),
    ],
)
def test_stochastic_layer_draws_in_training_and_takes_the_sign_in_evaluation(layer, generator):
    x = torch.rand(8, 50, generator=generator) * 0.1
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_stochastic_map_takes_a_generator(generator):
    layer = bnn.GenDense(50, 4, forward_map=partial(bnn.stochastic_binary_linear, generator=generator))
    x = torch.ones(1, 50)
    first = layer(x)
    generator.manual_seed(0)
    assert torch.equal(layer(x), first)


def test_clamp_touches_latent_weights_only():
    binary, real = bnn.GenDense(3, 2, forward_map=bnn.binary_linear), bnn.GenDense(3, 2)
    for layer in (binary, real):
        nn.init.constant_(layer.weight, -4.0)
        nn.init.constant_(layer.bias, 4.0)
    bnn.clamp_latent_weights_(nn.ModuleList([binary, real]))
    assert binary.weight.unique().tolist() == [-1.0]
    assert binary.bias.unique().tolist() == [4.0]
    assert real.weight.unique().tolist() == [-4.0]


def test_a_new_map_of_three_lines_counts_as_binary_once_it_says_what_it_keeps():
    @bnn.keeps(bnn.scaled_binary_weights)
    def scaled_binary(layer, x):
        return F.linear(x, bnn.sign_ste(layer.weight) * layer.weight.abs().mean(dim=1, keepdim=True), layer.bias)

    layers = [bnn.GenDense(2, 2, forward_map=m) for m in (partial(scaled_binary), bnn.linear)]
    assert bnn.binary_layers(nn.Sequential(*layers)) == layers[:1]


def test_a_map_whose_bit_is_not_the_sign_is_neither_clamped_nor_flipped():
    layer = bnn.GenDense(4, 1, forward_map=centred_binary_linear, bias=False)
    layer.weight.data = torch.tensor([[9.0, 0.5, -0.2, 0.9]])
    kept = bnn.kept_weights(layer).levels
    bnn.clamp_latent_weights_(layer)
    assert torch.equal(bnn.kept_weights(layer).levels, kept)
    assert bnn.binary_layers(layer) == []
    with pytest.raises(ValueError, match="Bop flips binary weights, and the model, GenDense, has none to train"):
        bnn.Bop(layer, 1e-3)


@pytest.mark.parametrize(
    ("x", "came"),
    [
        (torch.zeros(2, 4), r"\(2, 4\)"),
        (torch.zeros(2, 3, dtype=torch.uint8), "torch.uint8"),
        (torch.zeros(()), r"\(\)"),
    ],
)
def test_dense_layer_names_the_input_that_it_expected(x, came):
    with pytest.raises(ValueError, match=rf"GenDense expects float x of shape \(\.\.\., 3\), got .*{came}"):
        bnn.GenDense(3, 2)(x)


@pytest.mark.parametrize("shape", [(3,), (4, 5, 3)])
def test_normalised_layer_takes_rows_only(shape):
    with pytest.raises(ValueError, match=r"GenDense expects float x of shape \(N, 3\), got"):
        bnn.GenDense(3, 2, normalise=True)(torch.zeros(shape))


def test_pytorchs_convolution_names_the_input_that_it_expected():
    with pytest.raises(RuntimeError, match=r"Expected .* 4D .* input to conv2d, but got input of size: \[5, 784\]"):
        bnn.GenConv2d(1, 2, kernel_size=3)(torch.zeros(5, 784))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: bnn.GenDense(0, 2), "in_features must be one whole number, at least 1, got 0"),
        (lambda: bnn.GenDense(2, -1), "out_features must be .* got -1"),
        (lambda: bnn.GenDense(2.0, 1), "in_features must be .* got 2.0"),
        (lambda: bnn.GenConv2d(1, 1, kernel_size=0), "kernel_size must be .* got 0"),
        (lambda: bnn.GenConv2d(1, 1, kernel_size=(3, 3)), r"kernel_size must be one whole number, .* got \(3, 3\)"),
        (lambda: bnn.GenConv2d(1, 1, kernel_size=3, stride=(2, 2)), r"stride must be .* got \(2, 2\)"),
        (lambda: bnn.GenConv2d(1, 1, kernel_size=3, pool=0), "pool must be .* got 0"),
        (lambda: bnn.GenConv2d(1, 1, kernel_size=3, pool=None), "pool must be .* got None"),
        (lambda: bnn.GenConv2d(1, 1, kernel_size=3, padding=-1), "padding must be .* at least 0, got -1"),
        (lambda: bnn.GenConv2d(1, 1, kernel_size=3, padding="same"), "padding must be .* got 'same'"),
    ],
)
def test_impossible_sizes_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


PARAMETRISED = {
    "weight_norm": parametrizations.weight_norm,
    "old weight_norm": old_weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "prune": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
}
USES = {
    "forward": lambda layer: layer(torch.ones(1, 8)),
    "clamp": bnn.clamp_latent_weights_,
    "flips": bnn.latent_weights,
    "count": lambda layer: bnn.summary(layer, (8,)),
    "keep": bnn.kept_weights,
    "Bop": lambda layer: bnn.Bop(layer, 0.1),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("how", PARAMETRISED)
def test_one_bit_of_a_computed_weight_is_refused(how, use):
    layer = PARAMETRISED[how](bnn.GenDense(8, 4, forward_map=partial(bnn.binary_linear)))
    with pytest.raises(ValueError, match="one-bit weights that are computed from other tensors, by a parametrisation"):
        USES[use](layer)


def test_zeros_of_pruning_stay_zeros_where_weights_are_ternary():
    layer = PARAMETRISED["prune"](bnn.GenDense(8, 4, forward_map=bnn.ternary_linear))
    assert (bnn.kept_weights(layer).levels == 0).sum() >= 16
    assert layer(torch.eye(8)).eq(layer.bias).sum() >= 16


def test_a_layer_takes_weights_from_outside():
    layer = bnn.GenDense(8, 4, forward_map=bnn.binary_linear)
    y = torch.func.functional_call(layer, {"weight": -torch.ones(4, 8), "bias": torch.zeros(4)}, torch.ones(1, 8))
    assert y.tolist() == [[-8] * 4]
