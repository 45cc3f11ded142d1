"""Tables of speed, which hold what several machines measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bnn_tutorial.packed.files import replace


def store(path: Path, rows: list[dict], machine: dict) -> None:
    """Write these rows of a machine, in place of those that the table had of it. Machines are in alphabetical order."""
    new = pd.DataFrame([machine | row for row in rows])
    old = pd.read_csv(path) if path.exists() else new[:0]
    same = np.logical_and.reduce([old[key] == value for key, value in machine.items()])
    table = pd.concat([old[~same], new]).sort_values([*machine], kind="stable")
    replace(path, table.to_csv(index=False).encode())
