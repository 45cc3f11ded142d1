"""The pages' scripts: their rooms, from which all arrows lead to the engine, and their types."""

import os
import posixpath
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "docs" / "web"
ROOMS = {  # which others each may import from
    "engine": set(),
    "draw": {"engine"},
    "playground/plane": {"engine"},
    "playground/digits": {"engine", "draw"},
    "write": {"engine"},
}
SCRIPTS = sorted(file.relative_to(WEB).as_posix() for file in WEB.glob("**/*.js"))
IMPORTED = re.compile(r"""(?:\bfrom|\bimport|\bURL)\b[\s(]*["'`]([^"'`]+\.js)["'`]""")


def imports(script):
    """What it imports, statically, dynamically, as a type or as a worker, as paths below docs/web."""
    found = IMPORTED.findall((WEB / script).read_text(encoding="utf-8"))
    return [posixpath.normpath(posixpath.join(posixpath.dirname(script), name)) for name in found]


def test_every_script_is_in_a_room():
    assert {posixpath.dirname(script) for script in SCRIPTS} == set(ROOMS)


def test_a_script_imports_from_its_room_and_those_below_and_what_is_there():
    rooms = {script: ROOMS[posixpath.dirname(script)] | {posixpath.dirname(script)} for script in SCRIPTS}
    wrong = [
        (script, name) for script in SCRIPTS for name in imports(script) if posixpath.dirname(name) not in rooms[script]
    ]
    assert wrong == []
    assert {name for script in SCRIPTS for name in imports(script)} <= set(SCRIPTS)


def test_no_import_is_hidden_from_this_test():
    hidden = re.compile(r"""\bimport\((?!["'`])|\bURL\((?!["'`]|name,|FILE,)""")
    assert [script for script in SCRIPTS if hidden.search((WEB / script).read_text(encoding="utf-8"))] == []


def test_the_types_of_the_scripts_hold():
    compiler = ROOT / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        (pytest.fail if "CI" in os.environ else pytest.skip)("no TypeScript: npm install --no-package-lock")
    check = subprocess.run([compiler, "--project", ROOT / "tsconfig.json"], capture_output=True, text=True)
    assert check.stdout == ""
    assert check.returncode == 0
