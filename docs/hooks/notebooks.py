"""Notebooks as Markdown: MkDocs then renders, links, checks and indexes them like every other page.

mkdocs-jupyter makes a page of each notebook and puts the file beside it for download. Its own conversion is left aside:
it inlines half a megabyte of styles in each page, neither follows nor checks links, and has no use for alt texts, folds
and math. Code and prose become Markdown here. Outputs wait in a table until the Markdown is rendered, so that nothing
in them is taken for Markdown.

What a notebook can say in its cells' metadata: the tag `hide-cell` folds a cell away and `hide-input` its code only,
`summary` is the line that unfolds it, and `alt` tells what is to be seen in its pictures. A section whose heading
JupyterLab collapses is folded here too; its title is the line that unfolds it.
"""

from __future__ import annotations

import html
import json
import logging
import posixpath
import re
import struct
from base64 import b64decode
from pathlib import Path

from markdown.extensions.toc import slugify
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

log = logging.getLogger("mkdocs.hooks.notebooks")

FENCE = "~~~~"  # longer than what a cell's own text may hold
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files, config):
    """The notebooks stand beside the folder of the pages: a symbolic link is not one in every clone."""
    root = Path(config.docs_dir).parent
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        files.append(File(f"notebooks/{path.name}", str(root), config.site_dir, config.use_directory_urls))
    return files


def on_pre_page(page, config, files):
    if not page.file.src_uri.endswith(".ipynb"):
        return page
    vars(page).pop("render")  # mkdocs-jupyter's, which hides the page's own
    name = posixpath.basename(page.file.src_uri)
    page.nb_url = page.url + name  # mkdocs-jupyter's is wrong where the site has no address
    if config.repo_url:
        page.edit_url = f"{config.repo_url}/edit/main/notebooks/{name}"
        page.colab_url = f"{config.extra['colab_url']}/{name}"
    notebook = json.loads(Path(page.file.abs_src_path).read_text(encoding="utf-8"))
    page.notebook = Notebook(notebook["cells"], page.file.src_uri)
    for uri, content in page.notebook.figures.items():
        files.append(File.generated(config, uri, content=content))
    return page


def on_page_read_source(page, config):
    return page.notebook.markdown if hasattr(page, "notebook") else None


def on_page_content(content, page, config, files):
    return page.notebook.insert_outputs(content) if hasattr(page, "notebook") else content


class Notebook:
    """A notebook's Markdown, the HTML of its outputs by their marks in it, and its pictures by where they go."""

    def __init__(self, cells: list[dict], src_uri: str):
        self.src_uri = src_uri
        self.outputs: dict[str, str] = {}
        self.figures: dict[str, bytes] = {}
        self.markdown = "\n\n".join(self._folded(cells))

    def insert_outputs(self, content: str) -> str:
        for mark, output in self.outputs.items():
            content = content.replace(mark, output)
        return content

    def _folded(self, cells: list[dict]):
        """The Markdown of each cell. A collapsed section ends at the next heading of its level, or above."""
        level = 0  # of the collapsed section that is open
        for number, cell in enumerate(cells, 1):
            text, hashes = self._cell(number, cell), _hashes(cell)
            if level and 0 < hashes <= level:
                yield "</details>"
                level = 0
            if hashes and not level and cell["metadata"].get("jp-MarkdownHeadingCollapsed"):
                level = hashes
                title, _, text = text.lstrip("# ").partition("\n")
                yield f'<details class="fold" id="{slugify(title, "-")}" markdown="1">'
                yield f'<summary markdown="span">{title}</summary>'
            yield text
        if level:
            yield "</details>"

    def _cell(self, number: int, cell: dict) -> str:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            return _as_on_the_site(source)
        if cell["cell_type"] != "code":
            return ""
        tags, summary = cell["metadata"].get("tags", []), cell["metadata"].get("summary", "Show the code")
        code = _fence(source, "input")
        outputs = "\n\n".join(self._outputs(number, cell))
        if "hide-cell" in tags:
            return _fold(summary, f"{code}\n\n{outputs}")
        return f"{_fold(summary, code) if 'hide-input' in tags else code}\n\n{outputs}"

    def _outputs(self, number: int, cell: dict):
        alts = cell["metadata"].get("alt", [])
        alts = iter([alts] if isinstance(alts, str) else alts)
        for output in cell["outputs"]:
            data = {kind: "".join(lines) for kind, lines in output.get("data", {}).items()}
            if output["output_type"] == "error":
                log.warning(f"{self.src_uri}: cell {number} ends with {output['ename']}")
            elif output["output_type"] == "stream":
                if text := "".join(output["text"]).strip("\n"):
                    yield self._mark(_text(text))
            elif "image/png" in data:
                yield self._mark(self._figure(b64decode(data["image/png"]), next(alts, "").strip(), number))
            elif 'class="highlight"' in data.get("text/html", ""):
                language = re.search(r'\blanguage="(\w+)"', "".join(cell["source"]))
                yield _fence(data["text/plain"], "listing", language[1] if language else "python")
            elif "text/html" in data:
                yield self._mark(_table(data["text/html"]))
            elif "text/markdown" in data:
                yield _as_on_the_site(data["text/markdown"])
            else:
                yield self._mark(_text(data["text/plain"]))

    def _mark(self, output: str) -> str:
        mark = f'<div class="output-{len(self.outputs) + 1}"></div>'
        self.outputs[mark] = output
        return mark

    def _figure(self, png: bytes, alt: str, number: int) -> str:
        if not alt:
            log.warning(f"{self.src_uri}: the picture of cell {number} has no alt text (the cell's metadata.alt)")
        name = f"figure-{len(self.figures) + 1}.png"
        self.figures[f"{self.src_uri.removesuffix('.ipynb')}/{name}"] = png
        width, height = struct.unpack(">II", png[16:24])  # known before it loads, so that the text does not jump
        image = f'<img src="{name}" alt="{html.escape(alt)}" width="{width}" height="{height}" loading="lazy">'
        wide = " wide" if width > 2 * height and width > 700 else ""
        return f'<div class="output figure{wide}">{image}</div>'


def _hashes(cell: dict) -> int:
    """The level of the heading that a cell begins with; 0 if it begins with none."""
    heading = cell["cell_type"] == "markdown" and re.match("(#+) ", "".join(cell["source"]))
    return len(heading[1]) if heading else 0


def _as_on_the_site(markdown: str) -> str:
    """In the repository the pages are in ../docs, on the site one folder up; Markdown inside <details> is rendered."""
    markdown = markdown.replace("](../docs/", "](../")
    return markdown.replace("<details>", '<details class="fold" markdown="1">')


def _fence(code: str, kind: str, language: str = "python") -> str:
    # A listing shows the library's own source: the API pages have it, so the search need not find it twice.
    hidden = ' data-search-exclude=""' if kind == "listing" else ""
    return f"{FENCE} {{ .{language} .{kind}{hidden} }}\n{code.rstrip()}\n{FENCE}"


def _fold(summary: str, content: str) -> str:
    return f'<details class="fold" markdown="1">\n<summary>{html.escape(summary)}</summary>\n\n{content}\n\n</details>'


def _text(text: str) -> str:
    return f'<div class="output no-copy"><pre><code>{html.escape(ANSI.sub("", text).rstrip())}</code></pre></div>'


def _table(table: str) -> str:
    """A table in the site's own style; pandas brings its own, and attributes that HTML has given up."""
    table = re.sub(r"<style.*?</style>", "", table, flags=re.DOTALL)
    table = re.sub(r' (?:border|class|style|halign|valign)="[^"]*"', "", table)
    return f'<div class="output table">{table}</div>'
