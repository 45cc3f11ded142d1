"""Write golden.json, with which the tests of Python and JavaScript compare: `python -m docs.web.make.golden`.

It has two lists. Of each entry of `strokes`, `prepare_strokes(strokes, smallest)` must be `pixels`; of each of
`pictures`, `prepare_picture(picture)`, where a picture is `height` rows of `width` pixels, each of them repeated
`times` in both directions. Pixels are written in hexadecimal, two digits each.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from .prepare import prepare_picture, prepare_strokes

FILE = Path(__file__).with_suffix(".json")
RNG = np.random.default_rng(0)


def arc(x: float, y: float, radius: float, points: int = 24) -> list:
    angles = (2 * math.pi * i / points for i in range(points + 1))
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def moved(strokes: list, scale: float, x: float, y: float) -> list:
    return [[(scale * px + x, scale * py + y) for px, py in stroke] for stroke in strokes]


def random_lines(lines: int, points: int) -> list:
    return [RNG.uniform(0, 280, (points, 2)).tolist() for _ in range(lines)]


TWO = [[(70, 90), (100, 50), (160, 45), (190, 90), (150, 150), (80, 220)], [(80, 220), (200, 215)]]
STROKES = {
    "nothing": [],
    "strokes without points": [[], []],
    "a dot": [[(140, 140)]],
    "two dots": [[(40, 200)], [(140, 20)]],
    "a tremor": [[(100, 100), (102, 101), (101, 103)]],
    "as small as may be": [[(100, 100), (128, 100)]],
    "one straight line": [[(40, 250), (97, 31)]],
    "a level line": [[(10, 100), (260, 100)]],
    "two strokes": TWO,
    "a stroke without points among others": [TWO[0], [], TWO[1]],
    "repeated points": [[point for point in stroke for _ in range(3)] for stroke in TWO],
    "a zigzag": [[(20 + 30 * i, 60 if i % 2 else 190) for i in range(8)]],
    "a circle": [arc(140, 140, 90)],
    "weight at one end": [*(arc(60, 140, radius) for radius in (10, 20, 30, 40, 50)), [(60, 140), (600, 140)]],
    "tiny coordinates": moved(TWO, 1e-9, 1e-7, -1e-7),
    "huge coordinates": moved(TWO, 1e300, -1e302, 1e302),
    "far away": moved(TWO, 1, 1e6, 1e7),
    "negative coordinates": moved(TWO, 1, -500, -300),
    "outside the canvas": [[(-60, 140), (350, 120)], [(140, -90), (150, 400)]],
    "thirds": moved(TWO, 1 / 3, 1 / 7, 1 / 11),
} | {f"random, {lines} of {points} points": random_lines(lines, points) for lines in (1, 3) for points in (2, 5, 20)}
SMALLEST = {"tiny coordinates": 1e-9, "huge coordinates": 1.0, "two dots": 500.0}


def blob(height: int, width: int, share: float) -> np.ndarray:
    return (RNG.integers(0, 256, (height, width)) * (RNG.random((height, width)) < share)).astype(np.uint8)


FAINT = np.zeros((50, 60), np.uint8)
SQUARE = np.pad(np.full((20, 20), 255, np.uint8), ((0, 0), (0, 77)))
FAINT[3, 4] = FAINT[45, 50] = 1
PICTURES = {
    "no ink": (np.zeros((12, 9), np.uint8), 1),
    "ink too faint to be seen": (FAINT, 1),
    "one pixel": (np.pad(np.full((1, 1), 255, np.uint8), 5), 1),
    "one large pixel": (np.full((1, 1), 200, np.uint8), 30),
    "smaller than twenty": (blob(11, 13, 0.5), 1),
    "no whole shrinking": (blob(37, 50, 0.3), 1),
    "high and narrow": (blob(60, 5, 0.6), 1),
    "one row": (blob(1, 41, 0.8), 1),
    "all of it": (np.full((33, 33), 255, np.uint8), 1),
    "tenfold": (np.pad(blob(20, 16, 0.4), 3), 10),
    "a third more": (np.pad(blob(20, 15, 0.4), 2), 4),
    "a triangle": (np.tri(100, 30, -70, np.uint8) * np.uint8(255), 1),
    "weight at one end": (np.pad(np.full((3, 97), 255, np.uint8), ((9, 8), (0, 0))) | SQUARE, 1),
}  # fmt: skip


def picture_of(entry: dict) -> np.ndarray:
    """The picture of an entry, (height * times, width * times) uint8."""
    small = np.frombuffer(bytes.fromhex(entry["picture"]), np.uint8).reshape(entry["height"], entry["width"])
    return small.repeat(entry["times"], axis=0).repeat(entry["times"], axis=1)


def strokes_entry(name: str, strokes: list) -> dict:
    smallest = SMALLEST.get(name, 28.0)
    pixels = prepare_strokes(strokes, smallest)
    return {"name": name, "smallest": smallest, "strokes": strokes, "pixels": pixels.tobytes().hex()}


def picture_entry(name: str, picture: np.ndarray, times: int) -> dict:
    height, width = picture.shape
    entry = {"name": name, "height": height, "width": width, "times": times, "picture": picture.tobytes().hex()}
    return entry | {"pixels": prepare_picture(picture_of(entry)).tobytes().hex()}


def main() -> None:
    strokes = [strokes_entry(*item) for item in STROKES.items()]
    pictures = [picture_entry(name, *value) for name, value in PICTURES.items()]
    FILE.write_text(json.dumps({"strokes": strokes, "pictures": pictures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
