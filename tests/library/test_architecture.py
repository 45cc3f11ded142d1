"""The rooms of the house: who may import whom, read from the sources in every form that an import has."""

import ast
import json
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from inspect import ismodule
from pathlib import Path

import pytest

import bnn_tutorial as bnn

ROOT = Path(bnn.__file__).parents[1]
# What each room may import of the others. `core` is bnn_tutorial/*.py; `tools` and `tests` may do as they like.
ARROWS = {
    "core": {"core"},
    "language": {"core", "language"},
    "packed": {"core", "language", "packed"},
    "export": {"core", "packed", "export"},
    "study": {"core", "language", "packed", "export", "study"},
}
HEAVY = ["numba", "pandas", "matplotlib", "torchvision", "IPython", "safetensors"]


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {dotted(path): path for folder in ("bnn_tutorial", "study") for path in (ROOT / folder).rglob("*.py")}


def imported(source, package=""):
    """The dotted names that a source imports: `import x`, `from x import y`, and both functions that take a name."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package or None) if node.level else node.module
            names += [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            assert isinstance(node.args[0], ast.Constant), f"an import that cannot be read: {ast.unparse(node)}"
            names.append(resolve_name(node.args[0].value, package or None))
    return names


def module_of(name):
    """The module of ours that a dotted name is in; None if it is somebody else's."""
    while name and name not in SOURCES:
        name = name.rpartition(".")[0]
    return name or None


def edges_of(module, source, is_package=False):
    package = module if is_package else module.rpartition(".")[0]
    return {module_of(name) for name in imported(source, package)} - {None, module}


def room(module):
    parts = module.split(".")
    if parts[0] == "study":
        return "study"
    return parts[1] if parts[1:2] and parts[1] in ARROWS else "core"


def wrong_arrows(graph):
    return {(a, b) for a, others in graph.items() for b in others if room(b) not in ARROWS[room(a)]}


GRAPH = {name: edges_of(name, path.read_text(), path.stem == "__init__") for name, path in SOURCES.items()}


def test_arrows_between_the_rooms_point_one_way():
    assert wrong_arrows(GRAPH) == set()


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_no_module_imports_a_command():
    assert not [(a, b) for a, others in GRAPH.items() for b in others if b.endswith("__main__")]


FORMS = [
    "import bnn_tutorial.packed.files",
    "import numpy, bnn_tutorial.packed.files as f",
    "from bnn_tutorial.packed import files",
    "from bnn_tutorial.packed.files import write",
    "from .packed import files",
    "from .packed.files import write as w",
    "def f():\n    from .packed import files",
    "import importlib\nimportlib.import_module('bnn_tutorial.packed.files')",
    "from importlib import import_module\nimport_module('.packed.files', __package__)",
    "__import__('bnn_tutorial.packed.files')",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_import_is_read(form):
    planted = GRAPH | {"bnn_tutorial.ste": edges_of("bnn_tutorial.ste", form)}
    assert wrong_arrows(planted) - wrong_arrows(GRAPH) == {("bnn_tutorial.ste", "bnn_tutorial.packed.files")}


def test_an_import_of_a_computed_name_is_refused():
    with pytest.raises(AssertionError, match="an import that cannot be read"):
        imported("from importlib import import_module as __import__\n__import__(name)")


def test_a_circle_is_seen():
    with pytest.raises(CycleError):
        TopologicalSorter(GRAPH | {"bnn_tutorial.ste": edges_of("bnn_tutorial.ste", "import bnn_tutorial")}).prepare()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_import_of_ours_the_library_and_the_study(path):
    cells = ["".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    lines = "\n".join(cells).splitlines()
    source = "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in lines)
    ours = {folder.name for folder in ROOT.iterdir() if folder.is_dir()}
    assert {name.split(".")[0] for name in imported(source)} & ours <= {"bnn_tutorial", "study"}


def test_import_leaves_heavy_libraries_for_their_first_use():
    code = f"import sys, bnn_tutorial; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


PUBLIC = {name: thing for name, thing in vars(bnn).items() if not name.startswith("_") and not ismodule(thing)}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring(name):
    assert PUBLIC[name].__doc__
    assert not PUBLIC[name].__doc__.startswith(f"{name}(")  # what a dataclass gets by itself


def test_no_function_hides_a_module():
    modules = [path.stem for path in (ROOT / "bnn_tutorial").glob("*.py") if "__" not in path.stem]
    assert not set(modules) & set(PUBLIC)


def test_exports_are_by_name():
    assert not [path for path in SOURCES.values() if "import *" in path.read_text()]
