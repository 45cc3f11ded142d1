"""Layers that hold the parameters and leave the computation to a forward map.

*Latent weights* are the real numbers that the optimizer updates; a binary forward map uses only their signs.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import check_whole, describe
from .forward_maps import ForwardMap, conv2d, keeps_signs, linear, weight_bits
from .ste import most_likely, sign

Activation = Callable[[Tensor], Tensor]


class _GenLayer(nn.Module):
    """z = activation(a) with a = forward_map(layer, x), batch-normalised on request."""

    def __init__(self, weight_shape, activation, forward_map, bias, norm, generator):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(weight_shape))
        nn.init.xavier_uniform_(self.weight, generator=generator)  # Glorot's start, which is Flux's default too
        # Batch norm brings its own shift, so a bias before it would do nothing.
        self.bias = nn.Parameter(torch.zeros(weight_shape[0])) if bias and norm is None else None
        self.norm = norm
        self.activation = activation
        self.forward_map = forward_map

    def _refuse_computed_weight(self) -> None:
        if "weight" not in self._parameters:  # a parametrisation, weight_norm or prune made it
            weight_bits(self)  # an error if the map keeps one bit of it

    def _activate(self, a: Tensor) -> Tensor:
        if self.norm is not None:
            a = self.norm(a)
        if self.activation is None:
            return a
        return self.activation(a) if self.training else most_likely(self.activation)(a)

    def _describe(self, default_map: ForwardMap, *sizes: object) -> str:
        """The arguments that differ from their defaults, as they would be typed."""
        options = [
            self.activation is not None and f"activation={_name(self.activation)}",
            self.forward_map is not default_map and f"forward_map={_name(self.forward_map)}",
            self.norm is not None and "normalise=True",
            self.norm is None and self.bias is None and "bias=False",
        ]
        return ", ".join(str(part) for part in (*sizes, *options) if part)


class BinaryInput(nn.Module):
    """Pixels in [0, 1] as one bit each: +1 where a pixel is at least the threshold, else -1. No gradient passes."""

    def __init__(self, threshold: float = 0.5):
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            raise ValueError(f"BinaryInput expects float x, pixels in [0, 1], got {describe(x)}")
        return sign(x - self.threshold)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}"


class QuantisedInput(nn.Module):
    """Features of any range as 8 bits each: float x, (N, features), to multiples of 1/255 in [0, 1].

    `low` becomes 0 and `high` 1, (features,) each, finite, low < high; take them from the training data. What lies
    outside is clipped. No gradient passes.

    Examples:
        >>> table = torch.tensor([[1.0, -20.0], [3.0, 20.0]])
        >>> layer = QuantisedInput(table.amin(dim=0), table.amax(dim=0))
        >>> 255 * layer(torch.tensor([[2.0, 99.0]]))
        tensor([[128., 255.]])
    """

    def __init__(self, low: Tensor, high: Tensor):
        super().__init__()
        low, high = (torch.as_tensor(limit, dtype=torch.float32).detach().clone() for limit in (low, high))
        if low.dim() != 1 or low.shape != high.shape:
            raise ValueError(f"low and high must both be (features,), got {tuple(low.shape)} and {tuple(high.shape)}")
        if unfit := (~((low < high) & (high - low).isfinite())).nonzero().ravel().tolist():
            rule = "low and high must be finite, with low < high"
            raise ValueError(f"{rule}, not so for features {unfit}: leave out a feature that is always the same")
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, x: Tensor) -> Tensor:
        if not (x.is_floating_point() and x.dim() == 2 and x.shape[1:] == self.low.shape):
            raise ValueError(f"QuantisedInput expects float x of shape (N, {len(self.low)}), got {describe(x)}")
        return ((x - self.low) / (self.high - self.low) * 255).round().clamp(0, 255) / 255

    def extra_repr(self) -> str:
        return f"{len(self.low)} features"


class GenDense(_GenLayer):
    """A dense layer, z = activation(forward_map(layer, x)): `GenDense` in Bender.

    Float x, (..., in_features), or (N, in_features) with `normalise`, -> (..., out_features); anything else is a
    `ValueError`. `weight`, (out_features, in_features), holds the latent weights; `bias` is (out_features,) or None.

    Args:
        activation: a function of one tensor, for example `sign_ste`; None returns the pre-activation. In `eval` mode
            the stochastic sign is replaced by the sign (`most_likely`).
        forward_map: `(layer, x) -> pre-activation`, see `ForwardMap`.
        bias: whether the layer has a bias, which starts at zero.
        normalise: batch-normalise the pre-activation. Such a layer has no bias.
        generator: for the initial weights, by `xavier_uniform_`; default PyTorch's global one.

    Examples:
        >>> from bnn_tutorial import binary_linear, sign_ste
        >>> layer = GenDense(3, 2, activation=sign_ste, forward_map=binary_linear)
        >>> layer
        GenDense(3, 2, activation=sign_ste, forward_map=binary_linear)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.1, 0.2, -0.3], [-1.0, -1.0, 1.0]]))
        >>> layer(torch.tensor([1.0, 1.0, 1.0])).tolist()  # sign(1 + 1 - 1), sign(-1 - 1 + 1)
        [1.0, -1.0]
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Activation | None = None,
        forward_map: ForwardMap = linear,
        bias: bool = True,
        normalise: bool = False,
        generator: torch.Generator | None = None,
    ):
        check_whole(1, in_features=in_features, out_features=out_features)
        norm = nn.BatchNorm1d(out_features) if normalise else None
        super().__init__((out_features, in_features), activation, forward_map, bias, norm, generator)
        self.in_features, self.out_features = int(in_features), int(out_features)  # a file has no numbers of NumPy's

    def forward(self, x: Tensor) -> Tensor:
        fits = x.dim() >= 1 if self.norm is None else x.dim() == 2
        if not (fits and x.is_floating_point() and x.shape[-1] == self.in_features):
            expected = f"({'...' if self.norm is None else 'N'}, {self.in_features})"
            raise ValueError(f"GenDense expects float x of shape {expected}, got {describe(x)}")
        self._refuse_computed_weight()
        return self._activate(self.forward_map(self, x))

    def extra_repr(self) -> str:
        return self._describe(linear, self.in_features, self.out_features)


class GenConv2d(_GenLayer):
    """A two-dimensional convolution of x, (N, in_channels, H, W): `GenConv` in Bender.

    `weight`, (out_channels, in_channels, kernel_size, kernel_size), holds the latent weights.

    Args:
        kernel_size: side of the square kernel in pixels.
        stride: step of the kernel in pixels.
        padding: rows and columns of zeros on each side.
        pool: side of the squares for max pooling, 1 for none. It comes before batch norm and activation: the largest of
            four signs is nearly always +1, the largest of four sums says more (XNOR-Net, section 3.2, arXiv
            1603.05279).

    The other arguments are those of `GenDense`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        pool: int = 1,
        activation: Activation | None = None,
        forward_map: ForwardMap = conv2d,
        bias: bool = True,
        normalise: bool = False,
        generator: torch.Generator | None = None,
    ):
        check_whole(1, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        check_whole(1, stride=stride, pool=pool)
        check_whole(0, padding=padding)
        weight_shape = (out_channels, in_channels, kernel_size, kernel_size)
        norm = nn.BatchNorm2d(out_channels) if normalise else None
        super().__init__(weight_shape, activation, forward_map, bias, norm, generator)
        self.in_channels, self.out_channels, self.kernel_size = map(int, (in_channels, out_channels, kernel_size))
        self.stride, self.padding, self.pool = map(int, (stride, padding, pool))

    def forward(self, x: Tensor) -> Tensor:
        self._refuse_computed_weight()
        a = self.forward_map(self, x)  # PyTorch's convolution says what is wrong with an input
        return self._activate(F.max_pool2d(a, self.pool) if self.pool > 1 else a)

    def extra_repr(self) -> str:
        options = (("stride", self.stride, 1), ("padding", self.padding, 0), ("pool", self.pool, 1))
        changed = [f"{name}={value}" for name, value, default in options if value != default]
        return self._describe(conv2d, self.in_channels, self.out_channels, f"kernel_size={self.kernel_size}", *changed)


def binary_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of `model` whose forward map uses only the signs of their weights, in order."""
    return [layer for layer in model.modules() if keeps_signs(layer)]


def latent_weights(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of the binary layers, in order; a weight that several layers share comes once."""
    return list({layer.weight: None for layer in binary_layers(model)})  # ty: ignore[invalid-explicit-return]


def clamp_latent_weights_(model: nn.Module) -> None:
    """Clamp the latent weights of the binary layers to [-1, 1], in place, so that none drifts out of reach.

    Signs do not change. Frozen weights, with `requires_grad` False, stay as they are. Source: BinaryConnect, section
    2.4 (arXiv 1511.00363).
    """
    clamp_(latent_weights(model))


@torch.no_grad()
def clamp_(weights: Iterable[Tensor]) -> None:
    """Clamp those of the weights that are trained."""
    for w in weights:
        if w.requires_grad:
            w.clamp_(-1, 1)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """`model.eval()` and no gradients inside the block; afterwards every module is in its own mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _name(function: Callable) -> str:
    """How a function is typed: `clipped_sign_ste`, or `clipped_sign_ste(clip=2.0)` for a partial of it."""
    if isinstance(function, partial):
        named = [f"{key}={value}" for key, value in function.keywords.items() if key != "generator"]
        return f"{_name(function.func)}({', '.join([*map(str, function.args), *named])})"
    return getattr(function, "__name__", None) or repr(function)
