"""Turn a float network into a binary one, step by step: `python -m study.binarise`.

This is the worked example of the page "Binarise your own", on Fashion-MNIST. It turns 784-300-100-10, made of
`nn.Linear`, `nn.BatchNorm1d` and `nn.ReLU`, into bits. Then it shows what goes wrong when a step is left out. Every run
has ten epochs, unless its name says otherwise. The rate of each step is the best of three on held-out images, one seed
each. The start from the trained float weights and its rival of 20 epochs have the rate of "in all layers". Training
uses the whole training set. Accuracies are on all 10,000 test images after the last epoch, for five seeds. About twenty
minutes on two cores.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

import bnn_tutorial as bnn

from .recipes import FAST, Recipe, changed
from .runner import best, run_missing

RESULTS = Path(__file__).parent / "results" / "binarise.csv"
CHOICES = RESULTS.with_name("binarise_choices.csv")
RATES = (0.001, 0.003, 0.01)


def plain(generator: torch.Generator) -> nn.Sequential:
    """The ordinary network that a reader may have."""
    with torch.random.fork_rng([]):
        torch.manual_seed(generator.initial_seed())
        return nn.Sequential(
            nn.Linear(784, 300),
            nn.BatchNorm1d(300),
            nn.ReLU(),
            nn.Linear(300, 100),
            nn.BatchNorm1d(100),
            nn.ReLU(),
            nn.Linear(100, 10),
        )


def network(
    activation: bnn.layers.Activation = bnn.clipped_sign_ste,
    binary: str = "",
    normalise: bool = True,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """The same layers. `binary` names those with binary weights: "2", then "12", then "123"."""
    first, second, third = (bnn.binary_linear if i in binary else bnn.linear for i in "123")
    options = {"activation": activation, "normalise": normalise, "generator": generator}
    return nn.Sequential(
        bnn.GenDense(784, 300, forward_map=first, **options),
        bnn.GenDense(300, 100, forward_map=second, **options),
        bnn.GenDense(100, 10, forward_map=third, normalise=normalise and "3" in binary, generator=generator),
    )


def step(**options) -> Recipe:
    return Recipe(FAST, partial(network, **options), data="FashionMNIST")


STEPS = {
    "float": Recipe(FAST, plain, data="FashionMNIST"),
    "binary activations": step(),
    "binary weights in layer 2": step(binary="2"),
    "in layers 1 and 2": step(binary="12"),
    "in all layers": step(binary="123"),
    "all but the activations": step(activation=torch.relu, binary="123"),
}
# Ten epochs as floats, with batch norm on the outputs too: the start of ten epochs as bits.
FLOAT = Recipe(
    replace(FAST, learning_rate=0.001),
    partial(bnn.binary_mlp, activation=torch.relu, forward_map=bnn.linear),
    data="FashionMNIST",
)
RATES_OF = {
    name: {f"{name}, rate {rate}": changed(recipe, learning_rate=rate)._replace(seeds=1) for rate in RATES}
    for name, recipe in STEPS.items()
}
CANDIDATES = {name: recipe for tried in RATES_OF.values() for name, recipe in tried.items()}


def starts(whole: Recipe) -> dict[str, Recipe]:
    """Twenty epochs in all: ten as floats and ten as bits, or all of them as bits."""
    return {
        "from the trained float weights": whole._replace(start=FLOAT),
        "from random weights, 20 epochs": changed(whole, epochs=20),
    }


def chosen_recipes() -> dict[str, Recipe]:
    """Empty as long as a candidate has no row."""
    recipes = {name: best(tried, CHOICES) for name, tried in RATES_OF.items()}
    if None in recipes.values():
        return {}
    recipes = {name: recipe._replace(seeds=5) for name, recipe in recipes.items()}
    whole = recipes["in all layers"]
    return recipes | {
        "the tutorial's settings": Recipe(data="FashionMNIST"),
        "without batch norm": changed(whole, network={"normalise": False}),
        "the identity for the activations": changed(whole, network={"activation": bnn.sign_ste}),
        "no estimator": changed(whole, network={"activation": bnn.sign}),
        "rate 0.0001": changed(whole, learning_rate=1e-4),
        "rate 0.3": changed(whole, learning_rate=0.3),
        **starts(whole),
    }


RECIPES = chosen_recipes()

if __name__ == "__main__":
    run_missing(CHOICES, CANDIDATES, held_out=True, names=CANDIDATES)
    run_missing(RESULTS, chosen_recipes())
