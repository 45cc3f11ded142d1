""" "Train your own digits" on the page "Playground": what it folds and writes against Python's, and the whole way."""

import base64
import gzip
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import shaken
from playwright.sync_api import expect
from safetensors.numpy import load, save
from screens import DESKTOP, PHONE
from test_draw import draw_strokes

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.export.c import to_c
from docs.web.make import digits, recipe
from docs.web.make.prepare import prepare_strokes

DOCS = Path(__file__).parents[2] / "docs"
MODULES = """async () => {
  const names = ["engine/fold", "engine/write", "engine/c", "engine/read", "playground/digits/images"];
  Object.assign(window, ...(await Promise.all(names.map((name) => import(new URL(`../web/${name}.js`, location))))));
  window.fetchBytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
}"""
MODEL = recipe.FILES["w1a8"]
TRAINED = ".train[data-result]"


# The files that the page loads


def test_the_digits_are_held_out_ones_and_others_as_the_command_writes_them(full):
    kept, expected = load(gzip.decompress(digits.FILE.read_bytes())), digits.choose(full)
    assert kept.keys() == expected.keys()
    assert all(np.array_equal(kept[name], expected[name]) for name in kept)
    assert np.bincount(kept["train.labels"]).tolist() == [400] * 10
    assert np.bincount(kept["held_out.labels"]).tolist() == [100] * 10


def test_held_out_digits_are_none_of_those_to_train_on(full):
    chosen, split = digits.choose(full), bnn.hold_out(full)
    rows = {name: {row.tobytes() for row in chosen[f"{name}.images"]} for name in ("train", "held_out")}
    assert rows["held_out"] <= {row.tobytes() for row in split.test_images.numpy()}
    assert not rows["train"] & rows["held_out"]


def test_the_button_says_how_much_it_loads():
    size = digits.FILE.stat().st_size
    assert size <= 1_500_000
    assert f"Load 4,000 digits ({size / 1e6:.1f} MB)" in (DOCS / "overrides" / "train.html").read_text()


# Folding and writing


def learned(generator, data):
    """A network that has learned for an epoch."""
    config = bnn.TrainConfig(epochs=1, learning_rate=3e-3, clamp="step")
    return bnn.train(config, data, bnn.binary_mlp(generator=generator), progress=False)[1]


def wild(generator, data=None):
    """A network with every kind of γ: of both signs, zero and minus zero, tiny and huge."""
    model = shaken(bnn.binary_mlp(generator=generator), generator)
    for layer in model[:2]:
        layer.norm.weight.data[:8] = torch.tensor([1e-45, -1e-45, 1e-30, -1e-38, 0.0, -0.0, 0.0, 1e30])
        layer.norm.bias.data[4:7] = torch.tensor([-0.0, 0.0, -1e-45])
    model[0].weight.data[:, :2] = torch.tensor([0.0, -0.0])
    return model


def of_codes(generator, data=None):
    """With 8-bit activations, and widths that fill no group of a table and no dozen of neurons."""
    model = bnn.binary_mlp((784, 61, 35, 10), bnn.quantised_relu, generator=generator)
    model = shaken(model, generator)
    model[0].norm.weight.data[:4] = torch.tensor([0.0, -0.0, 1e-30, 1e3])
    return model


def narrow(generator, data=None):
    """So few neurons that a table has four inputs."""
    return shaken(bnn.binary_mlp((26, 5, 3), bnn.quantised_relu, generator=generator), generator)


NETWORKS = {"learned": learned, "wild": wild, "codes": of_codes, "narrow": narrow}
PROVENANCE = {"data": 'MNIST\'s "digits" \\ */ @scale@', "seed": "0"}
WRITE = """async ({ provenance, widths, activation }) => {
  const numbers = new Float32Array((await fetchBytes("parameters")).buffer);
  let at = 0;
  const take = (count) => numbers.slice(at, (at += count));
  const layers = widths.slice(1).map((outputs, i) => ({
    inputs: widths[i], outputs, weight: take(outputs * widths[i]),
    norm: { weight: take(outputs), bias: take(outputs), mean: take(outputs), variance: take(outputs) },
  }));
  const folded = fold(layers, activation);
  const text = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return [text(await writeNetwork(folded, provenance)), await toC(folded, "my_digits", provenance)];
}"""


@pytest.fixture(scope="module")
def engine(tab):
    """The page for all who only compute there."""
    tab.goto("playground/")
    tab.evaluate(MODULES)
    return tab


def written(page, model):
    """The network's file and its C file, as the page writes them."""
    norms = [(x.norm.weight, x.norm.bias, x.norm.running_mean, x.norm.running_var) for x in model]
    numbers = [t.detach().numpy().tobytes() for x, norm in zip(model, norms, strict=True) for t in (x.weight, *norm)]
    page.unroute("**/playground/parameters")
    page.route("**/playground/parameters", lambda route: route.fulfill(body=b"".join(numbers)))
    widths = [model[0].in_features, *(layer.out_features for layer in model)]
    activation = "codes" if model[0].activation is bnn.quantised_relu else "sign"
    file, text = page.evaluate(WRITE, {"provenance": PROVENANCE, "widths": widths, "activation": activation})
    return base64.b64decode(file), text


def parts(file):
    """The header's length, the header with its metadata in the order of their names, and all bytes after it.

    In Python the metadata are in another order each time.
    """
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    return length, json.dumps(header), file[8 + length :]


@pytest.mark.parametrize("name", NETWORKS)
def test_what_the_page_writes_is_what_python_writes_to_the_byte(engine, name, generator, tiny, tmp_path):
    model = NETWORKS[name](generator, tiny)
    network = packed.PackedNetwork.from_model(model, PROVENANCE)
    network.save(tmp_path / "network")
    to_c(network, tmp_path / "my_digits.c")
    file, text = written(engine, model)
    assert parts(file) == parts((tmp_path / "network").read_bytes())
    assert text == (tmp_path / "my_digits.c").read_text()


@pytest.mark.parametrize("name", ["weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_refused(engine, name, value, generator):
    model = wild(generator)
    model[1].state_dict()[name].view(-1)[3] = value
    with pytest.raises(Exception, match="not finite: train again"):
        written(engine, model)


def test_own_digits_are_repeated_forty_times_but_are_a_fifth_at_most(engine):
    counts = [0, 1, 10, 25, 50, 100]
    times = engine.evaluate("(counts) => counts.map((own) => timesFor(4000, own))", counts)
    assert times[1:4] == [40, 40, 40]
    assert all(own * n / (4000 + own * n) <= 0.2 for own, n in zip(counts, times, strict=True))
    assert engine.evaluate("timesFor(8, 3)") == 1


def test_own_digits_are_mixed_in_with_their_labels(engine):
    script = """() => { const image = (ink) => new Uint8Array(784).fill(ink);
      const digits = { images: new Uint8Array(784 * 16), labels: new Uint8Array(16).fill(5) };
      const { images, labels } = mixed(digits, [{ image: image(7), label: 1 }, { image: image(9), label: 2 }]);
      const inks = Array.from(labels, (_, i) => images[784 * i + 783]);
      return [images.length / 784, [...labels.slice(14)], inks.slice(14)]; }"""
    assert engine.evaluate(script) == [20, [5, 5, 1, 2, 1, 2], [0, 0, 7, 9, 7, 9]]


# The whole way

ONE, SEVEN = [[(140, 40), (140, 140), (140, 240)]], [[(80, 60), (140, 60), (200, 60), (160, 150), (120, 240)]]


@pytest.fixture(scope="module")
def few(full):
    """The digits' file with few to train on, so that an epoch is short."""
    chosen = digits.choose(full)
    few = {name: chosen[name][: 300 if name.startswith("train") else None] for name in chosen}
    return gzip.compress(save(few), compresslevel=1)


def opened(page, few):
    page.route("**/digits.safetensors.gz", lambda route: route.fulfill(body=few))
    page.goto("playground/")
    page.locator(".train[data-state=idle]").wait_for()
    page.locator(".train .draw-paper").scroll_into_view_if_needed()
    return page


@pytest.fixture
def fresh(page, few):
    return opened(page, few)


def press(page, name):
    page.locator(f".train [data-part={name}]").click()


def add(page, strokes, label):
    page.locator(".train .draw-paper").scroll_into_view_if_needed()
    draw_strokes(page, strokes)
    page.locator(".train-labels button").nth(label).click()


def load_digits(page):
    press(page, "load")
    page.locator(".train[data-state=ready]").wait_for()


def train(page, epochs="1"):
    page.locator("[data-part=epochs]").select_option(epochs)
    press(page, "train")
    page.locator(".train-runs tbody tr").last.wait_for(timeout=120_000)  # seconds, unless the machine is busy


def text(page, name):
    return page.locator(f".train [data-part={name}]").text_content()


@pytest.fixture(scope="module")
def trained(browser, server, few):
    """The page after an epoch with two digits of the reader's, with what was asked of the network on the way."""
    context = browser.new_context(base_url=server, reduced_motion="reduce")
    page = opened(context.new_page(), few)
    page.asked = []
    page.on("request", lambda request: page.asked.append((request.method, request.url)))
    add(page, ONE, 1)
    add(page, SEVEN, 7)
    page.asked_before = list(page.asked)
    load_digits(page)
    train(page)
    yield page
    context.close()


@pytest.fixture(scope="module")
def downloads(trained, tmp_path_factory):
    """The folder with both files."""
    folder = tmp_path_factory.mktemp("downloads")
    for name in ("download", "download-c"):
        with trained.expect_download() as download:
            press(trained, name)
        download.value.save_as(folder / download.value.suggested_filename)
    return folder


def test_nothing_is_asked_of_any_server_before_the_button_and_nothing_is_sent(trained, downloads):
    assert trained.asked_before == []
    names = {address.split("/")[-1] for method, address in trained.asked if not address.startswith("blob:")}
    assert {"digits.safetensors.gz", "worker.js", "head.c"} <= names
    assert {method for method, _ in trained.asked} == {"GET"}


def test_python_reads_the_download_and_finds_the_same_classes(trained, downloads, full):
    network, chosen = packed.PackedNetwork.load(downloads / "my_digits.safetensors"), digits.choose(full)
    classes, labels = network.predict(chosen["held_out.images"]), chosen["held_out.labels"]
    trained.evaluate(MODULES)
    script = """async () => {
      const kept = atob(localStorage.getItem("bnn_tutorial.network"));
      const network = await readNetwork(Uint8Array.from(kept, (letter) => letter.charCodeAt(0)));
      const { heldOut: { images, labels } } = await loadDigits();
      return Array.from(labels, (_, i) => network.predict(images.subarray(784 * i, 784 * i + 784)).digit); }"""
    press(trained, "use")
    assert trained.evaluate(script) == classes.tolist()
    assert network.provenance["accuracy"].startswith(f"{(classes == labels).mean():.4f} of 1000")
    assert network.provenance["data"] == "300 digits of MNIST and 2 of yours, 37 times each"


def test_the_c_file_is_what_to_c_makes_of_the_download(downloads, tmp_path):
    to_c(packed.PackedNetwork.load(downloads / "my_digits.safetensors"), tmp_path / "my_digits.c")
    assert (downloads / "my_digits.c").read_bytes() == (tmp_path / "my_digits.c").read_bytes()


def test_the_table_says_how_it_was_trained_and_what_it_reads(trained, downloads):
    network = packed.PackedNetwork.load(downloads / "my_digits.safetensors")
    own = np.array([prepare_strokes(strokes) for strokes in (ONE, SEVEN)])
    right = (network.predict(own) == [1, 7]).sum()
    held_out = f"{100 * float(network.provenance['accuracy'].split()[0]):.1f} %"
    cells = trained.locator(".train-runs tbody tr").first.locator("td").all_text_contents()
    assert cells == ["1", "300 + 2 × 37", "1", "1", held_out, f"{right} of 2"]
    expect(trained.locator("[data-curve=accuracy] output")).to_have_text(held_out)


def test_the_progress_is_drawn_and_said(trained):
    for name in ("loss", "flips", "accuracy"):
        assert len(trained.locator(f"[data-curve={name}] path").get_attribute("d")) > 5
        assert re.search(r"\d", trained.locator(f"[data-curve={name}] svg").get_attribute("aria-label"))
    assert text(trained, "heard").startswith("Done: your network gets ")


def test_the_paper_is_read_by_the_new_network(trained, downloads):
    network = packed.PackedNetwork.load(downloads / "my_digits.safetensors")
    trained.locator(".train .draw-paper").scroll_into_view_if_needed()
    draw_strokes(trained, SEVEN)
    trained.locator(".train-labels").focus()
    trained.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert text(trained, "verdict").startswith("Looks like")
    logits = network.logits(prepare_strokes(SEVEN)[None])[0]
    shown = trained.locator(".train .draw-bars small").all_text_contents()
    assert [float(logit.replace("−", "-")) for logit in shown] == pytest.approx(logits, abs=0.051)
    press(trained, "clear")


def test_the_draw_page_reads_with_it_and_back_with_the_shipped_one(trained, downloads):
    press(trained, "use")
    page = trained.context.new_page()
    page.goto("draw/")
    yours = page.get_by_label("your network, trained on 300 digits of MNIST and 2 of yours")
    shipped, size = page.get_by_label("8 bits", exact=True), page.locator("[data-part=file]")
    sizes = [f"{file.stat().st_size:,} bytes" for file in (downloads / "my_digits.safetensors", MODEL)]
    expect(size).to_have_text(sizes[0])
    shipped.check()
    expect(size).to_have_text(sizes[1])
    assert page.locator(".draw-inside figure").count() == len(packed.PackedNetwork.load(MODEL).layers)
    yours.check()
    expect(size).to_have_text(sizes[0])
    shipped.check()
    expect(size).to_have_text(sizes[1])  # only then the choice is made, and yours forgotten
    page.reload()
    page.locator(".draw[data-state=ready]").wait_for()
    assert page.locator(".draw-networks input").count() == 2


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_trained_network_has_no_fault_of_accessibility_and_fits(trained, size):
    trained.set_viewport_size(size)
    trained.locator("label.md-header__button[for^=__palette]:visible").click()  # once light, once dark
    assert trained.evaluate("document.documentElement.scrollWidth") == size["width"]
    boxes = [it.bounding_box() for it in trained.locator(".train :is(button, select):visible").all()]
    assert len(boxes) == 31
    assert min(min(box["width"], box["height"]) for box in boxes) >= 44
    trained.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = trained.evaluate("() => axe.run('.train', { resultTypes: ['violations'] })")["violations"]
    assert [(fault["id"], node["html"]) for fault in found for node in fault["nodes"]] == []


# Labels, by pointer and by key


def test_digits_are_labelled_and_removed_by_keys(fresh):
    for label in "123":
        draw_strokes(fresh, ONE)
        fresh.keyboard.press(label)
    names = [it.get_attribute("aria-label") for it in fresh.locator(".train-own button").all()]
    assert names == ["Remove this 1", "Remove this 2", "Remove this 3"]
    fresh.locator(".train-own button").first.press("Enter")
    fresh.keyboard.press("Enter")  # the next one has the focus
    assert fresh.locator(".train-own button").count() == 1
    assert text(fresh, "count").startswith("Your digits: 1.")
    fresh.keyboard.press("Enter")
    assert fresh.evaluate("document.activeElement.dataset.part") == "own"  # not the top of the page


def test_a_key_labels_nothing_where_the_paper_is_empty_or_one_types(fresh):
    fresh.keyboard.press("1")
    draw_strokes(fresh, ONE)
    fresh.get_by_role("textbox", name="Search").press("1")
    expect(fresh.locator("#__search")).to_be_checked()
    fresh.keyboard.press("Escape")
    expect(fresh.get_by_role("textbox", name="Search")).not_to_be_focused()
    fresh.keyboard.press("Control+1")
    assert fresh.locator(".train-own button").count() == 0


@pytest.mark.parametrize(
    ("press", "label"),
    [
        ({"key": "&", "code": "Digit1"}, "1"),
        ({"key": "٣", "code": "Digit3"}, "3"),
        ({"key": "!", "shiftKey": True}, None),
    ],
    ids=["French", "Arabic", "with Shift"],
)
def test_a_digits_key_is_known_on_every_keyboard(fresh, press, label):
    draw_strokes(fresh, ONE)
    script = "(press) => document.body.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...press }))"
    fresh.evaluate(script, {"code": "Digit1"} | press)
    assert fresh.locator(".train-own b").all_text_contents() == ([label] if label else [])


def test_a_held_out_digit_does_not_become_one_to_train_on(trained):
    trained.get_by_role("button", name="A 4 from the held-out digits").click()
    trained.keyboard.press("4")
    assert trained.locator(".train-own button").count() == 2
    assert "held out for measuring" in text(trained, "status")
    press(trained, "clear")


# Mishaps


def test_a_training_that_is_stopped_leaves_a_network(fresh):
    fresh.unroute("**/digits.safetensors.gz")  # all of them, so that it lasts
    load_digits(fresh)
    fresh.locator("[data-part=epochs]").select_option("20")
    press(fresh, "train")
    fresh.wait_for_function("parseFloat(document.querySelector('.train [data-part=progress]').value) > 0")
    press(fresh, "stop")
    fresh.locator(TRAINED).wait_for(timeout=10_000)
    assert re.match(r"Stopped after \d+\.\d epochs: your network gets ", text(fresh, "status"))
    assert re.fullmatch(r"\d+\.\d of 20", fresh.locator(".train-runs td").nth(3).text_content())
    press(fresh, "train")
    fresh.locator(".train[data-state=training]").wait_for()


def test_digits_that_do_not_come_can_be_asked_for_again(page, few):
    page.route("**/digits.safetensors.gz", lambda route: route.fulfill(body=gzip.compress(gzip.decompress(few)[:-9])))
    page.goto("playground/")
    press(page, "load")
    page.locator("[data-part=status]", has_text="The digits cannot be loaded: found").wait_for()
    page.route("**/digits.safetensors.gz", lambda route: route.fulfill(body=few))
    load_digits(page)


def test_a_worker_that_does_not_come_is_reported(fresh):
    fresh.route("**/web/playground/digits/worker.js", lambda route: route.abort())
    load_digits(fresh)
    press(fresh, "train")
    fresh.locator("[data-part=status]", has_text="The training failed").wait_for()
    assert fresh.locator(".train[data-state=ready] [data-part=train][aria-disabled=false]").count() == 1


@pytest.mark.parametrize(
    ("browser_has", "reason"),
    [
        (
            "window.Worker = class { constructor() { throw new Error('workers are forbidden'); } }",
            "workers are forbidden",
        ),
        ("delete window.Worker", "Worker is not defined"),
    ],
)
def test_a_browser_without_workers_says_so_and_trains_no_more(page, few, browser_has, reason):
    page.add_init_script(browser_has)
    load_digits(opened(page, few))
    press(page, "train")
    page.locator("[data-part=status]", has_text=f"The training failed ({reason})").wait_for()
    assert page.locator(".train[data-state=ready]").count() == 1


def test_a_worker_that_is_sent_as_text_is_reported_as_that(fresh):
    fresh.route("**/digits/worker.js", lambda it: it.fulfill(response=it.fetch(), content_type="text/plain"))
    load_digits(fresh)
    press(fresh, "train")
    fresh.locator("[data-part=status]", has_text="the server sends its scripts as text/plain").wait_for()


def test_a_browser_that_cannot_unpack_the_digits_says_so(page, few):
    page.add_init_script("delete window.DecompressionStream")
    press(opened(page, few), "load")
    page.locator(
        "[data-part=status]", has_text="The digits cannot be loaded: this browser cannot unpack files"
    ).wait_for()


def test_scripts_that_are_not_there_are_reported(page):
    page.route("**/web/playground/digits/own.js", lambda route: route.abort())
    page.goto("playground/")
    fault = page.locator(".train").get_by_role("alert").filter(has_text="its scripts are missing; reload the page")
    fault.wait_for(timeout=10_000)
    assert "cannot train a network" in fault.text_content()
    assert not page.locator(".train button").first.is_visible()


KEPT = "(text) => localStorage.setItem('bnn_tutorial.network', text)"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda file: "no base64!", "not correctly encoded"),
        (lambda file: base64.b64encode(file[:-1] + bytes([file[-1] ^ 1])).decode(), "does not match its SHA-256"),
        (lambda file: base64.b64encode(b"").decode(), "0 bytes, too few"),
    ],
)
def test_a_kept_network_that_is_damaged_is_refused_and_the_shipped_one_reads(page, damage, reason):
    page.goto("404.html")
    page.evaluate(KEPT, damage(MODEL.read_bytes()))
    page.goto("draw/")
    status = page.locator("[data-part=network-status]", has_text="is damaged and has been removed")
    status.wait_for()
    assert reason in status.text_content()
    expect(page.locator("[data-part=file]")).to_have_text(f"{MODEL.stat().st_size:,} bytes")
    assert page.evaluate("localStorage.getItem('bnn_tutorial.network')") is None


def test_a_kept_network_of_another_shape_is_refused(page, generator, tmp_path):
    packed.PackedNetwork.from_model(bnn.binary_mlp((20, 9, 3), generator=generator)).save(tmp_path / "network")
    page.goto("404.html")
    page.evaluate(KEPT, base64.b64encode((tmp_path / "network").read_bytes()).decode())
    page.goto("draw/")
    page.locator("[data-part=network-status]", has_text="a network of 20 pixels and 3 classes").wait_for()


def test_over_plain_http_from_another_machine_the_network_reads_but_the_file_is_refused(page, server, few):
    elsewhere = "http://elsewhere.test/"
    page.route(
        f"{elsewhere}**", lambda it: it.fulfill(response=it.fetch(url=it.request.url.replace(elsewhere, server)))
    )
    page.route("**/digits.safetensors.gz", lambda route: route.fulfill(body=few))
    page.goto(f"{elsewhere}playground/")
    load_digits(page)
    train(page)
    press(page, "download")
    assert "over https" in text(page, "said")
