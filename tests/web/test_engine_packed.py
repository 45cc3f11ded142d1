"""The pages' inference against Python's: networks of all kinds, to the last bit, and files that are refused."""

import json
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import NETWORKS, shaken
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as to_safetensors
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial.packed import PackedNetwork
from docs.web.make import recipe

MODULES = """async () => {
  for (const name of ["read", "safetensors"]) Object.assign(window, await import(`./${name}.js`));
  window.fetchBytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
}"""


@pytest.fixture(scope="module")
def engine(tab):
    """A page with the engine's exports as globals. It is the text of a script, on which nothing else runs."""
    tab.goto("web/engine/read.js")
    tab.evaluate(MODULES)
    return tab


def put(page, name, content):
    """A file that the page finds beside the script."""
    page.route(f"**/web/engine/{name}", lambda route: route.fulfill(body=content))


def compute(page, script, argument=None):
    """What a function of JavaScript returns; as text on the way, since Playwright is slow with long lists."""
    return json.loads(page.evaluate(f"async (x) => JSON.stringify(await ({script})(x))", argument))


# Inference

READ = """async () => {
  const network = await readNetwork(await fetchBytes("network"));
  const images = await fetchBytes("images");
  return Array.from({ length: images.length / network.inputs }, (_, i) => {
    const { digit, logits, hidden } = network.predict(images.subarray(i * network.inputs, (i + 1) * network.inputs));
    return [digit, [...logits], hidden.map((values) => [...values])];
  });
}"""


def assert_parity(page, network, images, tmp_path):
    """Classes, logits and all hidden bits and codes are the same as Python's, the logits to the last bit."""
    network.save(tmp_path / "network")
    put(page, "network", (tmp_path / "network").read_bytes())
    put(page, "images", images.tobytes())
    digits, logits, hidden = zip(*compute(page, READ), strict=True)
    assert list(digits) == network.predict(images).tolist()
    assert np.array_equal(logits, network.logits(images))
    for i, layer in enumerate(network.hidden(images)):
        assert np.array_equal([values[i] for values in hidden], layer.reshape(len(images), -1))


CODES = partial(bnn.quantised_relu, limit=3.0)
FOUR_BITS = partial(bnn.quantised_linear, bits=4)


def dense(forward_map, activation, generator):
    return bnn.binary_mlp((784, 65, 33, 10), activation, forward_map, True, generator=generator)


def convolutions(forward_map, generator):
    """Codes, padding and pooling, and in the end signs: mixed layers."""
    conv = partial(bnn.GenConv2d, forward_map=forward_map, normalise=True, generator=generator)
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        conv(1, 4, 5, stride=2, padding=2, activation=CODES),
        conv(4, 7, 3, pool=2, padding=1, activation=bnn.quantised_relu),
        conv(7, 9, 3, activation=bnn.sign_ste),
        nn.Flatten(),
        bnn.GenDense(225, 20, CODES, bnn.ternary_linear, normalise=True, generator=generator),
        bnn.GenDense(20, 10, forward_map=FOUR_BITS, generator=generator),
    )


KINDS = NETWORKS | {
    "W1A8": partial(dense, bnn.binary_linear, CODES),
    "ternary": partial(dense, bnn.ternary_linear, CODES),
    "ternary weights of signs": partial(dense, bnn.ternary_linear, bnn.sign_ste),
    "3 bits": partial(dense, partial(bnn.quantised_linear, bits=3), partial(bnn.quantised_relu, bits=5)),
    "4 bits": partial(dense, FOUR_BITS, CODES),
    "8 bits": partial(dense, bnn.quantised_linear, CODES),
    "convolutions of one bit": partial(convolutions, bnn.binary_conv2d),
    "convolutions of 4 bits": partial(convolutions, partial(bnn.quantised_conv2d, bits=4)),
    "ternary convolutions": partial(convolutions, bnn.ternary_conv2d),
}


@pytest.mark.parametrize("count", [30, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_computes_what_python_computes(engine, kind, count, full, generator, tmp_path):
    model = shaken(KINDS[kind](generator=generator), generator)
    for chunk in full.test_images[:count].numpy().reshape(-1, min(count, 1000), 784):
        assert_parity(engine, PackedNetwork.from_model(model), chunk, tmp_path)


@pytest.mark.parametrize("every", [100, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", recipe.FILES)
def test_test_images_give_what_python_computes(engine, name, every, full, tmp_path):
    for chunk in full.test_images[::every].split(500):
        assert_parity(engine, PackedNetwork.load(recipe.FILES[name]), chunk.numpy(), tmp_path)


def random_network(widths, one_bit, generator):
    """With thresholds all over the range of the sums, and with neurons that are always -1 among them."""
    model = bnn.binary_mlp(
        widths, activation=bnn.clipped_sign_ste, normalise=True, binary_input=one_bit, generator=generator
    )
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm1d)):
        units = len(norm.bias)
        norm.weight.data = torch.randn(units, generator=generator)
        norm.running_mean = 3 * torch.randn(units, generator=generator)
        norm.running_var = 0.1 + 20 * torch.rand(units, generator=generator)
    return PackedNetwork.from_model(model.eval())


@pytest.mark.parametrize("one_bit", [False, True])
@pytest.mark.parametrize("widths", [(1, 1, 2), (33, 10), (31, 7, 3), (64, 65, 32, 10), (100, 33, 31, 9, 8, 5)])
def test_networks_of_any_width_and_depth_compute_what_python_computes(engine, widths, one_bit, generator, tmp_path):
    images = torch.randint(0, 256, (100, widths[0]), generator=generator, dtype=torch.uint8).numpy()
    images[:2] = [[0], [255]]
    assert_parity(engine, random_network(widths, one_bit, generator), images, tmp_path)


# Files

MODEL = recipe.FILES["w1a1"]
VERSION_2 = Path(__file__).parents[1] / "packed" / "version_2.safetensors"


def test_every_single_flipped_bit_is_noticed(engine):
    put(engine, "network", MODEL.read_bytes())
    places = np.random.default_rng(0).integers(0, 8 * MODEL.stat().st_size, 300).tolist() + list(range(0, 640, 7))
    script = """async (places) => {
      const file = await fetchBytes("network");
      const unnoticed = [];
      for (const place of places) {
        const damaged = Uint8Array.from(file);
        damaged[place >> 3] ^= 1 << (place & 7);
        const error = await readNetwork(damaged).catch((error) => error);
        if (!(error instanceof FileError)) unnoticed.push(place);
      }
      return unnoticed;
    }"""
    assert compute(engine, script, places) == []


def small_mlp(generator):
    return random_network((20, 9, 3), False, generator)


def small_convnet(generator):
    """Signs with pooling, then ternary weights and codes."""
    conv = bnn.GenConv2d(1, 4, 3, pool=2, activation=bnn.sign_ste, forward_map=bnn.binary_conv2d, normalise=True)
    hidden = bnn.GenDense(16, 4, bnn.quantised_relu, bnn.ternary_linear, normalise=True)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 6, 6)), conv, nn.Flatten(), hidden, bnn.GenDense(4, 3, forward_map=FOUR_BITS)
    )
    return PackedNetwork.from_model(shaken(model, generator))


def rewritten(network, change, path):
    """The content of a small network's file, with its digest, after a change of its tensors or its description."""
    network(torch.Generator().manual_seed(0)).save(path)
    tensors = load_file(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    spec = json.loads(metadata["network"])
    change(tensors, spec)
    metadata["network"] = json.dumps(spec)
    texts = metadata["network"] + metadata["provenance"]
    digest = sha256(texts.encode() + b"".join(tensors[name].tobytes() for name in sorted(tensors)))
    return to_safetensors(tensors, metadata | {"sha256": digest.hexdigest()})


def entry(name, index, value):
    return lambda tensors, spec: tensors[name].__setitem__(index, value)


def layer(i, **values):
    return lambda tensors, spec: spec["layers"][i].update(values)


@pytest.mark.parametrize(
    ("network", "change", "reason"),
    [
        (small_mlp, lambda tensors, spec: None, None),
        (small_mlp, entry("0.threshold", 0, -255 * 20 - 1), "0.threshold out of range"),
        (small_mlp, entry("0.threshold", 0, 255 * 20 + 2), "0.threshold out of range"),
        (small_mlp, entry("1.scale", 0, np.nan), "1.scale or 1.shift that is not finite"),
        (small_mlp, entry("1.shift", 2, np.inf), "1.scale or 1.shift that is not finite"),
        (small_mlp, entry("0.weight", (8, 2), 16), "0.weight with more than its weights"),
        (small_mlp, lambda tensors, spec: tensors.pop("1.shift"), "[] instead of [1.shift: F64 of 3]"),
        (small_mlp, lambda tensors, spec: tensors.update(more=np.zeros(1)), "[more: F64 of 1] instead of []"),
        (
            small_mlp,
            lambda tensors, spec: tensors.update({"0.threshold": np.zeros(9)}),
            "instead of [0.threshold: I32 of 9]",
        ),
        (small_mlp, lambda tensors, spec: spec.update(pixel_threshold=257), "a pixel threshold of 257"),
        (small_mlp, lambda tensors, spec: spec.update(shape=[4, 5]), "images of shape [4,5]"),
        (small_mlp, lambda tensors, spec: spec.update(layers=[]), "no layers"),
        (small_mlp, lambda tensors, spec: spec["layers"].insert(0, None), "layer 0 without a shape"),
        (small_mlp, layer(1, shape=[3, 8]), "layer 1 of shape 3,8, which gets 9 inputs"),
        (small_mlp, layer(0, shape=[9, 1, 4, 5]), "layer 0 of shape 9,1,4,5"),
        (small_mlp, layer(0, shape=[9, 1, 4, 4]), "layer 0 of shape 9,1,4,4, which gets 20 inputs"),
        (small_mlp, layer(0, bits=9), "layer 0 of 9 bits"),
        (small_mlp, layer(0, activation="tanh"), 'layer 0 with "tanh"'),
        (small_mlp, layer(0, activation="logits"), 'layer 0 with "logits"'),
        (small_convnet, lambda tensors, spec: None, None),
        (
            small_convnet,
            lambda tensors, spec: spec.update(shape=[2, 6, 6]),
            "layer 0 of shape 4,1,3,3, which gets 2,6,6",
        ),
        (small_convnet, layer(0, pooled=False), "layer 1 of shape 4,16, which gets 64 inputs"),
        (small_convnet, lambda tensors, spec: tensors.pop("0.inverted"), "[] instead of [0.inverted: U8 of 1,1]"),
        (small_convnet, layer(0, stride=0), "layer 0 with the numbers [0,0,0,1]"),
        (small_convnet, entry("0.inverted", (0, 0), 16), "0.inverted with bits beyond its 4 columns"),
        (small_convnet, entry("1.weight", (0, 0), 243), "1.weight with more than its weights"),
        (small_convnet, entry("1.weight", (0, 3), 3), "1.weight with more than its weights"),
        (small_convnet, entry("1.offset", 0, 2**31 - 1), "1.multiplier or 1.offset out of range"),
        (small_convnet, layer(1, top=256), "layer 1 with the numbers"),
        (small_convnet, layer(1, point=32), "layer 1 with the numbers"),
        (small_convnet, lambda tensors, spec: spec["layers"][1].pop("point"), "layer 1 of codes without point and top"),
        (small_convnet, layer(1, padding=1), "layer 1 of shape 4,16"),
    ],
)
def test_what_does_not_fit_together_is_refused_though_its_digest_is_right(engine, network, change, reason, tmp_path):
    put(engine, "network", rewritten(network, change, tmp_path / "network"))
    script = """async () => {
      const error = await readNetwork(await fetchBytes("network")).catch((error) => error);
      return error instanceof Error ? [error instanceof FileError, error.message] : null;
    }"""
    outcome = compute(engine, script)
    assert outcome is None if reason is None else outcome[0] and reason in outcome[1], outcome


def test_a_flipped_bit_of_the_version_is_refused(engine, tmp_path):
    """The digest does not know the version."""
    content = rewritten(small_mlp, lambda tensors, spec: None, tmp_path / "network")
    put(engine, "network", content.replace(b"network, version 3", b"network, version 2"))
    script = "async () => (await readNetwork(await fetchBytes('network')).catch((error) => error)).message"
    assert "a layer of version 2 with" in compute(engine, script)


def test_small_logits_have_the_same_class(engine, tmp_path):
    scale = np.array([1e-12, 3e-12, 2e-12])
    change = [entry("1.scale", slice(None), scale), entry("1.shift", slice(None), 0)]
    content = rewritten(small_mlp, lambda *parts: [each(*parts) for each in change], tmp_path / "network")
    images = np.random.default_rng(0).integers(0, 256, (50, 20), np.uint8)
    put(engine, "network", content)
    put(engine, "images", images.tobytes())
    (tmp_path / "small").write_bytes(content)
    classes = PackedNetwork.load(tmp_path / "small").predict(images)
    assert len(set(classes.tolist())) > 1
    assert [digit for digit, *_ in compute(engine, READ)] == classes.tolist()


def test_a_file_of_version_2_computes_what_python_computes(engine, tmp_path):
    network = PackedNetwork.load(VERSION_2)
    put(engine, "network", VERSION_2.read_bytes())
    images = np.random.default_rng(0).integers(0, 256, (100, np.prod(network.shape)), np.uint8)
    put(engine, "images", images.tobytes())
    digits, logits, _ = zip(*compute(engine, READ), strict=True)
    assert list(digits) == network.predict(images).tolist()
    assert np.array_equal(logits, network.logits(images))
