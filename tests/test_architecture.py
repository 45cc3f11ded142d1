"""The floors of the house: a module imports only from the floors below it."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import bnn_tutorial as bnn

PACKAGE = Path(bnn.__file__).parent
FLOORS = {
    "ste": 0, "data": 0, "plots": 0, "bender": 0, "augmentation": 0, "losses": 0, "kernels": 0,
    "forward_maps": 1,
    "layers": 2,
    "models": 3, "optimisers": 3,
    "training": 4, "packed": 4,
    "__main__": 5, "__init__": 5,
}  # fmt: skip
HEAVY = ["numba", "pandas", "matplotlib", "mlxtend", "sklearn", "torchvision", "IPython"]


def imported(module):
    """The modules of the package that a module imports, inside functions too."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    nodes = list(ast.walk(tree))
    assert not [n for n in nodes if isinstance(n, ast.Import) and any("bnn_tutorial" in a.name for a in n.names)]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [node for node in froms if not node.level and node.module.startswith("bnn_tutorial")]
    names = [[node.module] if node.module else [a.name for a in node.names] for node in froms if node.level]
    return {name for group in names for name in group}


def test_every_module_has_a_floor():
    assert {file.stem for file in PACKAGE.glob("*.py")} == set(FLOORS)


@pytest.mark.parametrize("module", FLOORS)
def test_a_module_imports_only_from_below(module):
    assert all(FLOORS[other] < FLOORS[module] for other in imported(module))


def test_import_leaves_heavy_libraries_for_their_first_use():
    code = f"import sys, bnn_tutorial; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("name", bnn.__all__)
def test_every_public_name_has_a_docstring(name):
    thing = getattr(bnn, name)
    assert thing.__doc__
    assert not thing.__doc__.startswith(f"{name}(")  # what a dataclass gets by itself


def test_the_package_exports_what_its_modules_do():
    apart = ("plots", "kernels")  # exported as modules
    modules = [import_module(f"bnn_tutorial.{name}") for name in FLOORS if name not in ("__init__", "__main__", *apart)]
    assert sorted(bnn.__all__) == sorted([*apart, *(name for module in modules for name in module.__all__)])
    assert set(dir(bnn)) == set(bnn.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'unpack'"):
        bnn.unpack  # noqa: B018
