"""Flipped bits are bits of the stored weights, each with the same probability."""

from functools import partial

import numpy as np
import pytest

import bnn_tutorial as bnn
from bnn_tutorial.packed import PackedNetwork
from bnn_tutorial.packed.files import pack_levels
from study.flips import flipped

MAPS = {1: bnn.binary_linear, 8: partial(bnn.quantised_linear, bits=8)}


@pytest.fixture(params=MAPS, ids=lambda bits: f"{bits} bits")
def network(request, generator):
    model = bnn.binary_mlp((784, 24, 10), bnn.quantised_relu, MAPS[request.param], generator=generator)
    return PackedNetwork.from_model(model.eval())


@pytest.mark.parametrize(("rate", "share"), [(0.0, 0), (0.1, 0.1), (1.0, 1)])
def test_the_share_of_flipped_bits_is_the_rate(network, rate, share):
    before, after = (
        np.unpackbits(pack_levels(net.layers[0].levels, net.layers[0].bits))
        for net in (network, flipped(network, rate, 0))
    )
    assert (before != after).mean() == pytest.approx(share, abs=0.01)


def test_a_network_of_flipped_bits_computes_with_them(network, full):
    images = full.test_images[:50]
    assert np.array_equal(flipped(network, 0.0, 0).logits(images), network.logits(images))
    assert np.array_equal(flipped(network, 1.0, 0).layers[0].levels, -network.layers[0].levels)
    assert not np.array_equal(flipped(network, 0.1, 0).layers[0].levels, flipped(network, 0.1, 1).layers[0].levels)
