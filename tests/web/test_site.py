"""The built site, without a browser: what is in its files, and what makes its build fail."""

import gzip
import json
import re
import shutil
from base64 import b64decode
from importlib import import_module
from inspect import getmodule
from pkgutil import walk_packages

import pytest
from mkdocs.exceptions import Abort
from nbformat import v4
from sites import ADDRESS, ROOT, strict_build

import bnn_tutorial as bnn
from bnn_tutorial import packed

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# A phone follows a link of the site on slow 3G: 400 kbit/s, 0.4 s per round trip. Of 3 s, one round trip for the page,
# one for its styles and scripts, and 0.2 s to draw leave 2 s.
READABLE_BYTES = 2 * 400_000 / 8
NAV = ["index.md", "faq.md", "api/ste.md", "notebooks/99.ipynb"]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
TABLE = '<div><style scoped>b {}</style><table border="1" class="dataframe"><tr><th>loss</th></tr></table></div>'
LISTING = '<style>.k {color: #080}</style><div class="highlight"><pre><span class="k">pass</span></pre></div>'


def cell(source, data=None, **metadata):
    outputs = [v4.new_output("display_data", data)] if data else []
    return v4.new_code_cell(source, metadata=metadata, outputs=outputs)


CELLS = {
    "head": v4.new_markdown_cell(
        "# A notebook\n\nThe sign is $q(x)$:\n\n$$\\operatorname{sign}(x) \\in [-1, 1], |x| < 1$$\n\n"
        "Also $\\log p$ and $x \\operatorname{XOR} w$."
    ),
    "links": v4.new_markdown_cell("[faq](../docs/faq.md#clip-or-not), [API](../docs/api/ste.md#bnn_tutorial.ste.sign)"),
    "exercise": v4.new_markdown_cell(
        "<details><summary>Answer</summary>\n\nIt is **one**, $x$:\n\n```python\n1\n```\n\n</details>"
    ),
    "boilerplate": cell("import os", tags=["hide-cell"], summary="Handling <dependencies>"),
    "hidden": cell("hidden = 1", {"text/plain": "a < b\n\n*c*"}, tags=["hide-input"]),
    "plot": cell("plot()", {"image/png": PNG, "text/plain": "<Axes>"}, alt='A "step" at 0.'),
    "table": cell("table", {"text/html": TABLE, "text/plain": "loss"}),
    "listing": cell("Code(source)", {"text/html": LISTING, "text/plain": "pass"}),
    "verilog": cell('Code(v, language="systemverilog")', {"text/html": LISTING, "text/plain": "count #(16) of_16;"}),
    "deeper": v4.new_markdown_cell(
        "### Deeper: a `proof`\n\nSee *below*.", metadata={"jp-MarkdownHeadingCollapsed": True}
    ),
    "its code": cell("proof = 1", tags=["hide-cell"], summary="The proof"),
    "its part": v4.new_markdown_cell("#### A part of it"),
    "after": v4.new_markdown_cell("### After it"),
}


@pytest.fixture
def docs(tmp_path):
    """Pages with a notebook that has everything a notebook may have."""
    return small_docs(tmp_path)


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """The site of such pages, without an address, once for all who only look at it."""
    folder = tmp_path_factory.mktemp("example")
    return strict_build(small_docs(folder), folder / "site", "", NAV)


@pytest.fixture(scope="session")
def html(example):
    """Its page of that notebook."""
    return (example / "notebooks" / "99" / "index.html").read_text(encoding="utf-8")


def small_docs(folder):
    """Three pages and a notebook."""
    docs = folder / "docs"
    (docs / "api").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "api" / "ste.md", docs / "api")
    (docs / "index.md").write_text("# Home\n")
    (docs / "faq.md").write_text("# Questions\n\n## Clip or not?\n")
    (folder / "notebooks").mkdir()
    write_notebook(docs, CELLS)
    return docs


def write_notebook(docs, cells):
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    text = json.dumps(v4.new_notebook(cells=list(cells.values()), metadata=kernel))
    (docs.parent / "notebooks" / "99.ipynb").write_text(text, encoding="utf-8")


# What the site is made of


def test_every_public_name_is_documented(site):
    html = "".join(page.read_text(encoding="utf-8") for page in site.glob("api/*/index.html"))
    modules = [
        import_module(info.name) for info in walk_packages(bnn.__path__, "bnn_tutorial.") if "__" not in info.name
    ]
    objects = [
        getattr(module, name) for module in modules if module is not packed for name in getattr(module, "__all__", [])
    ]
    objects += [thing for name, thing in vars(bnn).items() if not name.startswith("_")]
    functions = [item for item in objects if callable(item)]
    names = [f"{getmodule(item).__name__}.{item.__name__}" for item in functions]
    assert [name for name in names if f'id="{name}"' not in html] == []


def test_no_private_name_is_documented(site):
    html = "".join(page.read_text(encoding="utf-8") for page in site.glob("api/*/index.html"))
    assert re.findall(r'id="(bnn_tutorial\.[\w.]*\._[a-z]\w*)"', html) == []


def test_examples_in_docstrings_are_shown_as_code(site):
    quoted = [
        page.parent.name for page in site.glob("api/*/index.html") if "<blockquote>" in page.read_text(encoding="utf-8")
    ]
    assert quoted == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_can_be_downloaded_as_it_is(site, notebook):
    assert (site / "notebooks" / notebook.stem / notebook.name).read_bytes() == notebook.read_bytes()


def test_styles_are_in_files_that_the_pages_share(site, pages):
    inline = [page.name for page in site.glob("**/*.html") if "<style" in page.read_text(encoding="utf-8")]
    assert inline == []


def test_every_page_is_readable_after_3_seconds_on_a_slow_line(site, pages):
    weights = {page: sum(map(compressed, [page_file(site, page), *waited_for(site, page)])) for page in pages}
    assert {page: weight for page, weight in weights.items() if weight > READABLE_BYTES} == {}


def page_file(site, page):
    return site / page if page.endswith(".html") else site / page / "index.html"


def waited_for(site, page):
    """The files of a page's styles, and of the scripts that are neither modules nor deferred."""
    tags = re.findall(r"<(?:link|script)[^>]*>", page_file(site, page).read_text(encoding="utf-8"))
    tags = [tag for tag in tags if re.search('rel="stylesheet"|^<script(?!.*(module|defer|async)).* src=', tag)]
    assert len(tags) >= 4
    addresses = [re.search('(?:href|src)="([^"]+)"', tag)[1] for tag in tags]
    return [site.parent / it[1:] if it.startswith("/") else page_file(site, page).parent / it for it in addresses]


def compressed(file):
    """Bytes on the line, as servers send text."""
    return len(gzip.compress(file.read_bytes(), 6))


def test_every_page_has_a_card_to_share(site):
    card = re.search(r'property="og:image" content="([^"]+)"', (site / "index.html").read_text(encoding="utf-8"))[1]
    assert card == "https://owner.github.io/bnn_tutorial/assets/card.png"
    assert (site / "assets" / "card.png").is_file()


def test_a_page_that_includes_a_file_shows_it(site):
    assert "set_epoch" in (site / "larger-than-one-machine" / "index.html").read_text(encoding="utf-8")


def test_hooks_and_templates_are_not_published(site):
    assert not (site / "hooks").exists()
    assert not (site / "overrides").exists()


# What becomes of a notebook


def test_folds_are_details_around_code(html):
    fold = r'<details class="fold">\s*<summary>(.*?)</summary>\s*<div class="input highlight">'
    assert re.findall(fold, html) == ["Handling &lt;dependencies&gt;", "Show the code", "The proof"]


def test_a_collapsed_section_is_a_fold_that_ends_at_the_next_heading_of_its_level(html):
    fold = '<details class="fold" id="deeper-a-proof">'
    folded = html[html.index(fold) : html.index('<h3 id="after-it">')]
    assert "<summary>Deeper: a <code>proof</code></summary>" in folded
    assert "<em>below</em>" in folded
    assert '<h4 id="a-part-of-it">' in folded
    assert folded.count("<details") == folded.count("</details>") == 2


def test_an_answer_is_rendered_as_markdown(html):
    answer = re.search(r"<summary>Answer</summary>(.*?)</details>", html, re.DOTALL)[1]
    assert "<strong>one</strong>" in answer
    assert "<math" in answer
    assert 'class="highlight"' in answer


def test_an_output_is_no_markdown(html):
    assert "a &lt; b\n\n*c*" in html


def test_math_is_mathml_and_a_function_has_a_name(html):
    assert '<mi>sign</mi><mo stretchy="false">' in html
    assert '[</mo><mo form="prefix">−</mo>' in html  # the minus in [-1, 1] belongs to the number
    assert "<mo>&#x0003C;</mo>" in html  # x < 1
    assert '<mi>log</mi><mspace width="0.17em"/><mi>p</mi>' in html
    assert 'rspace="0.28em">XOR</mo>' in html
    assert "arithmatex" not in html


def test_links_written_for_the_repository_lead_to_pages(html):
    assert 'href="../../faq/#clip-or-not"' in html
    assert 'href="../../api/ste/#bnn_tutorial.ste.sign"' in html


def test_a_listing_is_in_its_own_language(html):
    assert '<span class="mi">16</span>' in html  # to Python, all from # on is a comment


def test_a_picture_is_a_file_with_its_alt_text_and_size(html, example):
    assert 'src="figure-1.png" alt="A &quot;step&quot; at 0." width="1" height="1"' in html
    assert (example / "notebooks" / "99" / "figure-1.png").read_bytes() == b64decode(PNG)


def test_a_table_leaves_its_own_style_behind(html):
    assert "<table><tr><th>loss</th></tr></table>" in html
    assert "<style" not in html


def test_the_search_finds_code_once_and_listings_not_at_all(example):
    index = json.loads((example / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    found = [entry["title"] + entry["text"] for entry in index if entry["location"].startswith("notebooks/99/")]
    assert "".join(found).count("hidden = 1") == 1
    assert "A notebook" in "".join(found)
    assert "pass" not in "".join(found)


def test_a_notebook_can_be_downloaded_from_its_page(html, example):
    assert '<a class="md-button" href="99.ipynb" download>' in html
    assert (example / "notebooks" / "99" / "99.ipynb").is_file()


# The repository's address


def test_where_there_is_an_address_all_that_needs_one_appears(site):
    pages = [
        (site / name / "index.html").read_text(encoding="utf-8")
        for name in (".", "faq", NOTEBOOKS[0].relative_to(ROOT).with_suffix(""))
    ]
    home, faq, notebook = pages
    in_colab = "https://colab.research.google.com/github/owner/bnn_tutorial/blob/main/notebooks"
    assert f"git clone {ADDRESS} " in re.sub(r"<[^>]*>", "", home)
    assert f'href="{in_colab}/{NOTEBOOKS[0].name}"' in home
    assert f'href="{in_colab}/{NOTEBOOKS[0].name}"' in notebook
    assert f'href="{ADDRESS}/edit/main/notebooks/{NOTEBOOKS[0].name}"' in notebook
    assert f'href="{ADDRESS}/edit/main/docs/faq.md"' in faq
    assert f'href="{ADDRESS}/tree/main/study/results/windows.csv"' in faq


@pytest.mark.parametrize(
    "sign", ["git clone", "colab", "edit this page", "og:image", "canonical", "md-source", "<loc>"]
)
def test_where_there_is_no_address_nothing_asks_for_one(site, example, sign):
    pages, others = ([*folder.glob("**/*.html"), folder / "sitemap.xml"] for folder in (example, site))
    assert [page.name for page in pages if sign in page.read_text(encoding="utf-8").lower()] == []
    assert [page for page in others if sign in page.read_text(encoding="utf-8").lower()]  # it is the sign of one


# What makes the build fail


@pytest.mark.parametrize(
    ("name", "broken", "message"),
    [
        ("links", v4.new_markdown_cell("[a](../docs/nowhere.md)"), "nowhere.md"),
        ("links", v4.new_markdown_cell("[a](98.ipynb)"), "98.ipynb"),
        ("links", v4.new_markdown_cell("[a](../docs/faq.md#nowhere)"), "does not contain an anchor '#nowhere'"),
        ("links", v4.new_markdown_cell("[`a`][bnn_tutorial.nowhere]"), "bnn_tutorial.nowhere"),
        ("head", v4.new_markdown_cell("# A\n\n$x_1_2$"), "cannot read the formula"),
        ("head", v4.new_markdown_cell("# A\n\n$\\nowhere$"), "cannot read the formula"),
        ("plot", cell("plot()", {"image/png": PNG}), "has no alt text"),
        (
            "plot",
            v4.new_code_cell("1 / 0", outputs=[v4.new_output("error", ename="ZeroDivisionError")]),
            "ZeroDivision",
        ),
    ],
)
def test_a_fault_in_a_notebook_fails_the_build(docs, caplog, name, broken, message):
    write_notebook(docs, CELLS | {name: broken})
    with pytest.raises(Abort, match="Aborted with 1 warnings"):
        strict_build(docs, docs.parent / "site", "", NAV)
    assert message in caplog.text


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("[a](nowhere.md)", "nowhere.md"),
        ("[a](faq.md#nowhere)", "does not contain an anchor '#nowhere'"),
        ("$x_1_2$", "cannot read the formula"),
    ],
)
def test_a_fault_in_a_page_fails_the_build(docs, caplog, link, message):
    (docs / "index.md").write_text(f"# Home\n\n{link}\n")
    with pytest.raises(Abort, match="Aborted with 1 warnings"):
        strict_build(docs, docs.parent / "site", "", NAV)
    assert message in caplog.text


def test_a_page_that_is_missing_fails_the_build(docs, caplog):
    (docs.parent / "notebooks" / "99.ipynb").unlink()
    with pytest.raises(Abort, match="Aborted with 1 warnings"):
        strict_build(docs, docs.parent / "site", "", NAV)
    assert "notebooks/99.ipynb" in caplog.text


def test_a_clone_without_symbolic_links_has_all_pages():
    assert [file for folder in ("docs", "notebooks") for file in (ROOT / folder).rglob("*") if file.is_symlink()] == []
