"""Losses of logits and targets.

Targets are classes, int64 of shape (N,), or probabilities, float of shape (N, classes) with rows that sum to 1: the
soft targets that a teacher gives.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Loss(Protocol):
    """What `TrainConfig.loss` takes: a function `(logits, targets) -> mean over the images`, a tensor of one number."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor: ...


def cross_entropy(logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """-log of the probability that softmax(scale * logits) gives to the target: mean over the images, in nats.

    Args:
        logits: (N, classes) float.
        targets: classes or probabilities, see above.
        scale: positive, an inverse temperature; it changes no order. Without batch norm a binary layer's logits are
            sums of many ±1, for which softmax is nearly 0 or 1 before anything is learned; a scale below 1 mends that.

    Examples:
        >>> import torch
        >>> logits, labels = torch.tensor([[30.0, 10.0]]), torch.tensor([1])
        >>> cross_entropy(logits, labels).item(), cross_entropy(logits, labels, scale=0.1).item()
        (20.0, 2.1269280910491943)

    Source: the loss of Bender's tutorial, with a factor.
    """
    return F.cross_entropy(_scaled(logits, scale), targets)


def squared_hinge(logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """max(0, 1 - t * scale * logit)², summed over the classes, mean over the images; t is +1 for the target, else -1.

    The arguments are those of `cross_entropy`; of probabilities p, t = 2p - 1.

    Examples:
        >>> import torch
        >>> squared_hinge(torch.tensor([[0.5, -2.0, 0.0]]), torch.tensor([0])).item()  # 0.5² + 0² + 1²
        1.25

    Source: BinaryConnect, section 3 (Courbariaux et al. 2015, arXiv 1511.00363): there an L2-SVM.
    """
    if not targets.is_floating_point():
        targets = torch.zeros_like(logits).scatter(1, targets[:, None], 1)  # `one_hot` cannot be transformed by vmap
    margins = 1 - (2 * targets - 1) * _scaled(logits, scale)
    return margins.clamp(min=0).square().sum(dim=1).mean()


def _scaled(logits: Tensor, scale: float) -> Tensor:
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    return logits if scale == 1 else scale * logits
