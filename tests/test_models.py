"""The tutorial's network and the table of what it stores."""

import pytest
import torch
from torch import nn

import bnn_tutorial as bnn


def test_tutorial_network_has_33275_bytes_of_weights():
    total = bnn.summary(bnn.binary_mlp()).loc["total"]
    assert total["one_bit_weights"] == 784 * 300 + 300 * 100 + 100 * 10 == 266_200
    assert total["one_bit_weights"] / 8 == 33_275
    assert total["float_parameters"] == 410
    assert total["bytes_packed"] == 33_275 + 4 * 410


def test_summary_counts_each_layer():
    table = bnn.summary(bnn.binary_mlp())
    assert table.index.tolist() == ["0 GenDense", "1 GenDense", "2 GenDense", "total"]
    assert table["bytes_now"].tolist() == [4 * 235_500, 4 * 30_100, 4 * 1_010, 4 * 266_610]
    assert table["one_bit_macs"].tolist() == [0, 30_000, 1_000, 31_000]
    assert table["float_macs"].tolist() == [235_200, 0, 0, 235_200]
    assert table["compression"].tolist() == (table["bytes_now"] / table["bytes_packed"]).tolist()


def test_summary_rounds_odd_widths_up_to_bytes():
    assert bnn.summary(bnn.binary_mlp((3, 3))).loc["0 GenDense", "bytes_packed"] == 2 + 4 * 3


def test_summary_counts_batch_norm_with_its_layer():
    table = bnn.summary(bnn.binary_mlp((8, 4, 2), normalise=True))
    assert table["float_parameters"].tolist() == [16, 8, 24]


def test_summary_counts_a_weight_once_for_each_position():
    conv = bnn.GenConv2d(1, 2, kernel_size=3, forward_map=bnn.binary_conv2d, bias=False)
    table = bnn.summary(nn.Sequential(conv, nn.Flatten(), nn.Linear(2 * 26 * 26, 10)), input_shape=(1, 28, 28))
    assert table["float_macs"].tolist() == [18 * 26 * 26, 13_520, 18 * 26 * 26 + 13_520]
    assert table["one_bit_weights"].tolist() == [18, 0, 18]


@pytest.mark.parametrize(("padding", "one_bit", "real"), [(0, 9 * 25, 0), (1, 0, 9 * 49)])
def test_summary_counts_zero_padding_as_a_third_value(padding, one_bit, real):
    options = {"kernel_size": 3, "forward_map": bnn.binary_conv2d, "activation": bnn.sign_ste}
    model = nn.Sequential(bnn.GenConv2d(1, 1, **options), bnn.GenConv2d(1, 1, padding=padding, **options))
    second = bnn.summary(model, input_shape=(1, 9, 9)).iloc[1]
    assert (second["one_bit_macs"], second["float_macs"]) == (one_bit, real)


class Odd(nn.Module):
    """A parameter of its own, a layer that is used twice and one that is not used."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(7))
        self.twice, self.never = bnn.GenDense(4, 4, forward_map=bnn.binary_linear), nn.Linear(4, 4)

    def forward(self, x):
        return self.twice(bnn.sign(self.twice(x)))


def test_summary_copes_with_odd_models():
    table = bnn.summary(Odd().double(), input_shape=(4,))
    assert table.index.tolist() == ["Odd", "twice GenDense", "never Linear", "total"]
    assert table["float_parameters"].tolist() == [7, 4, 20, 31]
    assert table["one_bit_macs"].tolist() == [0, 16, 0, 16]
    assert table["float_macs"].tolist() == [0, 16, 0, 16]


def test_summary_needs_parameters():
    with pytest.raises(ValueError, match="expected a model with parameters, got Sequential"):
        bnn.summary(nn.Sequential(nn.Flatten()))


def test_summary_leaves_the_model_as_it_was():
    model = bnn.binary_mlp((8, 4, 2), normalise=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bnn.summary(model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model)


def test_summary_asks_for_the_shape_where_it_cannot_know_it():
    with pytest.raises(ValueError, match="give input_shape"):
        bnn.summary(nn.Sequential(bnn.GenConv2d(1, 1, kernel_size=3)))


def test_summary_reads_the_input_of_a_convnet():
    table = bnn.summary(bnn.binary_convnet())
    assert table.loc["total", "one_bit_weights"] == 93_088
    assert table["float_macs"].tolist() == [9 * 32 * 26 * 26, 0, 0, 0, 0, 9 * 32 * 26 * 26]
    assert table.loc["2 GenConv2d", "one_bit_macs"] == 9 * 32 * 64 * 11 * 11


def test_summary_counts_one_bit_pixels_as_binary_work():
    table = bnn.summary(bnn.binary_mlp((8, 4, 2), binary_input=True))
    assert table["one_bit_macs"].tolist() == [32, 8, 40]
    assert table["float_macs"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("channels", "kernels", "widths"), [((4,), (28,), (10,)), ((4, 8, 3), (5, 3, 2), (7, 3))])
def test_convnet_has_binary_hidden_layers_and_real_outputs(channels, kernels, widths, generator):
    model = bnn.binary_convnet(channels, kernels, widths, generator=generator)
    x = torch.rand(4, 784, generator=generator)
    assert model(x).shape == (4, widths[-1])
    layers = [i for i, layer in enumerate(model) if bnn.has_binary_weights(layer)]
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
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        bnn.binary_mlp(dropout=1)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("widths", [(784, 300, 100, 10), (5, 1), (3, 7, 2)])
def test_network_has_binary_hidden_layers_and_real_outputs(widths, normalise, generator):
    model = bnn.binary_mlp(widths, normalise=normalise, generator=generator)
    x = torch.rand(4, widths[0], generator=generator)
    assert model(x).shape == (4, widths[-1])
    assert all(set(model[:depth](x).unique().tolist()) <= {-1.0, 1.0} for depth in range(1, len(widths) - 1))
    assert [bnn.has_binary_weights(layer) for layer in model] == [True] * (len(widths) - 1)


def test_activation_is_the_hidden_layers_only():
    assert [layer.activation for layer in bnn.binary_mlp(activation=bnn.approx_sign)] == [bnn.approx_sign] * 2 + [None]


@pytest.mark.parametrize("widths", [(), (784,), (784, 0, 10)])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(ValueError, match="at least"):
        bnn.binary_mlp(widths)
