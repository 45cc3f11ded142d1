"""How the values of the recipes were chosen: `python -m study.choices`.

Networks are trained on the first 50,000 training images and scored on the last 10,000; the column `acc_test` holds
those scores. The test set is not read. Close choices have three seeds, others one; the score differs by about 0.002
between two seeds. A recipe keeps its value unless another is better by more than the standard error of an accuracy p on
10,000 images, the root of p (1 - p) / 10,000: 0.0015 for 0.975. About two hours on two cores.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import bnn_tutorial as bnn

from .recipes import (
    HALVES,
    LARGE_CONVNET,
    NETWORKS,
    ONE_BIT_INPUT,
    SIXTY_EPOCHS,
    SMALL_CONVNET,
    TEN_EPOCHS,
    Recipe,
    augment,
    changed,
    control,
)
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "choices.csv"

RATES = {f"learning rate {rate}": changed(TEN_EPOCHS, learning_rate=rate) for rate in (0.001, 0.003, 0.01)}
BATCHES = {f"batches of {size}": changed(TEN_EPOCHS, batch_size=size) for size in (32, 128)}
SCALES = {
    f"{base}, {loss.__name__}, scale {scale}": changed(recipe, loss=partial(loss, scale=scale))
    for base, recipe in {"tutorial": Recipe(), "ten epochs": TEN_EPOCHS}.items()
    for loss in (bnn.cross_entropy, bnn.squared_hinge)
    for scale in (0.03, 0.1, 0.3)
} | {"ten epochs, squared_hinge, scale 1.0": changed(TEN_EPOCHS, loss=bnn.squared_hinge)}
DROPOUT = {f"dropout {share}": changed(TEN_EPOCHS, network={"dropout": share}) for share in (0.05, 0.1, 0.2)}
AUGMENTATION = {
    f"augmentation of strength {strength}": changed(TEN_EPOCHS, augment=augment(strength)) for strength in (0.5, 1, 2)
}
TEACHER = {f"teacher, temperature {t}": changed(TEN_EPOCHS, distilled=True, temperature=t) for t in (1.0, 2.0, 4.0)}
BOP = {
    f"Bop, adaptivity {adaptivity}, threshold {threshold}": changed(
        TEN_EPOCHS, optimizer=partial(bnn.Bop, adaptivity=adaptivity, threshold=threshold)
    )
    for adaptivity in (1e-4, 1e-3, 1e-2)
    for threshold in (1e-8, 1e-7, 1e-6)
}
LONG = {f"60 epochs, learning rate {rate}": changed(SIXTY_EPOCHS, learning_rate=rate) for rate in (0.003, 0.01)}
CONTROLS_10, CONTROLS_60 = (
    {
        f"{name}, {epochs} epochs, learning rate {rate}": control(name, epochs, rate)
        for name in (NETWORKS if epochs == 60 else HALVES)
        for rate in (0.001, 0.003, 0.01, 0.03)
    }
    for epochs in (10, 60)
)
RATES_OF_RECORDS = {
    f"{name}, learning rate {rate}": changed(recipe, learning_rate=rate)
    for name, recipe in {
        "1-bit input": changed(ONE_BIT_INPUT, distilled=False),
        "small convnet, 15 epochs": changed(SMALL_CONVNET, epochs=15),
        "large convnet, 10 epochs": changed(LARGE_CONVNET, epochs=10),
    }.items()
    for rate in (0.003, 0.01)
}
ONE_BIT = {
    "1-bit input, 120 epochs": changed(ONE_BIT_INPUT, distilled=False, epochs=120),
    "1-bit input, teacher": ONE_BIT_INPUT,
}
CLOSE = RATES | AUGMENTATION | TEACHER | CONTROLS_10
CLEAR = BATCHES | SCALES | DROPOUT | BOP | LONG | CONTROLS_60 | RATES_OF_RECORDS | ONE_BIT
RECIPES = {name: recipe._replace(seeds=3) for name, recipe in CLOSE.items()} | {
    name: recipe._replace(seeds=1) for name, recipe in CLEAR.items()
}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES, held_out=True)
