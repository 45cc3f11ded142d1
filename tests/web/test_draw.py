"""The page "Draw a digit": its engine against Python's, and its behaviour under mouse, finger, keyboard and mishap."""

import json
import re
from importlib import resources

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import load_file
from screens import DESKTOP, PHONE, SOME_VIEWS

from bnn_tutorial import packed
from docs.web.make import golden, handwriting, recipe
from docs.web.make.examples import FILE as EXAMPLES
from docs.web.make.examples import choose
from docs.web.make.prepare import prepare_picture, prepare_strokes

MODEL = recipe.FILES["w1a8"]
MODULES = """async () => {
  const names = ["draw/drawing", "draw/sketch"];
  const modules = names.map((name) => import(new URL(`../web/${name}.js`, location)));
  Object.assign(window, ...(await Promise.all(modules)));
  window.fetchBytes = async (name) => new Uint8Array(await (await fetch(`../web/draw/${name}`)).arrayBuffer());
  window.rows = (all, length) =>
    Array.from({ length: all.length / length }, (_, i) => all.subarray(i * length, (i + 1) * length));
}"""
READY = ".draw[data-state=ready]"
TOUCH = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}


@pytest.fixture
def draw(page):
    """The page, loaded, with the exports of its modules as globals."""
    return opened(page)


@pytest.fixture(scope="module")
def engine(tab):
    """The same page for all who only compute there."""
    return opened(tab)


def opened(page):
    page.goto("draw/")
    page.locator(READY).wait_for(timeout=10_000)
    page.evaluate(MODULES)
    return page


@pytest.fixture(scope="module")
def test_set(full):
    return full.test_images.numpy(), full.test_labels.numpy()


def put(page, name, content):
    """A file that the page finds beside its model."""
    page.route(f"**/web/draw/{name}", lambda route: route.fulfill(body=content))


def compute(page, script, argument=None):
    """What a function of JavaScript returns; as text on the way, since Playwright is slow with long lists."""
    return json.loads(page.evaluate(f"async (x) => JSON.stringify(await ({script})(x))", argument))


def test_it_reads_where_the_browser_may_store_nothing(page):
    blocked = "get() { throw new DOMException('Access is denied', 'SecurityError'); }"
    page.add_init_script(f"Object.defineProperty(window, 'localStorage', {{ {blocked} }});")
    assert opened(page).locator(READY).is_visible()


def test_the_examples_are_the_first_two_of_each_digit_in_the_test_set(full):
    kept, expected = load_file(EXAMPLES), choose(full)
    assert kept["labels"].tolist() == [*range(10), *range(10)]
    assert all(np.array_equal(kept[name], expected[name]) for name in ("images", "labels"))


def test_the_time_of_an_inference_is_shown(draw):
    shown = draw.locator("[data-part=time]", has_text="µs").text_content(timeout=10_000)
    assert re.fullmatch(r"[1-9][\d,]* µs", shown)


# Preparation


def prepared(page, strokes=(), pictures=()):
    script = """({ strokes, pictures }) => ({
      strokes: strokes.map((args) => [...prepareStrokes(...args)]),
      pictures: pictures.map(([pixels, width, height]) => [...preparePicture(Uint8Array.from(pixels), width, height)]),
    })"""
    return compute(page, script, {"strokes": list(strokes), "pictures": list(pictures)})


def test_golden_drawings_become_the_same_pixels(engine):
    expected = json.loads(golden.FILE.read_text())
    pictures = [(p.ravel().tolist(), p.shape[1], p.shape[0]) for p in map(golden.picture_of, expected["pictures"])]
    got = prepared(engine, [(entry["strokes"], entry["smallest"]) for entry in expected["strokes"]], pictures)
    for kind, entries in expected.items():
        wrong = [e["name"] for e, pixels in zip(entries, got[kind], strict=True) if bytes(pixels).hex() != e["pixels"]]
        assert wrong == []


@pytest.mark.parametrize("count", [100, pytest.param(400, marks=pytest.mark.slow)])
def test_random_strokes_become_the_same_pixels_in_both_languages(engine, count):
    rng = np.random.default_rng(1)
    drawings = [
        [rng.uniform(-20, 300, (rng.integers(1, 30), 2)).tolist() for _ in range(rng.integers(1, 4))]
        for _ in range(count)
    ]
    expected = [prepare_strokes(drawing).tolist() for drawing in drawings]
    assert prepared(engine, strokes=[[drawing] for drawing in drawings])["strokes"] == expected


@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_random_pictures_become_the_same_pixels_in_both_languages(engine, count):
    rng = np.random.default_rng(2)
    pictures = [
        (rng.integers(0, 256, shape) * (rng.random(shape) < rng.random())).astype(np.uint8)
        for shape in rng.integers(1, 70, (count, 2))
    ]
    got = prepared(engine, pictures=[(p.ravel().tolist(), p.shape[1], p.shape[0]) for p in pictures])
    assert got["pictures"] == [prepare_picture(picture).tolist() for picture in pictures]


BACK = """async () => {
  const sketch = new Sketch(document.querySelector(".draw-paper"), () => {});
  return rows(await fetchBytes("images"), 784).map((image) => {
    sketch.show(image);
    return [...sketch.prepared()];
  });
}"""


def test_images_on_the_canvas_are_read_as_well_as_they_are(engine, test_set):
    (images, labels), network = [part[::10] for part in test_set], packed.PackedNetwork.load(MODEL)
    put(engine, "images", images.tobytes())
    back = np.array(compute(engine, BACK), np.uint8)
    assert (back == images).all(axis=1).mean() > 0.99
    assert (network.predict(back) == labels).mean() >= (network.predict(images) == labels).mean() - 0.005


@pytest.mark.parametrize("options", [{"device_scale_factor": 2}, {"device_scale_factor": 3}])
def test_a_finer_screen_changes_nothing(draw, subset, options):
    images = subset.test_images[:50].numpy()
    put(draw, "images", images.tobytes())
    back = np.array(compute(draw, BACK), np.uint8)
    assert np.array_equal(
        back, [prepare_picture(np.kron(i.reshape(28, 28), np.ones((10, 10), np.uint8))) for i in images]
    )


# Drawing


class Mouse:
    def __init__(self, page):
        self.mouse = page.mouse

    def stroke(self, points):
        self.mouse.move(*points[0])
        self.mouse.down()
        for point in points[1:]:
            self.mouse.move(*point)
        self.mouse.up()


class Finger:
    def __init__(self, page):
        self.session = page.context.new_cdp_session(page)

    def stroke(self, points):
        for kind, (x, y) in zip(["touchStart"] + ["touchMove"] * (len(points) - 1), points, strict=True):
            self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        self.session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def draw_strokes(page, strokes, tool=Mouse):
    """Strokes on a paper of 280 x 280, where the page has it."""
    box, pen = page.locator(".draw-paper").bounding_box(), tool(page)
    for stroke in strokes:
        pen.stroke([(box["x"] + x * box["width"] / 280, box["y"] + y * box["height"] / 280) for x, y in stroke])


def part(page, name):
    """The text of a part, when the next frame is painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator(f"[data-part={name}]").text_content()


def ink(page):
    """The pixels that the network sees, 0 to 255."""
    script = """() => { const canvas = document.querySelector("[data-part=picture]");
      return [...canvas.getContext("2d").getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 3); }"""
    part(page, "verdict")
    return np.array(page.evaluate(script), np.uint8)


ONE = [[(140, 40), (140, 140), (140, 240)]]


@pytest.mark.parametrize(
    ("tool", "size", "options", "every", "most"),
    [
        pytest.param(Mouse, DESKTOP, {}, 3, 1, id="ten of them"),
        pytest.param(Mouse, DESKTOP, {}, 1, 2, id="mouse", marks=pytest.mark.slow),
        pytest.param(Finger, PHONE, TOUCH, 1, 2, id="finger", marks=pytest.mark.slow),
    ],
)
def test_at_least_28_of_30_digits_by_three_writers_are_read(draw, tool, size, options, every, most):
    digits = json.loads(handwriting.FILE.read_text())
    wrong = []
    for each in digits[::every]:
        draw_strokes(draw, [[*stroke[:-1:4], stroke[-1]] for stroke in each["strokes"]], tool)  # a point takes a frame
        verdict = part(draw, "verdict")
        right = verdict.partition(",")[0].endswith(f" {each['digit']}")
        wrong += [] if right else [(each["digit"], each["writer"], verdict)]
        draw.locator("[data-part=clear]").click()
    assert len(digits) == 30
    assert len(wrong) <= most, wrong


def test_the_network_sees_what_python_makes_of_the_strokes(draw):
    strokes = [[(40, 40), (200, 60), (180, 200)], [(60, 200), (60, 200)]]
    draw_strokes(draw, strokes)
    assert np.array_equal(ink(draw), prepare_strokes(strokes))


def test_an_empty_paper_is_not_read(draw):
    assert part(draw, "verdict") == "Draw a digit, or choose one"
    assert not ink(draw).any()
    assert set(draw.locator(".draw-bars small").all_text_contents()) == {"–"}


def test_a_dot_stays_a_dot(draw):
    draw_strokes(draw, [[(20, 250)]])
    assert np.array_equal(ink(draw), prepare_strokes([[(20, 250)]]))
    assert part(draw, "verdict").startswith("Looks like a ")


def test_what_leaves_the_paper_is_cut_off_and_may_come_back(draw):
    draw_strokes(draw, [[(240, 100), (320, 100), (320, 200), (240, 200)]])
    seen = [[(240, 100), (280, 100)], [(280, 200), (240, 200)]]
    assert np.array_equal(ink(draw), prepare_strokes(seen))
    draw_strokes(draw, [[(140, 20), (140, 50)]])  # the pointer was lifted outside and is not down any more
    assert np.array_equal(ink(draw), prepare_strokes([*seen, [(140, 20), (140, 50)]]))


def test_strokes_can_be_added_to_an_example(draw):
    draw.get_by_role("button", name="A 1 from the test set").first.click()
    alone = ink(draw)
    draw_strokes(draw, [[(40, 250), (240, 250)]])
    assert ink(draw).sum() > alone.sum()
    draw.locator("[data-part=undo]").click()
    assert np.array_equal(ink(draw), alone)


def test_a_second_pointer_neither_draws_nor_ends_the_stroke(draw):
    box = draw.locator(".draw-paper").bounding_box()
    x, y, scale = box["x"], box["y"], box["width"] / 280
    draw.mouse.move(x + 50 * scale, y + 50 * scale)
    draw.mouse.down()
    other = {"pointerId": 99, "isPrimary": True, "clientX": x + 200, "clientY": y + 200}
    for kind in ("pointermove", "lostpointercapture"):
        draw.locator(".draw-paper").dispatch_event(kind, other)
    draw.mouse.move(x + 50 * scale, y + 150 * scale)
    draw.mouse.up()
    assert np.array_equal(ink(draw), prepare_strokes([[(50, 50), (50, 150)]]))


@pytest.mark.parametrize(("size", "options"), [(PHONE, TOUCH)])
def test_a_finger_on_the_paper_draws_and_does_not_scroll(draw, size, options):
    up = [(140, 240 - 20 * i) for i in range(10)]
    draw_strokes(draw, [up], Finger)
    assert ink(draw).any()
    assert draw.evaluate("scrollY") == 0
    Finger(draw).stroke([(10, 600 - 20 * i) for i in range(10)])  # beside the paper it does
    draw.wait_for_function("scrollY > 50")


# Reading, hearing, and getting about


def test_everything_works_by_keyboard(draw):
    draw.get_by_role("button", name="A 7 from the test set").first.focus()
    draw.keyboard.press("Enter")
    assert part(draw, "verdict").startswith("Looks like a 7")
    draw.locator("[data-part=clear]").focus()
    draw.keyboard.press("Space")
    assert not ink(draw).any()
    draw.keyboard.press("Control+z")
    assert part(draw, "verdict").startswith("Looks like a 7")
    draw.keyboard.press("Shift+Tab")
    draw.keyboard.press("Enter")  # the button before it takes back the example too
    assert not ink(draw).any()


def test_control_z_takes_back_strokes_but_in_the_search_it_is_the_search_s(draw):
    draw_strokes(draw, [*ONE, [(60, 60), (90, 60)]])
    draw.get_by_role("textbox", name="Search").press("Control+z")
    assert np.array_equal(ink(draw), prepare_strokes([*ONE, [(60, 60), (90, 60)]]))
    expect(draw.locator("#__search")).to_be_checked()
    draw.keyboard.press("Escape")
    draw.keyboard.press("Control+z")
    assert np.array_equal(ink(draw), prepare_strokes(ONE))


PRESS = """([key, code]) => document.body.dispatchEvent(
  new KeyboardEvent("keydown", { key, code, ctrlKey: true, bubbles: true }))"""


@pytest.mark.parametrize(
    ("key", "code", "is_undo"),
    [("Z", "KeyZ", True), ("я", "KeyZ", True), ("z", "KeyY", True), ("y", "KeyZ", False), ("w", "KeyZ", False)],
    ids=["Caps Lock", "Cyrillic", "German", "German Y", "French W"],
)
def test_control_z_takes_back_a_stroke_on_every_keyboard(draw, key, code, is_undo):
    draw_strokes(draw, ONE)
    draw.evaluate(PRESS, [key, code])
    assert ink(draw).any() != is_undo


def test_the_answer_is_spoken_once_the_pen_rests(draw):
    # The rest is measured in the page: on a busy machine the pen may rest between two of these moves, too.
    draw.evaluate("""() => { window.heard = []; let moved = 0;
      const part = document.querySelector("[data-part=spoken]");
      addEventListener("pointermove", () => (moved = performance.now()), true);
      const hear = () => heard.push([part.textContent, performance.now() - moved]);
      new MutationObserver(hear).observe(part, { childList: true }); }""")
    draw_strokes(draw, [[(140, 40 + 10 * i) for i in range(20)]])
    draw.wait_for_function("(verdict) => heard.at(-1)?.[0] === verdict", arg=part(draw, "verdict"))
    assert min(rest for _, rest in draw.evaluate("heard")) >= 399


def choose_network(page, name):
    page.locator(f"input[value={name}]").check()
    size = f"{recipe.FILES[name].stat().st_size:,} bytes"
    page.locator("[data-part=file]", has_text=size).wait_for()
    return packed.PackedNetwork.load(recipe.FILES[name])


SHADES = """() => [...document.querySelectorAll("figure canvas:not([data-part])")].map((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [...data].filter((_, i) => i % 4 === 3); })"""


@pytest.mark.parametrize("name", recipe.FILES)
def test_logits_and_hidden_values_are_shown_as_python_computes_them(draw, name):
    network = choose_network(draw, name)
    draw_strokes(draw, ONE)
    image = ink(draw)[None]
    logits = [f"{logit:.1f}".replace("-", "−") for logit in network.logits(image)[0]]
    shown = draw.locator(".draw-bars small").all_text_contents()
    assert [a.replace("−0.0", "0.0") for a in shown] == [a.replace("−0.0", "0.0") for a in logits]
    for shades, values in zip(draw.evaluate(SHADES), network.hidden(image), strict=True):
        values = values[0].astype(int)
        expected = 255 * values // max(1, values.max())
        assert sorted(filter(None, shades)) == sorted(expected[expected > 0].ravel())
        assert shades == expected.tolist() if values.ndim == 1 else shades[: len(values)] == expected[0, :, 0].tolist()


@pytest.mark.parametrize("name", recipe.FILES)
def test_the_size_that_is_shown_is_that_of_the_network(draw, name):
    weights = int(choose_network(draw, name).summary().loc["total", "weights"])
    assert part(draw, "weights") == f"{weights:,} bits"


def test_another_network_can_be_chosen_once_the_first_is_there(page):
    waiting = []
    page.route("**/w1a8.safetensors", lambda route: waiting.append(route))
    with page.expect_request("**/w1a8.safetensors"):
        page.goto("draw/")
    choices = page.locator("input[value=w1a1]")
    expect(choices).to_be_disabled()
    waiting[0].continue_()
    page.locator(READY).wait_for()
    expect(choices).to_be_enabled()


def test_a_network_that_another_tab_has_kept_since_stays(draw):
    draw.evaluate("localStorage.setItem('bnn_tutorial.network', 'newer')")
    choose_network(draw, "w1a1")
    assert draw.evaluate("localStorage.getItem('bnn_tutorial.network')") == "newer"


def test_where_the_other_network_is_missing_the_first_reads_on(draw):
    draw.route("**/w1a1.safetensors", lambda route: route.fulfill(status=404))
    draw.locator("input[value=w1a1]").click()
    status = draw.locator("[data-part=network-status]", has_text="w1a1.safetensors is missing or damaged")
    status.wait_for()
    assert draw.locator("input[value=w1a8]").is_checked()
    draw_strokes(draw, ONE)
    assert part(draw, "verdict").startswith("Looks like a 1")


@pytest.mark.parametrize(("size", "scheme"), SOME_VIEWS)
def test_nothing_jumps_while_one_draws(draw, size, scheme):
    script = """() => [...document.querySelectorAll(".draw *, h2")].filter((it) => !it.matches(".draw-bar > span"))
      .map((it) => { const { x, y, height } = it.getBoundingClientRect(); return [x, y, height].map(Math.round); })
      .filter(([, , height]) => height > 30)"""
    before = draw.evaluate(script)
    draw_strokes(draw, ONE)
    assert part(draw, "verdict").startswith("Looks like a 1")
    assert draw.evaluate(script) == before


@pytest.mark.parametrize(("size", "scheme"), SOME_VIEWS)
def test_what_is_pressed_is_large_enough_for_a_finger(draw, size, scheme):
    sizes = [button.bounding_box() for button in draw.locator(".draw button").all()]
    assert len(sizes) == 22
    assert min(min(box["width"], box["height"]) for box in sizes) >= 44


@pytest.mark.parametrize("size", [PHONE])
def test_paper_and_answer_are_in_sight_together_on_a_phone(draw, size):
    assert draw.locator(".draw-paper").bounding_box()["y"] > 0
    bars = draw.locator(".draw-bars").bounding_box()
    assert bars["y"] + bars["height"] <= PHONE["height"]


@pytest.mark.parametrize(("size", "scheme"), SOME_VIEWS)
def test_a_drawing_has_no_fault_of_accessibility(draw, size, scheme):
    draw_strokes(draw, ONE)
    draw.wait_for_function("document.querySelector('[data-part=spoken]').textContent")
    draw.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = draw.evaluate("() => axe.run('.draw', { resultTypes: ['violations'] })")["violations"]
    assert [(fault["id"], node["html"]) for fault in found for node in fault["nodes"]] == []


def test_the_ink_follows_the_scheme(draw):
    draw_strokes(draw, ONE)
    script = "() => [...document.querySelector('.draw-paper').getContext('2d').getImageData(140, 140, 1, 1).data]"
    assert max(draw.evaluate(script)[:3]) < 60
    draw.locator("label.md-header__button[for=__palette_1]").click()
    draw.wait_for_function(f"Math.min(...({script})().slice(0, 3)) > 200")


def test_the_home_page_shows_a_digit_and_reads_another(page):
    page.goto("")
    page.locator(READY).wait_for(timeout=10_000)
    assert part(page, "verdict").startswith("Looks like a 0")
    page.get_by_role("button", name="A 4 from the test set").press("Enter")
    assert part(page, "verdict").startswith("Looks like a 4")


# Mishaps


@pytest.mark.parametrize("address", ["draw/", ""])
@pytest.mark.parametrize("options", [{"java_script_enabled": False}])
def test_without_javascript_the_page_says_so(page, address, options):
    page.goto(address)
    assert not page.locator(".draw").is_visible()
    assert page.locator("noscript > p", has_text="JavaScript").is_visible()


def flipped(content):
    return content[:10_000] + bytes([content[10_000] ^ 1]) + content[10_001:]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-100], "in bytes"),
        (lambda content: content[:5], "5 bytes, too few for a header"),
        (flipped, "content that does not match its SHA-256 digest"),
        (lambda content: EXAMPLES.read_bytes(), "the format undefined"),
        (lambda content: b"<!doctype html><title>Not found</title>", "a header of"),
        (lambda content: b"", "0 bytes"),
        (lambda content: content + b"more", "bytes that belong to no tensor"),
        (lambda content: content.replace(b"[0,80]", b"[8,88]"), "gaps between them"),
    ],
)
def test_a_damaged_network_is_refused_with_a_reason(page, damage, reason):
    put(page, "w1a8.safetensors", damage(MODEL.read_bytes()))
    page.goto("draw/")
    fault = page.get_by_role("alert").filter(has_text="This page cannot read digits now: w1a8.safetensors")
    fault.wait_for(timeout=10_000)
    assert reason in fault.text_content()
    assert not page.locator(".draw-paper").is_visible()


def test_a_network_that_is_not_there_is_reported(page):
    page.route("**/web/draw/w1a8.safetensors", lambda route: route.fulfill(status=404))
    page.goto("draw/")
    page.get_by_role("alert").filter(has_text="w1a8.safetensors is missing or damaged").wait_for(timeout=10_000)
    assert "the server answered 404" in page.get_by_role("alert").text_content()


@pytest.mark.parametrize("address", ["draw/", ""])
def test_scripts_that_are_not_there_are_reported(page, address):
    page.route("**/web/draw/views.js", lambda route: route.abort())
    page.goto(address)
    fault = page.get_by_role("alert").filter(has_text="its scripts are missing; reload the page")
    fault.wait_for(timeout=10_000)
    assert not page.locator(".draw-paper").is_visible()


def test_scripts_that_are_sent_as_text_are_reported_as_that(page):
    page.route("**/web/**/*.js", lambda it: it.fulfill(response=it.fetch(), content_type="text/plain"))
    page.goto("draw/")
    page.get_by_role("alert").filter(has_text="the server sends its scripts as text/plain").wait_for(timeout=10_000)


def test_a_script_that_the_browser_does_not_understand_is_reported(page):
    page.route("**/web/draw/views.js", lambda it: it.fulfill(body="let let", content_type="text/javascript"))
    page.goto("draw/")
    page.get_by_role("alert").filter(has_text="this browser cannot run its scripts").wait_for(timeout=10_000)


def test_from_a_file_the_page_says_that_it_wants_a_server(page, site):
    page.goto((site / "draw" / "index.html").as_uri())
    fault = page.get_by_role("alert").filter(has_text="python -m http.server")
    fault.wait_for(timeout=10_000)
    assert not page.locator(".draw-paper").is_visible()


def test_over_plain_http_from_another_machine_all_but_the_digest_is_checked(page, server):
    elsewhere = "http://elsewhere.test/"
    page.route(
        f"{elsewhere}**", lambda it: it.fulfill(response=it.fetch(url=it.request.url.replace(elsewhere, server)))
    )
    page.goto(f"{elsewhere}draw/")
    page.locator(READY).wait_for(timeout=10_000)
    assert page.evaluate("crypto.subtle === undefined")
    put(page, "w1a8.safetensors", MODEL.read_bytes()[:-100])
    page.reload()
    page.get_by_role("alert").filter(has_text="in bytes").wait_for(timeout=10_000)
