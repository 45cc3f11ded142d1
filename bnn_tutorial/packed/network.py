"""Packed networks: a trained network in whole numbers, that infers, and is saved and loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray as Array
from torch import nn

from . import files, kernels
from .folding import FRACTION, Folded, FoldedLayer, fold

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 2**20  # bytes that a layer reads and writes at a time, of as many examples as go in: they stay in a cache


class PackedNetwork:
    """A trained network with weights of few bits, that computes with whole numbers.

    Its sums are exact. A hidden sign differs from PyTorch's in float64 only where rounding decides it there, a code of
    8 bits by a step only where fixed point rounds otherwise, a logit only in its last digits. (An *untrained* network
    differs more often: its thresholds are exactly 0, and so is one in a thousand of its sums of pixels, which floats
    turn into something beside 0, since they round p / 255.) Make one with `from_model` or `load`.

    Attributes:
        shape: of an example, as `Folded` has it.
        layers: what is kept of each layer.
        pixel_threshold: the smallest pixel that `BinaryInput` makes +1; None without a `BinaryInput`.
        limits: (2, features) float32, low and high of a `QuantisedInput`; None without one.
        provenance: where the network comes from, names and texts.
    """

    def __init__(
        self,
        shape: Sequence[int],
        layers: Sequence[FoldedLayer],
        pixel_threshold: int | None = None,
        limits: Array | None = None,
        provenance: dict[str, str] | None = None,
    ):
        self.shape, self.layers, self.provenance = tuple(shape), tuple(layers), dict(provenance or {})
        self.pixel_threshold, self.limits, self._steps = pixel_threshold, limits, []
        for layer in self.layers:
            following = layer.output_shape(shape)
            self._steps.append(_Step(layer, shape))
            shape = following
        self._chunk = max(1, CHUNK // max(step.bytes for step in self._steps))

    @classmethod
    def from_model(cls, model: nn.Sequential, provenance: dict[str, str] | None = None) -> PackedNetwork:
        """Pack a trained network, as it is in `eval` mode. What it may consist of, and the errors: `folding.fold`."""
        return cls(*fold(model), provenance)

    def predict(self, examples: Array | torch.Tensor) -> Array:
        """(N, pixels) uint8, or with a `QuantisedInput` (N, features) numbers -> (N,) int64: the class.

        It is the first with the largest logit, in fixed point.
        """
        last = self.layers[-1]
        logits = (self.sums(examples).astype(np.int64) * last.multiplier >> FRACTION) + last.offset
        return logits.argmax(axis=1)

    def logits(self, examples: Array | torch.Tensor) -> Array:
        """The same -> (N, classes) float64."""
        return self.layers[-1].scale * self.sums(examples) + self.layers[-1].shift

    def sums(self, examples: Array | torch.Tensor) -> Array:
        """The same -> (N, classes) int32: what the last layer adds up."""
        *_, sums = self._run(examples)
        return np.concatenate(sums) if len(sums) > 1 else sums[0]

    def hidden(self, examples: Array | torch.Tensor) -> list[Array]:
        """The same -> for each hidden layer (N, units), or (N, height, width, channels): bool, True is +1, or codes."""
        *hidden, _ = self._run(examples)
        outputs = zip(map(np.concatenate, hidden), self.layers, strict=False)
        return [x if x.dtype == np.uint8 else kernels.unpack_bits(x, len(layer.levels)) for x, layer in outputs]

    def save(self, path: str | Path) -> None:
        """Write a `safetensors` file: first beside it, then moved, so that a reader never sees half of it."""
        files.write(Path(path), Folded(self.shape, self.layers, self.pixel_threshold, self.limits), self.provenance)

    @classmethod
    def load(cls, path: str | Path) -> PackedNetwork:
        """Read what `save` wrote. Nothing in the file is executed, and all of it is checked before use.

        Raises:
            ValueError: if the file is damaged or something else; the message says what is wrong.
            OSError: if it cannot be read.
        """
        network, provenance = files.read(Path(path))
        return cls(*network, provenance)

    def summary(self) -> pd.DataFrame:
        """What each layer keeps, a row for each and the total; the bytes are those of the file's tensors.

        The limits of a `QuantisedInput`, eight bytes a feature, come before the layers and are not counted.

        Columns are `weights`, `bits` (of a weight), `numbers` (thresholds, multipliers and offsets, scales and shifts)
        and `bytes`.
        """
        import pandas as pd

        rows = []
        for layer in self.layers:
            size = sum(tensor.nbytes for tensor in files.tensors([layer]).values())
            numbers = len(layer.levels) * len(files.NUMBERS[layer.activation])
            rows.append({"weights": layer.levels.size, "bits": float(layer.bits), "numbers": numbers, "bytes": size})
        table = pd.DataFrame(rows, map(str, range(len(rows))))
        table.loc["total"] = table.sum()
        table.loc["total", "bits"] = (table["weights"] * table["bits"])[:-1].sum() / table.loc["total", "weights"]
        return table.rename_axis("layer")

    def _run(self, examples: Array | torch.Tensor) -> list[list[Array]]:
        """Of each layer the outputs, chunk by chunk; of an empty table too."""
        chunks = kernels.spread(self._outputs, self._checked(examples), self._chunk)
        return [list(outputs) for outputs in zip(*chunks, strict=True)]

    def _checked(self, examples: Array | torch.Tensor) -> Array:
        if isinstance(examples, torch.Tensor):
            examples = examples.detach().cpu()
            examples = examples.float() if examples.dtype == torch.bfloat16 else examples  # NumPy has none
        x, features = np.asarray(examples), math.prod(self.shape)
        good = x.dtype == np.uint8 if self.limits is None else x.dtype.kind in "fiu"
        if not good or x.ndim != 2 or x.shape[1] != features:
            kind = "uint8 images" if self.limits is None else "a table of numbers"
            raise ValueError(f"expected {kind} of shape (N, {features}), got {x.dtype} of {x.shape}")
        if self.limits is None:
            return np.ascontiguousarray(x)
        x, (low, high) = x.astype(np.float32), self.limits
        if not np.isfinite(x).all():
            raise ValueError("expected a table of finite numbers, got some that are NaN or infinite")
        return ((x - low) / (high - low) * np.float32(255)).round().clip(0, 255).astype(np.uint8)

    def _outputs(self, x: Array) -> list[Array]:
        """Examples as bytes -> what each layer gives: packed bits or codes, and at last sums."""
        if len(self.shape) == 3:
            x = x.reshape(-1, *self.shape).transpose(0, 2, 3, 1)  # channels last, as a convolution's outputs are
        if self.pixel_threshold is not None:
            x = kernels.pack_bits(x >= self.pixel_threshold)
        return [x := step(x) for step in self._steps]


class _Step:
    """A layer made ready: its weights in the order in which its input lies.

    `product` takes packed bits where inputs and weights are signs, else bytes: of inputs that are signs, ±1.
    """

    def __init__(self, layer: FoldedLayer, shape: tuple[int, ...]):
        self.layer, self.channels = layer, shape[0] if len(shape) == 3 else layer.inputs
        by_place = layer.levels.reshape(len(layer.levels), self.channels, -1).swapaxes(1, 2)  # (M, places, channels)
        self.of_bits = layer.bits == 1 and not layer.of_bytes
        if self.of_bits:
            rows = kernels.pack_bits(by_place > 0).reshape(len(by_place), -1)
            self.product = kernels.SignProducts(rows, layer.inputs)
        else:
            rows = by_place.reshape(len(by_place), -1)
            self.product = kernels.ByteProducts(rows, layer.of_bytes)
        self.width = rows.shape[1]
        self.bytes = math.prod(layer.places(shape)) * (self.width * (8 if self.of_bits else 1) + 4 * len(rows))

    def __call__(self, x: Array) -> Array:
        """(N, ...) bytes or packed bits -> (N, ..., words) packed bits, or (N, ..., M) codes; at last (N, M) sums."""
        layer = self.layer
        if not (self.of_bits or layer.of_bytes):
            x = 2 * kernels.unpack_bits(x, self.channels).view(np.int8) - 1
        if layer.levels.ndim == 2:
            sums = self.product.padded(x.reshape(len(x), self.width))
        else:
            side, edge = layer.levels.shape[2], (layer.padding, layer.padding)
            x = np.pad(x, [(0, 0), edge, edge, (0, 0)]) if layer.padding else x
            windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
            windows = windows[:, :: layer.stride, :: layer.stride].transpose(0, 1, 2, 4, 5, 3)
            places = windows.shape[:3]
            sums = self.product.padded(windows.reshape(math.prod(places), self.width))
            sums = sums.reshape(*places, sums.shape[1])
            sums = _pooled(sums[..., : self.product.neurons], layer) if layer.pooled else sums
        if layer.activation == "logits":
            return sums[..., : self.product.neurons]
        if layer.activation == "sign":
            return kernels.signs(sums, layer.threshold)
        numbers = layer.multiplier, layer.offset, layer.point, layer.top
        codes = kernels.codes(sums.reshape(-1, sums.shape[-1]), *numbers)
        return codes.reshape(*sums.shape[:-1], self.product.neurons)


def _pooled(sums: Array, layer: FoldedLayer) -> Array:
    """Of each 2×2 square the largest sum; of a neuron that is kept with its weights flipped the smallest."""
    height, width = (size // 2 * 2 for size in sums.shape[1:3])
    four = [sums[:, i:height:2, j:width:2] for i in range(2) for j in range(2)]
    largest = np.maximum.reduce(four)
    return largest if layer.inverted is None else np.where(layer.inverted, np.minimum.reduce(four), largest)


def load_pretrained(name: str = "mnist") -> PackedNetwork:
    """A network that comes with the package: "mnist", 784-300-100-10. Its `provenance` says how it was trained."""
    folder = Path(__file__).parent / "pretrained"
    names = sorted(file.stem for file in folder.glob("*.safetensors"))
    if name not in names:
        raise ValueError(f"there is no pretrained network {name!r}, only {', '.join(names)}")
    return PackedNetwork.load(folder / f"{name}.safetensors")
