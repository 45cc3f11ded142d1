"""The README's example runs, and its figures are those of the experiment."""

import doctest
import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()


def test_example_prints_what_the_readme_says():
    example = re.search(r"```pycon\n(.*?)```", TEXT, re.DOTALL).group(1)
    test = doctest.DocTestParser().get_doctest(example, {}, "README", "README.md", 0)
    assert len(test.examples) == 10
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.fixture(scope="module")
def runs():
    tables = [pd.read_csv(ROOT / "study" / "results" / f"{name}.csv") for name in ("closing_the_gap", "controls")]
    return pd.concat(tables).groupby("name")["acc_test"]


@pytest.mark.parametrize("name", ["tutorial", "both binary, 60 epochs"])
def test_accuracies_are_those_of_the_five_seeds(runs, name):
    accuracy = runs.get_group(name)
    assert len(accuracy) == 5
    assert f"{accuracy.mean():.3f} ± {accuracy.std():.3f}" in TEXT


def test_the_float_networks_accuracy_is_that_of_five_seeds(runs):
    assert f"a megabyte, {runs.get_group('float, 60 epochs').mean():.3f}." in TEXT


def test_accuracies_are_what_the_tutorial_promises(runs):
    accuracy = runs.get_group("tutorial")
    assert accuracy.between(0.83, 0.90).all()
    assert accuracy.mean() >= 0.85


@pytest.mark.parametrize("wing", ["bnn_tutorial", "bnn_tutorial/packed"])
def test_line_counts_are_those_of_the_two_wings(wing):
    files = [file for file in (ROOT / wing).glob("*.py") if file.name not in ("c.py", "qonnx.py")]  # exporters
    lines = sum(len(file.read_text().splitlines()) for file in files)
    assert re.search(rf"\[`{wing}/`\].* some {round(lines, -2):,} lines", TEXT)


def test_readme_is_short():
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    assert len(prose.split()) <= 450


@pytest.mark.parametrize("target", re.findall(r"make (\w+)", TEXT))
def test_every_command_named_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_links_work_on_pypi_too_and_lead_to_files():
    links = re.findall(r"\]\((.*?)\)", TEXT)
    repository = re.search(r"^repo_url: (.*)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)[1]
    raw = repository.replace("github.com", "raw.githubusercontent.com")
    files = [link.partition("/main/")[2] for link in links if link.startswith((f"{repository}/", f"{raw}/"))]
    assert all(link.startswith("https://") for link in links)
    assert len(files) == 9
    assert all((ROOT / file).exists() for file in files)
