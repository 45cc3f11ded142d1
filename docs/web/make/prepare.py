"""Preprocessing as for MNIST: a drawing of any size and place, as strokes or as a picture -> 28 x 28 pixels.

The longest side of the ink's bounding box becomes 20 pixels; then the centre of mass moves to pixel (14, 14), counted
from 0. `docs/web/draw/drawing.js` does the same in JavaScript, bit for bit: hence only + - * / sqrt and floor on
float64, each in the order written here, sums of whole numbers alone, and never `round`, which differs between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy import ndarray as Array

SIDE = 28  # of an image
INK = 20  # the longest side of the ink
MIDDLE = 14  # row and column, counted from 0, of the centre of mass
WIDTH = 2.6  # stroke width in pixels: the median of MNIST, as twice the area divided by the length of the outline


def prepare_strokes(strokes: Sequence[Sequence[tuple[float, float]]], smallest: float = 28.0) -> Array:
    """Scale and centre the strokes, then draw them at a constant stroke width: large and small writing look alike.

    Args:
        strokes: each a sequence of points (x, y), y downwards, in any unit and at any place. A single point is a dot;
            strokes without points are skipped.
        smallest: in the strokes' unit; a drawing whose longest side is below it is scaled as if it were that long, so
            that a dot stays small. The default is a tenth of the page's canvas, 280 x 280.

    Returns:
        (784,) uint8, 0 is the background and 255 full ink, edges are anti-aliased; without any point all 0.

    Raises:
        ValueError: if a stroke is no sequence of points, if a coordinate or the drawing's size is not finite, or if
            `smallest` is not above 0.

    Examples:
        >>> prepare_strokes([[(40, 10), (40, 250)]]).reshape(28, 28)[14, 11:18]
        array([  0,   0, 204, 255, 204,   0,   0], dtype=uint8)
    """
    if not smallest > 0:
        raise ValueError(f"smallest must be above 0, got {smallest}")
    lines = [_points(stroke) for stroke in strokes if len(stroke)]
    if not lines:
        return np.zeros(SIDE * SIDE, np.uint8)
    lines = _scaled(lines, smallest)
    x, y = _centre_of_mass(_draw(lines, SIDE / 2, SIDE / 2))
    return _draw(lines, SIDE / 2 + (MIDDLE - x), SIDE / 2 + (MIDDLE - y)).reshape(-1)


def prepare_picture(picture: Array) -> Array:
    """Downscale the ink of a picture and translate it by whole pixels. An image of MNIST comes back unchanged.

    Args:
        picture: (height, width) uint8, 0 is the background and 255 full ink. Ink of fewer than 20 pixels is not
            enlarged.

    Returns:
        (784,) uint8; without ink all 0.

    Raises:
        ValueError: if the picture has another shape or dtype.

    Examples:
        >>> picture = np.zeros((300, 400), np.uint8)
        >>> picture[100:300, 50:70] = 255  # a bar, 200 high and 20 wide
        >>> prepare_picture(picture).reshape(28, 28)[[3, 4, 23, 24], 12:17]
        array([[  0,   0,   0,   0,   0],
               [  0, 255, 255,   0,   0],
               [  0, 255, 255,   0,   0],
               [  0,   0,   0,   0,   0]], dtype=uint8)
    """
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 2:
        raise ValueError(f"expected uint8 pixels of shape (height, width), got {picture.dtype} of {picture.shape}")
    small = _downscaled(picture[bounding_box(picture)].astype(np.float64))
    return _centred(small).reshape(-1) if small.any() else np.zeros(SIDE * SIDE, np.uint8)


def bounding_box(picture: Array) -> tuple[slice, slice]:
    """Rows and columns of the ink, from the first to the last; without ink both empty."""
    inked = (picture.any(axis=axis).nonzero()[0] for axis in (1, 0))
    return tuple(slice(at[0], at[-1] + 1) if len(at) else slice(0) for at in inked)


def _points(stroke: Sequence[tuple[float, float]]) -> Array:
    points = np.asarray(stroke, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"expected a stroke of points (x, y), got shape {points.shape}")
    return points


def _scaled(lines: list[Array], smallest: float) -> list[Array]:
    """In pixels from the middle of the bounding box, whose longest side leaves room for half a stroke at each end."""
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        extent = high - low
    if not np.isfinite(extent).all():
        raise ValueError(f"coordinates must be finite, got points from {low.tolist()} to {high.tolist()}")
    longest = max(extent[0], extent[1], smallest)
    middle = low + extent / 2
    return [(line - middle) / longest * (INK - WIDTH) for line in lines]


def _draw(lines: list[Array], right: float, down: float) -> Array:
    """(28, 28) uint8: ink where a pixel's centre is within half the stroke width of a line, anti-aliased."""
    centres = np.arange(SIDE) + 0.5
    nearest = np.full((SIDE, SIDE), np.inf)  # squared
    for line in lines:
        points = line + np.array([right, down])
        for start, end in pairwise(points if len(points) > 1 else points.repeat(2, axis=0)):
            nearest = np.minimum(nearest, _squared_distance(centres, *start, *(end - start)))
    ink = np.minimum(np.maximum(0.5 + WIDTH / 2 - np.sqrt(nearest), 0), 1)
    return np.floor(255 * ink + 0.5).astype(np.uint8)


def _squared_distance(centres: Array, x: float, y: float, dx: float, dy: float) -> Array:
    """(28, 28) float64, from each pixel's centre to the segment that goes from (x, y) to (x + dx, y + dy)."""
    right, down = centres - x, (centres - y)[:, None]
    squared = dx * dx + dy * dy
    share = np.minimum(np.maximum((right * dx + down * dy) / squared, 0), 1) if squared > 0 else 0.0
    across, along = right - share * dx, down - share * dy
    return across * across + along * along


def _centre_of_mass(pixels: Array) -> tuple[float, float]:
    """(x, y) in pixels, counted from 0; whole numbers until the division."""
    pixels = pixels.astype(np.int64)
    mass = pixels.sum()
    x = (pixels.sum(axis=0) * np.arange(pixels.shape[1])).sum()
    y = (pixels.sum(axis=1) * np.arange(pixels.shape[0])).sum()
    return x / mass, y / mass


def _centred(small: Array) -> Array:
    """(28, 28) uint8: at most 20 rows and columns, translated by whole pixels; what would lie outside is cut off."""
    x, y = _centre_of_mass(small)
    column, row = INK + MIDDLE - int(np.floor(x + 0.5)), INK + MIDDLE - int(np.floor(y + 0.5))
    wide = np.zeros((SIDE + 2 * INK, SIDE + 2 * INK), np.uint8)
    wide[row : row + small.shape[0], column : column + small.shape[1]] = small
    return wide[INK:-INK, INK:-INK]


def _downscaled(ink: Array) -> Array:
    """Area averaging: each new pixel is the mean of a square of `longest / 20` pixels a side, rounded half up.

    In whole numbers: lengths are counted in twentieths of a pixel, so that a pixel is 20 long and a square `longest`.
    """
    longest = max(*ink.shape, INK)
    sums = _overlaps(ink.shape[0], longest) @ ink @ _overlaps(ink.shape[1], longest).T
    return (2 * sums.astype(np.int64) + longest * longest) // (2 * longest * longest)


def _overlaps(pixels: int, longest: int) -> Array:
    """(squares, pixels): by how many twentieths a square covers a pixel; float64, whose products are fast and exact."""
    squares = -(-pixels * INK // longest)
    start, first = np.arange(squares)[:, None] * longest, np.arange(pixels) * INK
    return np.maximum(np.minimum(start + longest, first + INK) - np.maximum(start, first), 0).astype(np.float64)
