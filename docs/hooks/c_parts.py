"""The parts of a C file are published beside the script that fills them in, as `bnn_tutorial.export.c` does."""

from __future__ import annotations

from pathlib import Path

from mkdocs.structure.files import File

PARTS = Path(__file__).parents[2] / "bnn_tutorial" / "export" / "parts"


def on_files(files, config):
    for path in sorted(PARTS.glob("*.c")):
        files.append(File.generated(config, f"web/engine/parts/{path.name}", abs_src_path=str(path)))
    return files
