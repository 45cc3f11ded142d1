"""What the pages show in code is what the code does."""

import doctest
import re
from pathlib import Path

import pytest

from bnn_tutorial.__main__ import main

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("**/*.md"))}
PYCON = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if PYCON.search(text)])
def test_examples_print_what_the_page_says(name):
    source = "\n".join(PYCON.findall(PAGES[name]))
    example = doctest.DocTestParser().get_doctest(source, {}, name, name, 0)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert result.attempted > 0
    assert result.failed == 0


def test_most_pages_of_prose_have_examples():
    assert {"index.md", "faq.md", "from-julia.md"} <= {name for name, text in PAGES.items() if PYCON.search(text)}


def test_the_page_of_the_command_shows_its_help(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    shown = re.search(r"```text\n(.*?)```", PAGES["api/command.md"], re.DOTALL)[1]
    with pytest.raises(SystemExit):
        main(["--help"])
    assert shown == capsys.readouterr().out


def test_no_page_names_the_repository_itself():
    assert not [name for name, text in PAGES.items() if "github.com/bnn-tutorial" in text]


def test_the_glossary_is_in_order():
    terms = re.findall(r"^## (.*)$", PAGES["glossary.md"], re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)


def test_each_term_of_the_glossary_is_linked_from_where_it_is_used():
    notebooks = [path.read_text(encoding="utf-8") for path in sorted((DOCS.parent / "notebooks").glob("*.ipynb"))]
    pages = [text for name, text in PAGES.items() if name != "glossary.md"]
    linked = set(re.findall(r"glossary\.md#([a-z0-9-]+)", "\n".join(notebooks + pages)))
    terms = re.findall(r"^## (.*)$", PAGES["glossary.md"], re.MULTILINE)
    assert linked == {term.lower().replace(" ", "-") for term in terms}
