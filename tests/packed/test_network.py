"""Packed networks against PyTorch's own float64, and against the classes of float32."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import DENSE, NETWORKS, shaken
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.packed import PackedNetwork, network


def step(activation):
    """The value of a code, as a layer without codes has it: None."""
    options = getattr(activation, "keywords", {})
    is_codes = getattr(activation, "func", activation) is bnn.quantised_relu
    return options.get("limit", 6.0) / (2 ** options.get("bits", 8) - 1) if is_codes else None


def layers_in_float64(model, images, hidden):
    """What PyTorch computes in float64 for each layer before its activation, from what our layer before it gave."""
    x, hidden = images.double() / 255, iter(hidden)
    for module in deepcopy(model).double().eval():
        activation, module.activation = getattr(module, "activation", None), None
        with torch.no_grad():
            x = module(x)
        if isinstance(module, bnn.GenDense | bnn.GenConv2d):
            yield x.numpy()
        if activation is not None:
            found, value = torch.from_numpy(1.0 * next(hidden)), step(activation)
            x = found * value if value else 2 * found - 1
            x = x if x.dim() == 2 else x.permute(0, 3, 1, 2)  # ours are channels last


def with_levels(model):
    """The model with what float32 keeps of its weights, since float64 rounds some of them to other levels."""
    model = deepcopy(model)
    for layer in model:
        if kept := bnn.kept_weights(layer):
            layer.weight.data, layer.forward_map = kept.scale * kept.levels, REAL[layer.weight.dim()]
    return model


REAL = {2: bnn.linear, 4: bnn.conv2d}


def assert_exact(model, images, share_of_ties=0.0):
    """Signs are float64's but within rounding of 0, codes but within a hundredth of a step, logits to 7 digits."""
    ours, model = PackedNetwork.from_model(model), with_levels(model)
    hidden, steps = ours.hidden(images), [step(m.activation) for m in model if hasattr(m, "activation")]
    *before, logits = layers_in_float64(model, images, hidden)
    for found, z, layer, value in zip(hidden, before, ours.layers, steps, strict=False):
        found = found if found.ndim == 2 else found.transpose(0, 3, 1, 2)
        codes = np.clip(z / value, 0, layer.top) if value else None
        tied = np.abs(codes % 1 - 0.5) <= 0.01 if value else np.abs(z) <= 1e-12 * layer.inputs
        expected = np.rint(codes) if value else z >= 0
        assert np.array_equal(found[~tied], expected[~tied])
        assert np.abs(1 * found - expected).max(initial=0) <= 1
        assert tied.mean() <= (0.05 if value else share_of_ties)
    np.testing.assert_allclose(ours.logits(images), logits, rtol=1e-7, atol=1e-7 * np.abs(logits).max())
    best = logits.max(axis=1) - np.take_along_axis(logits, ours.predict(images)[:, None], axis=1)[:, 0]
    assert (best <= 1e-5 * np.abs(logits).max()).all()  # the largest logit, or one that rounding makes as large


@pytest.fixture
def images(subset):
    return subset.test_images[:200]


@pytest.fixture(params=NETWORKS)
def model(request, generator):
    return shaken(NETWORKS[request.param](generator=generator), generator)


def test_packed_is_float64(model, images):
    assert_exact(model, images)


def test_packed_names_the_classes_of_float32(model, images):
    with bnn.eval_mode(model):
        expected = model(bnn.scale_pixels(images)).argmax(dim=1)
    assert (PackedNetwork.from_model(model).predict(images) == expected.numpy()).mean() >= 0.99


@pytest.mark.parametrize("normalise", [pytest.param(False, marks=pytest.mark.slow), True])
def test_all_test_images_after_training(full, normalise, generator):
    model = bnn.binary_mlp(activation=bnn.clipped_sign_ste, normalise=normalise, generator=generator)
    bnn.train(bnn.TrainConfig(epochs=1, learning_rate=3e-3, device="cpu"), full, model, progress=False)
    assert_exact(model, full.test_images, share_of_ties=1e-6)
    with bnn.eval_mode(model):
        expected = model(bnn.scale_pixels(full.test_images)).argmax(dim=1)
    assert np.array_equal(PackedNetwork.from_model(model).predict(full.test_images), expected)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 130), min_size=2, max_size=5),
    normalise=st.booleans(),
    binary_input=st.booleans(),
    bias=st.sampled_from([0.0, 1.0, 100.0, 1e30]),
    seed=st.integers(0, 2**32),
)
def test_random_networks_are_exact(widths, normalise, binary_input, bias, seed):
    generator = torch.Generator().manual_seed(seed)
    model = bnn.binary_mlp(
        widths, activation=bnn.sign_ste, normalise=normalise, binary_input=binary_input, generator=generator
    )
    images = torch.randint(0, 256, (20, widths[0]), dtype=torch.uint8, generator=generator)
    assert_exact(shaken(model, generator, bias), images, share_of_ties=1.0)


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("scale", [1.0, -1.0])
@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.0, 1.0, 2.0, 3.0])
def test_a_sum_on_the_threshold_gives_plus_one(binary_input, scale, mean):
    """All sums of three inputs of 0 or full ink, whole in float64 too, and batch norm exactly on one of them."""
    model = bnn.binary_mlp((3, 1, 1), activation=bnn.sign_ste, normalise=True, binary_input=binary_input).eval()
    model[-2].weight.data.fill_(1.0)
    model[-2].norm.weight.data.fill_(scale)
    model[-2].norm.running_mean.fill_(mean)
    ink = torch.tensor([[i >> k & 1 for k in range(3)] for i in range(8)], dtype=torch.uint8)
    sums = (2.0 * ink - 1 if binary_input else ink.double()).sum(dim=1)
    (hidden,) = PackedNetwork.from_model(model).hidden(255 * ink)
    assert np.array_equal(hidden[:, 0], scale * (sums - mean) >= 0)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0, 1.5])
def test_one_bit_pixels_are_those_of_the_model(threshold):
    model = nn.Sequential(bnn.BinaryInput(threshold), DENSE(1, 1, bias=False))
    pixels = torch.arange(256, dtype=torch.uint8)[:, None]
    with torch.no_grad():
        expected = model(bnn.scale_pixels(pixels)).double()
    assert np.array_equal(PackedNetwork.from_model(model).logits(pixels), expected)


def test_many_images_are_as_each_alone(model, images, monkeypatch):
    monkeypatch.setattr(network, "CHUNK", 2**30)
    whole = PackedNetwork.from_model(model)
    monkeypatch.setattr(network, "CHUNK", 10_000)
    in_chunks = PackedNetwork.from_model(model)
    assert in_chunks._chunk < len(images) < whole._chunk
    for ours, theirs in zip(in_chunks.hidden(images), whole.hidden(images), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(in_chunks.logits(images), whole.logits(images))
    alone = np.concatenate([whole.logits(images[i : i + 1]) for i in range(20)])
    assert np.array_equal(alone, whole.logits(images)[:20])


def test_no_images_have_no_classes(model, images):
    ours = PackedNetwork.from_model(model)
    assert ours.logits(images[:0]).shape == (0, 10)
    assert ours.predict(images[:0]).dtype == ours.predict(images.numpy()).dtype == np.int64
    assert [len(bits) for bits in ours.hidden(images[:0])] == [0] * (len(ours.layers) - 1)


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(2, 784), np.zeros((2, 783), np.uint8), np.zeros(784, np.uint8), np.zeros((2, 28, 28), np.uint8)],
)
def test_images_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected uint8 images of shape \(N, 784\), got"):
        PackedNetwork.from_model(bnn.binary_mlp()).predict(wrong)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([DENSE(4, 3, activation=bnn.sign), DENSE(4, 2)], "a layer of 4 inputs gets 3"),
        ([DENSE(9_000_000, 1, activation=bnn.sign), DENSE(1, 2)], "sums up to 2,295,000,000, beyond 32 bits"),
    ],
)
def test_layers_that_cannot_be_run_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        PackedNetwork.from_model(nn.Sequential(*layers))


def test_summary_counts_what_the_file_holds(tmp_path):
    ours = PackedNetwork.from_model(bnn.binary_mlp())
    total = ours.summary().loc["total"].astype(int).tolist()
    assert total == [266_200, 1, 400 + 20, 33_330 + 4 * 400 + 8 * 20]  # each row in whole bytes
    ours.save(tmp_path / "network")
    assert total[3] < (tmp_path / "network").stat().st_size < 40_000


def test_an_untrained_network_differs_from_floats_only_where_pixels_cancel_each_other(images, generator):
    model = bnn.binary_convnet((8, 8), (3, 3), (10,), generator=generator).eval()
    ink, signs = images.reshape(-1, 1, 28, 28).double(), torch.where(model[1].weight >= 0, 1.0, -1.0)
    sums = torch.nn.functional.conv2d(ink, signs.double())
    floats = torch.nn.functional.conv2d(ink.float() / 255, signs)
    differs = (floats >= 0) != (sums >= 0)
    assert differs.any()
    assert (sums[differs] == 0).all()


# The network that comes with the package


def test_the_pretrained_network_reads_digits(subset):
    ours = packed.load_pretrained()
    assert (ours.predict(subset.test_images) == subset.test_labels.numpy()).mean() > 0.95
    assert ours.summary().loc["total", "weights"] == 266_200
    assert {"command", "settings", "seed", "data", "accuracy", "versions"} == set(ours.provenance)


def test_the_pretrained_network_is_as_good_as_it_says(full):
    ours = packed.load_pretrained("mnist")
    accuracy = (ours.predict(full.test_images) == full.test_labels.numpy()).mean()
    assert f"{accuracy:.4f}" == ours.provenance["accuracy"]
    assert accuracy > 0.979


def test_an_unknown_pretrained_network_is_refused():
    with pytest.raises(ValueError, match="there is no pretrained network 'cifar', only mnist"):
        packed.load_pretrained("cifar")


def test_summary_of_a_model_and_of_its_packed_network_agree_to_the_byte(model):
    ours, packed = bnn.summary(model), PackedNetwork.from_model(model).summary()
    assert ours["bytes_packed"].tolist() == packed["bytes"].tolist()
    one_bit = packed["weights"].where(packed["bits"] == 1, 0)[:-1]
    assert ours["one_bit_weights"].tolist() == [*one_bit, one_bit.sum()]
