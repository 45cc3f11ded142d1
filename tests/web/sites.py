"""Builds the site as `make site` does: strictly and quietly, with the project's own configuration."""

import logging
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/owner/bnn_tutorial"
# The headless shell comes first: the whole browser opens a window for each test, which takes as long as a page.
BROWSERS = "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"


def strict_build(docs, site, address, nav=None):
    """The site of the folder `docs`, for a repository at the address; with other pages in its navigation, if told."""
    config = load_config(
        str(ROOT / "mkdocs.yml"), strict=True, docs_dir=str(docs), site_dir=str(site), repo_url=address
    )
    config.nav = nav or config.nav
    logging.getLogger("mkdocs").setLevel(logging.ERROR)  # what --quiet does
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return site
