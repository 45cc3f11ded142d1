"""Drawings made ready as the makers of MNIST did: strokes or a picture in any size and place -> 28 x 28 pixels.

The ink's longest side becomes 20 pixels; then the centre of mass comes to the middle, pixel (14, 14), counted from 0,
as in every image of MNIST. `docs/demo` has the same in JavaScript, and the integers of both are the same: hence only
+ - * / sqrt and floor on float64, each in the order written here, sums of whole numbers alone, and never `round`, which
the languages do differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray as Array

__all__ = ["prepare_picture", "prepare_strokes"]

SIDE = 28  # of an image
INK = 20  # the longest side of what is on it
MIDDLE = 14  # the pixel, counted from 0, to which the centre of mass comes
WIDTH = 2.6  # of a stroke, in pixels: the median of MNIST, by twice the area through the length of the outline


def prepare_strokes(strokes: Sequence[Sequence[tuple[float, float]]], smallest: float = 28.0) -> Array:
    """Draw strokes anew at a constant width, so that a large and a small hand look alike.

    Args:
        strokes: from where the pen came down to where it was lifted, each a sequence of points (x, y), y downwards, in
            any unit and at any place. A single point is a dot; strokes without points are skipped.
        smallest: longest side, in the strokes' unit, below which a drawing is not enlarged any more, so that a dot or a
            tremor of the hand stays small. The default is a tenth of a canvas of 280.

    Returns:
        (784,) uint8, 0 is the background and 255 full ink; without any point all 0.

    Raises:
        ValueError: if a stroke is no sequence of points, a coordinate is not finite or so large that the drawing's
            size is not, or `smallest` is not above 0.

    Examples:
        >>> prepare_strokes([[(40, 10), (40, 250)]]).reshape(28, 28)[14, 11:18]
        array([  0,   0, 204, 255, 204,   0,   0], dtype=uint8)
    """
    if not smallest > 0:
        raise ValueError(f"smallest must be above 0, got {smallest}")
    lines = [_points(stroke) for stroke in strokes if len(stroke)]
    if not lines:
        return np.zeros(SIDE * SIDE, np.uint8)
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        extent = high - low
    if not np.isfinite(extent).all():
        raise ValueError(f"coordinates must be finite, got points from {low.tolist()} to {high.tolist()}")
    longest = max(extent[0], extent[1], smallest)
    middle = low + extent / 2
    lines = [(line - middle) / longest * (INK - WIDTH) for line in lines]  # in pixels from the middle of the box
    x, y = _centre_of_mass(_draw(lines, SIDE / 2, SIDE / 2))
    return _draw(lines, SIDE / 2 + (MIDDLE - x), SIDE / 2 + (MIDDLE - y)).reshape(-1)


def prepare_picture(picture: Array) -> Array:
    """Shrink the ink of a picture and move it by whole pixels. An image of MNIST comes back as it was.

    Args:
        picture: (height, width) uint8, 0 is the background and 255 full ink. Each of the result's pixels is the mean of
            the area that it covers, from the ink's upper left corner on. Ink of fewer than 20 pixels is not enlarged.

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
    rows, columns = picture.any(axis=1).nonzero()[0], picture.any(axis=0).nonzero()[0]
    if not len(rows):
        return np.zeros(SIDE * SIDE, np.uint8)
    small = _shrink(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64))
    return _centred(small).reshape(-1) if small.any() else np.zeros(SIDE * SIDE, np.uint8)


def _points(stroke: Sequence[tuple[float, float]]) -> Array:
    points = np.asarray(stroke, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"expected a stroke of points (x, y), got shape {points.shape}")
    return points


def _draw(lines: list[Array], right: float, down: float) -> Array:
    """(28, 28) uint8: ink where a pixel's centre is nearer to a line than half its width, half a pixel of it soft."""
    centres = np.arange(SIDE) + 0.5
    nearest = np.full((SIDE, SIDE), np.inf)  # squared
    for line in lines:
        x, y = line[:, 0] + right, line[:, 1] + down
        for i in range(max(len(line) - 1, 1)):
            j = min(i + 1, len(line) - 1)
            nearest = np.minimum(nearest, _squared_distance(centres, x[i], y[i], x[j] - x[i], y[j] - y[i]))
    ink = np.minimum(np.maximum(0.5 + WIDTH / 2 - np.sqrt(nearest), 0), 1)
    return np.floor(255 * ink + 0.5).astype(np.uint8)


def _squared_distance(centres: Array, x: float, y: float, dx: float, dy: float) -> Array:
    """(28, 28) float64, from each pixel's centre to the segment that leads from (x, y) by (dx, dy)."""
    right, down = centres - x, (centres - y)[:, None]
    squared = dx * dx + dy * dy
    share = np.minimum(np.maximum((right * dx + down * dy) / squared, 0), 1) if squared > 0 else 0.0
    across, along = right - share * dx, down - share * dy
    return across * across + along * along


def _centre_of_mass(pixels: Array) -> tuple[float, float]:
    """(x, y) in pixels counted from 0: whole numbers up to the last step, a division."""
    pixels = pixels.astype(np.int64)
    mass = pixels.sum()
    x = (pixels.sum(axis=0) * np.arange(pixels.shape[1])).sum()
    y = (pixels.sum(axis=1) * np.arange(pixels.shape[0])).sum()
    return x / mass, y / mass


def _centred(small: Array) -> Array:
    """(28, 28) uint8: at most 20 rows and columns, moved by whole pixels; what would lie outside is lost."""
    x, y = _centre_of_mass(small)
    column, row = INK + MIDDLE - int(np.floor(x + 0.5)), INK + MIDDLE - int(np.floor(y + 0.5))
    wide = np.zeros((SIDE + 2 * INK, SIDE + 2 * INK), np.uint8)
    wide[row : row + small.shape[0], column : column + small.shape[1]] = small
    return wide[INK:-INK, INK:-INK]


def _shrink(ink: Array) -> Array:
    """The means of areas of `longest / 20` pixels a side, in whole numbers: a pixel counts 20, an area `longest`."""
    longest = max(*ink.shape, INK)
    sums = _overlaps(ink.shape[0], longest) @ ink @ _overlaps(ink.shape[1], longest).T
    return (2 * sums.astype(np.int64) + longest * longest) // (2 * longest * longest)


def _overlaps(pixels: int, longest: int) -> Array:
    """(areas, pixels) float64, for fast products, which are exact: by how many twentieths an area covers a pixel."""
    areas = -(-pixels * INK // longest)
    start, first = np.arange(areas)[:, None] * longest, np.arange(pixels) * INK
    return np.maximum(np.minimum(start + longest, first + INK) - np.maximum(start, first), 0).astype(np.float64)
