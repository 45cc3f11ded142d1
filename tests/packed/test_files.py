"""Files of packed networks against everything that can happen to a file."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import CONV, DENSE, NETWORKS, NORMALISED, shaken
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.export import to_c
from bnn_tutorial.packed import PackedNetwork, files
from bnn_tutorial.packed.folding import Folded


@pytest.fixture
def file(tmp_path, generator):
    """A small network with everything that a file of images can hold."""
    codes = {"activation": bnn.quantised_relu, "forward_map": bnn.ternary_linear, "generator": generator}
    model = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        CONV(1, 3, 3, pool=2, generator=generator),
        nn.Flatten(),
        DENSE(3, 5, generator=generator, **NORMALISED),
        bnn.GenDense(5, 4, **codes),
        bnn.GenDense(4, 2, forward_map=partial(bnn.quantised_linear, bits=4), generator=generator),
    )
    path = tmp_path / "network.safetensors"
    PackedNetwork.from_model(shaken(model, generator), {"seed": "0"}).save(path)
    return path


def folded(network):
    return Folded(network.shape, network.layers, network.pixel_threshold, network.limits)


def content(network):
    tensors = {name: tensor.tobytes() for name, tensor in files.tensors(network.layers, network.limits).items()}
    return files.description(folded(network)), tensors, network.provenance


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_as_it_was(name, subset, generator, tmp_path):
    network = PackedNetwork.from_model(shaken(NETWORKS[name](generator=generator), generator), {"author": "Ada Ł"})
    network.save(tmp_path / "network")
    again = PackedNetwork.load(tmp_path / "network")
    assert content(again) == content(network)
    assert np.array_equal(again.logits(subset.test_images[:50]), network.logits(subset.test_images[:50]))


def test_files_of_version_2_are_read():
    """Written by the version before, with its sums: a convolution with pooling, and two dense layers."""
    old = PackedNetwork.load(Path(__file__).parent / "version_2.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (8, 36)).astype(np.uint8)
    first, second, third = [1, -3, 1], [-1, -1, 3], [1, -3, 5]
    assert old.sums(images).tolist() == [first, second, third, second, second, third, second, third]
    assert old.logits(images)[0].tolist() == [2.9533774852752686, -4.357325911521912, 1.8533613085746765]


def test_a_file_that_claims_to_be_of_version_2_is_refused(file):
    file.write_bytes(file.read_bytes().replace(b"network, version 3", b"network, version 2"))
    with pytest.raises(ValueError, match=r"layers of version 2 with \['activation', 'bits'"):
        PackedNetwork.load(file)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_table_keeps_its_limits(tmp_path, generator, dtype):
    model = nn.Sequential(bnn.QuantisedInput([-1.5, 0.0], [2.5, 1e-3]), *bnn.binary_mlp((2, 3, 2), generator=generator))
    network = PackedNetwork.from_model(model.to(dtype))
    network.save(tmp_path / "table")
    again = PackedNetwork.load(tmp_path / "table")
    assert content(again) == content(network)
    with pytest.raises(ValueError, match="limits that are not finite, or low >= high"):
        PackedNetwork.load(rewritten(tmp_path / "table", tensor("limits", np.ones((2, 2), np.float32))))


def test_a_table_that_becomes_an_image_keeps_its_limits_too(tmp_path, generator):
    limits = bnn.QuantisedInput(torch.zeros(16), torch.linspace(1, 2, 16))
    convolution = bnn.GenConv2d(1, 5, 3, activation=bnn.sign, forward_map=bnn.binary_conv2d, generator=generator)
    last = bnn.GenDense(20, 3, forward_map=bnn.binary_linear, generator=generator)
    model = nn.Sequential(limits, nn.Unflatten(1, (1, 4, 4)), convolution, nn.Flatten(), last)
    network = PackedNetwork.from_model(model)
    network.save(tmp_path / "table")
    assert content(PackedNetwork.load(tmp_path / "table")) == content(network)


def layouts():
    """One layer's numbers in four orders in memory; a slice; and what `load_state_dict(assign=True)` takes over."""
    weight = torch.randn(784, 20, generator=torch.Generator().manual_seed(0))
    yield nn.Parameter(weight.T), None
    yield nn.Parameter(weight.T.contiguous()), None
    yield nn.Parameter(torch.randn(20, 1568, generator=torch.Generator().manual_seed(0))[:, ::2]), None
    yield nn.Parameter(weight.T.contiguous()), {"0.weight": weight.T}


@pytest.mark.parametrize(("weight", "assigned"), [*layouts()])
def test_how_a_weight_lies_in_memory_does_not_reach_the_file(weight, assigned, tmp_path, subset):
    model = nn.Sequential(DENSE(784, 20, activation=bnn.sign), DENSE(20, 10))
    model[0].weight = weight
    if assigned:
        model.load_state_dict(assigned, assign=True, strict=False)
    network = PackedNetwork.from_model(model)
    network.save(tmp_path / "network")
    again = PackedNetwork.load(tmp_path / "network")
    assert content(again) == content(network)
    assert np.array_equal(again.layers[0].levels, np.where(model[0].weight.detach() >= 0, 1, -1))


@pytest.mark.parametrize("name", ["tutorial", "8 bits", "mixed", "one convolution"])
def test_arrays_of_any_order_compute_and_are_written_alike(name, subset, generator, tmp_path):
    network = PackedNetwork.from_model(shaken(NETWORKS[name](generator=generator), generator))
    layers = [replace(layer, levels=np.asfortranarray(layer.levels)) for layer in network.layers]
    turned, images = PackedNetwork(network.shape, layers), subset.test_images[:5]
    assert np.array_equal(turned.sums(images), network.sums(images))  # few rows take other ways than many
    to_c(network, tmp_path / "net.c")
    expected = (tmp_path / "net.c").read_text()
    to_c(turned, tmp_path / "net.c")
    assert (tmp_path / "net.c").read_text() == expected
    turned.save(tmp_path / "network")
    assert content(PackedNetwork.load(tmp_path / "network")) == content(network)


def test_numbers_of_numpy_and_sizes_with_a_point_are_written_as_whole_numbers(tmp_path):
    four, codes = np.int64(4), {"activation": partial(bnn.quantised_relu, bits=np.int64(3))}
    model = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        bnn.GenConv2d(1, four, four, stride=np.int64(2), forward_map=bnn.binary_conv2d, **codes),
        nn.Flatten(),
        bnn.GenDense(four, four, forward_map=partial(bnn.quantised_linear, bits=2.0), **codes),
        DENSE(four, np.int32(2)),
    )
    network = PackedNetwork.from_model(model)
    network.save(tmp_path / "network")
    assert content(PackedNetwork.load(tmp_path / "network")) == content(network)
    PackedNetwork.from_model(bnn.binary_mlp(np.array([4, 3, 2]))).save(tmp_path / "network")


def test_many_threads_may_save_one_file(file):
    network = PackedNetwork.load(file)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda _: network.save(file) or PackedNetwork.load(file), range(200)))
    assert all(content(other) == content(network) for other in read)
    assert list(file.parent.iterdir()) == [file]


def test_what_cannot_be_written_is_told_by_the_name_that_the_caller_gave(file):
    network = PackedNetwork.load(file)
    for path in (file.parent / "nowhere" / "net", file.parent, file / "net"):
        with pytest.raises(OSError, match=str(path)) as error:
            network.save(path)
        assert error.value.filename2 is None
    assert list(file.parent.iterdir()) == [file]


def test_a_link_stays_a_link(file):
    link = file.with_name("latest")
    link.symlink_to(file.name)
    PackedNetwork.from_model(bnn.binary_mlp((4, 2))).save(link)
    assert link.is_symlink()
    assert PackedNetwork.load(file).shape == (4,)


def test_a_file_is_what_its_documentation_says(file):
    with safe_open(file, framework="numpy") as opened:
        metadata, names = opened.metadata(), sorted(opened.keys())
        raw = b"".join(opened.get_tensor(name).tobytes() for name in names)
    first, second = ["inverted", "threshold", "weight"], ["threshold", "weight"]
    codes, last = ["multiplier", "offset", "weight"], ["scale", "shift", "weight"]
    assert names == [f"{i}.{name}" for i, layer in enumerate((first, second, codes, last)) for name in layer]
    assert metadata.keys() == {"format", "network", "provenance", "sha256"}
    sizes = {"shape": [3, 1, 3, 3], "bits": 1, "stride": 1, "padding": 0, "pooled": True}
    assert json.loads(metadata["network"])["layers"][0] == sizes | {"activation": "sign"}
    texts = metadata["network"] + metadata["provenance"]
    assert metadata["sha256"] == hashlib.sha256(texts.encode() + raw).hexdigest()


def test_a_file_cut_short_anywhere_is_refused(file):
    whole = file.read_bytes()
    for length in range(0, len(whole), 3):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"network\.safetensors is not a packed network, or it is damaged"):
            PackedNetwork.load(file)


def test_every_flipped_bit_is_noticed_or_changes_nothing(file):
    whole, network = file.read_bytes(), content(PackedNetwork.load(file))
    harmless = 0
    for place in range(0, 8 * len(whole), 7):  # of each byte one bit, of some two
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with suppress(ValueError):
            assert content(PackedNetwork.load(file)) == network
            harmless += 1
    assert harmless < 0.01 * 8 * len(whole) / 7  # spaces of the header


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
    with pytest.raises(ValueError, match="the format None, expected 'bnn_tutorial packed network, version 3'"):
        PackedNetwork.load(path)


def rewritten(file, change):
    """The file with changed content and the right digest, as if a program had written it so."""
    network = PackedNetwork.load(file)
    tensors, description = files.tensors(network.layers, network.limits), content(network)[0]
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
        (tensor("4.weight", np.zeros((1, 1), np.uint8)), r"the tensors {'4.weight': \('uint8', \(1, 1\)\)}, expected"),
        (tensor("1.threshold", np.zeros(5, np.int64)), r"{'1.threshold': \('int64', \(5,\)\)}, expected .*int32"),
        (tensor("1.threshold", np.zeros(4, np.int32)), r"{'1.threshold': \('int32', \(4,\)\)}, expected"),
        (tensor("1.threshold", np.full(5, -4, np.int32)), "1.threshold out of range"),
        (tensor("1.threshold", np.full(5, 5, np.int32)), "1.threshold out of range"),
        (tensor("0.threshold", np.full(3, 255 * 9 + 2, np.int32)), "0.threshold out of range"),
        (tensor("1.weight", np.full((5, 1), 255, np.uint8)), "1.weight with bits that belong to no number"),
        (tensor("0.inverted", np.full((1, 1), 255, np.uint8)), "0.inverted with bits that belong to no number"),
        (tensor("2.weight", np.full((4, 1), 243, np.uint8)), "2.weight with bits that belong to no number"),
        (tensor("2.offset", np.full(4, -(2**31), np.int32)), "2.multiplier or 2.offset out of range"),
        (tensor("3.scale", np.array([1.0, np.nan])), "3.scale or 3.shift out of range"),
        (tensor("3.shift", np.array([np.inf, 0.0])), "3.scale or 3.shift out of range"),
        (tensor("3.scale", np.zeros(2, np.float32)), r"{'3.scale': \('float32'"),
        (tensor("limits", np.zeros((2, 4), np.float32)), "the tensors {'limits'"),
        (text("network", "[]"), "cannot be read"),
        (text("network", "{"), "Expecting property name"),
        (text("network", "[" * 100_000), "cannot be read"),
        (text("provenance", "3"), "cannot be read"),
        (text("provenance", '{"seed": 3}'), "the provenance {'seed': 3}, expected texts"),
        (network(shape=[1, 4]), r"examples of shape \(1, 4\)"),
        (network(shape=[1, 4, -4]), r"the sizes \[1, 4, -4,"),
        (network(shape=[1, 2, 2]), "a convolution of shape"),
        (network(shape=[2, 4, 4]), "a convolution of shape"),
        (network(shape=[16]), "a convolution of shape"),
        (network(shape=[1, 10**9, 10**9]), "a layer of 3 inputs gets"),
        (network(pixel_threshold=300), r"the pixel threshold \[300\]"),
        (network(pixel_threshold=True), r"the pixel threshold \[True\]"),
        (network(pixel_threshold="high"), r"the pixel threshold \['high'\]"),
        (network(layers=[]), "0 layers"),
        (network(layers=[3]), "cannot be read"),
        (layer(0, stride=0), "the sizes"),
        (layer(0, stride=2.0), "the sizes"),
        (layer(0, pooled=False), "the tensors {'0.inverted'"),
        (layer(0, pooled=2), "layer 0 of shape .* pooled 2"),
        (layer(0, shape=[3, 1, 3, 2]), "layer 0 of shape"),
        (layer(1, shape=[5, 4]), "a layer of 4 inputs gets 3"),
        (layer(1, shape=[5, 10**9]), r"the tensors {'1.weight': \('uint8', \(5, 1\)\)}, expected"),
        (layer(1, shape=[5, 2**40]), "the sizes"),
        (layer(1, pooled=True), "layer 1 of shape .* pooled True"),
        (layer(3, shape=[2, 4, 1, 1]), "layer 3 of shape"),
        (layer(1, padding=1), "layer 1 of shape"),
        (layer(0, padding=True), r"in layer 0 padding and top - 1 \[True\]"),
        (layer(0, bits=9), r"in layer 0 the bits \[9\]"),
        (layer(0, bits=True), r"in layer 0 the bits \[True\]"),
        (layer(2, bits=1), "2.weight with bits that belong to no number"),
        (layer(2, top=256), "in layer 2 padding and top - 1"),
        (layer(2, top=0), "in layer 2 padding and top - 1"),
        (layer(2, point=-1), "in layer 2 the point"),
        (layer(2, point=32), "in layer 2 the point"),
        (layer(2, activation="logits"), "layer 2 of shape"),
        (layer(3, activation="sign"), "layer 3 of shape"),
        (layer(1, activation="codes"), "cannot be read"),
        (network(pixel_threshold=3, layers=[]), "0 layers"),
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


def test_an_error_names_the_file_that_was_asked_for_and_no_other(tmp_path):
    path = tmp_path / "missing" / "net"
    with pytest.raises(FileNotFoundError) as raised:
        PackedNetwork.from_model(bnn.binary_mlp((4, 2))).save(path)
    assert str(raised.value).endswith(f": {str(path)!r}")


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
