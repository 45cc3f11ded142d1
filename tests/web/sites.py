"""Builds the site as `make site` does: strictly, with the project's own configuration."""

from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/owner/bnn_tutorial"


def strict_build(docs, site, address, *more_pages):
    """The site of the folder `docs`, for a repository at the address."""
    config = load_config(
        str(ROOT / "mkdocs.yml"), strict=True, docs_dir=str(docs), site_dir=str(site), repo_url=address
    )
    config.nav.extend(more_pages)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return site
