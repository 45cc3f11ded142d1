"""Execute notebooks in place and clean them for git: `python -m tools.execute_notebooks notebooks/*.ipynb`.

Outputs and execution counts stay, since readers of the website see them. What differs from run to run without meaning
anything goes: timing metadata, the progress bars on stderr, the names of the kernel and of the machine.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from bnn_tutorial.packed.files import replace

# Metadata of a cell that say how it is shown.
KEPT = ("tags", "alt", "summary", "jupyter", "jp-MarkdownHeadingCollapsed")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> float:
    """Run the notebook from top to bottom and write it back; returns the seconds that it took.

    Nothing is written if a cell fails: the error is raised and the file stays as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    client = NotebookClient(notebook, timeout=300, record_timing=False, resources={"metadata": {"path": path.parent}})
    # Where MPLBACKEND is set, the kernel takes that in place of its own, which stores the plots.
    client.execute(env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"})
    seconds = time.perf_counter() - start
    replace(path, f"{nbformat.writes(clean(notebook))}\n".encode())
    return seconds


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what would differ from run to run; keep outputs, counts, ids, tags and alt texts."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in KEPT if key in cell.metadata}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for data in (output.data for output in cell.outputs if "data" in output):
                if "image/png" in data:
                    data["image/png"] = shrink(data["image/png"])
    return notebook


def shrink(png: str) -> str:
    """A plot has few colours: with a palette of 128 its file is a third as long, and looks the same."""
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    if picture.mode == "P":  # it has one already
        return png
    shrunk = io.BytesIO()
    picture.convert("RGB").quantize(128).save(shrunk, format="PNG", optimize=True)
    return base64.b64encode(shrunk.getvalue()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Execute notebooks in place and clean them for git.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    for path in parser.parse_args().notebooks:
        print(f"{path}: {execute(path):.0f} s")


if __name__ == "__main__":
    main()
