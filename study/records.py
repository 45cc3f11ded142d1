"""The best networks of their sizes: `python -m study.records`.

Training uses the whole training set. Accuracies are on all 10,000 test images after the last epoch, for five seeds, and
for three in the case of the largest network. The time is a result here, so each run has both cores. With `--processes
2`, two runs get one core each, and their rows have no time. About an hour and a half. The tutorial's network after 10
and 60 epochs of augmented images is in `controls`.
"""

from __future__ import annotations

from pathlib import Path

from .recipes import CONVNET_RECORD, DENSE_RECORD, LARGE_CONVNET, ONE_BIT_INPUT, SMALL_CONVNET
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "records.csv"

RECIPES = {
    "784-256-256-256-10, 1-bit input": ONE_BIT_INPUT,
    "convnet of 93,088 weights": SMALL_CONVNET,
    "convnet of 666,432 weights": LARGE_CONVNET._replace(seeds=3),
    "784-278-160-10, 120 epochs": DENSE_RECORD,
    "convnet of 12,000 bytes, 40 epochs": CONVNET_RECORD._replace(seeds=3),
}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES, processes=1)
