"""Other ways to binary weights: what their steps do."""

import copy
from functools import partial

import pytest
import torch

import bnn_tutorial as bnn
from study.optimisers import MirrorDescent, ProxQuant, mirrored_linear, real_linear


def small(forward_map, generator):
    return bnn.binary_mlp((784, 16, 10), forward_map=forward_map, generator=generator)


def test_a_proximal_step_moves_weights_towards_their_signs_and_not_beyond(generator):
    model = small(real_linear, generator)
    before = model[0].weight.clone()
    optimizer = ProxQuant(model, 0.01, strength=0.3)
    optimizer.step()  # without gradients Adam moves nothing
    expected = bnn.sign(before) * torch.minimum(before.abs() + 0.3, torch.ones(()))
    assert torch.allclose(model[0].weight, expected, atol=1e-6)
    optimizer.step(), optimizer.step()
    assert torch.equal(model[0].weight, bnn.sign(before))


def test_the_mirror_becomes_steeper_and_passes_its_gradient_on(generator):
    model = small(mirrored_linear, generator)
    layer, optimizer, before = model[0], MirrorDescent(model, 0.01, growth=2.0), model[0].weight.clone()
    optimizer.step(), optimizer.step()  # without gradients Adam moves nothing
    weights = layer.forward_map(layer, torch.eye(784)).T
    assert torch.allclose(weights, torch.tanh(4 * before))
    (gradient,) = torch.autograd.grad(weights.sum(), layer.weight)
    assert torch.equal(gradient, torch.ones_like(layer.weight))


@pytest.mark.parametrize(("forward_map", "optimizer"), [(real_linear, ProxQuant), (mirrored_linear, MirrorDescent)])
def test_a_copy_goes_on_as_its_original_does(forward_map, optimizer, generator):
    model = small(forward_map, generator)
    pair = model, optimizer(model, 0.01)
    for _ in range(2):
        copied = copy.deepcopy(pair)
        for network, steps in (pair, copied):
            network(torch.ones(2, 784)).square().sum().backward()
            steps.step()
        assert torch.equal(pair[0][0].weight, copied[0][0].weight)


@pytest.mark.parametrize(
    ("forward_map", "optimizer"),
    [(real_linear, partial(ProxQuant, strength=2e-4)), (mirrored_linear, partial(MirrorDescent, growth=1.05))],
)
def test_both_train_a_network_that_is_binary_when_it_is_evaluated(forward_map, optimizer, subset, generator):
    config = bnn.TrainConfig(epochs=2, learning_rate=0.01, optimizer=optimizer, device="cpu")
    history, model = bnn.train(config, subset, small(forward_map, generator), progress=False)
    assert history["acc_test"].iloc[-1] > 0.5  # a tenth would be chance
    with bnn.eval_mode(model):
        outputs = model[0].forward_map(model[0], torch.eye(784))
    assert torch.equal(outputs.abs(), torch.ones_like(outputs))
