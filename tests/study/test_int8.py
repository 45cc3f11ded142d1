"""The 8-bit rival of the benchmarks is the float network, but for its rounding."""

from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch
from datasets import first

import bnn_tutorial as bnn
from study.controls import int8
from study.rivals.int8 import LARGEST, integer_product, to_float32, to_int8, to_onednn

pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # of PyTorch's exporter


@pytest.fixture(scope="module")
def trained():
    data = first(bnn.load_mnist(), 2000, 1000)
    build = partial(bnn.binary_mlp, (784, 32, 10), torch.relu, bnn.linear)
    config = bnn.TrainConfig(epochs=2, learning_rate=0.01, device="cpu")
    _, model = bnn.train(config, data, build(generator=torch.Generator().manual_seed(0)), progress=False)
    return data, model


def outputs(path, x):
    session = onnxruntime.InferenceSession(path)
    (pixels,) = session.get_inputs()
    return session.run(None, {pixels.name: x})[0]


def test_float32_computes_what_the_model_does(trained, tmp_path):
    data, model = trained
    to_float32(model, tmp_path / "float32.onnx")
    x = bnn.scale_pixels(data.test_images)
    with bnn.eval_mode(model):
        np.testing.assert_allclose(outputs(tmp_path / "float32.onnx", x.numpy()), model(x).numpy(), atol=1e-4)


def test_int8_takes_bytes_and_differs_by_rounding_only(trained, tmp_path):
    data, model = trained
    to_float32(model, tmp_path / "float32.onnx")
    to_int8(tmp_path / "float32.onnx", tmp_path / "int8.onnx", data.train_images[:1000])
    logits = outputs(tmp_path / "int8.onnx", data.test_images.numpy())
    with bnn.eval_mode(model):
        expected = model(bnn.scale_pixels(data.test_images)).numpy()
    assert np.abs(logits - expected).mean() < 0.02 * np.ptp(expected)
    assert 1 < len(np.unique(logits)) <= 256


def test_int8_is_scored_on_the_test_images(trained):
    data, model = trained
    _, accuracy = bnn.evaluate(model, data.test_images, data.test_labels)
    assert int8(model, data)["acc_int8"] == pytest.approx(accuracy, abs=0.02)


def test_onednn_names_the_classes_of_the_float_network(trained):
    data, model = trained
    with bnn.eval_mode(model):
        w = [layer.norm.weight / (layer.norm.running_var + layer.norm.eps).sqrt() for layer in model]
        layers = [
            (s[:, None] * layer.weight, layer.norm.bias - s * layer.norm.running_mean)
            for s, layer in zip(w, model, strict=True)
        ]
        expected = model(bnn.scale_pixels(data.test_images)).argmax(dim=1)
        found = to_onednn(layers, data.train_images[:1000])(data.test_images)
    assert (found == expected).float().mean() > 0.97


def test_integer_product_is_exact():
    random = np.random.default_rng(0)
    x, w = random.integers(0, 256, (5, 70), dtype=np.uint8), random.integers(-LARGEST, LARGEST, (3, 70), dtype=np.int8)
    (y,) = integer_product(torch.from_numpy(w), onnxruntime.SessionOptions()).run(None, {"x": x})
    assert (y == (x.astype(int) - 1) @ w.T.astype(int)).all()
