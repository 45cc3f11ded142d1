"""Binary activations and their estimators: `sign` forward, a surrogate gradient backward.

The derivative of `sign` is 0 wherever it exists, so back-propagation through it learns nothing. The estimators below
keep a step in the forward pass (`ada_ste` a ramp) and put another function's derivative in the backward pass; both
halves of an estimator stand side by side in one function.

Every function here maps a floating-point tensor to one of the same shape, dtype and device. NaN in, NaN out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "sign",
    "hard_sigmoid",
    "sign_ste",
    "clipped_sign_ste",
    "stochastic_sign_ste",
    "tanh_sign",
    "approx_sign",
    "swish_sign",
    "ada_ste",
    "most_likely",
]


class _Estimator(torch.autograd.Function):
    """y = quantise(x) forward; dx = surrogate(x, dy) backward, where dx and dy are the loss's gradients."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, quantise, surrogate):
        _check_float(x)
        return quantise(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, _, ctx.surrogate = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return ctx.surrogate(x, dy), None, None


def _step_(x: Tensor) -> Tensor:
    """+1 where x >= 0, else -1, in place."""
    # `threshold_(t, 0, -1)` keeps positive t and turns the rest into -1: the first call turns every x >= 0 into -1, the
    # second, after a change of sign, every x < 0. Both are vectorised and pass NaN on; `torch.where(x >= 0, 1.0, -1.0)`
    # does neither and takes nine times as long.
    negative_part = F.threshold_(x.neg_(), 0, -1)  # |x| where x < 0, else -1
    return F.threshold_(negative_part.neg_(), 0, -1)


def _step(x: Tensor) -> Tensor:
    return _step_(x.clone())


def _straight_through(x: Tensor, quantise_: Callable[[Tensor], Tensor]) -> Tensor:
    """`quantise_`, which works in place, forward; the identity backward."""
    _check_float(x)
    y = x.clone()  # a copy passes its gradient on as it is,
    quantise_(y.detach())  # and does not notice that its values are written over
    return y


def sign(x: Tensor) -> Tensor:
    r"""The sign, with sign(±0) = +1, and its true derivative, 0.

    q(x) = +1 if x >= 0, else -1; dq/dx = 0.

    A network of these cannot learn: use an estimator such as `sign_ste` to train.

    Args:
        x: any shape, floating point.

    Returns:
        The shape of `x`, values in {-1, +1}, never 0.

    Raises:
        TypeError: if `x` is not a floating-point tensor.

    Examples:
        >>> x = torch.tensor([-2.0, -0.0, 0.5], requires_grad=True)
        >>> y = sign(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, 1.0, 1.0], [0.0, 0.0, 0.0])

    Differs from Bender: Julia's and PyTorch's `sign(0)` is 0, a third value that one bit cannot hold.
    """
    return _Estimator.apply(x, _step, lambda x, dy: torch.zeros_like(dy))


def hard_sigmoid(x: Tensor) -> Tensor:
    r"""A sigmoid of straight lines: the probability that `stochastic_sign_ste` returns +1.

    p(x) = clip((x + 1) / 2, 0, 1); dp/dx = 1/2 if |x| <= 1, else 0.

    Args:
        x: any shape, floating point.

    Returns:
        The shape of `x`, values in [0, 1].

    Raises:
        TypeError: if `x` is not a floating-point tensor.

    Examples:
        >>> hard_sigmoid(torch.tensor([-3.0, -0.5, 0.0, 3.0])).tolist()
        [0.0, 0.25, 0.5, 1.0]

    Source: BinaryConnect, section 2.2 (arXiv 1511.00363). Not PyTorch's `hardsigmoid`, whose slope is 1/6.
    """
    _check_float(x)
    return ((x + 1) / 2).clamp(0, 1)


def sign_ste(x: Tensor) -> Tensor:
    r"""The straight-through estimator (STE): sign forward, identity backward.

    q(x) = +1 if x >= 0, else -1; surrogate dq/dx = 1.

    Args:
        x: any shape, floating point.

    Returns:
        The shape of `x`, values in {-1, +1}, never 0.

    Raises:
        TypeError: if `x` is not a floating-point tensor.

    Examples:
        >>> x = torch.tensor([-2.0, 0.0, 0.5], requires_grad=True)
        >>> y = sign_ste(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, 1.0, 1.0], [1.0, 1.0, 1.0])

    Source: Bengio, Léonard, Courville 2013 (arXiv 1308.3432); BinaryConnect (arXiv 1511.00363); `sign_STE` in Bender.
    """
    return _straight_through(x, _step_)


def clipped_sign_ste(x: Tensor, clip: float = 1.0) -> Tensor:
    r"""The clipped STE: the gradient passes only where |x| is at most `clip`.

    q(x) = +1 if x >= 0, else -1; surrogate dq/dx = 1 if |x| <= clip, else 0.

    Args:
        x: any shape, floating point.
        clip: half the width of the window, positive, default 1.

    Returns:
        The shape of `x`, values in {-1, +1}, never 0.

    Raises:
        TypeError: if `x` is not a floating-point tensor.
        ValueError: if `clip` is not positive.

    Examples:
        >>> x = torch.tensor([-2.0, 0.0, 1.0], requires_grad=True)
        >>> y = clipped_sign_ste(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, 1.0, 1.0], [0.0, 1.0, 1.0])

    Source: BinaryNet, equation 4 (Courbariaux et al. 2016, arXiv 1602.02830).
    """
    _check_positive("clip", clip)
    return _Estimator.apply(x, _step, lambda x, dy: dy * (x.abs() <= clip))


def stochastic_sign_ste(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""A coin for a sign: +1 with probability hard_sigmoid(x), and the identity backward.

    q(x) = +1 with probability p = clip((x + 1) / 2, 0, 1), else -1; surrogate dq/dx = 1. Its mean is clip(x, -1, 1).

    The function draws at each call: it cannot know whether a network trains. The layers do, and the rule for
    evaluation is theirs: in `eval` mode they take the likelier value, sign(x), instead of a draw (`most_likely`).

    Args:
        x: any shape, floating point.
        generator: where the random numbers come from, on the device of `x`; default PyTorch's global one.

    Returns:
        The shape of `x`, values in {-1, +1}, never 0.

    Raises:
        TypeError: if `x` is not a floating-point tensor.

    Examples:
        >>> x = torch.tensor([-1.5, 0.0, 0.0, 0.0, 1.5], requires_grad=True)
        >>> y = stochastic_sign_ste(x, generator=torch.Generator().manual_seed(0))
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, -1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0])

    Source: BinaryConnect, section 2.2 (arXiv 1511.00363); `stoc_sign_STE` in Bender.
    """

    def draw_(x):
        u = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)  # in [0, 1)
        return _step_(x.copy_(u - hard_sigmoid(x))).neg_()  # +1 exactly where u < p

    return _straight_through(x, draw_)


def tanh_sign(x: Tensor) -> Tensor:
    r"""Sign forward, the derivative of tanh backward.

    q(x) = +1 if x >= 0, else -1; surrogate dq/dx = 1 - tanh²(x).

    Args:
        x: any shape, floating point.

    Returns:
        The shape of `x`, values in {-1, +1}, never 0.

    Raises:
        TypeError: if `x` is not a floating-point tensor.

    Examples:
        >>> x = torch.tensor([-20.0, 0.0], requires_grad=True)
        >>> y = tanh_sign(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, 1.0], [0.0, 1.0])

    Source: the Bender tutorial names tanh as the other usual surrogate.
    """
    return _Estimator.apply(x, _step, lambda x, dy: dy * (1 - torch.tanh(x) ** 2))


def approx_sign(x: Tensor) -> Tensor:
    r"""Sign forward, the derivative of a piecewise parabola backward: a triangle.

    q(x) = +1 if x >= 0, else -1; surrogate dq/dx = 2 - 2|x| if |x| <= 1, else 0.

    Args:
        x: any shape, floating point.

    Returns:
        The shape of `x`, values in {-1, +1}, never 0.

    Raises:
        TypeError: if `x` is not a floating-point tensor.

    Examples:
        >>> x = torch.tensor([-2.0, 0.0, 0.5], requires_grad=True)
        >>> y = approx_sign(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, 1.0, 1.0], [0.0, 2.0, 1.0])

    Source: Bi-Real Net (Liu et al. 2018, arXiv 1808.00278).
    """
    return _Estimator.apply(x, _step, lambda x, dy: dy * (2 - 2 * x.abs()).clamp(min=0))


def swish_sign(x: Tensor, beta: float = 5.0) -> Tensor:
    r"""Sign forward, the derivative of SignSwish backward: a bump with negative shoulders.

    q(x) = +1 if x >= 0, else -1; surrogate dq/dx = β (2 - βx tanh(βx/2)) / (1 + cosh βx).

    Args:
        x: any shape, floating point.
        beta: the steepness β, positive, default 5.

    Returns:
        The shape of `x`, values in {-1, +1}, never 0.

    Raises:
        TypeError: if `x` is not a floating-point tensor.
        ValueError: if `beta` is not positive.

    Examples:
        >>> x = torch.tensor([-1e30, 0.0], requires_grad=True)
        >>> y = swish_sign(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.abs().tolist()
        ([-1.0, 1.0], [0.0, 5.0])

    Source: BNN+ (Darabi et al. 2018, arXiv 1812.11800).
    """
    _check_positive("beta", beta)

    def surrogate(x, dy):
        # 1 / (1 + cosh u) = 2 σ(u) σ(-u), which cannot overflow. Past |u| = 1000 that is 0 in every dtype, so the
        # clamp changes no value; it keeps 0 * inf away.
        u = (beta * x).clamp(-1000, 1000)
        return dy * 2 * beta * torch.sigmoid(u) * torch.sigmoid(-u) * (2 - u * torch.tanh(u / 2))

    return _Estimator.apply(x, _step, surrogate)


def ada_ste(x: Tensor) -> Tensor:
    r"""The adaptive STE for weights: hardtanh forward, a gradient that knows its own direction backward.

    q(x) = clip(x, -1, 1). Inside |x| < 1 the gradient g passes unchanged. Outside it is 0 where the step -g would lead
    further out, and g · 2 / (1 + |x|) where it leads back.

    Args:
        x: any shape, floating point.

    Returns:
        The shape of `x`, values in [-1, 1]: as in the paper, not only the two ends.

    Raises:
        TypeError: if `x` is not a floating-point tensor.

    Examples:
        >>> x = torch.tensor([-3.0, 0.5, 3.0], requires_grad=True)
        >>> y = ada_ste(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, 0.5, 1.0], [0.0, 1.0, 0.5])

    Source: AdaSTE (Le, Høier, Lin, Zach, CVPR 2022, arXiv 2112.02880); `hardtanh_AdaSTE` in Bender.

    Differs from Bender: there the case "otherwise" is always true, so the gradient is never suppressed.
    """

    def surrogate(x, g):
        back = torch.where(x * g > 0, g * (2 / (1 + x.abs())), 0)
        return torch.where(x.abs() < 1, g, back)

    return _Estimator.apply(x, F.hardtanh, surrogate)


def most_likely(estimator: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The rule for evaluation: `sign_ste` for the stochastic sign, every other function as it is.

    P(+1) >= 1/2 exactly where x >= 0, so the likelier value is the sign. A `functools.partial` of the stochastic sign,
    for example with a generator, counts as one.
    """
    function = estimator.func if isinstance(estimator, partial) else estimator
    return sign_ste if function is stochastic_sign_ste else estimator


def _check_float(x: Tensor) -> None:
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        came = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"expected a floating-point tensor, got {came}: convert it, for example with x.float()")


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
