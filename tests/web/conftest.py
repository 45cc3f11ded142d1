"""The site, and a browser that reads it."""

import os
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock
from playwright.sync_api import sync_playwright
from screens import DESKTOP

ROOT = Path(__file__).parents[2]
PATH = "/bnn_tutorial"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


SOURCES = [ROOT / name for name in ("docs", "notebooks", "bnn_tutorial", "mkdocs.yml")]


@pytest.fixture(scope="session")
def site():
    """The site, built if it is missing or older than its sources, once for all processes that test."""
    folder, stamp = ROOT / "site", ROOT / "build" / "site"  # the stamp tells when it was built without a fault
    stamp.parent.mkdir(exist_ok=True)
    with FileLock(f"{stamp}.lock"):
        if not folder.exists() or not stamp.exists() or stamp.stat().st_mtime < newest(SOURCES):
            build()
            stamp.touch()
    return folder


def newest(sources):
    files = [file for source in sources for file in [source, *source.rglob("*")] if "__pycache__" not in file.parts]
    return max(file.stat().st_mtime for file in files)


def build():
    """Strictly, and with proxies that lead nowhere: a build that asks another host fails."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    environment = os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="session")
def pages(site):
    """The addresses of all pages, relative to the site's."""
    files = sorted(site.glob("**/*.html"))
    return [file.relative_to(site).as_posix().removesuffix("index.html") for file in files]


class Handler(SimpleHTTPRequestHandler):
    """The site under a path, as on GitHub Pages."""

    def translate_path(self, path):
        return super().translate_path(path.removeprefix(PATH))

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server(site):
    """The address of the site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PATH}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and "CI" in os.environ:
        pytest.fail("no browser was found: install chromium")
    if found is None:
        pytest.skip("no browser was found: install chromium to run the browser tests")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser, server):
    """One page for all tests of a module that only compute there."""
    context = browser.new_context(base_url=server)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(browser, server, request):
    """A page as the test is parametrised: its size, scheme and further options; desktop and light by default."""
    values = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    size, scheme = values.get("size", DESKTOP), values.get("scheme", "light")
    options = {"reduced_motion": "reduce"} | values.get("options", {})
    context = browser.new_context(base_url=server, viewport=size, color_scheme=scheme, **options)
    yield context.new_page()
    context.close()
