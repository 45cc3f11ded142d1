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
    assert test.examples
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


@pytest.mark.parametrize("target", re.findall(r"make ([\w-]+)", TEXT))
def test_every_command_named_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_links_into_the_repository_lead_to_files():
    links = [link for link in re.findall(r"\]\((.*?)\)", TEXT) if not link.startswith("https://")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
