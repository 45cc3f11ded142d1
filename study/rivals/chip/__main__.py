"""Count instructions, flash and RAM of all networks on all cores, into `chip.csv`: `python -m study.rivals.chip`."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd

from bnn_tutorial.packed.files import replace

from .counts import count, jobs

RESULTS = Path(__file__).parents[2] / "results" / "chip.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000, help="of which these are parts (%(default)s)")
    options = parser.parse_args()
    if options.images < 1000 or 10_000 % options.images:
        parser.error(f"--images: expected a divisor of 10,000 that is at least 1,000, got {options.images}")
    with ProcessPoolExecutor(2) as pool:
        table = pd.DataFrame(pool.map(count, *zip(*jobs(options.images), strict=True)))
    print(table.to_string(index=False))
    if options.images == 10_000:
        replace(RESULTS, table.to_csv(index=False).encode())


if __name__ == "__main__":
    main()
