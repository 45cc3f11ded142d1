"""Packed networks against float64, bit for bit; files against everything that can happen to a file."""

import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.packed import PackedNetwork

NORMALISED = {"activation": bnn.clipped_sign_ste, "normalise": True}


def shaken(model, generator, bias=5.0):
    """The model with parameters as wild as training makes them: scales of both signs, some zero, all else spread."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            units = len(module.bias)
            module.weight.data = torch.randn(units, generator=generator) * (
                torch.rand(units, generator=generator) > 0.1
            )
            module.bias.data = torch.randn(units, generator=generator)
            module.running_mean = bias * torch.randn(units, generator=generator)
            module.running_var = 0.1 + 50 * torch.rand(units, generator=generator)
        elif getattr(module, "bias", None) is not None:
            module.bias.data = bias * torch.randn(len(module.bias), generator=generator)
    return model.eval()


def in_float64(model, images):
    """What the model computes, in float64 and with whole numbers as long as there are some: (hidden maps, logits)."""
    x, unit, hidden = images.double(), 255, []
    for module in model:
        if isinstance(module, bnn.BinaryInput):
            x, unit = bnn.sign(x / 255 - module.threshold), 1
        elif isinstance(module, bnn.GenDense | bnn.GenConv2d):
            weight = bnn.sign(module.weight.detach().double())
            a = (F.linear if weight.dim() == 2 else partial(F.conv2d, stride=getattr(module, "stride", 1)))(x, weight)
            a = F.max_pool2d(a, 2) if module.forward_map is bnn.pooled_binary_conv2d else a
            a = affine(module, a / unit)
            x, unit = (a if module.activation is None else bnn.sign(a)), 1
            hidden.append(x)
        else:
            x = module(x)
    *hidden, logits = hidden
    return [h.numpy() for h in hidden], logits.numpy()


def affine(module, a):
    shape = [1, -1] + [1] * (a.dim() - 2)
    if module.norm is None:
        return a if module.bias is None else a + module.bias.detach().double().view(shape)
    norm = module.norm
    mean, variance, gamma, beta = (
        t.detach().double().numpy() for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    # NumPy: some of PyTorch's float64 functions are wrong in the last digit.
    scale = gamma * (1 / np.sqrt(variance + norm.eps))
    scale, shift = torch.from_numpy(scale), torch.from_numpy(beta - mean * scale)
    return a * scale.view(shape) + shift.view(shape)


def assert_exact(model, images):
    network = PackedNetwork.from_model(model)
    hidden, logits = in_float64(model, images)
    for ours, theirs in zip(network.hidden(images), hidden, strict=True):
        theirs = theirs if theirs.ndim == 2 else theirs.transpose(0, 2, 3, 1)  # channels last
        assert np.array_equal(np.where(ours, 1.0, -1.0), theirs)
    assert np.array_equal(network.logits(images), logits)
    assert np.array_equal(network.predict(images), logits.argmax(axis=1))


@pytest.fixture
def images(subset):
    return subset.test_images[:200]


NETWORKS = {
    "tutorial": bnn.binary_mlp,
    "normalised": partial(bnn.binary_mlp, **NORMALISED),
    "one-bit pixels": partial(bnn.binary_mlp, (784, 65, 64, 10), **NORMALISED, binary_input=True, dropout=0.1),
    "no hidden layer": partial(bnn.binary_mlp, (784, 10)),
    "stochastic": partial(bnn.binary_mlp, (784, 30, 10), activation=bnn.stochastic_sign_ste),
    "convnet": partial(bnn.binary_convnet, (9, 33, 70), (5, 3, 2), (20, 10)),
    "one convolution": partial(bnn.binary_convnet, (4,), (28,), (10,)),
    "convnet of one-bit pixels": lambda generator: nn.Sequential(
        bnn.BinaryInput(0.3), *bnn.binary_convnet((8, 16), (3, 3), (10,), generator=generator)
    ),
    "strides": lambda generator: nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        bnn.GenConv2d(1, 5, 3, stride=2, forward_map=bnn.binary_conv2d, generator=generator, **NORMALISED),
        bnn.GenConv2d(5, 6, 4, stride=3, forward_map=bnn.pooled_binary_conv2d, generator=generator, **NORMALISED),
        nn.Flatten(),
        bnn.GenDense(24, 10, forward_map=bnn.binary_linear, generator=generator),
    ),
}


@pytest.fixture(params=NETWORKS)
def model(request, generator):
    return shaken(NETWORKS[request.param](generator=generator), generator)


def test_packed_is_float64_bit_for_bit(model, images):
    assert_exact(model, images)


def test_packed_names_the_classes_of_float32(model, images):
    with bnn.eval_mode(model):
        expected = model(bnn.scale_pixels(images)).argmax(dim=1)
    assert np.array_equal(PackedNetwork.from_model(model).predict(images), expected)


def test_packed_is_pytorchs_float64_to_the_last_digits(model, images):
    logits = PackedNetwork.from_model(model).logits(images)
    with bnn.eval_mode(model):
        expected = model.double()(images.double() / 255)
    np.testing.assert_allclose(logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("normalise", [False, True])
def test_all_test_images_after_training(full, normalise):
    model = bnn.binary_mlp(activation=bnn.clipped_sign_ste, normalise=normalise)
    bnn.train(bnn.TrainConfig(epochs=1, learning_rate=3e-3, device="cpu"), full, model, progress=False)
    assert_exact(model, full.test_images)
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
    model = bnn.binary_mlp(widths, normalise=normalise, binary_input=binary_input, generator=generator)
    images = torch.randint(0, 256, (20, widths[0]), dtype=torch.uint8, generator=generator)
    assert_exact(shaken(model, generator, bias), images)


@pytest.mark.parametrize("scale", [1.0, -1.0])
@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.0, 1.0, 3.0])
def test_a_sum_on_the_threshold_fires(scale, mean):
    """All whole numbers that three inputs can add up to, and batch norm exactly on one of them."""
    model = bnn.binary_mlp((3, 1, 1), normalise=True, binary_input=True).eval()
    model[1].weight.data.fill_(1.0)
    model[1].norm.weight.data.fill_(scale)
    model[1].norm.running_mean.fill_(mean)
    images = torch.tensor([[255 * (i >> k & 1) for k in range(3)] for i in range(8)], dtype=torch.uint8)
    sums = bnn.sign(images.double() - 127).sum(dim=1)
    (hidden,) = PackedNetwork.from_model(model).hidden(images)
    assert np.array_equal(hidden[:, 0], scale * (sums - mean) >= 0)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.999, 1.0, 1.5])
def test_a_pixel_on_the_cut_is_plus_one(threshold):
    model = nn.Sequential(bnn.BinaryInput(threshold), bnn.GenDense(1, 1, forward_map=bnn.binary_linear, bias=False))
    pixels = torch.arange(256, dtype=torch.uint8)[:, None]
    with torch.no_grad():
        expected = model(bnn.scale_pixels(pixels)).double()
    assert np.array_equal(PackedNetwork.from_model(model).logits(pixels), expected)


def test_many_images_are_as_each_alone(images):
    network = PackedNetwork.from_model(bnn.binary_mlp())
    many = images.repeat(6, 1)  # more than a chunk
    assert np.array_equal(network.logits(many), np.tile(network.logits(images), (6, 1)))
    assert np.array_equal(network.logits(images[:1]), network.logits(images)[:1])
    assert network.logits(images[:0]).shape == (0, 10)
    assert network.predict(images.numpy()).dtype == np.int64


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(2, 784), np.zeros((2, 783), np.uint8), np.zeros(784, np.uint8), np.zeros((2, 28, 28), np.uint8)],
)
def test_images_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected uint8 images of shape \(N, 784\), got"):
        PackedNetwork.from_model(bnn.binary_mlp()).predict(wrong)


DENSE = partial(bnn.GenDense, forward_map=bnn.binary_linear)
CONV = partial(bnn.GenConv2d, activation=bnn.sign_ste, forward_map=bnn.binary_conv2d)


def with_value(model, value):
    model[0].bias.data[1] = value
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (bnn.binary_mlp(activation=torch.relu), "layer 0, .* the activation of a hidden layer must be a sign"),
        (bnn.binary_mlp(activation=bnn.ada_ste), "the activation of a hidden layer must be a sign"),
        (nn.Sequential(DENSE(4, 3), DENSE(3, 2)), "layer 0, .* the activation of a hidden layer must be a sign"),
        (nn.Sequential(bnn.GenDense(4, 2)), "layer 0, .* its forward map must be binary_linear"),
        (nn.Sequential(bnn.GenDense(4, 2, forward_map=bnn.stochastic_binary_linear)), "must be binary_linear"),
        (nn.Sequential(DENSE(4, 2, activation=bnn.sign)), "the last layer must be dense and without an activation"),
        (nn.Sequential(nn.Unflatten(1, (1, 2, 2)), CONV(1, 2, 2)), "the last layer must be dense"),
        (nn.Sequential(nn.Unflatten(1, (1, 2, 2)), CONV(1, 2, 2, padding=1), nn.Flatten(), DENSE(18, 2)), "padding"),
        (nn.Sequential(CONV(1, 2, 2), nn.Flatten(), DENSE(2, 2)), "a convolution has to come after nn.Unflatten"),
        (nn.Sequential(nn.Linear(4, 2)), r"layer 0, Linear\(.*\): packing does not know it here"),
        (nn.Sequential(DENSE(4, 3, activation=bnn.sign), bnn.BinaryInput(), DENSE(3, 2)), "layer 1, BinaryInput"),
        (nn.Sequential(DENSE(4, 3, activation=bnn.sign), DENSE(4, 2)), "a layer of 4 inputs gets 3"),
        (nn.Sequential(nn.Flatten()), "the model has no GenDense"),
        (DENSE(4, 2), "expected a Sequential, got GenDense"),
        (with_value(bnn.binary_mlp((4, 3, 2)), torch.nan), "layer 0, .* parameters that are not finite"),
        (with_value(bnn.binary_mlp((4, 3, 2)), torch.inf), "layer 0, .* parameters that are not finite"),
    ],
)
def test_a_model_that_cannot_be_packed_exactly_is_refused_with_the_reason(model, message):
    with pytest.raises(ValueError, match=message):
        PackedNetwork.from_model(model)


def test_a_neuron_whose_sums_might_not_fit_in_32_bits_is_refused():
    with pytest.raises(ValueError, match="a neuron of 4,194,305 inputs, more than 4,194,304"):
        PackedNetwork.from_model(bnn.binary_mlp((2**22 + 1, 1, 2)))


def test_summary_counts_what_the_file_holds(tmp_path):
    network = PackedNetwork.from_model(bnn.binary_mlp())
    total = network.summary().loc["total"].astype(int).tolist()
    assert total == [266_200, 400 + 20, 33_330 + 4 * 400 + 8 * 20]  # each row in whole bytes
    network.save(tmp_path / "network")
    assert total[2] < (tmp_path / "network").stat().st_size < 40_000


# Files


@pytest.fixture
def file(tmp_path, generator):
    """A small network with everything that a file can hold."""
    model = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        bnn.GenConv2d(1, 3, 3, forward_map=bnn.pooled_binary_conv2d, generator=generator, **NORMALISED),
        nn.Flatten(),
        bnn.GenDense(3, 5, forward_map=bnn.binary_linear, generator=generator, **NORMALISED),
        bnn.GenDense(5, 2, forward_map=bnn.binary_linear, generator=generator),
    )
    path = tmp_path / "network.safetensors"
    PackedNetwork.from_model(shaken(model, generator), {"seed": "0"}).save(path)
    return path


def content(network):
    spec = json.dumps(network._spec()), network.provenance
    return spec, {name: tensor.tobytes() for name, tensor in packed._tensors(network.layers).items()}


def test_a_network_comes_back_as_it_was(model, images, tmp_path):
    network = PackedNetwork.from_model(model, {"command": "train", "seed": "3"})
    network.save(tmp_path / "network")
    again = PackedNetwork.load(tmp_path / "network")
    assert content(again) == content(network)
    assert np.array_equal(again.logits(images), network.logits(images))


def test_a_file_cut_short_anywhere_is_refused(file):
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"network\.safetensors is not a packed network, or it is damaged"):
            PackedNetwork.load(file)


def test_every_flipped_bit_is_noticed_or_changes_nothing(file):
    whole, network = file.read_bytes(), content(PackedNetwork.load(file))
    harmless = 0
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with suppress(ValueError):
            assert content(PackedNetwork.load(file)) == network
            harmless += 1
    assert harmless < 0.01 * 8 * len(whole)  # spaces of the header


def test_more_bytes_than_there_should_be_are_refused(file):
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="is not a packed network"):
        PackedNetwork.load(file)


def test_a_header_that_claims_to_be_huge_is_refused(file):
    whole = file.read_bytes()
    for size in (2**20, 2**40, 2**63, 2**64 - 1):
        file.write_bytes(size.to_bytes(8, "little") + whole[8:])
        with pytest.raises(ValueError, match="is not a packed network"):
            PackedNetwork.load(file)


def test_another_programs_file_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": np.ones((2, 2), np.float32)}, path)
    with pytest.raises(ValueError, match="expected the format 'bnn_tutorial packed network, version 1', got None"):
        PackedNetwork.load(path)


def rewritten(file, change):
    """The file with changed content and the right digest, as if a program had written it so."""
    network = PackedNetwork.load(file)
    tensors = packed._tensors(network.layers)
    header = {"format": packed.FORMAT, "network": json.dumps(network._spec()), "provenance": json.dumps({})}
    change(tensors, header)
    save_file(tensors, file, header | {"sha256": packed._digest(tensors, header)})
    return file


def tensor(name, value):
    return lambda tensors, header: tensors.update({name: value})


def spec(**entries):
    def change(tensors, header):
        header["network"] = json.dumps(json.loads(header["network"]) | entries)

    return change


def layer(number, **entries):
    def change(tensors, header):
        network = json.loads(header["network"])
        network["layers"][number] |= entries
        header["network"] = json.dumps(network)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, header: tensors.pop("1.limit"), "cannot be read .KeyError"),
        (tensor("3.weight", np.zeros((1, 1), np.uint8)), "tensors named"),
        (tensor("1.limit", np.zeros(5, np.int64)), r"1.limit of int64 and shape \(5,\), expected int32 and \(5,\)"),
        (tensor("1.limit", np.zeros(4, np.int32)), r"1.limit of int32 and shape \(4,\)"),
        (tensor("1.limit", np.full(5, -2, np.int32)), "1.limit out of range"),
        (tensor("1.limit", np.full(5, 1000, np.int32)), "1.limit out of range"),
        (tensor("1.weight", np.full((5, 1), 255, np.uint8)), "1.weight with bits beyond its 3 columns"),
        (tensor("0.inverted", np.full((1, 1), 255, np.uint8)), "0.inverted with bits beyond its 3 columns"),
        (tensor("2.scale", np.array([1.0, np.nan])), "numbers that are not finite"),
        (tensor("2.shift", np.array([np.inf, 0.0])), "numbers that are not finite"),
        (tensor("2.scale", np.zeros(2, np.float32)), "2.scale of float32"),
        (lambda tensors, header: header.update(network="[]"), "cannot be read"),
        (lambda tensors, header: header.update(network="{"), "cannot be read"),
        (lambda tensors, header: header.update(provenance="3"), "a provenance that is no table"),
        (lambda tensors, header: header.pop("provenance"), "cannot be read .KeyError"),
        (lambda tensors, header: header.update(format="version 2"), "expected the format .* got 'version 2'"),
        (spec(shape=[1, 4]), r"an image of shape \(1, 4\)"),
        (spec(shape=[1, 4, -4]), r"an image of shape \(1, 4, -4\)"),
        (spec(shape=[1, 2, 2]), "a convolution of shape"),
        (spec(shape=[2, 4, 4]), "a convolution of shape"),
        (spec(shape=[16]), "a convolution of shape"),
        (spec(shape=[1, 10**9, 10**9]), "a layer of 3 inputs gets"),
        (spec(cut=300), "a cut of 300"),
        (spec(cut=True), "a cut of True"),
        (spec(cut="high"), "a cut of 'high'"),
        (spec(layers=[]), "tensors named"),
        (spec(layers=[3]), "cannot be read"),
        (layer(0, stride=0), "layer 0 of shape .* stride 0"),
        (layer(0, stride=2.0), "stride 2.0"),
        (layer(0, pooled=False), "tensors named"),
        (layer(0, pooled=2), "layer 0 with pooling 2"),
        (layer(0, shape=[3, 1, 3, 2]), "layer 0 of shape"),
        (layer(1, shape=[5, 4]), "a layer of 4 inputs gets 3"),
        (layer(1, shape=[5, 10**9]), r"1.weight of uint8 and shape \(5, 1\), expected"),
        (layer(1, shape=[5, 2**40]), "layer 1 of shape"),
        (layer(1, pooled=True), "layer 1 with pooling True"),
    ],
)
def test_content_that_contradicts_itself_is_refused(file, change, message):
    with pytest.raises(ValueError, match=f"(?s)is not a packed network, or it is damaged: .*{message}"):
        PackedNetwork.load(rewritten(file, change))


def test_a_file_that_is_not_there_is_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        PackedNetwork.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        PackedNetwork.load(tmp_path)


def test_saving_leaves_the_old_file_whole_if_it_fails(file, monkeypatch):
    before, network = file.read_bytes(), PackedNetwork.from_model(bnn.binary_mlp())

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        network.save(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_saving_replaces_a_file_at_once(file):
    old = file.open("rb")
    before = file.read_bytes()
    PackedNetwork.from_model(bnn.binary_mlp((4, 2))).save(file)
    assert old.read() == before  # who reads the old file reads on
    old.close()
    assert PackedNetwork.load(file).shape == (4,)
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(file.parent.iterdir()) == [file]


# The network that comes with the package


def test_the_pretrained_network_reads_digits(subset):
    network = bnn.load_pretrained()
    assert (network.predict(subset.test_images) == subset.test_labels.numpy()).mean() > 0.95
    assert network.summary().loc["total", "one_bit_weights"] == 266_200
    assert {"command", "settings", "seed", "data", "accuracy", "versions"} == set(network.provenance)


def test_the_pretrained_network_is_as_good_as_it_says_and_small(full):
    network = bnn.load_pretrained("mnist")
    accuracy = (network.predict(full.test_images) == full.test_labels.numpy()).mean()
    assert f"{accuracy:.4f}" == network.provenance["accuracy"]
    assert accuracy > 0.979
    (file,) = (Path(bnn.__file__).parent / "pretrained").iterdir()
    assert file.stat().st_size <= 40_000


def test_an_unknown_pretrained_network_is_refused():
    with pytest.raises(ValueError, match="there is no pretrained network 'cifar', only mnist"):
        bnn.load_pretrained("cifar")
