"""The engine of the page "Playground" against PyTorch: from the same start, the same batches give the same network."""

import json
import math
from functools import partial
from itertools import accumulate, cycle, islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import bnn_tutorial as bnn
from bnn_tutorial.layers import eval_mode

ESTIMATORS = {
    "none": bnn.sign,
    "identity": bnn.sign_ste,
    "clipped": bnn.clipped_sign_ste,
    "tanh": bnn.tanh_sign,
    "triangle": bnn.approx_sign,
    "swish": bnn.swish_sign,
}
OPTIONS = {
    "widths": [2, 6, 5, 8],  # few classes would often give a unit outgoing weights that are all alike, and no gradient
    "binaryWeights": True,
    "activation": "sign",
    "estimator": "clipped",
    "clip": 0.7,
    "batchNorm": True,
    "clamp": True,
    "optimiser": "adam",
}
RATES = {"adam": 0.003, "sgd": 0.03}
MODULES = """async () => {
  for (const name of ["learning", "random", "trainer"]) Object.assign(window, await import(`./${name}.js`));
  window.tensorsOf = ({ layers }) => Object.fromEntries(layers.flatMap(({ weight, bias, norm }, i) => Object.entries({
    weight,
    ...(norm ? { "norm.weight": norm.weight, "norm.bias": norm.bias } : { bias }),
    ...(norm && { "norm.running_mean": norm.mean, "norm.running_var": norm.variance }),
  }).map(([name, tensor]) => [`${i}.${name}`, tensor])));
  window.networkFrom = (options, Floats, start) => {
    const network = new Network(options, Floats, new Random(0));
    for (const [name, tensor] of Object.entries(tensorsOf(network))) tensor.set(start[name]);
    return network;
  };
  window.pixelsOf = (bytes) => Float32Array.from(bytes, (byte) => byte / 255);
  window.asText = (x) => JSON.stringify(x, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value));
}"""


@pytest.fixture(scope="module")
def engine(tab):
    """A page with the engine's exports as globals. It is the text of a script, on which nothing else runs."""
    tab.goto("web/engine/learning.js")
    tab.evaluate(MODULES)
    return tab


def compute(page, script, argument=None):
    """What a function of JavaScript returns; as text both ways, since Playwright is slow with long lists."""
    return json.loads(page.evaluate(f"async (x) => asText(await ({script})(JSON.parse(x)))", json.dumps(argument)))


# Parity with PyTorch


@bnn.keeps(bnn.binary_weights)
def stopped_linear(layer, x):
    """As `binary_linear`, but with the true derivative of the sign, 0."""
    return F.linear(x, bnn.sign(layer.weight), layer.bias)


def model_of(options, generator):
    """PyTorch's network, in float64. Random shifts and scales, too: so no pre-activation is 0 but for rounding."""
    binary_map = stopped_linear if options["estimator"] == "none" else bnn.binary_linear
    forward_map = binary_map if options["binaryWeights"] else bnn.linear
    window = {"clip": options["clip"]} if options["estimator"] == "clipped" else {}
    sign = partial(ESTIMATORS[options["estimator"]], **window)
    activation = {"sign": sign, "tanh": torch.tanh, "codes": bnn.quantised_relu}[options["activation"]]
    model = bnn.binary_mlp(options["widths"], activation, forward_map, options["batchNorm"], generator=generator)
    for layer in model:
        for shift in [layer.bias] if layer.norm is None else [layer.norm.bias, layer.norm.weight]:
            shift.data += torch.rand(len(shift), generator=generator)
    return model.double()


def numbers_of(model):
    """The tensors by name, as plain lists."""
    return {name: tensor.flatten().tolist() for name, tensor in model.state_dict().items()}


def learn(options, model, batches, rates):
    """The loop of PyTorch's tutorials. Returns the loss, right answers and flips of each step."""
    optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[options["optimiser"]](model.parameters(), lr=1)
    return [step(options, model, optimizer, *batch, rate) for batch, rate in zip(batches, rates, strict=True)]


def step(options, model, optimizer, x, y, rate):
    optimizer.param_groups[0]["lr"] = rate
    before = signs(model)
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if options["clamp"]:
        bnn.clamp_latent_weights_(model)
    return loss.item(), (logits.argmax(dim=1) == y).sum().item(), (signs(model) != before).sum().item()


def signs(model):
    return torch.cat([torch.zeros(0), *(layer.weight.detach().flatten() for layer in bnn.binary_layers(model))]) >= 0


def points(generator):
    """120 points of the plane, and in which eighth of it each lies."""
    x = torch.randn(120, 2, generator=generator).double()
    return x, (torch.atan2(x[:, 1], x[:, 0]) / torch.pi * 4 + 4).long().clamp(0, 7)


TRAIN = """({ options, start, x, y, steps, rate }) => {
  const network = networkFrom(options, Float64Array, start);
  const rows = y.length / 3;
  const history = Array.from({ length: steps }, (_, t) => {
    const [first, end] = [t % 3, (t % 3) + 1].map((part) => rows * part);
    const { loss, correct, flips } = network.step(x.slice(2 * first, 2 * end), y.slice(first, end), rows, rate);
    return [loss, correct, flips];
  });
  network.forward(x, y.length);
  const outputs = network.layers.map((layer) => layer.z.subarray(0, y.length * layer.outputs));
  return { history, numbers: tensorsOf(network), outputs };
}"""


def assert_parity(engine, changes, generator, steps=100):
    """History, parameters, and what all layers give in evaluation mode. Returns how many weights flipped."""
    options = OPTIONS | changes
    model, (x, y), rate = model_of(options, generator), points(generator), RATES[options["optimiser"]]
    problem = {"start": numbers_of(model), "x": x.flatten().tolist(), "y": y.tolist(), "steps": steps, "rate": rate}
    got = compute(engine, TRAIN, problem | {"options": options})
    batches = islice(cycle(zip(x.split(40), y.split(40), strict=True)), steps)
    history = learn(options, model, batches, [rate] * steps)
    np.testing.assert_allclose(got["history"], history, rtol=1e-9)
    assert_same_numbers(got["numbers"], model, rtol=1e-9, others=1e-8)
    with eval_mode(model):
        _, *outputs = accumulate(model, lambda z, layer: layer(z), initial=x)
    for mine, expected in zip(got["outputs"], outputs, strict=True):
        np.testing.assert_allclose(mine, expected.flatten(), rtol=0, atol=1e-7)
    return sum(flips for _, _, flips in history)


def assert_same_numbers(got, model, others, **tolerance):
    """The weights have the same signs and are within the tolerance; all other numbers are within `others`.

    Batch norm takes away what a shift before it adds, so some shifts have the gradient 0 but for rounding, 1e-17 or so.
    Adam divides it by its epsilon, 1e-8: at the rate 0.003, rounding moves such a shift by some 1e-9 in 300 steps.
    """
    expected = {name: values for name, values in numbers_of(model).items() if "num_batches" not in name}
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        if name not in {f"{i}.weight" for i in range(len(model))}:
            np.testing.assert_allclose(got[name], values, rtol=others, atol=others)
        else:
            np.testing.assert_allclose(got[name], values, **tolerance)
            assert np.array_equal(np.sign(got[name]), np.sign(values))


@pytest.mark.parametrize("optimiser", RATES)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_100_steps_of_a_binary_network_are_those_of_pytorch(engine, estimator, norm, optimiser, generator):
    changes = {"estimator": estimator, "batchNorm": norm, "optimiser": optimiser}
    flips = assert_parity(engine, changes, generator)
    assert (flips > 0) == (estimator != "none")


@pytest.mark.parametrize("optimiser", RATES)
@pytest.mark.parametrize("norm", [False, True])
def test_100_steps_of_the_float_twin_are_those_of_pytorch(engine, norm, optimiser, generator):
    changes = {"binaryWeights": False, "activation": "tanh", "batchNorm": norm, "optimiser": optimiser}
    assert assert_parity(engine, changes, generator) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"binaryWeights": False},
        {"activation": "codes"},
        {"activation": "codes", "binaryWeights": False, "optimiser": "sgd"},
        {"activation": "tanh", "estimator": "none"},
        {"activation": "tanh", "estimator": "identity", "clamp": False},
        {"widths": [2, 8]},
        {"widths": [2, 5, 3, 4, 8], "clamp": False, "optimiser": "sgd"},
    ],
    ids=str,
)
def test_other_mixtures_are_pytorch_s_too(engine, changes, generator):
    assert_parity(engine, changes, generator, steps=60)


FIRST_STEPS = """({ start, floats, images, labels, rates }) => {
  const network = networkFrom(OPTIONS, { Float32Array, Float64Array }[floats], start);
  const pixels = pixelsOf(images);
  const history = rates.map((rate, t) => {
    const [first, end] = [t, t + 1].map((part) => 64 * part);
    const { loss, correct, flips } = network.step(
      pixels.subarray(784 * first, 784 * end), labels.slice(first, end), 64, rate);
    return [loss, correct, flips];
  });
  return { history, numbers: tensorsOf(network) };
}"""


@pytest.mark.parametrize(
    ("floats", "tolerance"),
    [("Float64Array", {"rtol": 1e-9, "atol": 1e-12, "others": 1e-8}), ("Float32Array", {"atol": 3e-5, "others": 3e-5})],
)
def test_the_digit_trainer_s_first_20_steps_are_those_of_pytorch(engine, floats, tolerance, full):
    """Against PyTorch's float64. In float32 the bound is a hundredth of a step of Adam, which is at most 0.003 or so.

    That holds while no pre-activation is so near 0 that rounding decides about its sign, as from this seed. After that
    all numbers differ, and those of PyTorch's own float32 from its float64 do so no less.
    """
    options = OPTIONS | {"widths": [784, 300, 100, 10], "clip": 1.0}
    model = model_of(options, torch.Generator().manual_seed(1))
    images, labels = full.train_images[:1280], full.train_labels[:1280]
    rates = [0.003 * (1 + math.cos(math.pi * t / 315)) / 2 for t in range(20)]  # of five epochs of 4,000
    problem = {"start": numbers_of(model), "images": images.flatten().tolist(), "labels": labels.tolist()}
    got = compute(engine, FIRST_STEPS, problem | {"floats": floats, "rates": rates})
    batches = zip(bnn.scale_pixels(images).double().split(64), labels.split(64), strict=True)
    np.testing.assert_allclose(got["history"], learn(options, model, batches, rates), rtol=1e-5)
    assert_same_numbers(got["numbers"], model, **tolerance)


# Sign and slopes, starts, and what runs away


def test_sign_of_zero_is_plus_one_and_nan_stays_nan(engine):
    assert compute(engine, "() => [-2, -0, 0, 2, -Infinity].map(sign)") == [-1, 1, 1, 1, -1]
    assert compute(engine, "() => Number.isNaN(sign(NaN))")


@pytest.mark.parametrize("clip", [0.7, 1.0])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_slopes_are_pytorch_s_at_zeros_and_edges_too(engine, name, clip):
    x = torch.tensor([-1.7e308, -2.0, -1.0, -0.7, -0.3, -0.0, 0.0, 0.5, 0.7, 1.0, 1.5, 1.7e308], dtype=torch.float64)
    got = compute(engine, f"([x, clip]) => x.map((x) => ESTIMATORS.{name}(x, clip))", [x.tolist(), clip])
    slope = torch.func.vmap(torch.func.grad(partial(ESTIMATORS[name], **({"clip": clip} if name == "clipped" else {}))))
    np.testing.assert_allclose(got, slope(x), rtol=0, atol=1e-14)
    assert compute(engine, "() => Object.keys(ESTIMATORS)") == list(ESTIMATORS)


@pytest.mark.parametrize("scale", [1, 5])
def test_the_start_is_uniform_within_glorot_s_bound(engine, scale):
    script = "(options) => tensorsOf(new Network(options, Float64Array, new Random(3)))"
    numbers = compute(engine, script, OPTIONS | {"widths": [200, 100, 2], "batchNorm": False, "scale": scale})
    w, bound = np.array(numbers["0.weight"]), scale * math.sqrt(6 / 300)
    assert bound * 0.999 < np.abs(w).max() < bound
    assert abs(w.mean()) < 0.02 * bound
    assert w.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not np.any(numbers["0.bias"])


@pytest.mark.parametrize("norm", [False, True])
def test_a_batch_of_one_is_learned_without_nan(engine, norm):
    script = """(options) => {
      const network = new Network(options, Float64Array, new Random(0));
      const losses = [1, 2, 3].map(() => network.step([0.5, -1], [1], 1, 0.01).loss);
      return [...losses, ...Object.values(tensorsOf(network)).flatMap((tensor) => [...tensor])].every(Number.isFinite);
    }"""
    assert compute(engine, script, OPTIONS | {"batchNorm": norm})


def test_a_batch_of_none_is_refused_and_changes_nothing(engine):
    script = """(options) => {
      const network = new Network(options, Float64Array, new Random(0));
      const before = asText(network);
      try { network.step([], [], 0, 0.01); } catch (error) { return [error.message, before === asText(network)]; }
    }"""
    assert compute(engine, script, OPTIONS) == ["expected a batch of at least 1 row, got 0: leave the step out", True]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("optimiser", RATES)
@pytest.mark.parametrize("norm", [False, True])
def test_numbers_that_run_away_show_in_the_loss_and_throw_nothing(engine, norm, optimiser, binary):
    script = """(options) => {
      const network = new Network(options, Float64Array, new Random(0));
      return [1, 2, 3].map(() => Number.isFinite(network.step([0.5, -1, 2, 0.1], [1, 0], 2, Infinity).loss));
    }"""
    options = OPTIONS | {"batchNorm": norm, "optimiser": optimiser, "binaryWeights": binary, "clamp": False}
    assert compute(engine, script, options)[-1] is False


# Random numbers


def test_random_numbers_are_uniform_and_normal(engine):
    script = """() => {
      const random = new Random(7);
      return ["uniform", "normal"].map((kind) => Array.from({ length: 40000 }, () => random[kind]()));
    }"""
    uniform, normal = map(np.array, compute(engine, script))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert np.abs(np.histogram(uniform, 10, (0, 1))[0] / 4000 - 1).max() < 0.06
    assert abs(normal.mean()) < 0.02
    assert normal.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(normal) < 1) == pytest.approx(0.6827, abs=0.01)


def test_a_seed_gives_the_same_numbers_and_another_seed_others(engine):
    script = "() => [0, 0, 1, 2 ** 31].map((seed) => new Random(seed).uniform())"
    first, again, *others = compute(engine, script)
    assert first == again
    assert len({first, *others}) == 3


def test_each_order_of_a_shuffle_is_as_likely_as_another(engine):
    script = """() => {
      const random = new Random(0);
      return Array.from({ length: 6000 }, () => random.shuffle(["a", "b", "c"]).join(""));
    }"""
    orders, counts = np.unique(compute(engine, script), return_counts=True)
    assert orders.tolist() == ["abc", "acb", "bac", "bca", "cab", "cba"]
    assert np.abs(counts / 1000 - 1).max() < 0.1


# The digit trainer


def digits(data, count, first=0):
    images, labels = (part[first : first + count] for part in (data.train_images, data.train_labels))
    return {"images": images.flatten().tolist(), "labels": labels.tolist()}


TRAINER = "new Trainer({ images: pixelsOf(x.images), labels: Uint8Array.from(x.labels) }, 2, 0)"


def test_an_epoch_shows_every_digit_once_in_batches_of_nearly_one_size_and_in_a_new_order(engine, full):
    script = f"""(x) => {{
      const [trainer, batches] = [{TRAINER}, []];
      for (; !trainer.isDone; trainer.network.steps++) {{
        const count = trainer.fill();
        batches.push(Array.from({{ length: count }}, (_, n) => trainer.x.slice(784 * n, 784 * (n + 1))));
        batches.push(trainer.y.slice(0, count));
      }}
      return batches;
    }}"""
    batches = compute(engine, script, digits(full, 130))
    images, labels = (np.concatenate(batches[kind::2]).reshape(2, 130, -1) for kind in (0, 1))
    assert [len(batch) for batch in batches[::2]] == [43, 43, 44] * 2
    rows = np.hstack([bnn.scale_pixels(full.train_images[:130]), full.train_labels[:130, None]])
    first, second = np.concatenate([images, labels], axis=2)
    assert sorted(first.tolist()) == sorted(second.tolist()) == sorted(rows.tolist())
    assert not any(np.array_equal(a, b) for a, b in ((first, second), (first, rows), (second, rows)))


def test_the_rate_falls_along_half_a_cosine(engine, full):
    script = f"""(x) => {{
      const [trainer, rates] = [{TRAINER}, []];
      for (; rates.length <= trainer.steps; trainer.network.steps++) rates.push(trainer.rate);
      return rates;
    }}"""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.003)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
    rates = []
    for _ in range(7):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(compute(engine, script, digits(full, 130)), rates, atol=1e-15)


RUN = """({ digits, heldOut, epochs, stopAfter }) => new Promise((resolve) => {
  const worker = new Worker(new URL("../playground/digits/worker.js", location), { type: "module" });
  const messages = [];
  worker.onmessage = ({ data }) => {
    messages.push(data);
    if (messages.length === stopAfter) worker.postMessage({ type: "stop" });
    if (data.type !== "done" && data.type !== "failed") return;
    worker.terminate();
    resolve(messages);
  };
  const asTensors = ({ images, labels }) => ({ images: pixelsOf(images), labels: Uint8Array.from(labels) });
  worker.postMessage({ type: "start", ...asTensors(digits), heldOut: asTensors(heldOut), epochs, seed: 5 });
})"""


@pytest.fixture(scope="module")
def training(engine, full):
    """What the worker says during three epochs of 500 digits."""
    problem = {"digits": digits(full, 500), "heldOut": digits(full, 200, first=1000), "epochs": 3}
    return compute(engine, RUN, problem)


def of_type(messages, kind):
    return [message for message in messages if message["type"] == kind]


def test_the_worker_tells_of_its_progress_and_of_each_epoch(training):
    epochs, progress = of_type(training, "epoch"), of_type(training, "progress")
    assert [message["epoch"] for message in epochs] == [1, 2, 3]
    assert [message["type"] for message in training].index("done") == len(training) - 1 == len(epochs) + len(progress)
    assert all(0 < message["epoch"] <= 3 and message["secondsLeft"] >= 0 for message in progress)
    assert epochs[0]["loss"] > epochs[1]["loss"] > epochs[2]["loss"] > 0
    assert epochs[0]["flipRatio"] > epochs[1]["flipRatio"] > epochs[2]["flipRatio"] > 0
    assert epochs[2]["accuracy"] > 0.6


def test_an_epoch_s_loss_and_flips_are_means_over_its_steps(engine, training, full):
    script = """(x) => {
      const trainer = new Trainer({ images: pixelsOf(x.images), labels: Uint8Array.from(x.labels) }, 3, 5);
      return Array.from({ length: trainer.steps }, () => Object.values(trainer.step()));
    }"""
    expected = np.reshape(compute(engine, script, digits(full, 500)), (3, 8, 2)).mean(axis=1)
    got = [(message["loss"], message["flipRatio"]) for message in of_type(training, "epoch")]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_accuracy_is_what_pytorch_finds_with_the_trained_layers(training, full):
    done = training[-1]
    model = bnn.binary_mlp()
    for layer, trained in zip(model, done["layers"], strict=True):
        assert (trained["inputs"], trained["outputs"]) == (layer.in_features, layer.out_features)
        layer.weight.data = torch.tensor(trained["weight"]).view_as(layer.weight)
        norm, numbers = layer.norm, {name: torch.tensor(values) for name, values in trained["norm"].items()}
        norm.weight.data, norm.bias.data = numbers["weight"], numbers["bias"]
        norm.running_mean, norm.running_var = numbers["mean"], numbers["variance"]
    _, accuracy = bnn.evaluate(model, full.train_images[1000:1200], full.train_labels[1000:1200])
    assert accuracy == of_type(training, "epoch")[-1]["accuracy"]
    assert done["epoch"] == 3


def test_the_same_seed_gives_the_same_network(engine, training, full):
    problem = {"digits": digits(full, 500), "heldOut": digits(full, 1), "epochs": 3}
    assert compute(engine, RUN, problem)[-1] == training[-1]


def test_a_training_that_is_stopped_gives_its_network_as_it_is(engine, full):
    problem = {"digits": digits(full, 500), "heldOut": digits(full, 50), "epochs": 10_000, "stopAfter": 2}
    done = compute(engine, RUN, problem)[-1]
    assert done["type"] == "done"
    assert 0 < done["epoch"] < 10_000
    assert [len(layer["weight"]) for layer in done["layers"]] == [235_200, 30_000, 1_000]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"images": ["no number"] * 7840},
            "the loss became NaN in step 1: expected pixels that are numbers from 0 to 1",
        ),
        ({"labels": [0] * 9 + [10]}, "expected digits to train on with labels below 10"),
        ({"images": [0] * 7839}, "784 pixels for each, got 10 labels up to 9 and 7839 pixels"),
        ({"images": [], "labels": []}, "got 0 labels up to 0 and 0 pixels"),
    ],
)
def test_digits_that_cannot_be_learned_are_refused_with_the_reason(engine, full, change, reason):
    part = {"images": [0] * 7840, "labels": list(range(10))}
    problem = {"digits": part | change, "heldOut": part, "epochs": 1}
    (failed,) = compute(engine, RUN, problem)
    assert failed["type"] == "failed"
    assert reason in failed["message"]
