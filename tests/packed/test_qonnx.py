"""What the `qonnx` package makes of a network that was written as QONNX: the same classes, the same counts."""

from collections import Counter

import numpy as np
import pytest
import torch
from datasets import first
from networks import NETWORKS, Inverted, Negated, WithShortcut, shaken
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from qonnx.util.inference_cost import inference_cost
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial.export.qonnx import to_qonnx

REAL = {
    "real weights": lambda generator: bnn.binary_mlp((784, 20, 10), torch.relu, bnn.linear, generator=generator),
    "stochastic": NETWORKS["stochastic"],
    "normalised": NETWORKS["normalised"],
    "convnet": NETWORKS["convnet"],
    "convnet of one-bit pixels": NETWORKS["convnet of one-bit pixels"],
    "strides": NETWORKS["strides"],
    **{name: NETWORKS[name] for name in ("W1A8 with a bias", "ternary", "4 bits", "mixed", "convolutions, 8 bits")},
}


@pytest.fixture(scope="module")
def pixels(full):
    return bnn.scale_pixels(full.test_images[:1000])


def graph(model, path, images=1):
    to_qonnx(model, path, images)
    return cleanup_model(ModelWrapper(str(path)))


def run(wrapper, x):
    (logits,) = execute_onnx(wrapper, {wrapper.graph.input[0].name: x.numpy()}).values()
    return logits


def trained(build, full, epochs=1):
    model = build(generator=torch.Generator().manual_seed(0))
    config = bnn.TrainConfig(epochs=epochs, learning_rate=0.003, device="cpu")
    return bnn.train(config, first(full, 2000, 1000), model, progress=False)[1].eval()


def test_a_trained_network_names_the_same_classes(full, pixels, tmp_path):
    model = trained(bnn.binary_mlp, full)
    logits = run(graph(model, tmp_path / "net.onnx", len(pixels)), pixels)
    with torch.no_grad():
        assert (logits.argmax(axis=1) == model(pixels).argmax(dim=1).numpy()).all()


@pytest.mark.parametrize("name", REAL)
def test_random_networks_give_the_same_logits(name, pixels, tmp_path):
    model = shaken(REAL[name](generator=torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1))
    x = pixels[:50]
    with torch.no_grad():
        expected = model(x).numpy()
    close = np.isclose(run(graph(model, tmp_path / "net.onnx", 50), x), expected, rtol=1e-4, atol=1e-3).all(axis=1)
    assert close.mean() >= 0.9  # a sum that float32 rounds to the other side of a threshold changes an image's logits


def test_bfloat16_and_norms_without_numbers_of_their_own_are_written(pixels, tmp_path, generator):
    model = shaken(bnn.binary_mlp((784, 20, 10), generator=generator), generator).to(torch.bfloat16)
    expected = run(graph(model.float(), tmp_path / "net.onnx", 50), pixels[:50])
    assert np.array_equal(run(graph(model.to(torch.bfloat16), tmp_path / "net.onnx", 50), pixels[:50]), expected)
    for own in (True, False):
        model[0].norm = nn.BatchNorm1d(20, affine=own).eval()
        logits = run(graph(model.float(), tmp_path / "net.onnx", 50), pixels[:50])
        expected = logits if own else expected
    assert np.isfinite(logits).all()
    assert np.array_equal(logits, expected)


@pytest.mark.parametrize("build", [bnn.binary_mlp, bnn.binary_convnet, lambda: bnn.binary_mlp(binary_input=True)])
def test_its_count_of_work_and_weights_is_ours(build, tmp_path):
    model = build().eval()
    cost = inference_cost(graph(model, tmp_path / "net.onnx"), discount_sparsity=False)["total_cost"]
    total = bnn.summary(model).loc["total"]
    assert cost["op_mac_BIPOLAR_BIPOLAR"] == total["one_bit_macs"]
    assert cost.get("op_mac_FLOAT32_BIPOLAR", 0) == total["float_macs"]
    assert cost["mem_w_BIPOLAR"] == total["one_bit_weights"]


def test_signs_are_bipolar_nodes(tmp_path):
    kinds = Counter(node.op_type for node in graph(bnn.tutorial_mlp().eval(), tmp_path / "net.onnx").graph.node)
    assert kinds == {"BipolarQuant": 5, "MatMul": 3, "Add": 3}


def without_numbers(layer):
    nn.init.constant_(layer.weight, torch.nan)
    return nn.Sequential(layer)


def normed(norm):
    layer = bnn.GenDense(4, 2)
    layer.norm = norm
    return nn.Sequential(layer)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(WithShortcut(4, 2)), "expected the forward of GenDense, WithShortcut has its own"),
        (Inverted(bnn.GenDense(4, 2)), "the model: expected the forward of Sequential, Inverted has its own"),
        (nn.Sequential(Negated(), bnn.GenDense(4, 2)), "expected the forward of Dropout, Negated has its own"),
        (nn.Sequential(nn.Unflatten(1, (1, -1, 2)), bnn.GenConv2d(1, 2, 2), bnn.GenDense(2, 2)), "height and width"),
        (nn.Sequential(nn.Linear(4, 2)), "expected layers of bnn_tutorial"),
        (nn.Linear(4, 2), "expected layers of bnn_tutorial"),
        (nn.Sequential(nn.Dropout()), "a GenDense among them"),
        (normed(nn.LayerNorm(2)), "must be a batch norm with running statistics, got LayerNorm"),
        (normed(nn.BatchNorm1d(2, track_running_stats=False)), "must be a batch norm with running statistics"),
        (nn.Sequential(bnn.GenDense(4, 2), nn.Linear(2, 2)), "expected layers of bnn_tutorial"),
        (nn.Sequential(bnn.GenConv2d(1, 2, 3), nn.Flatten(), bnn.GenDense(8, 2)), "expected nn.Unflatten"),
        (nn.Sequential(bnn.GenDense(4, 2, activation=torch.tanh)), "expected a sign, quantised_relu, torch.relu or no"),
        (nn.Sequential(bnn.GenDense(4, 2, forward_map=lambda layer, x: x)), "expected a forward map of weights"),
        (without_numbers(bnn.GenDense(4, 2)), "weight: numbers that are not finite"),
    ],
)
def test_what_it_does_not_know_is_refused(model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        to_qonnx(model, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
