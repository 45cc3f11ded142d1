"""The site, and a browser that reads it."""

import os
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from filelock import FileLock
from playwright.sync_api import sync_playwright
from screens import DESKTOP
from sites import ADDRESS, BROWSERS, ROOT, strict_build

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

SOURCES = [ROOT / name for name in ("docs", "notebooks", "bnn_tutorial", "tools")]
SOURCES += [ROOT / name for name in ("mkdocs.yml", "pyproject.toml", "constraints.txt")]


@pytest.fixture(scope="session")
def site():
    """The site with an address, built if it is missing or older than its sources, once for all processes that test."""
    folder, stamp = ROOT / "build" / "site" / "bnn_tutorial", ROOT / "build" / "site" / "built"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{stamp}.lock"):
        if not stamp.exists() or stamp.stat().st_mtime < newest(SOURCES):
            stamp.unlink(missing_ok=True)
            build(folder)
            stamp.touch()
    return folder


def newest(sources):
    files = [file for source in sources for file in [source, *source.rglob("*")] if "__pycache__" not in file.parts]
    return max(file.stat().st_mtime for file in files)


def build(folder):
    """With proxies that lead nowhere: a build that asks another host fails."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        strict_build(ROOT / "docs", folder, ADDRESS)


@pytest.fixture(scope="session")
def pages(site):
    """The addresses of all pages, relative to the site's."""
    files = sorted(site.glob("**/*.html"))
    return [file.relative_to(site).as_posix().removesuffix("index.html") for file in files]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server(site):
    """The address of the site, under the same path as on GitHub Pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=site.parent)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{site.name}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
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
