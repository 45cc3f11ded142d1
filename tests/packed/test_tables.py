"""Networks of any table of numbers: each feature as a byte, by limits that training data gave."""

import numpy as np
import pytest
import torch
from networks import shaken
from sklearn.datasets import load_breast_cancer
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial.packed import PackedNetwork

LOW, HIGH = torch.tensor([-3.0, 0.0, 1e-4, -1e6]), torch.tensor([-1.0, 255.0, 2e-4, 1e7])


@pytest.fixture
def table(generator):
    """Features of four sizes, a fifth of them beyond the limits."""
    return LOW + (1.2 * torch.rand(500, 4, generator=generator) - 0.1) * (HIGH - LOW)


@pytest.fixture
def model(generator):
    layers = bnn.binary_mlp((4, 30, 3), generator=generator)
    return shaken(nn.Sequential(bnn.QuantisedInput(LOW, HIGH), *layers), generator)


def test_a_feature_is_0_up_to_low_and_1_from_high_on():
    layer = bnn.QuantisedInput([-1.0], [3.0])
    x = torch.tensor([[-9.0], [-1.0], [1.0], [3.0], [9.0]])
    assert (255 * layer(x)).ravel().tolist() == [0, 0, 128, 255, 255]


def test_the_packed_network_takes_the_table_as_it_is(model, table):
    network = PackedNetwork.from_model(model)
    with torch.no_grad():
        expected, codes = model(table), (255 * model[0](table)).round().to(torch.uint8)
    np.testing.assert_allclose(network.logits(table), expected, rtol=1e-4, atol=1e-4)
    assert np.array_equal(network._checked(table), codes)
    assert np.array_equal(network.predict(table.double().numpy()), network.predict(table))
    assert np.array_equal(network.predict(table.clone().requires_grad_()), network.predict(table))
    assert np.array_equal(network.predict(table.bfloat16()), network.predict(table.bfloat16().float()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 3)), r"expected a table of numbers of shape \(N, 4\), got float64 of \(2, 3\)"),
        (np.full((2, 4), np.nan), "expected a table of finite numbers"),
        (np.full((2, 4), "1"), "expected a table of numbers"),
    ],
)
def test_what_is_no_such_table_is_refused(wrong, message, model):
    with pytest.raises(ValueError, match=message):
        PackedNetwork.from_model(model).predict(wrong)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ([0.0, 1.0], [1.0], r"must both be \(features,\), got \(2,\) and \(1,\)"),
        ([0.0, 1.0], [1.0, 1.0], r"with low < high, not so for features \[1\]"),
        ([0.0, np.nan], [1.0, 1.0], r"features \[1\]"),
        ([-np.inf], [np.inf], r"features \[0\]"),
    ],
)
def test_limits_that_are_none_are_refused(low, high, message):
    with pytest.raises(ValueError, match=message):
        bnn.QuantisedInput(low, high)


def test_real_measurements_become_a_network_of_bits():
    """Tumours, 569 with 30 measurements each; every fifth is kept apart."""
    data = load_breast_cancer()
    x, y = torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target)
    test = torch.arange(len(x)) % 5 == 0
    torch.manual_seed(0)
    limits = x[~test].amin(dim=0), x[~test].amax(dim=0)
    model = nn.Sequential(bnn.QuantisedInput(*limits), *bnn.binary_mlp((30, 64, 2), bnn.quantised_relu))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[~test]), y[~test]).backward()
        optimiser.step()
    network = PackedNetwork.from_model(model)
    assert (network.predict(data.data[test]) == data.target[test]).mean() > 0.85  # 0.63 are benign
    assert network.summary().loc["total", "bytes"] < 1000
