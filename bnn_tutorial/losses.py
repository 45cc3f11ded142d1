"""Losses of logits, (N, classes) float, and targets.

Targets are classes, (N,) int64, or probabilities, (N, classes) float with rows that sum to 1: a teacher's soft targets.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_positive


class Loss(Protocol):
    """What `TrainConfig.loss` takes: a function `(logits, targets) -> mean over the images`, a tensor of one number."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor: ...


def cross_entropy(logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """-log of the probability that softmax(scale * logits) gives to the target: mean over the images, in nats.

    `scale`, an inverse temperature, must be positive and does not change which class is first. Without batch norm a
    binary layer's logits are sums of many ±1, so their softmax is nearly 0 or 1 from the start: a scale below 1 helps.

    Examples:
        >>> import torch
        >>> logits, labels = torch.tensor([[30.0, 10.0]]), torch.tensor([1])
        >>> cross_entropy(logits, labels).item(), cross_entropy(logits, labels, scale=0.1).item()
        (20.0, 2.1269280910491943)

    Source: the loss of Bender's tutorial, with a factor.
    """
    check_positive("scale", scale)
    return F.cross_entropy(scale * logits, targets)


def squared_hinge(logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """max(0, 1 - t * scale * logit)², summed over the classes, mean over the images; t is +1 for the target, else -1.

    `scale` is positive. For targets that are probabilities p, t = 2p - 1.

    Examples:
        >>> import torch
        >>> squared_hinge(torch.tensor([[0.5, -2.0, 0.0]]), torch.tensor([0])).item()  # 0.5² + 0² + 1²
        1.25

    Source: BinaryConnect, section 3 (Courbariaux et al. 2015, arXiv 1511.00363), where it is called an L2-SVM.
    """
    check_positive("scale", scale)
    if not targets.is_floating_point():
        targets = torch.zeros_like(logits).scatter(1, targets[:, None], 1)  # vmap cannot transform `one_hot`
    margins = 1 - (2 * targets - 1) * (scale * logits)
    return margins.clamp(min=0).square().sum(dim=1).mean()
