"""The table of what a network stores and computes, against counts by hand."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import bnn_tutorial as bnn


def test_tutorial_network_has_33275_bytes_of_weights():
    total = bnn.summary(bnn.tutorial_mlp()).loc["total"]
    assert total["one_bit_weights"] == 784 * 300 + 300 * 100 + 100 * 10 == 266_200
    assert total["one_bit_weights"] / 8 == 33_275
    assert total["float_parameters"] == 410


@pytest.mark.parametrize("model", [bnn.tutorial_mlp(), bnn.binary_mlp()])
def test_bits_of_a_unit_are_whole_bytes_and_the_rest_folds_into_a_threshold_or_two_numbers(model):
    weights = 300 * 98 + 100 * 38 + 10 * 13
    assert bnn.summary(model).loc["total", "bytes_packed"] == weights + 4 * 400 + 16 * 10


def test_summary_counts_each_layer():
    table = bnn.summary(bnn.tutorial_mlp())
    assert table.index.tolist() == ["0 GenDense", "1 GenDense", "2 GenDense", "total"]
    assert table["bytes_now"].tolist() == [4 * 235_500, 4 * 30_100, 4 * 1_010, 4 * 266_610]
    assert table["one_bit_macs"].tolist() == [0, 30_000, 1_000, 31_000]
    assert table["float_macs"].tolist() == [235_200, 0, 0, 235_200]
    assert table["compression"].tolist() == (table["bytes_now"] / table["bytes_packed"]).tolist()


def test_summary_counts_real_layers_by_their_parameters():
    table = bnn.summary(nn.Sequential(nn.Linear(784, 3), nn.BatchNorm1d(3)))
    assert table["bytes_packed"].tolist() == [4 * 784 * 3 + 4 * 3, 8 * 3, 4 * 784 * 3 + 12 * 3]


def test_summary_counts_batch_norm_with_its_layer():
    table = bnn.summary(bnn.binary_mlp((8, 4, 2)), (8,))
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
    assert table["float_macs"].iloc[1] == 16
    assert table["float_macs"].isna().tolist() == [True, False, True, True]  # not known, not called


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Linear(6, 4), (3, 6), 3 * 24),
        (nn.Conv1d(4, 6, 3, groups=2), (4, 10), 8 * 6 * 2 * 3),
        (nn.Conv2d(2, 4, 3, stride=2, dilation=2), (2, 9, 9), 9 * 4 * 2 * 9),
        (nn.Conv3d(1, 2, 2), (1, 3, 3, 3), 8 * 2 * 8),
        (nn.ConvTranspose2d(32, 16, 2, stride=2), (32, 7, 7), 32 * 16 * 4 * 49),
        (nn.ConvTranspose1d(4, 6, 3, groups=2), (4, 10), 10 * 4 * 3 * 3),
        (nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 2)), (6,), 12),
    ],
)
def test_summary_counts_the_products_of_pytorchs_layers(layer, shape, macs):
    assert bnn.summary(layer, shape).loc["total", "float_macs"] == macs


@pytest.mark.parametrize(("layer", "inputs"), [(nn.LSTM(6, 4), 1), (nn.GRU(6, 4), 1), (nn.MultiheadAttention(6, 2), 3)])
def test_summary_says_what_it_cannot_count(layer, inputs):
    class Model(nn.Sequential):
        def forward(self, x):
            return self[1](*[self[0](x)] * inputs)

    model = Model(nn.Linear(6, 6), layer)
    table = bnn.summary(model, (5, 6))
    assert table.loc["0 Linear", "float_macs"] == 180
    assert table["float_macs"].iloc[1:].isna().all()
    assert table.loc["total", "bytes_now"] == 4 * sum(p.numel() for p in model.parameters())


def test_summary_counts_a_tied_weight_once():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), bnn.GenDense(8, 8), bnn.GenDense(8, 8))
    model[1].weight, model[3].weight = model[0].weight, model[2].weight
    model[2].forward_map = model[3].forward_map = bnn.binary_linear
    table = bnn.summary(model, (8,))
    assert table["float_parameters"].tolist() == [72, 8, 8, 8, 96]
    assert table["one_bit_weights"].tolist() == [0, 0, 64, 0, 64]
    assert table.loc["total", ["one_bit_macs", "float_macs"]].tolist() == [0, 4 * 64]


def test_summary_counts_a_shared_batch_norm_once():
    model = bnn.binary_mlp((4, 4, 4, 2))
    before = bnn.summary(model, (4,)).loc["total", "bytes_now"]
    model[1].norm = model[0].norm
    assert bnn.summary(model, (4,)).loc["total", "bytes_now"] == before - 4 * 4 * 4


def test_summary_does_not_know_what_a_subclass_computes():
    class Twice(nn.Linear):
        def forward(self, x):
            return super().forward(super().forward(x))

    class Named(nn.Linear):
        """The same computation."""

    assert bnn.summary(nn.Sequential(Named(4, 4), Twice(4, 4)), (4,))["float_macs"].isna().tolist() == [
        False,
        True,
        True,
    ]


def test_summary_counts_bytes_of_other_types():
    assert bnn.summary(nn.Linear(8, 2).to(torch.bfloat16), (8,)).loc["total", "bytes_now"] == 2 * 18


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm, lambda m: prune.l1_unstructured(m, "weight", 0.5)])
@pytest.mark.parametrize("bias", [True, False])
def test_summary_counts_a_parametrised_layer_by_its_weight(norm, bias):
    table = bnn.summary(nn.Sequential(norm(nn.Linear(8, 4, bias=bias))), (8,))
    assert table["float_macs"].tolist() == [32, 32]
    assert len(table) == 2
    assert table["float_parameters"].iloc[0] >= 32 + 4 * bias


def test_summary_takes_inputs_that_are_given_by_name():
    class Named(nn.Sequential):
        def forward(self, x):
            return self[0](input=x)

    assert bnn.summary(Named(nn.Linear(8, 2)), (8,)).loc["total", "float_macs"] == 16


def test_summary_needs_parameters():
    with pytest.raises(ValueError, match="expected a model with parameters, got Sequential"):
        bnn.summary(nn.Sequential(nn.Flatten()))


def test_summary_leaves_the_model_as_it_was():
    model = bnn.binary_mlp((8, 4, 2), normalise=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bnn.summary(model, (8,))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model)


def test_summary_reads_the_input_of_a_convnet():
    table = bnn.summary(bnn.binary_convnet())
    assert table.loc["total", "one_bit_weights"] == 93_088
    assert table["float_macs"].tolist() == [9 * 32 * 26 * 26, 0, 0, 0, 0, 9 * 32 * 26 * 26]
    assert table.loc["2 GenConv2d", "one_bit_macs"] == 9 * 32 * 64 * 11 * 11


def test_outputs_that_happen_to_be_signs_are_still_logits():
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        table = bnn.summary(bnn.binary_mlp((784, 3, 2), bnn.sign_ste, normalise=False, generator=generator))
        assert table.loc["total", "bytes_packed"] == 340


def test_summary_counts_one_bit_pixels_as_binary_work():
    table = bnn.summary(bnn.binary_mlp((8, 4, 2), binary_input=True), (8,))
    assert table["one_bit_macs"].tolist() == [32, 8, 40]
    assert table["float_macs"].tolist() == [0, 0, 0]
