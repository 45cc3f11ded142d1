"""Packed networks: a trained network in bits and whole numbers, that infers, and is saved and loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray as Array
from torch import nn

from . import files, kernels
from .folding import UNIT, FoldedLayer, fold

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PackedNetwork", "load_pretrained"]

MEMORY = 2**24  # bytes of a layer's input that are there at a time, of as many images as go in


class PackedNetwork:
    """A trained binary network, one bit a weight, that computes with whole numbers.

    Its sums are exact. A hidden sign differs from PyTorch's in float64 only where rounding decides it there, a logit
    only in its last digits. There are no floats but a scale and a shift a class. Make one with `from_model` or `load`.

    Attributes:
        shape: of an image: (pixels,), or (channels, height, width) where a convolution comes first.
        pixel_threshold: pixels from this value on are +1, the others -1; None: the network takes all 8 bits.
        layers: what is kept of each layer.
        provenance: where the network comes from, names and texts.
    """

    def __init__(self, shape: tuple, pixel_threshold: int | None, layers: Sequence, provenance: dict | None = None):
        self.shape, self.pixel_threshold, self.layers = tuple(shape), pixel_threshold, tuple(layers)
        self.provenance, self._steps = dict(provenance or {}), []
        shape, unit = self.shape, UNIT if pixel_threshold is None else 1
        for layer in self.layers:
            following = layer.output_shape(shape)
            self._steps.append(_Step(layer, shape, unit))
            shape, unit = following, 1
        self._chunk = max(1, MEMORY // max(step.input_bytes for step in self._steps))
        self._pixel_thresholds = np.full(self.shape[0], pixel_threshold or 0, np.int32)

    @classmethod
    def from_model(cls, model: nn.Sequential, provenance: dict[str, str] | None = None) -> PackedNetwork:
        """Pack a trained network, as it is in `eval` mode. What it may consist of, and the errors: `folding.fold`."""
        return cls(*fold(model), provenance)

    def predict(self, images: Array | torch.Tensor) -> Array:
        """(N, pixels) uint8 -> (N,) int64: the class with the largest logit."""
        return self.logits(images).argmax(axis=1)

    def logits(self, images: Array | torch.Tensor) -> Array:
        """(N, pixels) uint8 -> (N, classes) float64."""
        last = self._steps[-1]
        return kernels.affine(self.sums(images), last.unit, last.layer.scale, last.layer.shift)

    def sums(self, images: Array | torch.Tensor) -> Array:
        """(N, pixels) uint8 -> (N, classes) int32: what the last layer adds up, before scale and shift."""
        parts = [self._outputs(chunk)[-1] for chunk in self._chunks(images)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def to_c(self, path: str | Path) -> None:
        """Write one file of freestanding C99 that computes the same sums and classes; see `packed.c.to_c`."""
        import_module("bnn_tutorial.export.c").to_c(self, path)

    def hidden(self, images: Array | torch.Tensor) -> list[Array]:
        """(N, pixels) uint8 -> for each hidden layer (N, units), or (N, height, width, channels), bool: True is +1."""
        *maps, _ = zip(*[self._outputs(chunk) for chunk in self._chunks(images)], strict=True)
        sizes = [len(layer.weight) for layer in self.layers]
        return [kernels.unpack_bits(np.concatenate(m), size) for m, size in zip(maps, sizes, strict=False)]

    def save(self, path: str | Path) -> None:
        """Write a `safetensors` file: first beside it, then moved, so that a reader never sees half of it."""
        files.write(Path(path), self.shape, self.pixel_threshold, self.layers, self.provenance)

    @classmethod
    def load(cls, path: str | Path) -> PackedNetwork:
        """Read what `save` wrote. Nothing in the file is executed, and all of it is checked before use.

        Raises:
            ValueError: if the file is damaged or something else; the message says what is wrong.
            OSError: if it cannot be read.
        """
        return cls(*files.read(Path(path)))

    def summary(self) -> pd.DataFrame:
        """What each layer keeps, a row for each and the total; the bytes are those of the file's tensors.

        Columns are `one_bit_weights`, `numbers` (thresholds of hidden neurons, scales and shifts of classes), `bytes`.
        """
        import pandas as pd

        numbers = [sum(np.size(t) for t in (x.threshold, x.scale, x.shift) if t is not None) for x in self.layers]
        sizes = [sum(t.nbytes for t in files.tensors([layer]).values()) for layer in self.layers]
        columns = {"one_bit_weights": [x.weight.size for x in self.layers], "numbers": numbers, "bytes": sizes}
        table = pd.DataFrame(columns, map(str, range(len(sizes))))
        table.loc["total"] = table.sum()
        return table.rename_axis("layer")

    def _chunks(self, images: Array | torch.Tensor) -> list[Array]:
        images, pixels = np.ascontiguousarray(images), math.prod(self.shape)
        if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != pixels:
            raise ValueError(f"expected uint8 images of shape (N, {pixels}), got {images.dtype} of {images.shape}")
        return [images[i : i + self._chunk] for i in range(0, max(1, len(images)), self._chunk)]

    def _outputs(self, x: Array) -> list[Array]:
        """Images -> what each layer gives: packed bits, and at last sums."""
        if len(self.shape) == 3:
            x = x.reshape(-1, *self.shape).transpose(0, 2, 3, 1)  # channels last, as a convolution's packed outputs are
        if self.pixel_threshold is not None:
            bits = kernels.pixel_signs(x.reshape(-1, x.shape[-1]), self._pixel_thresholds)
            x = bits.reshape(*x.shape[:-1], bits.shape[1])
        return [x := step(x) for step in self._steps]


class _Step:
    """A layer made ready: its weights in the order in which its input lies, and tiled."""

    def __init__(self, layer: FoldedLayer, shape: tuple[int, ...], unit: int):
        self.layer, self.unit = layer, unit
        channels = shape[0] if len(shape) == 3 else layer.inputs
        weight = layer.weight.reshape(len(layer.weight), channels, -1).swapaxes(1, 2)  # (M, places, channels)
        rows = 2 * weight.astype(np.int8) - 1 if unit == UNIT else kernels.pack_bits(weight.reshape(-1, channels))
        rows = rows.reshape(len(weight), -1)
        self.neurons, self.width = kernels.Neurons(rows, layer.inputs, layer.threshold), rows.shape[1]
        sides = layer.weight.shape[2:]  # of a convolution's kernel; a dense layer has none, and one place
        places = [(size - side) // layer.stride + 1 for size, side in zip(shape[1:], sides, strict=False)]
        self.input_bytes = rows[0].nbytes * math.prod(places)  # of one image, as rows

    def __call__(self, x: Array) -> Array:
        """(N, ...) pixels or packed bits -> (N, ..., words) packed bits; of the last layer (N, classes) sums."""
        layer = self.layer
        if layer.threshold is None:
            return self.neurons.products(x.reshape(len(x), self.width))
        if layer.weight.ndim == 2:
            return self.neurons.signs(x.reshape(len(x), self.width))
        side, stride = layer.weight.shape[2], layer.stride
        windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride]
        rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, self.width)
        bits = self.neurons.signs(rows)
        bits = bits.reshape(*windows.shape[:3], bits.shape[1])
        return bits if layer.inverted is None else _pooled(bits, layer.inverted)


def _pooled(bits: Array, inverted: Array) -> Array:
    """Of each 2×2 square: +1 where any of the four is, of an inverted neuron where all are."""
    height, width = (size // 2 * 2 for size in bits.shape[1:3])
    four = [bits[:, i:height:2, j:width:2] for i in range(2) for j in range(2)]
    (inverted,) = kernels.pack_bits(inverted[None])
    return (np.bitwise_or.reduce(four) & ~inverted) | (np.bitwise_and.reduce(four) & inverted)


def load_pretrained(name: str = "mnist") -> PackedNetwork:
    """A network that comes with the package: "mnist", 784-300-100-10. Its `provenance` says how it was trained."""
    folder = Path(__file__).parent / "pretrained"
    names = sorted(file.stem for file in folder.glob("*.safetensors"))
    if name not in names:
        raise ValueError(f"there is no pretrained network {name!r}, only {', '.join(names)}")
    return PackedNetwork.load(folder / f"{name}.safetensors")
