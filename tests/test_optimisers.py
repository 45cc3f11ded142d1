"""Adam against PyTorch's, Bop against the paper's algorithm written once more."""

import numpy as np
import pytest
import torch
from torch import nn

import bnn_tutorial as bnn


def test_adam_is_pytorchs_adam(generator):
    ours = nn.Sequential(nn.Linear(3, 5), nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last))
    theirs = [nn.Parameter(p.detach().clone()) for p in ours.parameters()]
    adam, reference = bnn.Adam(ours, 0.01), torch.optim.Adam(theirs, 0.01)
    for step in range(20):
        rate = 1 - step / 40
        gradients = [torch.randn(p.shape, generator=generator) for p in theirs]
        adam.step(gradients, rate)
        for p, g in zip(theirs, gradients, strict=True):
            p.grad = g.clone()
        reference.param_groups[0]["lr"] = 0.01 * rate
        reference.step()
    for a, b in zip(ours.parameters(), theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_frozen_parameters_are_left_alone():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    before = layer.weight.clone(), layer.bias.clone()
    bnn.Adam(layer, 0.1).step([torch.ones(2, 2)])
    assert (layer.weight < before[0]).all()
    assert torch.equal(layer.bias, before[1])


def test_bop_flips_as_the_paper_says(generator):
    layer = bnn.GenDense(6, 5, forward_map=bnn.binary_linear, bias=False, generator=generator)
    w, m = np.where(layer.weight.detach().numpy() >= 0, 1.0, -1.0), np.zeros((5, 6))
    bop = bnn.Bop(layer, 0.1, adaptivity=0.2, threshold=0.3)
    flips = 0
    for rate in np.linspace(1, 0.5, 20):
        gradient = torch.randn(5, 6, generator=generator)
        bop.step([gradient], rate)
        m = (1 - 0.2 * rate) * m + 0.2 * rate * gradient.numpy()
        flip = (np.abs(m) > 0.3) & (np.sign(m) == w)
        w, flips = np.where(flip, -w, w), flips + flip.sum()
        assert np.array_equal(layer.weight.detach().numpy(), w)
    assert flips > 10


@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_bop_leaves_the_rest_to_adam(generator, rate):
    def network():
        return bnn.binary_mlp((4, 3, 2), normalise=True, generator=torch.Generator().manual_seed(0))

    ours, theirs = network(), network()
    gradients = {name: torch.randn(p.shape, generator=generator) for name, p in ours.named_parameters()}
    order = {id(p): gradients[name] for name, p in ours.named_parameters()}
    bop = bnn.Bop(ours, 0.01)
    bop.step([order[id(p)] for p in bop.parameters], rate)
    bnn.Adam(theirs, 0.01).step(list(gradients.values()), rate)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b) == ("norm" in name)
        assert "norm" in name or set(a.unique().tolist()) <= {-1.0, 1.0}


@pytest.mark.parametrize("bad", [{"adaptivity": 0}, {"adaptivity": 1.1}, {"threshold": -1e-9}])
def test_bop_refuses_what_can_never_flip_or_average(bad):
    with pytest.raises(ValueError, match=r"expected an adaptivity in \(0, 1\] and a threshold of at least 0, got"):
        bnn.Bop(bnn.binary_mlp((2, 2)), 0.1, **bad)


def test_bop_needs_binary_weights():
    with pytest.raises(ValueError, match="Bop flips binary weights, and the model, Linear, has none"):
        bnn.Bop(nn.Linear(2, 2), 0.1)


def test_bop_updates_a_shared_weight_once():
    layer = bnn.GenDense(2, 2, forward_map=bnn.binary_linear, bias=False)
    other = bnn.GenDense(2, 2, forward_map=bnn.binary_linear, bias=False)
    other.weight = layer.weight
    assert len(bnn.Bop(nn.Sequential(layer, other), 0.1).parameters) == 1


def test_adam_needs_something_to_train():
    with pytest.raises(ValueError, match="the model, Linear, has no parameters to train"):
        bnn.Adam(nn.Linear(2, 2).requires_grad_(False), 0.1)
