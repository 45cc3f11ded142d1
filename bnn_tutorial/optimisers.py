"""Adam without the ceremony."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["Adam"]


class Adam:
    """PyTorch's fused Adam kernel, fed with the gradients themselves.

    The numbers are those of `torch.optim.Adam(parameters, learning_rate)`. For networks as small as ours the class
    around the kernel, with its hooks, checks and `.grad` fields, takes as long as the update itself: a tenth of a step.

    Args:
        parameters: of the model; those with `requires_grad=False` are left alone.
        learning_rate: positive.

    Source: Kingma and Ba 2015 (arXiv 1412.6980).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.learning_rate = learning_rate
        self._means = [torch.zeros_like(p) for p in self.parameters]
        self._squares = [torch.zeros_like(p) for p in self.parameters]
        self._step = torch.zeros((), device=self.parameters[0].device)  # one counter for all

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the parameters in place; `gradients` are in their order and of their shapes."""
        self._step += 1
        # What `torch.optim.Adam(fused=True)` calls in the end. Its name has an underscore, so a test compares the two.
        torch._fused_adam_(
            self.parameters,
            list(gradients),
            self._means,
            self._squares,
            max_exp_avg_sqs=[],
            state_steps=[self._step] * len(self.parameters),
            lr=self.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
