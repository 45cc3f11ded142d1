"""The built site in a real browser: loading, reading, searching, and getting about by keyboard."""

from importlib import resources

import pytest
from playwright.sync_api import expect
from screens import DESKTOP, PHONE, VIEWS

NOTEBOOK = "notebooks/01_binary_neural_network/"
LOADING = "[data-state=loading]"  # what the scripts of a page have not finished

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CONTRAST = {"runOnly": ["color-contrast"]}
WITHOUT_CONTRAST = {"runOnly": RULES, "rules": {"color-contrast": {"enabled": False}}}
ALL_KINDS = ["", NOTEBOOK, "faq/", "api/ste/", "playground/"]  # a page of each kind


@pytest.fixture(
    scope="module",
    params=[pytest.param(PHONE, id="phone"), pytest.param(DESKTOP, id="desktop", marks=pytest.mark.slow)],
)
def walk(browser, server, pages, request):
    """What is wrong with any page on a screen, by kind; each page is loaded once."""
    wrong = {"silence": [], "width": []}
    context = browser.new_context(base_url=server, viewport=request.param, reduced_motion="reduce")
    page, silence = context.new_page(), wrong["silence"]
    page.on("console", lambda message: silence.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: silence.append(str(error)))
    page.on("response", lambda response: silence.append(response.url) if response.status >= 400 else None)
    page.on("request", lambda it: silence.append(it.url) if not it.url.startswith((server, "data:", "blob:")) else None)
    for address in pages:
        page.goto(address)
        expect(page.locator(LOADING)).to_have_count(0)
        width = page.evaluate("document.documentElement.scrollWidth")
        wrong["width"] += [(address, width)] if width != request.param["width"] else []
    page.wait_for_load_state("networkidle")
    context.close()
    return wrong


def axe_faults(page, options):
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    # A link that is half scrolled out of the side bar would be measured by the half that shows.
    whole = ".md-sidebar__scrollwrap { height: auto !important; overflow: visible !important }"
    page.add_style_tag(content=whole + ".md-main { min-height: 1600px }")
    page.evaluate(AXE)
    found = page.evaluate("(options) => axe.run(options)", options | {"resultTypes": ["violations"]})["violations"]
    return [(fault["id"], node["html"]) for fault in found for node in fault["nodes"]]


def test_every_page_loads_in_silence_and_from_here(walk):
    assert walk["silence"] == []


def test_every_page_fits_its_screen(walk):
    assert walk["width"] == []


@pytest.mark.parametrize("size", [PHONE, pytest.param(DESKTOP, marks=pytest.mark.slow)])
def test_no_page_of_a_kind_has_a_fault_of_accessibility(page, size):
    assert faults_of(page, ALL_KINDS, WITHOUT_CONTRAST) == []


# Contrast, the slowest of axe's rules by far, does not depend on the width.
@pytest.mark.parametrize(
    ("scheme", "addresses"),
    [
        pytest.param("dark", ["", "playground/"], id="two pages"),
        pytest.param("dark", ALL_KINDS, id="dark", marks=pytest.mark.slow),
        pytest.param("light", ALL_KINDS, id="light", marks=pytest.mark.slow),
    ],
)
def test_a_page_of_each_kind_has_contrast(page, scheme, addresses):
    assert faults_of(page, addresses, CONTRAST) == []


@pytest.mark.slow
@pytest.mark.parametrize("rules", [WITHOUT_CONTRAST, CONTRAST], ids=["all but contrast", "contrast"])
@pytest.mark.parametrize(("size", "scheme"), VIEWS[1:3])
def test_no_page_has_a_fault_of_accessibility(page, pages, rules, size, scheme):
    assert faults_of(page, pages, rules) == []


def faults_of(page, addresses, rules):
    faults = []
    for address in addresses:
        page.goto(address)
        expect(page.locator(LOADING)).to_have_count(0)
        faults += [(address, *fault) for fault in axe_faults(page, rules)]
    return faults


@pytest.mark.parametrize(("size", "scheme"), VIEWS)
def test_a_page_takes_the_scheme_of_the_device(page, size, scheme):
    page.goto("")
    assert page.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]


def test_a_fold_opens_and_closes_by_keyboard(page):
    page.goto(NOTEBOOK)
    fold = page.locator("details.fold").first
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert fold.locator("pre").first.is_visible()
    page.keyboard.press("Space")
    assert not fold.locator("pre").first.is_visible()


def test_the_first_key_leads_past_the_navigation(page):
    page.goto("faq/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.md-skip')")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('article') !== null")


@pytest.mark.parametrize("size", [PHONE])
@pytest.mark.parametrize(("address", "wide"), [("from-julia/", ".md-typeset__scrollwrap"), (NOTEBOOK, ".figure.wide")])
def test_what_is_wider_than_the_phone_can_be_scrolled_by_keyboard(page, size, address, wide):
    page.goto(address)
    page.locator(f"{wide}[tabindex='0']").first.focus(timeout=5000)  # Safari needs the attribute to focus it
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")


@pytest.mark.parametrize("size", [PHONE])
@pytest.mark.parametrize("address", [NOTEBOOK, "api/ste/"])
def test_the_button_that_copies_code_is_above_its_first_line_on_a_phone(page, size, address):
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    script = """() => [...document.querySelectorAll(".md-code__button")].map((button) => {
      const code = document.createRange();
      code.selectNodeContents(button.closest("pre").querySelector("code"));
      return code.getBoundingClientRect().top - button.getBoundingClientRect().bottom; })"""
    gaps = page.evaluate(script)
    assert len(gaps) > 5
    assert min(gaps) >= 0


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_line_numbers_stand_beside_their_lines(page, size):
    page.goto("api/ste/")
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    for table in page.locator(".highlighttable").all():
        number, line = table.locator(".linenos .normal").first, table.locator("code > span").first
        assert abs(number.bounding_box()["y"] - line.bounding_box()["y"]) <= 2


def test_the_switch_of_the_scheme_works_by_keyboard(page):
    page.goto("")
    page.locator("label.md-header__button[for=__palette_1]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.body.dataset.mdColorScheme === 'slate'")


@pytest.mark.parametrize("address", [NOTEBOOK, "faq/"])
def test_math_is_drawn_from_mathml(page, address):
    page.goto(address)
    formulas = page.locator("article math")
    assert formulas.count() > 0
    assert all(formula.bounding_box()["height"] > 5 for formula in formulas.all() if formula.is_visible())
    assert "\\(" not in page.locator("article").inner_text()


@pytest.mark.parametrize(
    ("query", "address"),
    [
        ("batch norm threshold", "faq/"),
        ("logitcrossentropy", "from-julia/"),
        ("XNOR", "notebooks/07_in_a_circuit/"),
        ("clamp_latent_weights_", "api/layers/"),
        ("handling dependencies", NOTEBOOK),
    ],
)
def test_the_search_finds_the_right_page_first(page, server, query, address):
    page.goto("")
    box = page.get_by_role("textbox", name="Search")
    box.fill(query[:-1])  # typed key by key, results of its first letters would come first
    box.press(query[-1])
    is_first = "(start) => document.querySelector('.md-search-result__item a')?.href.startsWith(start)"
    page.wait_for_function(is_first, arg=server + address)


def test_pages_lead_on_and_back(page, server):
    page.goto(NOTEBOOK)
    page.get_by_role("link", name="Next:").click()
    assert page.url == f"{server}notebooks/02_straight_through_estimators/"
    page.get_by_role("link", name="Previous:").click()
    assert page.url == server + NOTEBOOK


def test_a_notebook_is_downloaded_with_its_name(page):
    page.goto(NOTEBOOK)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "01_binary_neural_network.ipynb"
