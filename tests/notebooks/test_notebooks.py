"""What nbval cannot see: that the stored notebooks are executed, whole, clean and described."""

import base64
import re
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest

from tools.execute_notebooks import clean, execute

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook, mime):
    return [
        (cell, out.data[mime]) for cell in code_cells(notebook) for out in cell.outputs if mime in out.get("data", {})
    ]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_notebook_is_valid(notebook):
    nbformat.validate(notebook)


def test_cells_were_run_once_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_output_is_an_error_or_a_warning(notebook):
    kinds = {(out.output_type, out.get("name")) for cell in code_cells(notebook) for out in cell.outputs}
    assert kinds <= {("stream", "stdout"), ("display_data", None), ("execute_result", None)}


def test_stored_outputs_come_from_the_whole_of_the_data(notebook):
    printed = "".join(out.text for cell in code_cells(notebook) for out in cell.outputs if out.output_type == "stream")
    mnist, plays = "60,000 images to train, 10,000 to test", "plays: 4,077,796 characters to train"
    assert mnist in printed or plays in printed


def test_no_local_path_and_no_machine_is_named(path):
    text = path.read_text()
    assert str(FOLDER.parent) not in text
    assert not re.search(r"/home/|/root/|/tmp/|/Users/|site-packages|\.venv", text)


def test_every_plot_says_what_one_sees(notebook):
    plots = outputs(notebook, "image/png")
    assert plots
    assert all(len(cell.metadata.get("alt", "")) > 60 for cell, _ in plots)


def test_plots_are_png_and_the_file_is_small(path, notebook):
    assert not outputs(notebook, "image/svg+xml")
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for _, picture in outputs(notebook, "image/png"))
    assert path.stat().st_size <= 300_000


def test_folded_cells_say_what_they_hide(notebook):
    folded = [cell for cell in notebook.cells if "hide-cell" in cell.metadata.get("tags", [])]
    assert folded
    assert all(cell.metadata.get("summary") for cell in folded)


def test_head_tells_what_is_learned_needed_and_how_long(notebook):
    head = notebook.cells[0].source
    assert head.startswith("# ")
    assert all(word in head for word in ("**You will learn**", "**You need**", "**Run time**"))


def test_code_cells_after_the_imports_are_short(notebook):
    _install, _imports, *cells = code_cells(notebook)
    shown = [cell for cell in cells if not {"hide-cell", "hide-input"} & set(cell.metadata.get("tags", []))]
    assert max(len([line for line in cell.source.splitlines() if line.strip()]) for cell in shown) <= 16


def test_stored_file_is_clean(notebook):
    assert nbformat.writes(clean(deepcopy(notebook))) == nbformat.writes(notebook)


def tiny_notebook(tmp_path, *sources):
    path = tmp_path / "tiny.ipynb"
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": ["kept"], "dropped": 1}) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_execution_stores_outputs_without_progress_bars_and_timing(tmp_path):
    path = tiny_notebook(tmp_path, "import sys; print(6 * 7); print('bar', file=sys.stderr)")
    execute(path)
    (cell,) = nbformat.read(path, as_version=4).cells
    assert [out.text for out in cell.outputs] == ["42\n"]
    assert cell.metadata == {"tags": ["kept"]}


def test_plots_are_stored_whatever_backend_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    path = tiny_notebook(tmp_path, "import matplotlib.pyplot as plt; plt.plot([1, 2]);")
    execute(path)
    (cell,) = nbformat.read(path, as_version=4).cells
    assert "image/png" in cell.outputs[0].data


def test_a_failing_cell_leaves_the_file_as_it_was(tmp_path):
    path = tiny_notebook(tmp_path, "1 / 0")
    before = path.read_bytes()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        execute(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
