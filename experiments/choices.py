"""How the values of the recipes were chosen: `python -m experiments.choices`.

Trained on the first 50,000 training images, scored on the last 10,000: the column `acc_test` holds those. The test set
is not read. Ten epochs, one seed: between two seeds the score differs by about 0.002. About ten minutes on two cores.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import bnn_tutorial as bnn

from .runner import TUTORIAL, Recipe, run_missing

RESULTS = Path(__file__).with_suffix(".csv")

CONFIG = replace(TUTORIAL, clamp="step", schedule="cosine", learning_rate=3e-3)
NORMALISED = partial(bnn.binary_mlp, activation=bnn.clipped_sign_ste, normalise=True)


def normalised(taught: bool = False, **settings) -> Recipe:
    return Recipe(replace(CONFIG, **settings), NORMALISED, taught)


def augmented(strength: float) -> partial:
    return partial(bnn.random_affine, degrees=5 * strength, shift=strength, scale=0.05 * strength)


def bop(adaptivity: float, threshold: float) -> partial:
    return partial(bnn.Bop, adaptivity=adaptivity, threshold=threshold)


RECIPES = {
    **{f"learning rate {rate}": normalised(learning_rate=rate) for rate in (0.001, 0.003, 0.01)},
    **{f"batches of {size}": normalised(batch_size=size) for size in (32, 128)},
    **{
        f"plain, logit scale {scale}": Recipe(replace(TUTORIAL, loss=partial(bnn.cross_entropy, scale=scale)))
        for scale in (0.01, 0.03, 0.1, 0.3)
    },
    **{
        f"plain, squared hinge, scale {scale}": Recipe(replace(TUTORIAL, loss=partial(bnn.squared_hinge, scale=scale)))
        for scale in (0.01, 0.03, 0.1, 0.3)
    },
    **{
        f"squared hinge, scale {scale}": normalised(loss=partial(bnn.squared_hinge, scale=scale))
        for scale in (0.1, 0.3, 1.0)
    },
    **{f"dropout {share}": Recipe(CONFIG, partial(NORMALISED, dropout=share)) for share in (0.05, 0.1, 0.2)},
    **{f"augmentation {strength}": normalised(augment=augmented(strength)) for strength in (0.5, 1.0, 2.0)},
    **{f"teacher, temperature {t}": normalised(taught=True, temperature=t) for t in (1.0, 2.0, 4.0)},
    **{
        f"Bop, adaptivity {adaptivity}, threshold {threshold}": normalised(optimiser=bop(adaptivity, threshold))
        for adaptivity in (1e-4, 1e-3, 1e-2)
        for threshold in (1e-8, 1e-7, 1e-6)
    },
}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES, seeds=range(1), source="full, held out")
