"""Bop against the paper's algorithm written once more, and its Adam against PyTorch's."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

import bnn_tutorial as bnn


def test_adam_updates_all_parameters_in_one_kernel():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    optimizer = bnn.adam(layer, 0.1)
    layer.weight.grad = torch.ones(2, 2)
    before = layer.weight.clone(), layer.bias.clone()
    optimizer.step()
    torch.testing.assert_close(layer.weight, before[0] - 0.1)
    assert torch.equal(layer.bias, before[1])
    assert optimizer.defaults["fused"]


def test_bop_flips_as_the_paper_says(generator):
    layer = bnn.GenDense(6, 5, forward_map=bnn.binary_linear, bias=False, generator=generator)
    w, m = np.where(layer.weight.detach().numpy() >= 0, 1.0, -1.0), np.zeros((5, 6))
    bop = bnn.Bop(layer, 0.1, adaptivity=0.2, threshold=0.3)
    flips = 0
    for rate in np.linspace(1, 0.5, 20):
        layer.weight.grad = torch.randn(5, 6, generator=generator)
        m = (1 - 0.2 * rate) * m + 0.2 * rate * layer.weight.grad.numpy()
        bop.param_groups[0]["lr"] = 0.2 * rate  # as a scheduler does
        bop.step()
        flip = (np.abs(m) > 0.3) & (np.sign(m) == w)
        w, flips = np.where(flip, -w, w), flips + flip.sum()
        assert np.array_equal(layer.weight.detach().numpy(), w)
    assert flips > 10


def test_bop_leaves_the_rest_to_adam(generator):
    ours, theirs = (bnn.binary_mlp((4, 3, 2), generator=torch.Generator().manual_seed(0)) for _ in range(2))
    bop, adam = bnn.Bop(ours, 0.01), torch.optim.Adam(theirs.parameters(), 0.01)
    for _ in range(3):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad, b.grad = (torch.randn(a.shape, generator=generator),) * 2
        bop.step()
        adam.step()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b) == ("norm" in name)
        assert "norm" in name or set(a.unique().tolist()) <= {-1.0, 1.0}


def test_a_scheduler_acts_on_adaptivity_and_learning_rate():
    bop = bnn.Bop(bnn.binary_mlp((2, 2)), 0.1, adaptivity=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(bop, lambda step: 0.5**step)
    bop.step()
    scheduler.step()
    assert [group["lr"] for group in bop.param_groups] == [0.005, 0.05]


def test_bop_goes_on_from_its_state(generator):
    gradients = torch.randn(6, 5, 6, generator=generator)
    first, second = (bnn.GenDense(6, 5, forward_map=bnn.binary_linear, bias=False) for _ in range(2))
    bop = bnn.Bop(first, 0.1, adaptivity=0.2, threshold=0.3)
    for i, gradient in enumerate(gradients):
        if i == 3:  # from here on another one does the same
            second.load_state_dict(first.state_dict())
            again = bnn.Bop(second, 0.1)
            again.load_state_dict(deepcopy(bop.state_dict()))
        for layer, optimizer in ((first, bop), (second, again)) if i >= 3 else ((first, bop),):
            layer.weight.grad = gradient.clone()
            optimizer.step()
    assert torch.equal(first.weight, second.weight)


def test_a_copied_bop_steps_as_the_original(generator):
    layer = bnn.GenDense(6, 5, forward_map=bnn.binary_linear, bias=False, generator=generator)
    bop = bnn.Bop(layer, 0.1, adaptivity=0.2, threshold=0.3)
    copied, again = deepcopy((layer, bop))
    assert again.param_groups[0]["threshold"] == 0.3
    for gradient in torch.randn(6, 5, 6, generator=generator):
        layer.weight.grad, copied.weight.grad = gradient.clone(), gradient.clone()
        bop.step()
        again.step()
    assert torch.equal(layer.weight, copied.weight)
    assert pickle.loads(pickle.dumps(bop)).state_dict().keys() == bop.state_dict().keys()


def test_bop_leaves_frozen_weights_alone(generator):
    model = bnn.binary_mlp((4, 3, 2), generator=generator)
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    bnn.Bop(model, 0.1)
    assert torch.equal(model[0].weight, before)


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
    assert len(bnn.Bop(nn.Sequential(layer, other), 0.1).param_groups[0]["params"]) == 1
