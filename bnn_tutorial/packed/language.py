"""A trained language model of ternary or ±1 weights, packed: it writes with products of whole numbers.

Between its products a transformer needs floats, but few: norm, softmax, the step of each token. The weights are whole
numbers, and so are the features that they meet, rounded to 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy import ndarray as Array

from ..checks import check_whole
from ..forward_maps import kept_weights, linear
from ..language import ALPHABET, Block, LanguageModel, encode
from ..layers import GenDense
from . import files, kernels
from .folding import _numbers, require_plain
from .kernels import _popcount

FORMAT = "bnn_tutorial language model, version 1"  # docs/web/write/model.js reads the same
PRODUCTS = ("attend", "project", "expand", "contract")
PRETRAINED = Path(__file__).parents[1] / "shakespeare" / "ternary.safetensors"
LARGEST = 127  # of a feature in 8 bits
WORTH = np.array([1, 2, 4, 8, 16, 32, 64, -128])  # what a bit of such a feature is worth


def load_pretrained() -> PackedLanguageModel:
    """The ternary model that comes with the package; its `provenance` says how it was trained."""
    return PackedLanguageModel.load(PRETRAINED)


class Matrix(NamedTuple):
    """Whole numbers and their scale, and how many bits one takes in the file."""

    levels: Array  # (M, K) int16
    scale: Array  # float64, one for each row, (M,), or one for all, (1,)
    bits: int | Fraction


class PackedLanguageModel:
    """What `LanguageModel` computes in float64 with activations of 8 bits, up to the order in which floats are added.

    Make one with `from_model` or `load`. `bytes` is what its weights and scales take in the file.
    """

    def __init__(self, matrices: dict[str, Matrix], heads: int, context: int, provenance: dict[str, str] | None = None):
        self.matrices, self.heads, self.context, self.provenance = matrices, heads, context, dict(provenance or {})
        self.blocks = [{name: Product(matrices[f"blocks.{i}.{name}"]) for name in PRODUCTS} for i in range(self.depth)]
        self.embed, self.head = (m.scale[:, None] * m.levels for m in (matrices["embed"], matrices["head"]))
        self.slopes = 2.0 ** (-8 * np.arange(1, heads + 1) / heads)

    @property
    def depth(self) -> int:
        return (len(self.matrices) - 2) // len(PRODUCTS)

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors().values())

    @classmethod
    def from_model(cls, model: LanguageModel, provenance: dict[str, str] | None = None) -> PackedLanguageModel:
        """Pack a trained model, of which every map keeps whole numbers: those inside 1.6 bits or one, the others 8."""
        matrices = {}
        for name, layer in model.named_modules():
            require_plain(name or "the model", layer, (LanguageModel, Block, GenDense))
            if hasattr(layer, "forward_map"):
                kept = kept_weights(layer)
                inside = name.startswith("blocks.")
                if kept is None or (kept.levels.abs().max() > 1 if inside else kept.bits != 8):
                    expected = "ternary_linear or centred_binary_linear" if inside else "quantised_linear with 8 bits"
                    raise ValueError(f"{name} has the forward map {layer.forward_map}, expected {expected}")
                scale = _numbers(kept.scale).ravel()
                if not layer.weight.isfinite().all():
                    raise ValueError(f"{name} has weights that are not finite: train anew, at a lower rate")
                matrices[name] = Matrix(_numbers(kept.levels).astype(np.int16), scale, kept.bits)
        if any(block.activation_bits != 8 for block in model.blocks):
            raise ValueError(f"expected activation_bits=8, got {model.blocks[0].activation_bits}")
        return cls(matrices, model.heads, model.context, provenance)

    def to_pytorch(self) -> LanguageModel:
        """The same weights in float64, as the real numbers that they stand for, to compare with."""
        width, blocks = len(self.embed), len(self.blocks)
        model = LanguageModel(linear, 8, width=width, blocks=blocks, heads=self.heads, context=self.context).double()
        for name, matrix in self.matrices.items():
            model.get_submodule(name).weight.data = torch.from_numpy(matrix.scale[:, None] * matrix.levels)
        return model.eval()

    def read(self, characters: Array) -> Iterator[Array]:
        """Take up one character after the other; yields the logits, (62,) float64, of what comes next."""
        seen = [[] for _ in self.blocks]  # keys and values of the last `context` characters
        for character in characters:
            x = self.embed[:, character]
            for block, memory in zip(self.blocks, seen, strict=True):
                q, k, v = block["attend"](x).reshape(3, self.heads, -1)
                memory[:] = [*memory, (k, v)][-self.context :]
                keys, values = (np.stack(part, axis=1) for part in zip(*memory, strict=True))  # (heads, T, features)
                distance = np.arange(len(memory))[::-1]
                scores = (keys @ q[..., None])[..., 0] / q.shape[-1] ** 0.5 - self.slopes[:, None] * distance
                x = x + block["project"]((_softmax(scores)[:, None] @ values).ravel())
                x = x + block["contract"](np.maximum(block["expand"](x), 0) ** 2)
            yield self.head @ _normalised(x)

    def generate(self, prompt: str, length: int, temperature: float = 1.0, seed: int = 0) -> str:
        """`length` characters that go on from the prompt; at temperature 0 always the likeliest one."""
        check_whole(0, length=length)
        generator, text = np.random.default_rng(seed), encode(prompt or "\n").tolist()
        start = len(text)
        for i, logits in enumerate(self.read(text)):  # the list grows while it is read
            if len(text) == start + length:
                break
            if i == len(text) - 1:
                drawn = (
                    generator.choice(len(ALPHABET), p=_softmax(logits / temperature))
                    if temperature
                    else logits.argmax()
                )
                text.append(int(drawn))
        return "".join(ALPHABET[character] for character in text[start:])

    def tensors(self) -> dict[str, Array]:
        """What the file holds, by name."""
        stored = {f"{name}.weight": files.pack_levels(m.levels, m.bits) for name, m in self.matrices.items()}
        stored |= {f"{name}.scale": m.scale for name, m in self.matrices.items()}
        return {name: np.ascontiguousarray(tensor) for name, tensor in stored.items()}  # `save` takes memory as it lies

    def save(self, path: str | Path) -> None:
        """Write a `safetensors` file."""
        shapes = {name: [*m.levels.shape, str(m.bits)] for name, m in self.matrices.items()}
        network = {"alphabet": ALPHABET, "heads": self.heads, "context": self.context, "matrices": shapes}
        files.write_signed(Path(path), FORMAT, network, self.provenance, self.tensors())

    @classmethod
    def load(cls, path: str | Path) -> PackedLanguageModel:
        """Read what `save` wrote; a `ValueError` if the file is damaged or something else."""

        model, model.provenance = files.read_signed(Path(path), "packed language model", {FORMAT: _checked})
        return model


def _checked(network: dict, stored: dict[str, Array]) -> PackedLanguageModel:
    files.require(network["alphabet"] == ALPHABET, f"the alphabet {network['alphabet']!r}, expected {ALPHABET!r}")
    heads, context, described = network["heads"], network["context"], network["matrices"]
    found = {name: tuple(shape) for name, (*shape, _) in described.items()}
    width, depth = found["embed"][0], (len(found) - 2) // len(PRODUCTS)
    files.require_whole("heads, context and width", [heads, context, width], 1, 2**31 - 1)
    files.require(width % heads == 0, f"{heads} heads for a width of {width}")
    shapes = zip(PRODUCTS, ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width)), strict=True)
    expected = {"embed": (width, len(ALPHABET)), "head": (len(ALPHABET), width)}
    expected |= {f"blocks.{i}.{name}": shape for (name, shape), i in product(shapes, range(depth))}
    files.require(found == expected, f"matrices of the shapes {found}, expected {expected}")
    matrices = {name: _matrix(stored, name, *shape) for name, shape in described.items()}
    return PackedLanguageModel(matrices, heads, context)


def _matrix(stored: dict[str, Array], name: str, rows: int, columns: int, bits: str) -> Matrix:
    allowed = {"1": 1, "8/5": files.TERNARY} if name.startswith("blocks.") else {"8": 8}
    files.require(bits in allowed, f"{name} of {bits!r} bits, expected {' or '.join(allowed)}")
    each, weight, scale = allowed[bits], stored[f"{name}.weight"], stored[f"{name}.scale"]
    found = weight.dtype, weight.shape, scale.dtype, len(scale) in (1, rows)
    expected = np.uint8, (rows, ceil(columns * each / 8)), np.float64, True
    files.require(found == expected, f"{name} of {found}, expected {expected}")
    files.require(((scale > 0) & np.isfinite(scale)).all(), f"{name} with scales that are not positive and finite")
    return Matrix(files.unpack_levels(weight, each, columns), scale, each)


class Product:
    """A product of -1, 0 and +1 with 8-bit features, made ready: where the +1 are and where the -1 are, in bits."""

    def __init__(self, matrix: Matrix):
        self.scale, self.inputs = matrix.scale, matrix.levels.shape[1]
        self.plus, self.minus = kernels.pack_bits(matrix.levels > 0), kernels.pack_bits(matrix.levels < 0)

    def __call__(self, x: Array) -> Array:
        """(K,) float64 -> (M,) float64: x normalised, in 8 bits with its own step, times the matrix."""
        x = _normalised(x)
        step = max(np.abs(x).max(), 1e-5) / LARGEST
        return self.scale * step * self.sums(np.round(x / step).astype(np.int8))

    def sums(self, features: Array) -> Array:
        """(K,) int8 -> (M,) int32, exact."""
        if features.shape != (self.inputs,) or features.dtype != np.int8:  # the kernel would read beyond them
            raise ValueError(f"expected int8 of shape {(self.inputs,)}, got {features.dtype} of shape {features.shape}")
        return _sums(self.plus, self.minus, features.view(np.uint8))


@kernels.compiled
def _sums(plus: Array, minus: Array, features: Array) -> Array:
    """Bit b of all features is a row of bits: how many of them lie on +1, less those on -1, times what it is worth."""
    planes, out = np.zeros((8, plus.shape[1]), np.uint64), np.zeros(len(plus), np.int32)
    for k in range(len(features)):
        for b in range(8):
            planes[b, k // 64] |= np.uint64(features[k] >> b & 1) << np.uint64(k % 64)
    for row in range(len(plus)):
        for b in range(8):
            ones = 0
            for k in range(planes.shape[1]):
                ones += _popcount(plus[row, k] & planes[b, k]) - _popcount(minus[row, k] & planes[b, k])
            out[row] += WORTH[b] * ones
    return out


def _normalised(x: Array) -> Array:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)  # as PyTorch's layer_norm


def _softmax(x: Array) -> Array:
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)
