"""The wheel and the source distribution: what they hold, and that the wheel works away from the repository."""

import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IGNORED = shutil.ignore_patterns(".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()))
FOLDERS = ["bnn_tutorial", "docs", "notebooks", "study", "tests", "tools"]
FILES = ["README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "Makefile", "mkdocs.yml", "pyproject.toml"]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy without what git ignores: setuptools takes files up that lie about from an earlier build."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("checkout") / "copy", symlinks=True, ignore=IGNORED)


@pytest.fixture(scope="module")
def built(checkout):
    """The folder with both; the wheel is built from the source distribution, so that one is whole enough for it."""
    folder = checkout.parent / "dist"
    output = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, checkout, cwd=checkout.parent)
    (folder / "log").write_text(output)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def in_wheel(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def in_source(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def files(checkout, folder):
    return {path.relative_to(checkout).as_posix() for path in (checkout / folder).rglob("*") if path.is_file()}


def test_setuptools_warns_of_nothing(built):
    assert "WARNING" not in (built / "log").read_text()


def test_the_wheel_holds_the_whole_package_and_nothing_else(checkout, in_wheel):
    assert {name for name in in_wheel if ".dist-info/" not in name} == files(checkout, "bnn_tutorial")


DATA = ["mnist/mnist.tar.xz", "mnist/README.md", "packed/pretrained/mnist.safetensors", "export/parts/head.c"]


@pytest.mark.parametrize("name", DATA)
def test_the_wheel_holds_data_and_network(in_wheel, name):
    assert f"bnn_tutorial/{name}" in in_wheel


def test_the_wheel_is_smaller_than_12_megabytes(wheel):
    assert wheel.stat().st_size < 12_000_000


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_source_distribution_holds_the_whole_folder(checkout, in_source, folder):
    assert files(checkout, folder) <= in_source


def test_the_source_distribution_holds_what_builds_and_tests_it(in_source):
    assert set(FILES) <= in_source


def test_the_metadata_names_both_licences_and_no_address_but_the_projects(wheel, in_wheel):
    name = next(name for name in in_wheel if name.endswith("METADATA"))
    metadata = message_from_string(zipfile.ZipFile(wheel).read(name).decode())
    data = [f"bnn_tutorial/{folder}/README.md" for folder in ("mnist", "shakespeare")]
    assert metadata.get_all("License-File") == ["LICENSE", *data]
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL", []))
    assert urls == PROJECT.get("urls", {})


def test_each_package_that_is_needed_has_a_lower_bound_and_no_other():
    assert PROJECT["dependencies"]
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", requirement) for requirement in PROJECT["dependencies"])


def test_every_package_that_is_named_is_pinned():
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    named = sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])
    assert {re.match(r"[\w-]+", requirement)[0] for requirement in named} <= set(pinned)


@pytest.mark.slow
def test_the_wheel_trains_packs_and_predicts_in_a_clean_environment(wheel, tmp_path):
    venv.create(tmp_path / "clean", symlinks=True)
    python = tmp_path / "clean" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    # The packages that it needs are those of this environment. Python reads no .pth file in a folder that a .pth file
    # names, so an editable installation there stays out of sight.
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "needed.pth").write_text("\n".join(site.getsitepackages()))
    script = shutil.copy(ROOT / "tests" / "library" / "installed.py", tmp_path)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # on a busy machine several spend their time waiting
    assert "trained, packed, predicted" in run(python, "-I", script, cwd=tmp_path, env=one_thread)
