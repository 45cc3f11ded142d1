"""Optimisers for binary networks, beside those of `torch.optim`."""

import torch
from torch import nn

from .layers import latent_weights
from .ste import sign


def adam(model: nn.Module, learning_rate: float) -> torch.optim.Adam:
    """`torch.optim.Adam` for all parameters, with the kernel that updates them in one pass (`fused`)."""
    return torch.optim.Adam(model.parameters(), learning_rate, fused=True)


class Bop(torch.optim.Adam):
    """No latent weights: each binary weight is ±1 itself and flips when its mean gradient insists; Adam moves the rest.

        m <- (1 - adaptivity) m + adaptivity g,    w <- -w  where |m| > threshold and m has the sign of w

    It replaces the binary weights of `model` by their signs. They are the first parameter group; its `lr` is the
    adaptivity, so a scheduler acts on it as on the learning rate. `step` sets their `grad` to None.

    Args:
        model: with binary layers.
        learning_rate: of Adam, for biases, batch norm and real weights.
        adaptivity: weight of the newest gradient in the moving average m, in (0, 1]; default the paper's.
        threshold: how large the average has to be for a flip, at least 0; default the paper's.

    Source: Helwegen et al. 2019, Latent Weights Do Not Exist, algorithm 1 (arXiv 1906.02107).
    """

    def __init__(self, model: nn.Module, learning_rate: float, adaptivity: float = 1e-4, threshold: float = 1e-8):
        if not 0 < adaptivity <= 1 or not threshold >= 0:
            got = f"{adaptivity!r} and {threshold!r}"
            raise ValueError(f"expected an adaptivity in (0, 1] and a threshold of at least 0, got {got}")
        binary = [w for w in latent_weights(model) if w.requires_grad]
        if not binary:
            raise ValueError(f"Bop flips binary weights, and the model, {type(model).__name__}, has none to train")
        rest = [p for p in model.parameters() if all(p is not w for w in binary)]
        flipping = {"params": binary, "lr": adaptivity, "threshold": threshold}  # all that a checkpoint has to hold
        super().__init__([flipping, {"params": rest}], learning_rate)
        with torch.no_grad():
            for w in binary:
                w.copy_(sign(w))

    @torch.no_grad()
    def step(self, closure=None):
        """Flip binary weights, and let Adam update the rest."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        binary = self.param_groups[0]
        for w in binary["params"]:
            if w.grad is None:
                continue
            state = self.state[w] or {"step": torch.zeros(()), "mean": torch.zeros_like(w)}  # Adam wants a step
            self.state[w], m = state, state["mean"].lerp_(w.grad, binary["lr"])
            w.mul_(1 - 2 * (m * w > binary["threshold"]))  # w is ±1: |m| > threshold, and m has the sign of w
            w.grad = None  # Adam passes over what has no gradient
        super().step()
        return loss
