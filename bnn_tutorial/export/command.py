"""What exporters share: the name of a file that is a name in its language too, and the command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Set
from pathlib import Path

from ..packed.network import PackedNetwork


def check_name(path: Path, suffix: str, language: str, taken: Set[str] = frozenset()) -> None:
    """A `ValueError` if what the code in the file is called after it would be no name in the language, or is taken."""
    if path.suffix != suffix or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", path.stem) or path.stem in taken:
        expected = (
            f"expected a {'free ' if taken else ''}name in {language} with the suffix {suffix}, such as mnist{suffix}"
        )
        raise ValueError(f"{expected}, got {path.name!r}")


def valid_name(path: Path, suffix: str, taken: Set[str] = frozenset()) -> Path:
    """Beside this file, one with a name that `check_name` accepts."""
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    return path.with_name(f"{name if name[:1].isalpha() and name not in taken else f'net_{name}'}{suffix}")


def run(description: str | None, write: Callable[[PackedNetwork, argparse.Namespace], Path], **options: dict) -> None:
    """A command that reads a packed network and writes it as something else; errors are one line.

    Args:
        description: its first line is the command's.
        write: takes the network and the chosen options, and returns the path of what it wrote.
        options: by their names, the arguments of `add_argument`.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a packed network, as `PackedNetwork.save` wrote it")
    for name, arguments in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **arguments)
    chosen = parser.parse_args()
    try:
        path = write(PackedNetwork.load(chosen.file), chosen)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"wrote {path}")
