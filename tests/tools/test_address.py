"""The repository's address, empty and filled in: what is executed or published names one, or does not."""

import ast
import json
import re
import tomllib

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools import address
from tools.address import FILES, ROOT, in_notebook, in_project, in_readme, stored_address

ADDRESS = "https://github.com/owner/name"
NOTEBOOKS = {path.stem: path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".ipynb"}
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def code(text):
    return {cell["id"]: "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_says_what_mkdocs_yml_says(path):
    text = path.read_text(encoding="utf-8")
    assert FILES[path](text, stored_address()) == text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_filled_in_can_be_emptied(path):
    empty = FILES[path](path.read_text(encoding="utf-8"), "")
    filled = FILES[path](empty, ADDRESS)
    assert ADDRESS in filled
    assert ADDRESS not in empty
    assert FILES[path](filled, "") == empty


def test_a_notebook_without_such_a_cell_is_named():
    with pytest.raises(ValueError, match="copy the one of another notebook"):
        in_notebook('{"cells": [{"id": "a", "source": "pip install ."}]}', "")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_only_the_first_cell_of_a_notebook_fetches_anything(name):
    first, *cells = code(NOTEBOOKS[name]).items()
    assert first[0] == "install"
    assert not [source for _, source in cells if re.search(r"https?:|git\+|git clone|pip install", source)]


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize("told", ["", ADDRESS])
def test_the_first_cell_is_python_and_runs_something_only_where_there_is_an_address(name, told):
    source = TransformerManager().transform_cell(code(in_notebook(NOTEBOOKS[name], told))["install"])
    assert bool(ast.parse(source).body) == bool(told)
    assert (f"git clone --quiet --depth 1 {ADDRESS} /content/code" in source) == bool(told)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_colab_installs_the_extras_that_the_comment_names(name):
    extras = re.findall(r"\[([\w,]+)\]", code(in_notebook(NOTEBOOKS[name], ADDRESS))["install"])
    assert len(set(extras)) <= 1
    assert set(",".join(extras).split(",")) - {""} <= set(tomllib.loads(PROJECT)["project"]["optional-dependencies"])


def test_the_metadata_has_addresses_only_where_there_is_one():
    assert "urls" not in tomllib.loads(in_project(PROJECT, ""))["project"]
    urls = tomllib.loads(in_project(PROJECT, ADDRESS))["project"]["urls"]
    assert urls["Homepage"] == "https://owner.github.io/name/"
    assert urls["Source"] == ADDRESS


def test_the_readme_clones_the_address():
    text = "a\ngit clone ADDRESS folder  # ADDRESS: that of this repository\nb"
    assert in_readme(text, ADDRESS) == f"a\ngit clone {ADDRESS} folder\nb"


@pytest.mark.parametrize("told", ['""', f'"{ADDRESS}"', f"'{ADDRESS}'", f"{ADDRESS}/", f"{ADDRESS}.git  # where it is"])
def test_the_address_is_read_however_it_is_written(tmp_path, monkeypatch, told):
    (tmp_path / "mkdocs.yml").write_text(f"site_name: a\nrepo_url: {told}\nnav: []\n")
    monkeypatch.setattr(address, "ROOT", tmp_path)
    assert stored_address() == (ADDRESS if "owner" in told else "")


def test_nothing_is_written_if_one_file_cannot_be(tmp_path, monkeypatch):
    paths = {tmp_path / "README.md": in_readme, tmp_path / "01.ipynb": in_notebook}
    for path in paths:
        path.write_text('{"cells": []}' if path.suffix == ".ipynb" else "git clone ADDRESS folder")
    before = [path.read_text() for path in paths]
    monkeypatch.setattr(address, "FILES", paths)
    with pytest.raises(ValueError, match=r"01\.ipynb: expected a cell 'install'"):
        address.main()
    assert [path.read_text() for path in paths] == before
