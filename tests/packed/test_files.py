"""Files of packed networks against everything that can happen to a file."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from networks import CONV, DENSE, NETWORKS, NORMALISED, shaken
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.packed import PackedNetwork, files


@pytest.fixture
def file(tmp_path, generator):
    """A small network with everything that a file can hold."""
    model = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        CONV(1, 3, 3, pool=2, generator=generator),
        nn.Flatten(),
        DENSE(3, 5, generator=generator, **NORMALISED),
        DENSE(5, 2, generator=generator),
    )
    path = tmp_path / "network.safetensors"
    PackedNetwork.from_model(shaken(model, generator), {"seed": "0"}).save(path)
    return path


def content(network):
    description = files.description(network.shape, network.pixel_threshold, network.layers)
    tensors = {name: tensor.tobytes() for name, tensor in files.tensors(network.layers).items()}
    return description, tensors, network.provenance


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_as_it_was(name, subset, generator, tmp_path):
    network = PackedNetwork.from_model(shaken(NETWORKS[name](generator=generator), generator), {"author": "Ada Ł"})
    network.save(tmp_path / "network")
    again = PackedNetwork.load(tmp_path / "network")
    assert content(again) == content(network)
    assert np.array_equal(again.logits(subset.test_images[:50]), network.logits(subset.test_images[:50]))


def test_a_file_is_what_its_documentation_says(file):
    with safe_open(file, framework="numpy") as opened:
        metadata, names = opened.metadata(), sorted(opened.keys())
        raw = b"".join(opened.get_tensor(name).tobytes() for name in names)
    first, second, last = ["inverted", "threshold", "weight"], ["threshold", "weight"], ["scale", "shift", "weight"]
    assert names == [f"{i}.{name}" for i, layer in enumerate((first, second, last)) for name in layer]
    assert metadata.keys() == {"format", "network", "provenance", "sha256"}
    assert json.loads(metadata["network"])["layers"][0] == {"shape": [3, 1, 3, 3], "stride": 1, "pooled": True}
    texts = metadata["network"] + metadata["provenance"]
    assert metadata["sha256"] == hashlib.sha256(texts.encode() + raw).hexdigest()


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


@pytest.mark.parametrize("size", [2**20, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_claims_to_be_huge_is_refused(file, size):
    file.write_bytes(size.to_bytes(8, "little") + file.read_bytes()[8:])
    with pytest.raises(ValueError, match="is not a packed network"):
        PackedNetwork.load(file)


def test_another_programs_file_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": np.ones((2, 2), np.float32)}, path)
    with pytest.raises(ValueError, match="the format None, expected 'bnn_tutorial packed network, version 2'"):
        PackedNetwork.load(path)


def rewritten(file, change):
    """The file with changed content and the right digest, as if a program had written it so."""
    network = PackedNetwork.load(file)
    tensors, description = files.tensors(network.layers), content(network)[0]
    texts = {"network": json.dumps(description), "provenance": "{}"}
    change(tensors, texts)
    save_file(tensors, file, {"format": files.FORMAT, **texts, "sha256": files.digest(**texts, tensors=tensors)})
    return file


def tensor(name, value):
    return lambda tensors, texts: tensors.update({name: value})


def text(name, value):
    return lambda tensors, texts: texts.update({name: value})


def network(**entries):
    def change(tensors, texts):
        texts["network"] = json.dumps(json.loads(texts["network"]) | entries)

    return change


def layer(number, **entries):
    def change(tensors, texts):
        description = json.loads(texts["network"])
        description["layers"][number] |= entries
        texts["network"] = json.dumps(description)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, texts: tensors.pop("1.threshold"), r"the tensors {}, expected {'1.threshold': \('int32', "),
        (tensor("3.weight", np.zeros((1, 1), np.uint8)), r"the tensors {'3.weight': \('uint8', \(1, 1\)\)}, expected"),
        (tensor("1.threshold", np.zeros(5, np.int64)), r"{'1.threshold': \('int64', \(5,\)\)}, expected .*int32"),
        (tensor("1.threshold", np.zeros(4, np.int32)), r"{'1.threshold': \('int32', \(4,\)\)}, expected"),
        (tensor("1.threshold", np.full(5, -4, np.int32)), "1.threshold out of range"),
        (tensor("1.threshold", np.full(5, 5, np.int32)), "1.threshold out of range"),
        (tensor("0.threshold", np.full(3, 255 * 9 + 2, np.int32)), "0.threshold out of range"),
        (tensor("1.weight", np.full((5, 1), 255, np.uint8)), "1.weight with bits beyond its 3 columns"),
        (tensor("0.inverted", np.full((1, 1), 255, np.uint8)), "0.inverted with bits beyond its 3 columns"),
        (tensor("2.scale", np.array([1.0, np.nan])), "not finite"),
        (tensor("2.shift", np.array([np.inf, 0.0])), "not finite"),
        (tensor("2.scale", np.zeros(2, np.float32)), r"{'2.scale': \('float32'"),
        (text("network", "[]"), "cannot be read"),
        (text("network", "{"), "Expecting property name"),
        (text("network", "[" * 100_000), "cannot be read"),
        (text("provenance", "3"), "cannot be read"),
        (text("provenance", '{"seed": 3}'), "the provenance {'seed': 3}, expected texts"),
        (network(shape=[1, 4]), r"images of shape \(1, 4\)"),
        (network(shape=[1, 4, -4]), r"the sizes \[1, 4, -4,"),
        (network(shape=[1, 2, 2]), "a convolution of shape"),
        (network(shape=[2, 4, 4]), "a convolution of shape"),
        (network(shape=[16]), "a convolution of shape"),
        (network(shape=[1, 10**9, 10**9]), "a layer of 3 inputs gets"),
        (network(pixel_threshold=300), "a pixel threshold of 300"),
        (network(pixel_threshold=True), "a pixel threshold of True"),
        (network(pixel_threshold="high"), "a pixel threshold of 'high'"),
        (network(layers=[]), "0 layers"),
        (network(layers=[3]), "cannot be read"),
        (layer(0, stride=0), "the sizes"),
        (layer(0, stride=2.0), "the sizes"),
        (layer(0, pooled=False), "the tensors {'0.inverted'"),
        (layer(0, pooled=2), "layer 0 of shape .* and pooled 2"),
        (layer(0, shape=[3, 1, 3, 2]), "layer 0 of shape"),
        (layer(1, shape=[5, 4]), "a layer of 4 inputs gets 3"),
        (layer(1, shape=[5, 10**9]), r"the tensors {'1.weight': \('uint8', \(5, 1\)\)}, expected"),
        (layer(1, shape=[5, 2**40]), "the sizes"),
        (layer(1, pooled=True), "layer 1 of shape .* and pooled True"),
        (layer(2, shape=[2, 5, 1, 1]), "layer 2 of shape"),
    ],
)
def test_content_that_contradicts_itself_is_refused(file, change, message):
    with pytest.raises(ValueError, match=f"is not a packed network, or it is damaged: .*{message}"):
        PackedNetwork.load(rewritten(file, change))


@pytest.mark.parametrize("key", ["network", "provenance", "sha256"])
def test_missing_metadata_are_noticed(file, key):
    with safe_open(file, framework="numpy") as opened:
        metadata, tensors = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    del metadata[key]
    save_file(tensors, file, metadata)
    with pytest.raises(ValueError, match=f"is not a packed network, or it is damaged: .*KeyError.*{key}"):
        PackedNetwork.load(file)


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
    assert list(file.parent.iterdir()) == [file]


def test_the_pretrained_file_is_small():
    (file,) = (Path(packed.__file__).parent / "pretrained").iterdir()
    assert file.stat().st_size <= 40_000
