"""Two ways to train binary weights without a straight-through estimator: `python -m study.optimisers`.

Each is an optimizer and a forward map. They are compared with the recipe of ten epochs and with Bop, which are rows of
`closing_the_gap`. Each gets the best of three values of its own setting on held-out images, one seed each. Training
uses the whole training set. Accuracies are on all 10,000 test images after the last epoch, for five seeds. Ten minutes
on two cores.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnn_tutorial as bnn

from .recipes import TEN_EPOCHS, Recipe, changed
from .runner import best, run_missing

RESULTS = Path(__file__).parent / "results" / "optimisers.csv"
CHOICES = RESULTS.with_name("optimisers_choices.csv")


@bnn.keeps(bnn.binary_weights)
def real_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """Real weights in training, which `ProxQuant` makes binary; their signs in `eval` mode."""
    return F.linear(x, layer.weight if layer.training else bnn.sign(layer.weight), layer.bias)


class ProxQuant(torch.optim.Adam):
    """Adam, followed by a proximal step: each binary weight moves towards its sign, further at each step.

    No estimator is needed, since the trained network is real. It becomes binary on the way.

    Args:
        strength: the t-th step moves a weight by strength * t, at most to ±1.

    Source: Bai, Wang, Liberty 2019, ProxQuant, with its W-shaped regulariser (arXiv 1810.00861).
    """

    def __init__(self, model: nn.Module, learning_rate: float, strength: float = 1e-7):
        super().__init__(_groups(model, strength=strength, steps=0), learning_rate, fused=True)

    @torch.no_grad()
    def step(self, closure=None):
        loss, binary = super().step(closure), self.param_groups[0]
        binary["steps"] += 1
        for w in binary["params"]:
            sign = bnn.sign(w)
            w.copy_(sign + F.softshrink(w - sign, binary["strength"] * binary["steps"]))
        return loss


def _groups(model: nn.Module, **options: float) -> list[dict]:
    """The binary weights with these options, which a checkpoint then holds, and the rest."""
    binary = [layer.weight for layer in bnn.binary_layers(model)]
    rest = [p for p in model.parameters() if all(p is not w for w in binary)]
    return [{"params": binary} | options, {"params": rest}]


@bnn.keeps(bnn.binary_weights)
def mirrored_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """tanh(W) in training, whose gradient goes to W as it is: mirror descent; in `eval` mode the signs."""
    soft = torch.tanh(layer.weight) if layer.training else bnn.sign(layer.weight)
    return F.linear(x, bnn.straight_through(soft, layer.weight), layer.bias)


class MirrorDescent(torch.optim.Adam):
    """Adam for `mirrored_linear`, whose tanh it makes steeper with each step, by making all of W larger.

    Mirror descent takes its steps in another space than that of the weights: here in that of W / sharpness, where the
    weights are tanh(W). To pass the gradient straight through is then no estimate but the method itself.

    Args:
        growth: the sharpness is growth^t after t steps.

    Source: Ajanthan et al. 2021, Mirror Descent View for Neural Network Quantization (arXiv 1910.08237).
    """

    def __init__(self, model: nn.Module, learning_rate: float, growth: float = 1.0005):
        super().__init__(_groups(model, growth=growth, sharpness=1.0), learning_rate, fused=True)

    @torch.no_grad()
    def step(self, closure=None):
        binary = self.param_groups[0]
        rate, binary["lr"] = binary["lr"], binary["lr"] * binary["sharpness"]
        loss = super().step(closure)
        binary["lr"] = rate  # as a scheduler left it
        binary["sharpness"] *= binary["growth"]
        for w in binary["params"]:
            w.mul_(binary["growth"])
        return loss


def prox_quant(strength: float) -> Recipe:
    optimizer = partial(ProxQuant, strength=strength)
    return changed(TEN_EPOCHS, optimizer=optimizer, network={"forward_map": real_linear})


def mirror_descent(growth: float) -> Recipe:
    """Without clamping, which is not part of it."""
    optimizer = partial(MirrorDescent, growth=growth)
    return changed(TEN_EPOCHS, clamp=None, optimizer=optimizer, network={"forward_map": mirrored_linear})


STRENGTHS, GROWTHS = (1e-8, 1e-7, 1e-6), (1.0002, 1.0005, 1.001)
VALUES_OF = {
    "ProxQuant": {f"ProxQuant, strength {s}": prox_quant(s)._replace(seeds=1) for s in STRENGTHS},
    "mirror descent": {f"mirror descent, growth {g}": mirror_descent(g)._replace(seeds=1) for g in GROWTHS},
}
CANDIDATES = {name: recipe for tried in VALUES_OF.values() for name, recipe in tried.items()}


def chosen_recipes() -> dict[str, Recipe]:
    """The recipes whose candidates all have a row."""
    chosen = {name: best(tried, CHOICES) for name, tried in VALUES_OF.items()}
    return {name: recipe._replace(seeds=5) for name, recipe in chosen.items() if recipe}


RECIPES = chosen_recipes()

if __name__ == "__main__":
    run_missing(CHOICES, CANDIDATES, held_out=True, names=CANDIDATES)
    run_missing(RESULTS, chosen_recipes())
