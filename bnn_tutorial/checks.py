"""Checks of arguments, shared by the modules, and what their errors say."""

import math
from numbers import Integral

from torch import Tensor


def is_whole(n: object, least: int) -> bool:
    """Whether n is a whole number of Python or NumPy, and at least `least`."""
    return isinstance(n, Integral) and not isinstance(n, bool) and n >= least


def check_whole(least: int, **sizes: int) -> None:
    for name, size in sizes.items():
        if not is_whole(size, least):
            raise ValueError(f"{name} must be one whole number, at least {least}, got {size!r}")


def check_positive(name: str, value: float) -> None:
    if not value > 0:  # NaN is not
        raise ValueError(f"{name} must be positive, got {value}")


def side_of(images: Tensor) -> int:
    """The side in pixels of square images, one a row: (N, side * side)."""
    side = math.isqrt(images.shape[-1])
    if images.dim() != 2 or side * side != images.shape[1]:
        raise ValueError(f"expected square images in rows, (N, side * side), got shape {tuple(images.shape)}")
    return side


def describe(x: Tensor) -> str:
    """How an error names a tensor that does not fit."""
    return f"{x.dtype} of shape {tuple(x.shape)}"
