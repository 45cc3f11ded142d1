"""The repository's address stands in mkdocs.yml. This writes it where that cannot be read: `python -m tools.address`.

Those places are the first cell of each notebook, the package's metadata and the README. As long as `repo_url` is empty,
none of them names an address, since whoever registers a name that nobody owns runs code on the readers' machines.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from bnn_tutorial.packed.files import replace

ROOT = Path(__file__).parent.parent

IN_COLAB = """

import sys

if "google.colab" in sys.modules:
    !git clone --quiet --depth 1 {address} /content/code
    %pip install --quiet "/content/code{extras}"
    %cd -q /content/code/notebooks"""


def stored_address() -> str:
    """What mkdocs.yml says, "" as long as there is none."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return re.search(r"""^repo_url: ["']?([^"'\s]*)""", text, re.MULTILINE)[1].removesuffix("/").removesuffix(".git")


def site_of(address: str) -> str:
    """Where GitHub shows the site of a repository; "" for an address elsewhere, or none.

    >>> site_of("https://github.com/owner/name")
    'https://owner.github.io/name/'
    """
    found = re.fullmatch(r"https://github\.com/([\w-]+)/([\w.-]+)", address)
    return f"https://{found[1].lower()}.github.io/{found[2]}/" if found else ""


def in_notebook(text: str, address: str) -> str:
    """The file of a notebook: its cell "install" says how to get the package, in Colab by itself."""
    notebook = json.loads(text)
    cells = [cell for cell in notebook["cells"] if cell["id"] == "install"]
    words = "".join(cells[0]["source"] if cells else []).partition("\n\n")[0]
    found = re.search(r'pip install "?\.(\[[\w,]+\])?', words)
    if not found:
        raise ValueError("expected a cell 'install' that says pip install: copy the one of another notebook")
    cell, extras = cells[0], found[1] or ""
    source = words + (IN_COLAB.format(address=address, extras=extras) if address else "")
    cell["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def in_project(text: str, address: str) -> str:
    """pyproject.toml: the table of addresses stands there, or it does not."""
    urls = {
        "Homepage": site_of(address) or address,
        "Source": address,
        "Changelog": f"{address}/blob/main/CHANGELOG.md",
    }
    table = "[project.urls]\n" + "".join(f'{name} = "{url}"\n' for name, url in urls.items()) + "\n"
    text = re.sub(r"\[project\.urls\]\n(?:.+\n)+\n", "", text)
    return (
        text.replace("[project.optional-dependencies]", table + "[project.optional-dependencies]") if address else text
    )


def in_readme(text: str, address: str) -> str:
    """README.md: what to clone."""
    told = rf"git clone {address} \1" if address else r"git clone ADDRESS \1  # ADDRESS: that of this repository"
    return re.sub(r"^git clone \S+ (\S+).*", told, text, flags=re.MULTILINE)


FILES = {ROOT / "pyproject.toml": in_project, ROOT / "README.md": in_readme} | dict.fromkeys(
    sorted((ROOT / "notebooks").glob("*.ipynb")), in_notebook
)


def main() -> None:
    address = stored_address()
    texts = {}
    for path, written in FILES.items():
        try:
            texts[path] = written(path.read_text(encoding="utf-8"), address)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from None
    for path, text in texts.items():  # all or none
        replace(path, text.encode())


if __name__ == "__main__":
    main()
