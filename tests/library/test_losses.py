"""Losses against NumPy, with labels and with shares of the classes as targets."""

import numpy as np
import pytest
import torch

import bnn_tutorial as bnn


@pytest.fixture
def logits(generator):
    return torch.randn(6, 4, generator=generator, dtype=torch.float64) * 3


LABELS = torch.tensor([0, 3, 2, 2, 1, 0])


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_cross_entropy_is_the_surprise_of_the_label(logits, scale):
    z = scale * logits.numpy()
    shares = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    expected = -np.log(shares[np.arange(6), LABELS.numpy()]).mean()
    assert bnn.cross_entropy(logits, LABELS, scale=scale).item() == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_squared_hinge_asks_each_logit_for_a_margin_of_one(logits, scale):
    signs = np.where(np.eye(4)[LABELS.numpy()] == 1, 1, -1)
    expected = (np.maximum(0, 1 - signs * scale * logits.numpy()) ** 2).sum(axis=1).mean()
    assert bnn.squared_hinge(logits, LABELS, scale=scale).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [bnn.cross_entropy, bnn.squared_hinge])
def test_a_label_is_a_share_of_one(logits, loss):
    shares = torch.eye(4, dtype=torch.float64)[LABELS]
    assert loss(logits, shares).item() == pytest.approx(loss(logits, LABELS).item())


@pytest.mark.parametrize("loss", [bnn.cross_entropy, bnn.squared_hinge])
def test_losses_of_each_image_come_by_vmap(logits, loss):
    each = torch.func.vmap(lambda z, label: loss(z[None], label[None]))(logits, LABELS)
    assert each.mean().item() == pytest.approx(loss(logits, LABELS).item())
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        loss(logits, LABELS + 4)


def test_squared_hinge_of_shares_asks_for_margins_between(logits):
    shares = torch.softmax(torch.arange(24.0, dtype=torch.float64).reshape(6, 4) / 5, dim=1)
    signs = 2 * shares.numpy() - 1
    expected = (np.maximum(0, 1 - signs * logits.numpy()) ** 2).sum(axis=1).mean()
    assert bnn.squared_hinge(logits, shares).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [bnn.cross_entropy, bnn.squared_hinge])
@pytest.mark.parametrize("scale", [0, -0.1])
def test_scales_that_are_not_positive_are_refused(logits, loss, scale):
    with pytest.raises(ValueError, match=f"scale must be positive, got {scale}"):
        loss(logits, LABELS, scale=scale)


def test_cross_entropy_is_least_where_the_shares_are_the_targets():
    shares = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    logits = shares.log().requires_grad_()
    bnn.cross_entropy(logits, shares).backward()
    assert logits.grad.abs().max() < 1e-12
