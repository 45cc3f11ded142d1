"""Binary activations and their straight-through estimators: `sign` forward, another function's gradient backward.

The derivative of `sign` is 0 wherever it exists, so back-propagation through it learns nothing. A straight-through
estimator (STE) keeps the sign in the forward pass and takes the gradient of a *surrogate*, a function that has one:
both stand in one line, `straight_through(sign(x), surrogate(x))`.

Unless they say otherwise, the functions take a finite floating-point tensor of any shape and return one of the same
shape, dtype and device with values in {-1, +1}, never 0. Anything else is a `TypeError`.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_positive


def sign(x: Tensor) -> Tensor:
    r"""The sign, with sign(±0) = +1, and its true derivative, 0. A network of these cannot learn.

    q(x) = +1 if x >= 0, else -1; dq/dx = 0. In Julia and PyTorch `sign(0)` is 0, which one bit cannot hold.

    Examples:
        >>> x = torch.tensor([-2.0, -0.0, 0.5], requires_grad=True)
        >>> y = sign(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    """
    _check_float(x)
    return x.clamp(-1, 0).floor_().mul_(2).add_(1)  # -1 or 0, then -1 or +1; NaN stays NaN


def straight_through(forward: Tensor, backward: Tensor) -> Tensor:
    """The values of `forward` with the gradient of `backward`, a tensor of the same shape.

    `backward - backward.detach()` is 0, so it adds nothing, but its gradient is that of `backward`.

    Examples:
        >>> x = torch.tensor([-2.0, 0.5], requires_grad=True)
        >>> y = straight_through(x.round(), x**2)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()  # 2x
        ([-2.0, 0.0], [-4.0, 1.0])
    """
    return forward.detach() + (backward - backward.detach())


def sign_ste(x: Tensor) -> Tensor:
    r"""The straight-through estimator (STE): q(x) = sign(x), surrogate dq/dx = 1.

    Examples:
        >>> x = torch.tensor([-2.0, 0.0, 0.5], requires_grad=True)
        >>> y = sign_ste(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([-1.0, 1.0, 1.0], [1.0, 1.0, 1.0])

    Source: Hinton 2012, in Bengio, Léonard, Courville 2013 (arXiv 1308.3432); `sign_STE` in Bender.
    """
    _check_float(x)
    if torch.onnx.is_in_onnx_export():
        return sign(x)  # the older exporter would not see the next lines, and needs no gradient
    z = x.clone()  # a copy: the gradient passes through it as it is
    # `detach` is the same memory out of the gradient's sight, so there the copy becomes sign(x), in place.
    F.hardtanh_(z.detach(), -1, 0).floor_().mul_(2).add_(1)
    return z


def clipped_sign_ste(x: Tensor, clip: float = 1.0) -> Tensor:
    r"""The clipped STE: q(x) = sign(x), surrogate dq/dx = 1 if |x| <= clip, else 0.

    `clip` must be positive. The surrogate is x clipped to [-clip, clip].

    Examples:
        >>> torch.func.vmap(torch.func.grad(clipped_sign_ste))(torch.tensor([-2.0, 0.0, 1.0]))
        tensor([0., 1., 1.])

    Source: BinaryNet, equation 4 (Courbariaux et al. 2016, arXiv 1602.02830).
    """
    return sign_ste(_window(x, clip))


def hard_sigmoid(x: Tensor) -> Tensor:
    r"""A sigmoid made of straight lines, in [0, 1]: the probability that `stochastic_sign_ste` returns +1.

    p(x) = clip((x + 1) / 2, 0, 1); dp/dx = 1/2 if |x| <= 1, else 0. PyTorch's `hardsigmoid` has the slope 1/6.

    Examples:
        >>> hard_sigmoid(torch.tensor([-3.0, -0.5, 0.0, 3.0])).tolist()
        [0.0, 0.25, 0.5, 1.0]

    Source: BinaryConnect, section 2.2 (arXiv 1511.00363).
    """
    _check_float(x)
    return ((x + 1) / 2).clamp(0, 1)


def stochastic_sign_ste(x: Tensor, generator: torch.Generator | None = None, clip: float = math.inf) -> Tensor:
    r"""A random sign: +1 with probability hard_sigmoid(x), else -1; surrogate dq/dx = 1 if |x| <= clip, else 0.

    The mean of q(x) is x clipped to [-1, 1]; with clip=1 the gradient is the slope of that mean. The random numbers
    come from `generator`, by default PyTorch's global one. In `eval` mode the layers take sign(x) (`most_likely`).

    Examples:
        >>> stochastic_sign_ste(torch.tensor([-1.5, 0.0, 0.0, 0.0, 1.5]), torch.Generator().manual_seed(0)).tolist()
        [-1.0, -1.0, 1.0, 1.0, 1.0]

    Source: BinaryConnect, section 2.2 (arXiv 1511.00363); `stoc_sign_STE` in Bender.
    """
    _check_float(x)
    u = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)  # in [0, 1)
    return straight_through(forward=-sign(u - hard_sigmoid(x)), backward=_window(x, clip))  # +1 exactly where u < p


def tanh_sign(x: Tensor) -> Tensor:
    r"""q(x) = sign(x), surrogate dq/dx = 1 - tanh²(x), the derivative of tanh.

    Examples:
        >>> torch.func.vmap(torch.func.grad(tanh_sign))(torch.tensor([-20.0, 0.0]))
        tensor([0., 1.])

    Source: the Bender tutorial names tanh as the other usual surrogate.
    """
    _check_float(x)
    return sign_ste(torch.tanh(x))


def approx_sign(x: Tensor) -> Tensor:
    r"""q(x) = sign(x), surrogate dq/dx = 2 - 2|x| if |x| <= 1, else 0: a triangle.

    The surrogate is c (2 - |c|), where c is x clipped to [-1, 1].

    Examples:
        >>> torch.func.vmap(torch.func.grad(approx_sign))(torch.tensor([-2.0, 0.0, 0.5]))
        tensor([0., 2., 1.])

    Source: Bi-Real Net (Liu et al. 2018, arXiv 1808.00278).
    """
    _check_float(x)
    c = x.clamp(-1, 1)
    return sign_ste(c * (2 - c.abs()))


def swish_sign(x: Tensor, beta: float = 5.0) -> Tensor:
    r"""q(x) = sign(x), surrogate dq/dx = β (2 - βx tanh(βx/2)) / (1 + cosh βx): a bump with negative shoulders.

    The steepness β must be positive. The surrogate is 2σ(βx) (1 + βx σ(-βx)) - 1, SignSwish, where σ is the sigmoid.

    Examples:
        >>> torch.func.vmap(torch.func.grad(swish_sign))(torch.tensor([-1e30, 0.0]))
        tensor([0., 5.])

    Source: BNN+ (Darabi et al. 2018, arXiv 1812.11800).
    """
    _check_float(x)
    check_positive("beta", beta)
    u = (beta * x).clamp(-1000, 1000)  # further out the slope is 0 anyway, and infinity times 0 would be NaN
    return straight_through(forward=sign(x), backward=2 * torch.sigmoid(u) * (1 + u * torch.sigmoid(-u)))


def quantised_relu(x: Tensor, bits: int = 8, limit: float = 6.0) -> Tensor:
    """x clipped to [0, limit] and rounded to 2^bits values: the activation of networks with 8-bit integers.

    The gradient is that of the clipping: 1 where 0 <= x <= limit, else 0.

    Examples:
        >>> quantised_relu(torch.tensor([-1.0, 1.5, 9.0]), bits=2)  # 0, 2, 4 or 6
        tensor([0., 2., 6.])

    Source: Jacob et al. 2018, section 3 (arXiv 1712.05877), with ReLU6.
    """
    _check_float(x)
    if not (bits >= 1 and bits % 1 == 0 and 0 < limit < math.inf):
        raise ValueError(f"expected whole bits, at least 1, and a positive, finite limit, got {bits!r} and {limit!r}")
    clipped, step = x.clamp(0, limit), limit / (2**bits - 1)
    return straight_through((clipped / step).round() * step, clipped)


SIGNS = (sign, sign_ste, clipped_sign_ste, tanh_sign, approx_sign, swish_sign)  # their values: what can be packed


def most_likely(estimator: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What an estimator becomes in evaluation: `sign_ste` for the stochastic sign, else the estimator itself.

    The sign is the more probable value of the two. A `functools.partial` of the stochastic sign counts as one, too.
    """
    function = estimator.func if isinstance(estimator, partial) else estimator
    return sign_ste if function is stochastic_sign_ste else estimator


def _window(x: Tensor, clip: float) -> Tensor:
    """x clipped to [-clip, clip], slope 1 where |x| <= clip. PyTorch's slope is 0 at the edges, so these lie beyond."""
    _check_float(x)
    check_positive("clip", clip)
    edge = clip * (1 + torch.finfo(x.dtype).eps)
    return F.hardtanh(x, -edge, edge)  # its backward pass is many times as fast as that of `clamp`


def _check_float(x: Tensor) -> None:
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        came = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"expected a floating-point tensor, got {came}: convert it, for example with x.float()")
