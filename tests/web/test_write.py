"""The page "Write": the same logits and the same text as Python's, and its behaviour by mouse, keyboard and finger."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from screens import PHONE, SOME_VIEWS

from bnn_tutorial import language
from bnn_tutorial.packed.language import PackedLanguageModel
from docs.web.make.writer import MODEL, NGRAMS
from study.language import NGrams

TEXT = "KING RICHARD II:\nWhat must the king do now? must he submit?\nThe king shall do it: must he be deposed?\n"
READY = ".write[data-state=ready]"
MODULES = """async () => {
  const load = (name) => import(new URL(`../web/write/${name}.js`, location));
  const [model, ngrams] = await Promise.all(["model", "ngrams"].map(load));
  const bytes = async (name) => new Uint8Array(await (await fetch(`../web/write/${name}`)).arrayBuffer());
  window.model = await model.readModel(await bytes("model.safetensors"));
  window.ngrams = await ngrams.readNGrams(await bytes("ngrams.safetensors.gz"), window.model.alphabet.length);
}"""


@pytest.fixture
def write(page):
    page.goto("write/")
    page.get_by_role("button", name="Load the model").click()
    page.locator(READY).wait_for(timeout=20_000)
    return page


@pytest.fixture(scope="module")
def engine(tab):
    tab.goto("write/")
    tab.evaluate(MODULES)
    return tab


@pytest.fixture(scope="module")
def packed():
    return PackedLanguageModel.load(MODEL)


def text(page):
    return page.locator("[data-part=text]").text_content()


def settle(page, **values):
    """Set the page's fields, and wait until the prompt has been read."""
    for name, value in values.items():
        page.locator(f"[data-part={name}]").fill(str(value))
    page.locator(READY).wait_for()


def write_characters(page, count):
    for _ in range(count):
        page.get_by_role("button", name="One character").click()


def test_the_logits_are_pythons(engine, packed):
    tokens = language.encode(TEXT).tolist()
    found = engine.evaluate("(tokens) => { model.forget(); return tokens.map((at) => [...model.read(at)]); }", tokens)
    assert np.abs(np.array(found) - np.stack(list(packed.read(tokens)))).max() < 1e-9


def test_the_guess_of_the_n_grams_is_pythons(engine):
    table, tokens = NGrams(language.load_shakespeare().train.numpy(), 4), language.encode(TEXT).numpy()
    script = "(tokens) => tokens.map((at, i) => ngrams.guess(tokens.slice(0, i))[at])"
    found = engine.evaluate(script, tokens.tolist())
    assert -np.log(found).mean() == pytest.approx(table.nats(tokens))


def test_nothing_is_loaded_before_it_is_asked_for_and_then_at_most_400_kilobytes(page):
    loaded = []
    page.on("request", lambda request: loaded.append(request.url.rsplit("/", 1)[-1]))
    page.goto("write/", wait_until="networkidle")
    assert not {MODEL.name, NGRAMS.name} & set(loaded)
    page.get_by_role("button", name="Load the model").click()
    page.locator(READY).wait_for(timeout=20_000)
    assert {MODEL.name, NGRAMS.name} <= set(loaded)
    assert MODEL.stat().st_size + NGRAMS.stat().st_size <= 400_000


def test_at_temperature_0_it_writes_what_python_writes(write, packed):
    settle(write, prompt="KING LEAR:\n", temperature=0)
    write_characters(write, 30)
    assert text(write) == "KING LEAR:\n" + packed.generate("KING LEAR:\n", 30, temperature=0)


def test_the_seed_makes_the_text_and_starting_anew_repeats_it(write):
    texts = []
    for seed in (1, 1, 2):
        settle(write, prompt="A", temperature=1, seed=seed)
        write.get_by_role("button", name="Start again").click()
        write_characters(write, 20)
        texts.append(text(write))
    assert texts[0] == texts[1] != texts[2]


def test_the_ten_likeliest_are_those_of_the_model_beside_those_of_the_n_grams(write, packed):
    settle(write, prompt=TEXT)
    rows = write.locator("[data-part=next] tr")
    logits = list(packed.read(language.encode(TEXT).tolist()))[-1]
    shares = np.exp(logits) / np.exp(logits).sum()
    name = {"\n": "new line", " ": "space"}
    best = [name.get(language.ALPHABET[i], language.ALPHABET[i]) for i in np.argsort(-shares)[:10]]
    assert [row.locator("td").first.text_content() for row in rows.all()] == best
    expect(rows.first.locator("td").nth(1)).to_have_text(f"{100 * shares.max():.1f} %")


def test_it_runs_until_it_is_stopped_by_keyboard(write):
    before = len(text(write))
    write.get_by_role("button", name="Write", exact=True).focus()
    write.keyboard.press("Enter")
    write.wait_for_function(f"document.querySelector('[data-part=text]').textContent.length > {before + 5}")
    write.keyboard.press("Enter")
    write.locator(READY).wait_for()
    expect(write.locator("[data-part=run]")).to_have_text("Write")
    expect(write.locator("[data-part=spoken]")).to_have_text(text(write)[before:])


def test_stopped_and_started_within_a_frame_it_writes_once_in_each(write):
    script = """async () => {
      let asked = 0;
      const [ask, button] = [requestAnimationFrame, document.querySelector("[data-part=run]")];
      window.requestAnimationFrame = (frame) => { asked++; return ask(frame); };
      for (let i = 0; i < 5; i++) button.click();
      for (let i = 0; i < 20; i++) await new Promise((done) => ask(done));
      button.click();
      return asked;
    }"""
    assert write.evaluate(script) <= 3 + 21  # three starts, then one in each frame


def test_what_is_typed_at_the_end_is_read_as_if_it_had_been_there(write):
    field, shown = write.locator("[data-part=prompt]"), write.locator("[data-part=next]")
    settle(write, prompt="KING LEAR:\nBlow")
    expected = shown.text_content()
    settle(write, prompt="KING LEAR:\n")
    field.press_sequentially("Blow")
    write.locator(READY).wait_for()
    assert shown.text_content() == expected
    write_characters(write, 2)
    field.press_sequentially(", winds")
    write.locator(READY).wait_for()
    typed = shown.text_content()
    settle(write, prompt="")
    settle(write, prompt="KING LEAR:\nBlow, winds")
    assert shown.text_content() == typed != expected


def test_a_long_prompt_that_is_changed_is_read_frame_by_frame_and_only_as_far_as_the_model_sees(write, packed):
    script = """async () => {
      const { LanguageModel } = await import(new URL("../web/write/model.js", location));
      const [read, prompt] = [LanguageModel.prototype.read, document.querySelector("[data-part=prompt]")];
      let count = 0;
      LanguageModel.prototype.read = function (at) {
        for (const end = performance.now() + 2; performance.now() < end; ); // as slow a device
        count++;
        return read.call(this, at);
      };
      prompt.value = "to be or not ".repeat(38);
      prompt.dispatchEvent(new Event("input"));
      window.counted = () => count;
      return count;
    }"""
    at_once = write.evaluate(script)
    write.locator(READY).wait_for()
    whole = write.evaluate("counted()")
    assert at_once <= 12 < whole == 4 * (64 - 1) + 1
    logits = list(packed.read(language.encode("to be or not " * 38).tolist()))[-1]
    shares = np.exp(logits) / np.exp(logits).sum()
    expect(write.locator("[data-part=next] td").nth(1)).to_have_text(f"{100 * shares.max():.1f} %")


def test_typing_while_it_writes_says_nothing_of_the_prompt(write):
    settle(write, prompt="KING")
    write.get_by_role("button", name="Write", exact=True).click()
    write.wait_for_function("document.querySelector('[data-part=text]').textContent.length > 8")
    settle(write, prompt="KING LEAR:")
    write.locator(READY).wait_for()
    write.wait_for_timeout(100)
    assert write.locator("[data-part=spoken]").text_content() == ""


def test_a_script_that_the_browser_does_not_understand_is_reported(page):
    page.route("**/web/write/model.js", lambda it: it.fulfill(body="let let", content_type="text/javascript"))
    page.goto("write/")
    page.get_by_role("alert").filter(has_text="This page cannot write now: this browser cannot run").wait_for()


def test_characters_that_it_does_not_know_are_left_out_and_named(write):
    settle(write, prompt="Ä7 king")
    assert text(write) == " king"
    expect(write.locator("[data-part=status]")).to_have_text("The model has never seen Ä 7 and skips it.")


@pytest.mark.parametrize("name", [MODEL.name, NGRAMS.name])
def test_a_damaged_file_is_refused_in_words(page, name):
    page.route(f"**/web/write/{name}", lambda route: route.fulfill(body=(Path(MODEL).parent / name).read_bytes()[:-9]))
    page.goto("write/")
    page.get_by_role("button", name="Load the model").click()
    fault = page.locator(".write [data-part=fault]")
    fault.filter(has_text="This page cannot write now").wait_for(timeout=10_000)
    assert fault.is_visible()


@pytest.mark.parametrize(
    ("browser_has", "network", "reason"),
    [
        ("delete window.DecompressionStream", None, "this browser cannot unpack files; those since 2023 can"),
        ("", lambda route: route.abort(), "the host cannot be reached"),
        ("", lambda route: route.fulfill(status=404), f"the server answered 404 for {NGRAMS.name}"),
    ],
)
def test_the_reason_is_told_why_it_cannot_write(page, browser_has, network, reason):
    page.add_init_script(browser_has)
    if network:
        page.route(f"**/{NGRAMS.name}", network)
    page.goto("write/")
    page.get_by_role("button", name="Load the model").click()
    page.locator("[data-part=fault]", has_text=f"This page cannot write now: {reason}.").wait_for(timeout=10_000)


@pytest.mark.parametrize(("size", "scheme"), SOME_VIEWS)
def test_the_loaded_page_fits_and_has_no_fault_of_accessibility(write, size, scheme):
    write_characters(write, 3)
    assert write.evaluate("document.documentElement.scrollWidth") == size["width"]
    write.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = write.evaluate("axe.run('.write', {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})")
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]] == []


@pytest.mark.parametrize("size", [PHONE])
def test_what_a_finger_is_to_hit_is_large_enough(write, size):
    boxes = [button.bounding_box() for button in write.locator(".write button:visible").all()]
    assert len(boxes) == 3
    assert min(box["height"] for box in boxes) >= 44
