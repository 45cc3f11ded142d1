import torch

import bnn_tutorial as bnn


def test_adam_is_pytorchs_adam(generator):
    ours = [torch.nn.Parameter(torch.randn(5, 3, generator=generator)), torch.nn.Parameter(torch.zeros(4))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    adam, reference = bnn.Adam(ours, 0.01), torch.optim.Adam(theirs, 0.01)
    for _ in range(20):
        gradients = [torch.randn(p.shape, generator=generator) for p in ours]
        adam.step(gradients)
        for p, g in zip(theirs, gradients, strict=True):
            p.grad = g.clone()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_frozen_parameters_are_left_alone():
    frozen, free = torch.nn.Parameter(torch.ones(2), requires_grad=False), torch.nn.Parameter(torch.ones(2))
    adam = bnn.Adam([frozen, free], 0.1)
    adam.step([torch.ones(2)])
    assert frozen.tolist() == [1.0, 1.0]
    assert free.max() < 1
