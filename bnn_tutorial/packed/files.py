"""The file of a packed network: `safetensors`, with every name, shape, dtype and range checked when it is read.

The metadata are texts: `format`; `network`, JSON of the images' shape, the pixel threshold, and each layer's shape,
stride and pooling; `provenance`, JSON of what its author says of it; `sha256`, the digest of those two and all tensors.

Layer i has the tensors `i.weight`; `i.threshold`, of the last layer `i.scale` and `i.shift` instead; and `i.inverted`,
where there is pooling. They are those of `FoldedLayer`, a neuron a row, with bits in bytes, the lowest first.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy import ndarray as Array
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .folding import UNIT, FoldedLayer

__all__ = ["tensors", "description", "digest", "write", "replace", "read"]

# docs/web/draw/packed.js reads the same; with another version the two stored networks have to be written anew.
FORMAT = "bnn_tutorial packed network, version 2"

_to_bytes = partial(np.packbits, axis=1, bitorder="little")


TERNARY = Fraction(8, 5)
POWERS = np.array([1, 3, 9, 27, 81])


def pack_levels(levels: Array, bits: int | Fraction) -> Array:
    """(M, K) whole numbers -> (M, ceil(K * bits / 8)) uint8."""
    if bits == TERNARY:
        digits = np.pad(levels + 1, [(0, 0), (0, -levels.shape[1] % 5)])
        return (digits.reshape(len(levels), -1, 5) @ POWERS).astype(np.uint8)
    codes = (levels + 2**bits - 1) // 2
    return np.packbits((codes[..., None] >> np.arange(bits) & 1).reshape(len(levels), -1), axis=1, bitorder="little")


def unpack_levels(octets: Array, bits: int | Fraction, columns: int) -> Array:
    """The inverse of `pack_levels`: (M, columns) int16."""
    if bits == TERNARY:
        return (octets[..., None] // POWERS % 3).reshape(len(octets), -1)[:, :columns].astype(np.int16) - 1
    codes = np.unpackbits(octets, axis=1, count=columns * bits, bitorder="little").reshape(len(octets), columns, bits)
    return ((codes.astype(np.int16) << np.arange(bits)).sum(axis=2) * 2 - (2**bits - 1)).astype(np.int16)


def tensors(layers: Sequence[FoldedLayer]) -> dict[str, Array]:
    """Everything that layers keep, by the names and as the bytes that the file has."""
    stored = {}
    for i, layer in enumerate(layers):
        stored[f"{i}.weight"] = _to_bytes(layer.weight.reshape(len(layer.weight), -1))
        stored[f"{i}.inverted"] = None if layer.inverted is None else _to_bytes(layer.inverted[None])
        stored |= {f"{i}.{name}": getattr(layer, name) for name in ("threshold", "scale", "shift")}
    return {name: tensor for name, tensor in stored.items() if tensor is not None}


def description(shape: Sequence[int], pixel_threshold: int | None, layers: Sequence[FoldedLayer]) -> dict:
    """What the file says of a network besides its tensors."""
    entries = [{"shape": list(x.weight.shape), "stride": x.stride, "pooled": x.inverted is not None} for x in layers]
    return {"shape": list(shape), "pixel_threshold": pixel_threshold, "layers": entries}


def digest(network: str, provenance: str, tensors: dict[str, Array]) -> str:
    """SHA-256 of both texts and of the tensors' bytes, in the order of their names."""
    content = [network.encode(), provenance.encode(), *(tensors[name].tobytes() for name in sorted(tensors))]
    return hashlib.sha256(b"".join(content)).hexdigest()


def write(
    path: Path, shape: Sequence[int], pixel_threshold: int | None, layers: Sequence[FoldedLayer], provenance: dict
) -> None:
    """Write a file that `read` reads."""
    if not all(type(text) is str for item in provenance.items() for text in item):
        raise ValueError(f"provenance must be texts by their names, got {provenance}")
    network, stored = json.dumps(description(shape, pixel_threshold, layers)), tensors(layers)
    texts = {"network": network, "provenance": json.dumps(provenance)}
    replace(path, save(stored, {"format": FORMAT, **texts, "sha256": digest(**texts, tensors=stored)}))


def replace(path: Path, content: bytes) -> None:
    """Write beside the file first, and then move, so that a reader never sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> tuple[tuple[int, ...], int | None, list[FoldedLayer], dict[str, str]]:
    """The arguments of `PackedNetwork`, after a look at everything in the file; see `PackedNetwork.load`."""
    path.open("rb").close()  # the usual errors of a file that is not there
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        _require(metadata.get("format") == FORMAT, f"the format {metadata.get('format')!r}, expected {FORMAT!r}")
        texts = {"network": metadata["network"], "provenance": metadata["provenance"]}
        _require(metadata["sha256"] == digest(**texts, tensors=stored), "content that has not the digest that it names")
        return _checked(json.loads(texts["network"]), json.loads(texts["provenance"]), stored)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, SafetensorError | ValueError) else f"it cannot be read, {error!r}"
        raise ValueError(f"{path} is not a packed network, or it is damaged: {reason}") from error


def _checked(network: dict, provenance: dict, stored: dict[str, Array]) -> tuple:
    shape, pixel_threshold, entries = tuple(network["shape"]), network["pixel_threshold"], network["layers"]
    sizes = [*shape, *(size for entry in entries for size in (*entry["shape"], entry["stride"]))]
    _require(all(type(size) is int and 0 < size < 2**31 for size in sizes), f"the sizes {sizes}")
    _require(len(shape) in (1, 3) and entries, f"images of shape {shape} and {len(entries)} layers")
    good = pixel_threshold is None or (type(pixel_threshold) is int and 0 <= pixel_threshold <= UNIT + 1)
    _require(good, f"a pixel threshold of {pixel_threshold!r}")
    _require(all(type(text) is str for text in provenance.values()), f"the provenance {provenance}, expected texts")
    found, expected = {name: (t.dtype.name, t.shape) for name, t in stored.items()}, _table(entries)
    wrong, missing = dict(found.items() - expected.items()), dict(expected.items() - found.items())
    _require(found == expected, f"the tensors {wrong}, expected {missing}")
    layers = [_layer(stored, i, e, UNIT if i == 0 and pixel_threshold is None else 1) for i, e in enumerate(entries)]
    layer_input = shape
    for layer in layers:
        layer_input = layer.output_shape(layer_input)
    return shape, pixel_threshold, layers, provenance


def _table(entries: list[dict]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name, dtype and shape of all tensors of layers that are described so."""
    table = {}
    for i, entry in enumerate(entries):
        (outputs, *inputs), pooled, is_last = entry["shape"], entry["pooled"], i == len(entries) - 1
        convolution = len(inputs) == 3 and inputs[1] == inputs[2] and not is_last
        good = type(pooled) is bool and (convolution or (len(inputs) == 1 and not pooled))
        _require(good, f"layer {i} of shape {entry['shape']} and pooled {pooled!r}")
        table[f"{i}.weight"] = "uint8", (outputs, -(-math.prod(inputs) // 8))
        numbers = {"scale": "float64", "shift": "float64"} if is_last else {"threshold": "int32"}
        table |= {f"{i}.{name}": (dtype, (outputs,)) for name, dtype in numbers.items()}
        if pooled:
            table[f"{i}.inverted"] = "uint8", (1, -(-outputs // 8))
    return table


def _layer(stored: dict[str, Array], i: int, entry: dict, unit: int) -> FoldedLayer:
    outputs, *inputs = entry["shape"]
    weight = _from_bytes(f"{i}.weight", stored[f"{i}.weight"], math.prod(inputs)).reshape(entry["shape"])
    threshold, scale, shift = (stored.get(f"{i}.{name}") for name in ("threshold", "scale", "shift"))
    if threshold is None:
        _require(np.isfinite([scale, shift]).all(), f"numbers in {i}.scale or {i}.shift that are not finite")
        return FoldedLayer(weight, scale=scale, shift=shift)
    largest = unit * math.prod(inputs)
    _require(((threshold >= -largest) & (threshold <= largest + 1)).all(), f"{i}.threshold out of range")
    inverted = _from_bytes(f"{i}.inverted", stored[f"{i}.inverted"], outputs)[0] if entry["pooled"] else None
    return FoldedLayer(weight, threshold, stride=entry["stride"], inverted=inverted)


def _from_bytes(name: str, octets: Array, columns: int) -> Array:
    bits = np.unpackbits(octets, axis=1, bitorder="little").astype(bool)
    _require(not bits[:, columns:].any(), f"{name} with bits beyond its {columns} columns")
    return bits[:, :columns]


def _require(condition: bool, found: str) -> None:
    if not condition:
        raise ValueError(f"found {found}")
