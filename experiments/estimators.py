"""Every estimator on MNIST, with and without batch norm: `python -m experiments.estimators`.

The tutorial's network and settings (Adam at 0.0003, ten epochs, clamped after each), the whole training set, accuracy
on all 10,000 test images after the last epoch, five seeds. Nothing is tuned. About 20
minutes on two cores.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import bnn_tutorial as bnn

from .recipes import Recipe
from .runner import run_missing

RESULTS = Path(__file__).with_suffix(".csv")
ESTIMATORS = [
    bnn.sign,
    bnn.sign_ste,
    bnn.clipped_sign_ste,
    bnn.stochastic_sign_ste,
    bnn.tanh_sign,
    bnn.approx_sign,
    bnn.swish_sign,
]
NORMALISE = {"plain": False, "batch norm": True}
RECIPES = {
    f"{estimator.__name__}, {name}": Recipe(
        build=partial(bnn.binary_mlp, activation=estimator, normalise=NORMALISE[name])
    )
    for name, estimator in product(NORMALISE, ESTIMATORS)
}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES)
