"""Shared fixtures. The tests in this folder take MNIST from where BNN_TUTORIAL_DATA says, or the bundled subset.

Only the notebooks do what a reader's would: look for the whole set, try to download it, and fall back.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bnn_tutorial as bnn

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def subset():
    return bnn.load_mnist(source="subset")


@pytest.fixture(scope="session")
def full():
    if not os.environ.get("BNN_TUTORIAL_DATA"):
        pytest.skip("needs the whole of MNIST: set BNN_TUTORIAL_DATA")
    return bnn.load_mnist(source="full")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def tiny(subset):
    """200 images to train and 100 to test: enough to see a loop work."""
    train_set, test_set = subset.train_images[:200], subset.test_images[:100]
    return bnn.Mnist(train_set, subset.train_labels[:200], test_set, subset.test_labels[:100], source="tiny")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site, built strictly, once. Proxies that lead nowhere: a build that asks another host fails."""
    folder = tmp_path_factory.mktemp("site") / "bnn_tutorial"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    environment = os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"}
    build = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site):
    """The addresses of all pages, relative to the site's."""
    files = sorted(site.glob("**/*.html"))
    return [file.relative_to(site).as_posix().removesuffix("index.html") for file in files]
