"""Optimisers: Adam without the ceremony, and Bop, which knows only flips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from .layers import binary_layers
from .ste import sign

__all__ = ["Optimiser", "Adam", "Bop", "as_optimiser"]


class Optimiser(Protocol):
    """What `train` steps with; `TrainConfig.optimiser` is a function `(model, learning_rate) -> Optimiser`.

    Attributes:
        parameters: those that it updates, in the order in which `step` takes their gradients.
    """

    parameters: list[nn.Parameter]

    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        """Update the parameters in place; `rate` is the schedule's share of the learning rate."""


class Adam:
    """PyTorch's fused Adam kernel, fed with the gradients themselves.

    The numbers are those of `torch.optim.Adam(model.parameters(), learning_rate)`. For networks as small as ours the
    class around the kernel, with its hooks, checks and `.grad` fields, takes as long as the update itself: a tenth of a
    step.

    Args:
        model: whose parameters are updated; those with `requires_grad=False` are left alone.
        learning_rate: positive.

    Raises:
        ValueError: if there is nothing to train.

    Source: Kingma and Ba 2015 (arXiv 1412.6980).
    """

    def __init__(self, model: nn.Module, learning_rate: float):
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError(f"the model, {type(model).__name__}, has no parameters to train")
        self.learning_rate = learning_rate
        self._means = [torch.zeros_like(p) for p in self.parameters]
        self._squares = [torch.zeros_like(p) for p in self.parameters]
        self._step = torch.zeros((), device=self.parameters[0].device)  # one counter for all

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        """Update the parameters in place; `gradients` are in their order and of their shapes."""
        self._step += 1
        # What `torch.optim.Adam(fused=True)` calls in the end. Its name has an underscore, so a test compares the two.
        torch._fused_adam_(
            self.parameters,
            [_laid_out_like(p, g) for p, g in zip(self.parameters, gradients, strict=True)],
            self._means,
            self._squares,
            max_exp_avg_sqs=[],
            state_steps=[self._step] * len(self.parameters),
            lr=rate * self.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class Bop:
    """No latent weights: each binary weight is ±1 itself and flips when its gradients insist; Adam moves the rest.

        m <- (1 - adaptivity) m + adaptivity g,    w <- -w  where |m| > threshold and m has the sign of w

    The signs of the binary weights are taken at the start, which changes `model`.

    Args:
        model: with binary layers.
        learning_rate: of Adam, for biases, batch norm and real weights.
        adaptivity: how fast the average forgets, in (0, 1]; default the paper's. The schedule acts on it as on the
            learning rate.
        threshold: how large the average has to be for a flip, at least 0; default the paper's. Gradients are this
            small, too.

    Raises:
        ValueError: if the model has no binary layer, or a value is out of range.

    Source: Helwegen et al. 2019, Latent Weights Do Not Exist, algorithm 1 (arXiv 1906.02107).
    """

    def __init__(self, model: nn.Module, learning_rate: float, adaptivity: float = 1e-4, threshold: float = 1e-8):
        if not 0 < adaptivity <= 1 or not threshold >= 0:
            got = f"{adaptivity!r} and {threshold!r}"
            raise ValueError(f"expected an adaptivity in (0, 1] and a threshold of at least 0, got {got}")
        trained = [layer.weight for layer in binary_layers(model) if layer.weight.requires_grad]
        self._weights = list(dict.fromkeys(trained))  # once each, if layers share one
        if not self._weights:
            raise ValueError(f"Bop flips binary weights, and the model, {type(model).__name__}, has none to train")
        binary = {id(w) for w in self._weights}
        rest = nn.ParameterList(p for p in model.parameters() if p.requires_grad and id(p) not in binary)
        self._adam = Adam(rest, learning_rate) if len(rest) else None
        self.parameters = [*self._weights, *rest]
        self.adaptivity, self.threshold = adaptivity, threshold
        self._means = [torch.zeros_like(w) for w in self._weights]
        with torch.no_grad():
            for w in self._weights:
                w.copy_(sign(w))

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        """Flip and update in place; `gradients` are in the order of `parameters` and of their shapes."""
        for w, m, g in zip(self._weights, self._means, gradients[: len(self._weights)], strict=True):
            m.lerp_(g, rate * self.adaptivity)
            flips = m * w > self.threshold  # w is ±1: |m| > threshold, and m has the sign of w
            w.mul_(1 - 2 * flips.to(w.dtype))
        if self._adam is not None:
            self._adam.step(gradients[len(self._weights) :], rate)


class _FromTorch:
    """An optimiser of `torch.optim` that takes its gradients as ours do."""

    def __init__(self, optimizer: torch.optim.Optimizer):
        self._optimizer = optimizer
        self.parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        for p, g in zip(self.parameters, gradients, strict=True):
            p.grad = g
        for group, learning_rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * learning_rate
        self._optimizer.step()


def as_optimiser(optimiser: Optimiser | torch.optim.Optimizer) -> Optimiser:
    """An `Optimiser` as it is; one of `torch.optim` behind the same two names."""
    return _FromTorch(optimiser) if isinstance(optimiser, torch.optim.Optimizer) else optimiser


def _laid_out_like(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient with the parameter's strides: the fused kernel walks through memory without looking at them."""
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)
