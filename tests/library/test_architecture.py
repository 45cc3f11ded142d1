"""The floors of the house: a module imports only from the floors below it."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import bnn_tutorial as bnn
from bnn_tutorial import packed

PACKAGE = Path(bnn.__file__).parent
FLOORS = {
    "ste": 0, "data": 0, "plots": 0, "bender": 0, "augmentation": 0, "losses": 0,
    "forward_maps": 1,
    "quantised": 2,
    "layers": 2,
    "models": 3, "optimisers": 3, "summary": 3,
    "training": 4,
    "__main__": 5, "__init__": 5,
}  # fmt: skip
WING = {"packed.kernels": 0, "packed.folding": 3, "packed.files": 4, "packed.network": 5, "packed.__init__": 6}
EXPORTERS = {"packed.c": 7, "packed.qonnx": 7}  # imported where they are asked for
WING |= EXPORTERS
BELOW_THE_WING = {"ste", "forward_maps", "layers"}  # what it may use of the tutorial
HEAVY = ["numba", "pandas", "matplotlib", "torchvision", "IPython"]


def imported(module):
    """The modules of the package that a module imports, inside functions too, with the path from the package on."""
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    nodes = list(ast.walk(ast.parse(path.read_text())))
    assert not [n for n in nodes if isinstance(n, ast.Import) and any("bnn_tutorial" in a.name for a in n.names)]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [node for node in froms if not node.level and node.module.startswith("bnn_tutorial")]
    names = set()
    for node in froms:
        wing = module.split(".")[:-1] if node.level == 1 else []
        found = [node.module] if node.module else [alias.name for alias in node.names]
        names |= {".".join([*wing, name]) for name in found if node.level}
    return names


def test_every_module_has_a_floor():
    files = [file.relative_to(PACKAGE).with_suffix("") for file in PACKAGE.rglob("*.py")]
    assert {".".join(file.parts) for file in files} == set(FLOORS) | set(WING)


@pytest.mark.parametrize("module", FLOORS)
def test_a_module_of_the_tutorial_imports_only_from_below_and_never_from_the_wing(module):
    assert all(FLOORS.get(other, 99) < FLOORS[module] for other in imported(module))


@pytest.mark.parametrize("module", WING)
def test_a_module_of_the_wing_imports_only_from_below_and_of_the_tutorial_only_layers(module):
    floors = WING | {name: FLOORS[name] for name in BELOW_THE_WING}
    assert all(floors.get(other, 99) < WING[module] for other in imported(module))


def test_import_leaves_heavy_libraries_for_their_first_use():
    code = f"import sys, bnn_tutorial; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


MODULES = [import_module(f"bnn_tutorial.{name}") for name in FLOORS if not name.startswith("__")]
PUBLIC = [name for module in MODULES if module is not bnn.plots for name in module.__all__]


@pytest.mark.parametrize("name", [*PUBLIC, *(f"packed.{name}" for name in packed.__all__)])
def test_every_public_name_has_a_docstring(name):
    thing = getattr(packed, name.removeprefix("packed.")) if name.startswith("packed.") else getattr(bnn, name)
    assert thing.__doc__
    assert not thing.__doc__.startswith(f"{name}(")  # what a dataclass gets by itself


def test_the_package_exports_what_its_modules_do_once():
    assert len(PUBLIC) == len(set(PUBLIC))
    assert all(hasattr(bnn, name) for name in PUBLIC)


def test_the_wing_exports_its_modules_and_what_it_is_for():
    modules = [name.removeprefix("packed.") for name in WING if "__init__" not in name and name not in EXPORTERS]
    assert sorted(packed.__all__) == sorted([*modules, *packed.network.__all__, "FoldedLayer"])
