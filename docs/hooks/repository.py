"""The repository's address stands in mkdocs.yml alone. As long as it is empty, no page names one.

The address of the site follows from it. A page that names it is a template, with {{ repo_url }}, {{ colab_url }} and
{{ source("folder/file") }}, which is a link only where there is something to link to.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from jinja2 import Environment, StrictUndefined

sys.path.append(str(Path(__file__).parents[2]))
from tools.address import site_of


def on_config(config):
    config.site_url = config.site_url or site_of(config.repo_url)  # `mkdocs serve` has one of its own
    config.edit_uri = config.edit_uri if config.repo_url else None
    in_colab = config.repo_url.replace("https://github.com", "https://colab.research.google.com/github", 1)
    config.extra["colab_url"] = in_colab and f"{in_colab}/blob/main/notebooks"
    return config


def on_page_markdown(markdown, page, config, files):
    if "repo_url" not in markdown and "source(" not in markdown:
        return markdown
    page_template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(markdown)
    addresses = {"repo_url": config.repo_url, "colab_url": config.extra["colab_url"]}
    return page_template.render(addresses, source=partial(source, config.repo_url))


def source(address: str, path: str) -> str:
    return f"[`{path}`]({address}/tree/main/{path})" if address else f"`{path}`"
