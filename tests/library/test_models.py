"""The networks: shapes, values between the layers, what is refused."""

import pytest
import torch

import bnn_tutorial as bnn


@pytest.mark.parametrize(("channels", "kernels", "widths"), [((4,), (28,), (10,)), ((4, 8, 3), (5, 3, 2), (7, 3))])
def test_convnet_has_binary_hidden_layers_and_real_outputs(channels, kernels, widths, generator):
    model = bnn.binary_convnet(channels, kernels, widths, generator=generator)
    x = torch.rand(4, 784, generator=generator)
    assert model(x).shape == (4, widths[-1])
    layers = [i for i, layer in enumerate(model) if bnn.weight_bits(layer) == 1]
    assert len(layers) == len(channels) + len(widths)
    assert all(set(model[: i + 1](x).unique().tolist()) <= {-1.0, 1.0} for i in layers[:-1])


def test_convnet_takes_an_activation_for_all_layers_but_the_last():
    model = bnn.binary_convnet(widths=(5, 4, 10), activation=bnn.tanh_sign)
    activations = [layer.activation for layer in bnn.binary_layers(model)]
    assert activations == [bnn.tanh_sign] * 5 + [None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), (), (10,)), r"expected channels, as many kernel_sizes, and widths, got \(\)"),
        (((4, 4), (3,), (10,)), r"expected .* got \(4, 4\), \(3,\) and \(10,\)"),
        (((4,), (3,), ()), "expected channels"),
        (((4,), (29,), (10,)), r"kernel_sizes \(29,\) leave nothing of an image of 28x28"),
    ],
)
def test_impossible_convnets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        bnn.binary_convnet(*arguments)


def test_dropout_stands_after_each_hidden_layer():
    assert [type(m).__name__ for m in bnn.binary_mlp((4, 3, 2), dropout=0.5)] == ["GenDense", "Dropout", "GenDense"]
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got 2"):
        bnn.binary_mlp(dropout=2)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("widths", [(784, 300, 100, 10), (5, 1), (3, 7, 2)])
def test_network_has_binary_hidden_layers_and_real_outputs(widths, normalise, generator):
    model = bnn.binary_mlp(widths, normalise=normalise, generator=generator)
    x = torch.rand(4, widths[0], generator=generator)
    assert model(x).shape == (4, widths[-1])
    assert all(set(model[:depth](x).unique().tolist()) <= {-1.0, 1.0} for depth in range(1, len(widths) - 1))
    assert [bnn.weight_bits(layer) == 1 for layer in model] == [True] * (len(widths) - 1)


def test_activation_is_the_hidden_layers_only():
    assert [layer.activation for layer in bnn.binary_mlp(activation=bnn.approx_sign)] == [bnn.approx_sign] * 2 + [None]


def test_with_relu_and_real_weights_the_same_network_is_float(generator):
    model = bnn.binary_mlp((784, 5, 10), torch.relu, bnn.linear, generator=generator)
    assert not bnn.binary_layers(model)
    first, last = model.eval()
    x = torch.rand(3, 784, generator=generator)
    hidden = first.norm(x @ first.weight.T).clamp(min=0)
    torch.testing.assert_close(model(x), last.norm(hidden @ last.weight.T))


@pytest.mark.parametrize("widths", [(), (784,), (784, 0, 10)])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(ValueError, match="at least"):
        bnn.binary_mlp(widths)
