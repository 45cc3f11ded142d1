"""The repository's address stands in mkdocs.yml alone; pages write {{ repo_url }} and {{ colab_url }}."""

from __future__ import annotations


def on_config(config):
    in_colab = config.repo_url.replace("https://github.com", "https://colab.research.google.com/github", 1)
    config.extra["colab_url"] = f"{in_colab}/blob/main/notebooks"
    return config


def on_page_markdown(markdown, page, config, files):
    markdown = markdown.replace("{{ repo_url }}", config.repo_url)
    return markdown.replace("{{ colab_url }}", config.extra["colab_url"])
