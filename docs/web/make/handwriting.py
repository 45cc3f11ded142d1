"""Write handwriting.json, thirty digits that tests draw stroke by stroke: `python -m docs.web.make.handwriting`.

It is a list: the digit, the writer, and the strokes, points (x, y) on a canvas of 280 x 280, which a test can give to
`prepare_strokes` or send to the page as pointer events. The control points below were set by eye, before any network
had seen them. Each of three writers has a size, a slant and a place, and every stroke wobbles a little.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".json")
POINTS = 6  # from one control point to the next

# size, width against height, slant, place of the middle
WRITERS = {
    "upright": (190, 0.85, 0.0, (140, 140)),
    "small and slanted": (115, 0.8, 0.22, (105, 160)),
    "large and wide": (230, 1.0, 0.08, (145, 135)),
}
# Each digit by the three writers. A stroke is a list of smooth pieces that meet in corners, on a square of 100, y down.
DIGITS = {
    0: [
        [[[(52, 1), (22, 11), (8, 46), (16, 84), (46, 100), (78, 86), (91, 50), (82, 14), (54, 2)]]],
        [[[(60, 2), (38, 13), (27, 50), (29, 84), (46, 99), (63, 88), (73, 52), (72, 18), (57, 3)]]],
        [[[(70, 9), (42, 3), (14, 26), (9, 62), (28, 94), (62, 97), (88, 68), (86, 30), (64, 6), (46, 8)]]],
    ],
    1: [
        [[[(51, 0), (50, 50), (49, 100)]]],
        [[[(30, 27), (44, 15), (55, 1)], [(55, 1), (54, 50), (53, 100)]]],
        [[[(34, 24), (46, 12), (54, 2)], [(54, 2), (52, 98)]], [[(34, 98), (74, 97)]]],
    ],
    2: [
        [[[(18, 24), (32, 6), (56, 0), (77, 14), (76, 36), (56, 62), (32, 84), (15, 98)],
          [(15, 98), (50, 97), (86, 96)]]],
        [[[(22, 20), (42, 2), (68, 6), (74, 30), (56, 60), (32, 88), (14, 96), (12, 84), (28, 82), (48, 94), (66, 98),
           (86, 88)]]],
        [[[(22, 32), (32, 10), (58, 4), (74, 22), (62, 52), (38, 78), (16, 95)], [(16, 95), (52, 88), (92, 95)]]],
    ],
    3: [
        [[[(20, 15), (40, 1), (67, 5), (74, 26), (59, 43), (40, 47)],
          [(40, 47), (66, 51), (82, 72), (69, 94), (40, 100), (16, 87)]]],
        [[[(22, 5), (74, 3)], [(74, 3), (46, 40)], [(46, 40), (70, 45), (81, 68), (66, 93), (38, 99), (18, 86)]]],
        [[[(24, 16), (44, 2), (68, 8), (70, 28), (52, 45), (40, 50), (40, 43), (56, 46), (76, 64), (70, 90), (42, 100),
           (14, 88)]]],
    ],
    4: [
        [[[(30, 4), (25, 30), (20, 56)], [(20, 56), (84, 53)]], [[(68, 6), (65, 50), (63, 100)]]],
        [[[(62, 1), (40, 34), (13, 67)], [(13, 67), (90, 65)]], [[(62, 1), (62, 50), (61, 100)]]],
        [[[(26, 5), (18, 34), (24, 52), (48, 54), (76, 44)]], [[(78, 3), (72, 50), (64, 98)]]],
    ],
    5: [
        [[[(30, 4), (26, 44)], [(26, 44), (52, 36), (77, 51), (79, 78), (55, 98), (18, 91)]], [[(30, 4), (80, 2)]]],
        [[[(82, 3), (34, 6)], [(34, 6), (28, 46)], [(28, 46), (50, 38), (74, 50), (77, 76), (54, 97), (20, 92)]]],
        [[[(84, 5), (58, 4), (36, 6)], [(36, 6), (30, 42)],
          [(30, 42), (56, 41), (78, 60), (70, 89), (40, 99), (14, 88)]]],
    ],
    6: [
        [[[(68, 2), (43, 20), (25, 54), (25, 84), (47, 100), (72, 90), (77, 68), (56, 54), (34, 62), (25, 80)]]],
        [[[(56, 0), (36, 38), (23, 72), (34, 97), (60, 97), (71, 76), (52, 62), (27, 76)]]],
        [[[(80, 12), (60, 2), (35, 18), (20, 54), (28, 90), (54, 99), (76, 83), (70, 60), (46, 55), (23, 70)]]],
    ],
    7: [
        [[[(17, 6), (82, 4)], [(82, 4), (60, 46), (44, 100)]]],
        [[[(20, 6), (80, 3)], [(80, 3), (60, 46), (48, 100)]], [[(34, 53), (80, 49)]]],
        [[[(16, 20), (18, 5)], [(18, 5), (82, 6)], [(82, 6), (58, 50), (44, 98)]]],
    ],
    8: [
        [[[(72, 16), (50, 1), (28, 16), (36, 38), (60, 54), (76, 76), (53, 99), (26, 83), (35, 58), (58, 40),
           (72, 18)]]],
        [[[(50, 1), (30, 10), (28, 32), (48, 46), (69, 34), (69, 12), (50, 1)]],
         [[(49, 46), (26, 58), (24, 84), (50, 100), (76, 86), (74, 58), (50, 46)]]],
        [[[(76, 14), (54, 1), (32, 14), (36, 36), (58, 52), (72, 74), (56, 98), (26, 94), (20, 72), (42, 50), (68, 32),
           (80, 12)]]],
    ],
    9: [
        [[[(73, 22), (54, 3), (31, 13), (26, 39), (46, 53), (66, 43), (74, 22)], [(74, 22), (73, 60), (71, 100)]]],
        [[[(74, 20), (52, 2), (29, 16), (28, 41), (50, 52), (70, 38), (76, 16)],
          [(76, 16), (79, 56), (70, 89), (46, 100), (24, 91)]]],
        [[[(72, 14), (48, 3), (28, 24), (34, 46), (56, 45), (73, 14)], [(73, 14), (64, 56), (46, 100)]]],
    ],
}  # fmt: skip


def curve(points: np.ndarray) -> np.ndarray:
    """A Catmull-Rom spline: smooth, and through each of the points."""
    before, a, b, after = (np.concatenate([points[:1], points, points[-1:]])[i:][: len(points) - 1] for i in range(4))
    t = np.arange(POINTS)[:, None, None] / POINTS
    bend = 2 * before - 5 * a + 4 * b - after + (3 * (a - b) + after - before) * t
    line = a + ((b - before) * t + bend * t**2) / 2
    return np.concatenate([line.transpose(1, 0, 2).reshape(-1, 2), points[-1:]])


def written(strokes: list, writer: str, rng: np.random.Generator) -> list:
    size, width, slant, middle = WRITERS[writer]
    lines = []
    for stroke in strokes:
        line = np.concatenate([curve(np.array(piece, float)) for piece in stroke]) - 50
        steps = np.linspace(0, 1, len(line))[:, None]
        wobble = rng.uniform(0.2, 1, 2) * np.sin(rng.uniform(4, 12, 2) * steps + rng.uniform(0, 6, 2))
        line = (line + wobble) @ [[width, 0], [-slant, 1]] * size / 100 + middle
        lines.append(line.round(1).tolist())
    return lines


def main() -> None:
    rng = np.random.default_rng(0)
    digits = [
        {"digit": digit, "writer": writer, "strokes": written(strokes, writer, rng)}
        for digit, variants in DIGITS.items()
        for writer, strokes in zip(WRITERS, variants, strict=True)
    ]
    FILE.write_text("[\n" + ",\n".join(map(json.dumps, digits)) + "\n]\n")


if __name__ == "__main__":
    main()
