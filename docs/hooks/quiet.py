"""A quiet build counts its warnings too: `--quiet` would hide them from `--strict` (mkdocs/mkdocs#4126)."""

from __future__ import annotations

import logging


def on_config(config):
    for name in ("mkdocs", "properdocs"):  # its successor has a logger of its own
        log = logging.getLogger(name)
        log.setLevel(min(log.getEffectiveLevel(), logging.WARNING))
    return config
