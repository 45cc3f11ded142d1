"""Losses: logits and targets in, one number to minimise out.

Targets are class numbers, int64 of shape (N,), or shares of the classes, float of shape (N, classes) with rows that sum
to 1: a teacher's opinion is as good a target as a label.
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

__all__ = ["Loss", "cross_entropy", "squared_hinge"]


class Loss(Protocol):
    """What `TrainConfig.loss` takes: a function `(logits, targets) -> mean over the images`, a tensor of one number."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor: ...


def cross_entropy(logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """-log of the share that softmax(scale * logits) gives to the target: mean over the images, in nats.

    Args:
        logits: (N, classes) float.
        targets: class numbers or shares, see above.
        scale: positive. The outputs of a binary layer are whole numbers up to its width, so large that softmax is sure
            of itself before anything is learned; a scale below 1 keeps it in doubt. It does not change which logit is
            the largest.

    Raises:
        ValueError: if the scale is not positive.

    Examples:
        >>> import torch
        >>> logits, labels = torch.tensor([[30.0, 10.0]]), torch.tensor([1])
        >>> cross_entropy(logits, labels).item(), cross_entropy(logits, labels, scale=0.1).item()
        (20.0, 2.1269280910491943)

    Source: the loss of Bender's tutorial, with a factor.
    """
    _check_scale(scale)
    return F.cross_entropy(scale * logits if scale != 1 else logits, targets)


def squared_hinge(logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """max(0, 1 - t * scale * logit)², summed over the classes, mean over the images; t is +1 for the target, else -1.

    Args:
        logits: (N, classes) float.
        targets: class numbers or shares p, for which t = 2p - 1.
        scale: as in `cross_entropy`.

    Raises:
        ValueError: if the scale is not positive.

    Examples:
        >>> import torch
        >>> squared_hinge(torch.tensor([[0.5, -2.0, 0.0]]), torch.tensor([0])).item()  # 0.5² + 0² + 1²
        1.25

    Source: Binarized Neural Networks, section 2.1 (Courbariaux et al. 2016, arXiv 1602.02830): there an L2-SVM.
    """
    _check_scale(scale)
    if not targets.is_floating_point():
        targets = F.one_hot(targets, logits.shape[1]).to(logits)
    margins = 1 - (2 * targets - 1) * scale * logits
    return margins.clamp(min=0).square().sum(dim=1).mean()


def _check_scale(scale: float) -> None:
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
