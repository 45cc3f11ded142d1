"""The best networks of their sizes: `python -m study.records`.

Networks of at most 12,000 bytes and of the tutorial's 35,090, all bytes counted (`bnn.summary`), trained on the whole
training set: accuracy on all 10,000 test images after the last epoch. What they are made of was chosen by
`records_choices`, on held-out images. Hours on one core: a run that was stopped goes on after its last whole epoch.
"""

from __future__ import annotations

from pathlib import Path

from .recipes import CONVNET_RECORD, DENSE_RECORD, LARGE_CONVNET, ONE_BIT_INPUT, SMALL_CONVNET, changed
from .records_training import FIVE_CONVOLUTIONS
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "records.csv"

ONE_BIT = {
    "784-256-256-256-10, 1-bit input": ONE_BIT_INPUT,
    "convnet of 93,088 weights": SMALL_CONVNET,
    "convnet of 666,432 weights": LARGE_CONVNET._replace(seeds=3),
    "784-278-160-10, 120 epochs": DENSE_RECORD,
    "convnet of 12,000 bytes, 40 epochs": CONVNET_RECORD._replace(seeds=3),
}
EIGHT_BITS = {  # activations; the weights have one
    "W1A8 convnet of 12,000 bytes, 60 epochs": changed(FIVE_CONVOLUTIONS, epochs=60),
}
RECIPES = ONE_BIT | EIGHT_BITS

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES, processes=1)
