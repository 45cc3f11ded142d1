"""The network of the site's page on which one draws: `python -m experiments.demo`.

784-300-100-10. In each epoch every image is drawn anew: by any pen, turned, slanted and stretched a little, and centred
again by box and mass as `prepare_strokes` and `prepare_picture` do. A float convnet that was trained on such drawings
says what it sees in them. The seed is fixed beforehand. About 25 minutes on one core, and three for the teacher, which
is kept.

How it was chosen: by the mean of the grid of pens, sizes and angles in `perturbed`, on 2,000 held-out training images,
one seed each. Six fixed drawings of each image for 14 epochs had 0.941; drawn anew, in 20 epochs, 0.938, with a teacher
0.942; 40 epochs at a rate of 0.01 0.943, with a teacher 0.945; then thicker pens, thinner ones that break less and up
to 18 degrees instead of 15 0.949; with batches of 256 0.947; in 100 epochs 0.950. The teacher itself has 0.986.
`python -m experiments.perturbed --held-out` trains the last of these once more and scores it on all 10,000 held-out
images; without the option, the page's network on the test images. The first recipe had missed the 0.95 that we want on
500 test images; the search that followed saw none of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .pretrained import train_and_save
from .recipes import TEN_EPOCHS, changed
from .teacher import CONFIG, images

FILE = Path(__file__).parent.parent / "docs" / "demo" / "model.safetensors"
SIDE, INK = 28, 20
SOFT = torch.tensor([1.0, 4, 6, 4, 1]) / 16
ZOOM = 1.2  # for a first look, in which a turned digit has room


def as_drawn(pixels: Tensor, degrees: float = 18, slant: float = 0.1, aspect: float = 0.05) -> Tensor:
    """(N, 784) float in [0, 1] -> the same digits as another hand might have drawn them, prepared as the page does.

    Args:
        pixels: images of MNIST.
        degrees: largest angle to either side.
        slant: largest way that a row moves to either side, as a share of its height.
        aspect: largest change of the height against the width.
    """
    x = other_pen(pixels.view(-1, 1, SIDE, SIDE))  # (N, 1, 56, 56)
    turned = _turns(len(x), degrees, slant, aspect)  # (N, 2, 2): from the new picture back to the given one
    extent, centre = _measure(_sample(x, turned * ZOOM, torch.zeros(len(x), 2), SIDE))
    size = (extent / INK * _even(0.95, 1.05, len(x))).view(-1, 1, 1)
    middle = 1 / SIDE + _even(-1, 1, len(x), 2) / SIDE  # pixel 14, half a pixel to either side; a picture is 2 wide
    way = centre.unsqueeze(2) - size * middle.unsqueeze(2)
    return F.avg_pool2d(_sample(x, turned * size, (turned @ way).squeeze(2), 2 * SIDE), 2).view_as(pixels)


def other_pen(x: Tensor) -> Tensor:
    """(N, 1, 28, 28) -> (N, 1, 56, 56): a fifth as they are, two with thicker strokes, two with thinner ones.

    The edge of a blurred stroke is where it has half of the ink; a thicker one, by almost a pixel and a half at each
    side, ends where there is less. A thinner one is where the ink is not much less than the most beside it, which
    changes little along a stroke: so it seldom breaks off.
    """
    blurred = _double(F.conv2d(x, (SOFT[:, None] * SOFT).view(1, 1, 5, 5), padding=2))
    thick = 0.5 + 6 * (blurred - _even(0.08, 0.4, len(x)).view(-1, 1, 1, 1))
    most = F.max_pool2d(blurred, 3, stride=1, padding=1)
    thin = 0.5 + 6 * (blurred / (most + 1e-6) - _even(0.75, 0.92, len(x)).view(-1, 1, 1, 1))
    thin = thin.clamp(0, 1) * (10 * blurred - 1).clamp(0, 1)
    kind = torch.rand(len(x), 1, 1, 1)
    return torch.where(kind < 0.2, _double(x), torch.where(kind < 0.6, thick.clamp(0, 1), thin))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def _turns(images: int, degrees: float, slant: float, aspect: float) -> Tensor:
    angle, shear = _even(-1, 1, images) * math.radians(degrees), _even(-slant, slant, images)
    wide = (1 + _even(-aspect, aspect, images)).sqrt()
    zero, one = torch.zeros(images), torch.ones(images)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    return turn @ torch.stack([wide, shear, zero, one / wide], 1).view(-1, 2, 2)


def _measure(x: Tensor) -> tuple[Tensor, Tensor]:
    """The ink's longest side in pixels, (N,), and its centre of mass, (N, 2), from the middle of a picture 2 wide."""
    ink = x.squeeze(1)  # (N, 28, 28)
    sides = torch.stack([ink.amax(dim=axis) > 0.25 for axis in (1, 2)])  # (2, N, 28)
    extent = SIDE - sides.int().argmax(dim=2) - sides.flip(2).int().argmax(dim=2)
    axis = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    mass = ink.sum(dim=(1, 2)).clamp(min=1e-6)
    centre = torch.stack([(ink.sum(dim=1) * axis).sum(dim=1), (ink.sum(dim=2) * axis).sum(dim=1)], 1) / mass[:, None]
    return extent.amax(dim=0) * ZOOM, centre * ZOOM


def _sample(x: Tensor, turned: Tensor, way: Tensor, side: int) -> Tensor:
    grid = F.affine_grid(torch.cat([turned, way.unsqueeze(2)], dim=2), [len(x), 1, side, side], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def _even(low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape)


# The digits of every batch are drawn anew, and the teacher says what it sees in those drawings.
TEACHER = replace(CONFIG, epochs=8, augment=as_drawn)
RECIPE = changed(TEN_EPOCHS, epochs=100, batch_size=128, learning_rate=0.01, augment=as_drawn, taught=True)

if __name__ == "__main__":
    train_and_save(FILE, RECIPE, images("full"), "experiments.demo", TEACHER)
