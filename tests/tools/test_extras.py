"""What needs which extra: the package alone runs without any, and what is missing is named."""

import re
import subprocess
import sys
import tomllib
from itertools import chain

import pytest

from tools.address import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    extra: [re.match(r"[\w-]+", requirement)[0].replace("-", "_") for requirement in requirements]
    for extra, requirements in PROJECT["optional-dependencies"].items()
}

TRAINING = """
import bnn_tutorial as bnn
few = bnn.hold_out(bnn.hold_out(bnn.load_mnist(), 59_000), 100)
bnn.train(bnn.TrainConfig(epochs=1), few, progress=False)
print("trained")
"""


def run_without(packages, code):
    """The last line that Python prints when it cannot import these packages."""
    missing = f"import sys; sys.modules.update(dict.fromkeys({packages}))\n"
    done = subprocess.run([sys.executable, "-c", missing + code], capture_output=True, text=True, cwd=ROOT)
    return (done.stdout + done.stderr).strip().splitlines()[-1]


def test_the_tutorial_trains_without_any_extra():
    extras = sorted({*chain(*EXTRAS.values())} - {"setuptools", "filelock"})  # PyTorch imports these two
    assert run_without(extras, TRAINING) == "trained"


@pytest.mark.parametrize("package", EXTRAS["packed"])
def test_packed_names_the_package_that_is_missing_and_the_extra_that_brings_it(package):
    expected = f"bnn_tutorial.packed needs {package}, which comes with the extra `packed`: run pip install '.[packed]'"
    assert expected in run_without([package], "from bnn_tutorial import packed")
