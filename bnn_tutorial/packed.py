"""Trained networks in bits and integers: pack, infer, save, load.

A packed network has no latent weights, and no floats but a scale and a shift for each class. A neuron's bias, or its
batch norm, and its sign become one whole number: the neuron fires where its row differs from its weights in at most
`limit` places. What it computes is what the trained network computes in float64, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray as Array
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors
from torch import nn

from . import kernels, ste
from .forward_maps import binary_conv2d, binary_linear, pooled_binary_conv2d
from .layers import BinaryInput, GenConv2d, GenDense

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PackedNetwork", "load_pretrained"]

FORMAT = "bnn_tutorial packed network, version 1"
SIGNS = (ste.sign, ste.sign_ste, ste.clipped_sign_ste, ste.tanh_sign, ste.approx_sign, ste.swish_sign)
FULL = 255  # an 8-bit pixel of full ink, 1.0 for the model
WIDEST = 2**22  # inputs of a neuron, so that 255 for each, and as much again, fits in 32 bits
CHUNK = 500  # images at a time: it bounds the memory of the windows of a convolution


@dataclass(frozen=True, eq=False)
class _Layer:
    """What is kept of a layer.

    Attributes:
        weight: (M, K), or (M, C, k, k) of a convolution, bool: True is +1. A hidden neuron with a negative batch-norm
            scale is kept with all its weights inverted, so that every neuron fires where its sum is large.
        limit: (M,) int32, of a hidden layer: how many differences the neuron bears, -1 if it never fires.
        scale: (M,) float64, of the last layer: logit = scale * sum + shift.
        shift: (M,) float64, of the last layer.
        stride: of a convolution.
        inverted: (M,) bool, of a pooled convolution. The largest sum of four is large where *any* of the four is; for
            an inverted neuron, where *all* are.
    """

    weight: Array
    limit: Array | None = None
    scale: Array | None = None
    shift: Array | None = None
    stride: int = 1
    inverted: Array | None = None

    @property
    def inputs(self) -> int:
        return math.prod(self.weight.shape[1:])


class PackedNetwork:
    """A trained binary network, one bit a weight, that computes with whole numbers.

    Make one with `from_model` or `load`.

    Attributes:
        shape: of an image: (pixels,), or (channels, height, width) where a convolution comes first.
        cut: pixels from this value on are +1, the others -1; None: the network takes all 8 bits.
        layers: what is kept of each layer.
        provenance: where the network comes from, names and texts.
    """

    def __init__(
        self,
        shape: Sequence[int],
        cut: int | None,
        layers: Sequence[_Layer],
        provenance: dict[str, str] | None = None,
    ):
        self.shape, self.cut, self.layers = tuple(shape), cut, tuple(layers)
        self.provenance = dict(provenance or {})
        self._stages = _stages(self.shape, cut is None, self.layers)
        self._dense = _dense(self._stages) if self.cut not in (0, FULL + 1) else None  # pixels that are all alike

    @classmethod
    def from_model(cls, model: nn.Sequential, provenance: dict[str, str] | None = None) -> PackedNetwork:
        """Pack a trained network, as it is in `eval` mode.

        Args:
            model: what `binary_mlp` or `binary_convnet` built, or a `Sequential` of such layers.
            provenance: to be kept in the file.

        Raises:
            ValueError: with the reason, if bits and integers cannot compute exactly what the model does.
        """
        return cls(*_pack(model), provenance)

    def predict(self, images: Array | torch.Tensor) -> Array:
        """(N, pixels) uint8 -> (N,) int64: the class with the largest logit."""
        return self.logits(images).argmax(axis=1)

    def logits(self, images: Array | torch.Tensor) -> Array:
        """(N, pixels) uint8 -> (N, classes) float64."""
        images = self._check(images)
        if self._dense is not None:
            return kernels.run_dense(images, -1 if self.cut is None else self.cut, *self._dense)
        parts = [self._run(images[i : i + CHUNK])[-1] for i in range(0, len(images), CHUNK)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.layers[-1].scale)))

    def hidden(self, images: Array | torch.Tensor) -> list[Array]:
        """(N, pixels) uint8 -> for each hidden layer (N, units), or (N, height, width, channels), bool: True is +1."""
        *maps, _ = self._run(self._check(images))
        return [stage.unpack(bits) for stage, bits in zip(self._stages, maps, strict=False)]

    def save(self, path: str | Path) -> None:
        """Write a `safetensors` file: first beside it, then moved, so that a reader never sees half of it."""
        path = Path(path)
        tensors = _tensors(self.layers)
        header = {"format": FORMAT, "network": json.dumps(self._spec()), "provenance": json.dumps(self.provenance)}
        content = to_safetensors(tensors, header | {"sha256": _digest(tensors, header)})
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)  # a temporary file is its owner's alone
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise

    @classmethod
    def load(cls, path: str | Path) -> PackedNetwork:
        """Read what `save` wrote. Nothing in the file is executed, and all of it is checked before use.

        Raises:
            ValueError: if the file is damaged or something else; the message says what is wrong.
            OSError: if it cannot be read.
        """
        path = Path(path)
        with path.open("rb"):  # the usual errors of a file that is not there
            pass
        try:
            with safe_open(path, framework="numpy") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
            return cls(*_checked(tensors, header))
        except (SafetensorError, _ContentError) as error:
            raise ValueError(f"{path} is not a packed network, or it is damaged: {error}") from error

    def summary(self) -> pd.DataFrame:
        """What each layer keeps, a row for each and the total: the same numbers as the file holds, without its header.

        Columns are `one_bit_weights`, `numbers` (limits of hidden neurons, scales and shifts of classes) and `bytes`.
        """
        import pandas as pd

        rows = {}
        for i, (layer, tensors) in enumerate(zip(self.layers, _by_layer(self.layers), strict=True)):
            numbers = sum(t.size for name, t in tensors.items() if name in ("limit", "scale", "shift"))
            size = sum(t.nbytes for t in tensors.values())
            rows[str(i)] = {"one_bit_weights": layer.weight.size, "numbers": numbers, "bytes": size}
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.loc["total"] = table.sum()
        return table.rename_axis("layer")

    def _check(self, images: Array | torch.Tensor) -> Array:
        images = np.ascontiguousarray(images)
        pixels = math.prod(self.shape)
        if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != pixels:
            raise ValueError(f"expected uint8 images of shape (N, {pixels}), got {images.dtype} of {images.shape}")
        return images

    def _run(self, images: Array) -> list[Array]:
        """The packed output of each hidden layer, and the logits."""
        x = images.reshape(-1, *self.shape)
        if self.cut is not None:
            x = _as_map(x >= self.cut)
        outputs = []
        for stage in self._stages:
            x = stage(x)
            outputs.append(x)
        return outputs

    def _spec(self) -> dict:
        layers = [
            {"shape": list(layer.weight.shape), "stride": layer.stride, "pooled": layer.inverted is not None}
            for layer in self.layers
        ]
        return {"shape": list(self.shape), "cut": self.cut, "layers": layers}


def load_pretrained(name: str = "mnist") -> PackedNetwork:
    """A network that comes with the package; its `provenance` says how it was trained.

    Args:
        name: "mnist": 784-300-100-10, from 8-bit pixels.

    Raises:
        ValueError: if there is none of this name.
    """
    folder = files("bnn_tutorial") / "pretrained"
    names = sorted(file.name.removesuffix(".safetensors") for file in folder.iterdir())
    if name not in names:
        raise ValueError(f"there is no pretrained network {name!r}, only {', '.join(names)}")
    with as_file(folder / f"{name}.safetensors") as path:
        return PackedNetwork.load(path)


# Inference


class _Stage:
    """A layer made ready: its weights in tiles, in the order of the input's words."""

    def __init__(self, layer: _Layer, shape: tuple[int, ...], eight_bits: bool):
        self.layer, self.eight_bits = layer, eight_bits
        self.outputs = len(layer.weight)
        self.is_convolution = layer.weight.ndim == 4
        groups = _grouped(layer.weight, shape)  # (M, groups, channels)
        ones = groups.sum(axis=(1, 2))
        if eight_bits:
            words = kernels.pack_bytes(groups.reshape(self.outputs, -1))
        else:
            words = kernels.pack_bits(groups.reshape(-1, groups.shape[2])).reshape(self.outputs, -1)
        self.weights = kernels.tile(words)
        if layer.limit is not None:
            tiles, _, columns = self.weights.shape
            self.limits = np.full(tiles * columns, -1, np.int32)
            # Of pixels the kernels know minus the sum, which is the weighted differences less 255 for each +1.
            self.limits[: self.outputs] = layer.limit - FULL * ones * eight_bits

    def __call__(self, x: Array) -> Array:
        """Pixels or packed bits -> packed bits, of a last layer logits."""
        rows, place = self._rows(x)
        if self.layer.limit is None:
            return self._logits(kernels.distances(rows, self.weights)[:, : self.outputs])
        bits = kernels.fire(rows, self.weights, self.limits)
        if not self.is_convolution:
            return bits
        bits = bits.reshape(*place, -1)  # (N, height, width, words)
        return bits if self.layer.inverted is None else self._pooled(bits)

    def unpack(self, bits: Array) -> Array:
        flat = kernels.unpack_bits(bits.reshape(-1, bits.shape[-1]), self.outputs)
        return flat.reshape(*bits.shape[:-1], self.outputs)

    def _rows(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        """The rows to be compared with the weights, and where they stand: (N, height, width) of a convolution."""
        place = (len(x),)
        if self.is_convolution:
            side, stride = self.layer.weight.shape[2], self.layer.stride
            x = x.transpose(0, 2, 3, 1) if self.eight_bits else x  # channels last, as packed bits are
            windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride]
            x, place = windows.transpose(0, 1, 2, 4, 5, 3), windows.shape[:3]
        x = np.ascontiguousarray(x).reshape(math.prod(place), -1)
        return (kernels.pack_pixels(x) if self.eight_bits else x), place

    def _pooled(self, bits: Array) -> Array:
        height, width = bits.shape[1] // 2 * 2, bits.shape[2] // 2 * 2
        four = [bits[:, i:height:2, j:width:2] for i in range(2) for j in range(2)]
        (inverted,) = kernels.pack_bits(self.layer.inverted[None])
        return (np.bitwise_or.reduce(four) & ~inverted) | (np.bitwise_and.reduce(four) & inverted)

    def _logits(self, distances: Array) -> Array:
        sums = -distances / FULL if self.eight_bits else self.layer.inputs - 2 * distances
        return sums * self.layer.scale + self.layer.shift


def _stages(shape: tuple[int, ...], eight_bits: bool, layers: Sequence[_Layer]) -> list[_Stage]:
    stages = []
    for layer in layers:
        following = _output_shape(layer, shape)
        stages.append(_Stage(layer, shape, eight_bits))
        shape, eight_bits = following, False
    return stages


def _dense(stages: Sequence[_Stage]) -> tuple[Array, ...] | None:
    """What `kernels.run_dense` takes after the images and the cut; None if the network is not for it."""
    if any(stage.is_convolution for stage in stages) or stages[-1].eight_bits:
        return None
    widths = np.array([stages[0].layer.inputs, *(stage.outputs for stage in stages)])
    limits = [stage.limits for stage in stages[:-1]] or [kernels.NO_LIMITS]
    weights, last = [stage.weights.ravel().view(np.uint64) for stage in stages], stages[-1].layer
    return widths, np.concatenate(weights), np.concatenate(limits), last.scale, last.shift


def _output_shape(layer: _Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a layer's output, (M,) or (M, height, width); an input that does not fit is an error."""
    outputs, *kernel = layer.weight.shape
    if layer.inputs > WIDEST:
        raise _ContentError(f"a neuron of {layer.inputs:,} inputs, more than {WIDEST:,}")
    if len(kernel) == 1:
        if layer.inputs != math.prod(shape):
            raise _ContentError(f"a layer of {layer.inputs} inputs gets {math.prod(shape)}")
        return (outputs,)
    channels, side, _ = kernel
    if len(shape) != 3 or channels != shape[0] or side > min(shape[1:]):
        raise _ContentError(f"a convolution of shape {layer.weight.shape} gets an input of shape {shape}")
    pool = 1 if layer.inverted is None else 2
    height, width = (((size - side) // layer.stride + 1) // pool for size in shape[1:])
    return (outputs, height, width)


def _grouped(weight: Array, shape: tuple[int, ...]) -> Array:
    """(M, ...) in PyTorch's order -> (M, places, channels): channels last, as the packed outputs lie."""
    if weight.ndim == 4:
        return weight.transpose(0, 2, 3, 1).reshape(len(weight), -1, weight.shape[1])
    if len(shape) == 3:
        return weight.reshape(len(weight), shape[0], -1).transpose(0, 2, 1)
    return weight[:, None]


def _as_map(bits: Array) -> Array:
    """(N, K) bool -> (N, words); (N, C, H, W) -> (N, H, W, words)."""
    if bits.ndim == 2:
        return kernels.pack_bits(bits)
    last = bits.transpose(0, 2, 3, 1)
    return kernels.pack_bits(last.reshape(-1, last.shape[-1])).reshape(*last.shape[:-1], -1)


# Packing


def _pack(model: nn.Sequential) -> tuple[tuple[int, ...], int | None, list[_Layer]]:
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"expected a Sequential, got {type(model).__name__}: only of that the order is known")
    modules = [(name, m) for name, m in model.named_children() if not isinstance(m, nn.Dropout)]
    shape, cut, layers = None, None, []
    *_, last = [m for _, m in modules if isinstance(m, GenDense | GenConv2d)] or [None]
    for name, module in modules:
        match module:
            case GenConv2d() if shape is None:
                raise ValueError(f"layer {name}, {module}: a convolution has to come after nn.Unflatten")
            case GenDense() | GenConv2d():
                shape = shape or (module.in_features,)
                eight_bits = not layers and cut is None
                layers.append(_pack_layer(f"layer {name}", module, module is last, eight_bits))
            case BinaryInput() if not layers:
                cut = _cut(module)
            case nn.Unflatten() if not layers and shape is None and module.dim == 1:
                shape = tuple(module.unflattened_size)
            case nn.Flatten() if module.start_dim == 1:
                pass
            case _:
                raise ValueError(f"layer {name}, {module}: packing does not know it here")
    if last is None:
        raise ValueError("the model has no GenDense")
    return shape, cut, layers


def _pack_layer(name: str, layer: GenDense | GenConv2d, is_last: bool, eight_bits: bool) -> _Layer:
    convolution, pooled = isinstance(layer, GenConv2d), layer.forward_map is pooled_binary_conv2d
    exact = (binary_conv2d, pooled_binary_conv2d) if convolution else (binary_linear,)
    if layer.forward_map not in exact:
        known = " or ".join(f.__name__ for f in exact)
        raise ValueError(f"{name}, {layer}: its forward map must be {known}, whose weights are signs and nothing else")
    if is_last and (layer.activation is not None or convolution):
        raise ValueError(
            f"{name}, {layer}: the last layer must be dense and without an activation: its sums are logits"
        )
    if not is_last and _function(layer.activation) not in SIGNS:
        raise ValueError(f"{name}, {layer}: the activation of a hidden layer must be a sign, or its values are no bits")
    if convolution and layer.padding:
        raise ValueError(f"{name}, {layer}: padding puts zeros beside the ±1, a third value")
    weight, (scale, shift) = layer.weight.detach().cpu().numpy() >= 0, _affine(name, layer)
    if is_last:
        return _Layer(weight, scale=scale, shift=shift)
    inverted = scale < 0
    weight = weight ^ inverted.reshape(-1, *[1] * (weight.ndim - 1))
    ones, inputs = weight.reshape(len(weight), -1).sum(axis=1), math.prod(weight.shape[1:])
    limit = _limits(ones, inputs, np.abs(scale), shift, eight_bits)
    return _Layer(weight, limit, stride=layer.stride if convolution else 1, inverted=inverted if pooled else None)


def _affine(name: str, layer: GenDense | GenConv2d) -> tuple[Array, Array]:
    """What follows the sum, bias or batch norm, as scale * sum + shift in float64, (M,) each."""
    if layer.norm is not None:
        mean, variance, gamma, beta = (
            t.detach().cpu().double().numpy()
            for t in (layer.norm.running_mean, layer.norm.running_var, layer.norm.weight, layer.norm.bias)
        )
        scale = gamma * (1 / np.sqrt(variance + layer.norm.eps))  # in PyTorch's order
        shift = beta - mean * scale
    else:
        bias = layer.bias
        shift = np.zeros(len(layer.weight)) if bias is None else bias.detach().cpu().double().numpy()
        scale = np.ones(len(shift))
    if not (np.isfinite(scale).all() and np.isfinite(shift).all() and layer.weight.isfinite().all()):
        raise ValueError(f"{name}, {layer}: it has parameters that are not finite")
    return scale, shift


def _limits(ones: Array, inputs: int, scale: Array, shift: Array, eight_bits: bool) -> Array:
    """The most differences with which each neuron still fires, found by bisection over all whole numbers.

    The sum falls with each difference and float64 arithmetic keeps the order, so there is one place where firing ends.
    """
    low = np.full(len(scale), -1)  # the largest number known to fire; -1 stands for none
    high = np.full(len(scale), inputs * (FULL if eight_bits else 1) + 1)  # the smallest known not to
    while (low + 1 < high).any():
        middle = np.minimum((low + high + 1) // 2, high - 1)  # in between, or `low` again where that is found
        sums = (FULL * ones - middle) / FULL if eight_bits else inputs - 2 * middle
        fires = (sums * scale + shift >= 0) | (middle == low)
        low, high = np.where(fires, middle, low), np.where(fires, high, middle)
    return low.astype(np.int32)


def _cut(module: BinaryInput) -> int:
    """The smallest pixel that is +1, 256 if none is."""
    pixels = torch.arange(FULL + 1, dtype=torch.float64) / FULL
    return int((module(pixels) < 0).sum())


def _function(activation) -> object:
    """The function itself, of a partial of it; the stochastic sign is a sign in `eval` mode."""
    activation = activation and ste.most_likely(activation)
    return activation.func if isinstance(activation, partial) else activation


# Files


class _ContentError(ValueError):
    """What does not fit together in a network."""


def _by_layer(layers: Sequence[_Layer]) -> list[dict[str, Array]]:
    """The tensors of each layer as they are stored: bits in bytes, the lowest first, numbers little-endian."""

    def stored(layer: _Layer) -> dict[str, Array]:
        inverted = None if layer.inverted is None else _to_bytes(layer.inverted[None])
        named = {"limit": layer.limit, "scale": layer.scale, "shift": layer.shift, "inverted": inverted}
        weight = {"weight": _to_bytes(layer.weight.reshape(len(layer.weight), -1))}
        return weight | {name: tensor for name, tensor in named.items() if tensor is not None}

    return [stored(layer) for layer in layers]


def _tensors(layers: Sequence[_Layer]) -> dict[str, Array]:
    return {f"{i}.{name}": t for i, tensors in enumerate(_by_layer(layers)) for name, t in tensors.items()}


def _to_bytes(bits: Array) -> Array:
    return np.packbits(bits, axis=1, bitorder="little")


def _digest(tensors: dict[str, Array], header: dict[str, str]) -> str:
    """SHA-256 over everything that the file says, in a fixed order."""
    digest = hashlib.sha256()
    for name, text in sorted(header.items()):
        digest.update(f"{name}={len(text)}:{text};".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{tensor.dtype.str}{tensor.shape};".encode() + tensor.tobytes())
    return digest.hexdigest()


def _checked(tensors: dict[str, Array], header: dict[str, str]) -> tuple:
    """The arguments of `PackedNetwork`, after every name, shape, dtype and range was looked at."""
    header = dict(header)
    if header.get("format") != FORMAT:
        raise _ContentError(f"expected the format {FORMAT!r}, got {header.get('format')!r}")
    if header.pop("sha256", None) != _digest(tensors, header):
        raise _ContentError("its content does not have the digest that it names")
    try:
        spec, provenance = json.loads(header["network"]), json.loads(header["provenance"])
        shape, cut, described = tuple(spec["shape"]), spec["cut"], spec["layers"]
        layers = [_read_layer(tensors, i, entry, i == len(described) - 1) for i, entry in enumerate(described)]
    except _ContentError:
        raise  # it says what is wrong already
    except (KeyError, TypeError, ValueError) as error:
        raise _ContentError(f"its description cannot be read ({error!r})") from error
    _require(all(_is_size(size) for size in shape) and len(shape) in (1, 3), f"an image of shape {shape}")
    _require(cut is None or (type(cut) is int and 0 <= cut <= FULL + 1), f"a cut of {cut!r}")
    _require(isinstance(provenance, dict), "a provenance that is no table")
    _require(len(layers) > 0 and set(tensors) == set(_tensors(layers)), f"tensors named {sorted(tensors)}")
    return shape, cut, layers, provenance


def _read_layer(tensors: dict[str, Array], i: int, entry: dict, is_last: bool) -> _Layer:
    shape, stride, pooled = tuple(entry["shape"]), entry["stride"], entry["pooled"]
    convolution = len(shape) == 4 and shape[2] == shape[3] and not is_last
    _require(all(_is_size(size) for size in (*shape, stride)), f"layer {i} of shape {shape}, stride {stride}")
    _require(convolution or len(shape) == 2, f"layer {i} of shape {shape}")
    _require(pooled in (True, False) and (convolution or not pooled), f"layer {i} with pooling {pooled!r}")
    outputs, inputs = shape[0], math.prod(shape[1:])

    def tensor(name: str, dtype: type, *expected: int) -> Array:
        value = tensors[f"{i}.{name}"]
        _require(
            value.dtype == dtype and value.shape == expected,
            f"{i}.{name} of {value.dtype} and shape {value.shape}, expected {np.dtype(dtype)} and {expected}",
        )
        return value

    def bits(name: str, rows: int, columns: int) -> Array:
        octets = tensor(name, np.uint8, rows, -(-columns // 8))
        unpacked = np.unpackbits(octets, axis=1, bitorder="little").astype(bool)
        _require(not unpacked[:, columns:].any(), f"{i}.{name} with bits beyond its {columns} columns")
        return unpacked[:, :columns]

    weight = bits("weight", outputs, inputs).reshape(shape)
    if is_last:
        scale, shift = tensor("scale", np.float64, outputs), tensor("shift", np.float64, outputs)
        _require(np.isfinite(scale).all() and np.isfinite(shift).all(), f"layer {i} with numbers that are not finite")
        return _Layer(weight, scale=scale, shift=shift, stride=stride)
    limit = tensor("limit", np.int32, outputs)
    _require(((limit >= -1) & (limit <= FULL * inputs)).all(), f"{i}.limit out of range")
    inverted = bits("inverted", 1, outputs)[0] if pooled else None
    return _Layer(weight, limit, stride=stride, inverted=inverted)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _require(condition: bool, found: str) -> None:
    if not condition:
        raise _ContentError(f"found {found}")
