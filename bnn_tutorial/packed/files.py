"""The file of a packed network: `safetensors`, with every name, shape, dtype and range checked when it is read.

The metadata are texts: `format`; `network`, JSON of an example's shape, the pixel threshold, and each layer's shape,
bits, activation, stride, padding, pooling, point and top; `provenance`, JSON of what its author says of it; `sha256`,
the digest of those two and all tensors.

Layer i has the tensors of `FoldedLayer`, a neuron a row: `i.weight`; of signs `i.threshold`, and `i.inverted` where
there is pooling; of codes `i.multiplier` and `i.offset`; of logits `i.scale` and `i.shift`. `limits` are those of a
`QuantisedInput`. A weight of b bits is stored as (level + 2^b - 1) / 2, in b bits, the lowest first, without gaps; of
one bit a 1 is +1. Of ternary weights a byte has five: the sum of (level + 1) 3^j.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace as replace_fields
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy import ndarray as Array
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .folding import BYTE, FRACTION, Folded, FoldedLayer, fold_logits

# docs/web reads the same; with another version the stored networks have to be written anew.
FORMAT = "bnn_tutorial packed network, version 3"
FORMAT_2 = "bnn_tutorial packed network, version 2"  # signs alone, and logits of scale * (S / unit) + shift

TERNARY = Fraction(8, 5)
NUMBERS = {  # of each activation
    "sign": {"threshold": "int32"},
    "codes": {"multiplier": "int32", "offset": "int32"},
    "logits": {"scale": "float64", "shift": "float64"},
}
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


def tensors(layers: Sequence[FoldedLayer], limits: Array | None = None) -> dict[str, Array]:
    """Everything that layers keep, by the names and as the bytes that the file has."""
    stored = {} if limits is None else {"limits": limits}
    for i, layer in enumerate(layers):
        stored[f"{i}.weight"] = pack_levels(layer.levels.reshape(len(layer.levels), -1), layer.bits)
        stored |= {f"{i}.{name}": getattr(layer, name) for name in NUMBERS[layer.activation]}
        if layer.inverted is not None:
            stored[f"{i}.inverted"] = np.packbits(layer.inverted[None], axis=1, bitorder="little")
    return {name: np.ascontiguousarray(tensor) for name, tensor in stored.items()}  # `save` takes memory as it lies


def description(network: Folded) -> dict:
    """What the file says of a network besides its tensors."""
    entries = []
    for layer in network.layers:
        entry = {"shape": list(layer.levels.shape), "bits": float(layer.bits) if layer.bits == TERNARY else layer.bits}
        entry |= {name: getattr(layer, name) for name in ("activation", "stride", "padding", "pooled")}
        entries.append(entry | ({"point": layer.point, "top": layer.top} if layer.activation == "codes" else {}))
    return {"shape": list(network.shape), "pixel_threshold": network.pixel_threshold, "layers": entries}


def digest(network: str, provenance: str, tensors: dict[str, Array]) -> str:
    """SHA-256 of both texts and of the tensors' bytes, in the order of their names."""
    content = [network.encode(), provenance.encode(), *(tensors[name].tobytes() for name in sorted(tensors))]
    return hashlib.sha256(b"".join(content)).hexdigest()


def write(path: Path, network: Folded, provenance: dict) -> None:
    """Write a file that `read` reads."""
    if not all(type(text) is str for item in provenance.items() for text in item):
        raise ValueError(f"provenance must be texts by their names, got {provenance}")
    stored = tensors(network.layers, network.limits)
    texts = {"network": json.dumps(description(network)), "provenance": json.dumps(provenance)}
    replace(path, save(stored, {"format": FORMAT, **texts, "sha256": digest(**texts, tensors=stored)}))


def replace(path: str | Path, content: bytes) -> None:
    """Write beside the file first, and then move, so that a reader never sees half of it, whoever else writes it."""
    target = Path(path).resolve()  # a link stays one
    beside = target.with_name(f".{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        if error.filename:
            error.filename, error.filename2 = str(path), None  # the file that the caller knows
        raise
    finally:
        with suppress(OSError):  # the first error counts
            beside.unlink()


def read(path: Path) -> tuple[Folded, dict[str, str]]:
    """The network and its provenance, after a look at everything in the file; see `PackedNetwork.load`."""
    path.open("rb").close()  # the usual errors of a file that is not there
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        found = metadata.get("format")
        _require(found in (FORMAT, FORMAT_2), f"the format {found!r}, expected {FORMAT!r}")
        texts = {"network": metadata["network"], "provenance": metadata["provenance"]}
        _require(metadata["sha256"] == digest(**texts, tensors=stored), "content that has not the digest that it names")
        network, provenance = json.loads(texts["network"]), json.loads(texts["provenance"])
        _require(all(type(text) is str for text in provenance.values()), f"the provenance {provenance}, expected texts")
        return _checked(_of_version_2(network) if found == FORMAT_2 else network, stored), provenance
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, SafetensorError | ValueError) else f"it cannot be read, {error!r}"
        raise ValueError(f"{path} is not a packed network, or it is damaged: {reason}") from error


def _of_version_2(network: dict) -> dict:
    """The description as version 3 has it."""
    *hidden, last = network["layers"]
    keys = {key for entry in network["layers"] for key in entry}  # the digest does not know the version
    _require(keys == {"shape", "stride", "pooled"}, f"layers of version 2 with {sorted(keys)}")
    all_of_them = [*({"activation": "sign"} | entry for entry in hidden), {"activation": "logits", "version": 2} | last]
    return network | {"layers": [{"bits": 1, "padding": 0} | entry for entry in all_of_them]}


def _checked(network: dict, stored: dict[str, Array]) -> Folded:
    shape, pixel_threshold, entries = tuple(network["shape"]), network["pixel_threshold"], network["layers"]
    sizes = [*shape, *(size for entry in entries for size in (*entry["shape"], entry["stride"]))]
    _require(all(type(size) is int and 0 < size < 2**31 for size in sizes), f"the sizes {sizes}")
    _require(len(shape) in (1, 3) and entries, f"examples of shape {shape} and {len(entries)} layers")
    good = pixel_threshold is None or (type(pixel_threshold) is int and 0 <= pixel_threshold <= BYTE + 1)
    _require(good, f"a pixel threshold of {pixel_threshold!r}")
    limits = stored.get("limits")
    expected = {} if limits is None else {"limits": ("float32", (2, *shape))}
    for i, entry in enumerate(entries):
        expected |= _table(i, entry, is_last=i == len(entries) - 1)
    found = {name: (t.dtype.name, t.shape) for name, t in stored.items()}
    wrong, missing = dict(found.items() - expected.items()), dict(expected.items() - found.items())
    _require(found == expected, f"the tensors {wrong}, expected {missing}")
    if limits is not None:
        low, high = limits
        _require(len(shape) == 1 and pixel_threshold is None, "limits of images, or beside a pixel threshold")
        _require(((low < high) & np.isfinite(high - low)).all(), "limits that are not finite, or low >= high")
    layers, layer_input, of_bytes = [], shape, pixel_threshold is None
    for i, entry in enumerate(entries):
        layer = _layer(stored, i, entry, of_bytes)
        layers.append(layer)
        layer_input, of_bytes = layer.output_shape(layer_input), layer.activation == "codes"
    return Folded(shape, layers, pixel_threshold, limits)


def _table(i: int, entry: dict, is_last: bool) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name, dtype and shape of all tensors of a layer that is described so."""
    (outputs, *inputs), pooled, bits, padding = entry["shape"], entry["pooled"], entry["bits"], entry["padding"]
    activation = entry["activation"]
    convolution = len(inputs) == 3 and inputs[1] == inputs[2] and not is_last
    good = type(pooled) is bool and (convolution or (len(inputs) == 1 and not pooled and padding == 0))
    good = good and activation in NUMBERS and (activation == "logits") == is_last
    _require(good, f"layer {i} of shape {entry['shape']}, pooled {pooled!r}, with {activation!r}")
    _require((type(bits) is int and 1 <= bits <= 8) or bits == float(TERNARY), f"layer {i} of {bits!r} bits a weight")
    numbers = [padding, entry["point"], entry["top"] - 1] if activation == "codes" else [padding]
    _require(all(type(n) is int and 0 <= n < 255 for n in numbers), f"layer {i} with the numbers {numbers}")
    length = math.prod(inputs) * (TERNARY if bits == float(TERNARY) else bits)
    table = {f"{i}.weight": ("uint8", (outputs, math.ceil(length / 8)))}
    table |= {f"{i}.{name}": (dtype, (outputs,)) for name, dtype in NUMBERS[activation].items()}
    if pooled and activation == "sign":
        table[f"{i}.inverted"] = "uint8", (1, -(-outputs // 8))
    return table


def _layer(stored: dict[str, Array], i: int, entry: dict, of_bytes: bool) -> FoldedLayer:
    shape, activation, bits = entry["shape"], entry["activation"], entry["bits"]
    _require(of_bytes or entry["padding"] == 0, f"layer {i} with zeros around signs")
    bits, numbers = TERNARY if bits == float(TERNARY) else bits, {n: stored[f"{i}.{n}"] for n in NUMBERS[activation]}
    levels = unpack_levels(stored[f"{i}.weight"], bits, math.prod(shape[1:]))
    _require(np.array_equal(pack_levels(levels, bits), stored[f"{i}.weight"]), f"{i}.weight with more than its weights")
    sizes = {name: entry[name] for name in ("stride", "padding", "pooled")}
    layer = FoldedLayer(levels.reshape(shape), bits, of_bytes, **sizes)
    if activation == "logits":
        _require(np.isfinite([*numbers.values()]).all(), f"numbers in {i}.scale or {i}.shift that are not finite")
        if of_bytes and "version" in entry:  # there 255 stands apart
            numbers["scale"] = numbers["scale"] / BYTE
        return replace_fields(layer, **numbers, **fold_logits(**numbers, largest=layer.largest))
    if activation == "codes":
        multiplier, offset = (abs(n.astype(np.int64)) for n in numbers.values())
        fits = ((multiplier * layer.largest >> FRACTION) + offset < 2**31 - 1).all()
        _require(fits, f"{i}.multiplier or {i}.offset out of range")
        return replace_fields(layer, **numbers, point=entry["point"], top=entry["top"])
    threshold = numbers["threshold"]
    _require((abs(threshold.astype(np.int64) - 0.5) <= layer.largest + 0.5).all(), f"{i}.threshold out of range")
    inverted = stored.get(f"{i}.inverted")
    if inverted is not None:
        columns = len(threshold)
        bits = np.unpackbits(inverted, axis=1, bitorder="little").astype(bool)[0]
        _require(not bits[columns:].any(), f"{i}.inverted with bits beyond its {columns} columns")
        inverted = bits[:columns]
    return replace_fields(layer, threshold=threshold, inverted=inverted)


def _require(condition: bool, found: str) -> None:
    if not condition:
        raise ValueError(f"found {found}")
