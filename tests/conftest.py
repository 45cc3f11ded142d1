"""What several test files share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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
