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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace as replace_fields
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy import ndarray as Array
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .folding import BYTE, FRACTION, MOST_SHIFTED, Folded, FoldedLayer, fold_logits

T = TypeVar("T")

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
    write_signed(path, FORMAT, description(network), provenance, tensors(network.layers, network.limits))


def write_signed(path: Path, form: str, network: dict, provenance: dict, tensors: dict[str, Array]) -> None:
    """Write tensors with their description and provenance, and the digest of all that."""
    if not all(type(text) is str for item in provenance.items() for text in item):
        raise ValueError(f"provenance must be texts by their names, got {provenance}")
    texts = {"network": json.dumps(network), "provenance": json.dumps(provenance)}
    replace(path, save(tensors, {"format": form, **texts, "sha256": digest(**texts, tensors=tensors)}))


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
            error.filename = str(path)  # the file that the caller knows
            del error.filename2
        raise
    finally:
        with suppress(OSError):  # the first error counts
            beside.unlink()


def read(path: Path) -> tuple[Folded, dict[str, str]]:
    """The network and its provenance, after a look at everything in the file; see `PackedNetwork.load`."""
    return read_signed(path, "packed network", {FORMAT: _checked, FORMAT_2: _of_version_2})


def read_signed(path: Path, kind: str, readers: dict[str, Callable[[dict, dict], T]]) -> tuple[T, dict[str, str]]:
    """What the reader of the file's format makes of description and tensors, and the provenance.

    Raises:
        ValueError: if the file is not of this kind, or damaged; the message says what is wrong.
        OSError: if it cannot be read.
    """
    path.open("rb").close()  # the usual errors of a file that is not there
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        form = metadata.get("format")
        require(form in readers, f"the format {form!r}, expected {next(iter(readers))!r}")
        texts = {"network": metadata["network"], "provenance": metadata["provenance"]}
        require(metadata["sha256"] == digest(**texts, tensors=stored), "content that does not match its digest")
        network, provenance = json.loads(texts["network"]), json.loads(texts["provenance"])
        require(all(type(text) is str for text in provenance.values()), f"the provenance {provenance}, expected texts")
        return readers[form](network, stored), provenance
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, SafetensorError | ValueError) else f"it cannot be read, {error!r}"
        raise ValueError(f"{path} is not a {kind}, or it is damaged: {reason}") from error


def require(condition: bool, found: str) -> None:
    """Refuse a file in which this was found."""
    if not condition:
        raise ValueError(f"found {found}")


def _of_version_2(network: dict, stored: dict[str, Array]) -> Folded:
    *hidden, last = network["layers"]
    keys = {key for entry in network["layers"] for key in entry}  # the digest does not know the version
    require(keys == {"shape", "stride", "pooled"}, f"layers of version 2 with {sorted(keys)}")
    entries = [*({"activation": "sign"} | entry for entry in hidden), {"activation": "logits"} | last]
    if not hidden and network["pixel_threshold"] is None:  # sums of bytes were divided by 255 first
        stored |= {"0.scale": stored["0.scale"] / BYTE}
    return _checked(network | {"layers": [{"bits": 1, "padding": 0} | entry for entry in entries]}, stored)


def _checked(network: dict, stored: dict[str, Array]) -> Folded:
    shape, pixel_threshold, limits = tuple(network["shape"]), network["pixel_threshold"], stored.get("limits")
    entries = [entry | {"bits": TERNARY} if entry["bits"] == float(TERNARY) else entry for entry in network["layers"]]
    require_whole("the sizes", [*shape, *(n for e in entries for n in (*e["shape"], e["stride"]))], 1, 2**31 - 1)
    require(len(shape) in (1, 3) and entries, f"examples of shape {shape} and {len(entries)} layers")
    require_whole("the pixel threshold", [] if pixel_threshold is None else [pixel_threshold], 0, BYTE + 1)
    expected = {} if limits is None else {"limits": ("float32", (2, math.prod(shape)))}
    for i, entry in enumerate(entries):
        expected |= _table(i, entry, is_last=i == len(entries) - 1)
    found = {name: (t.dtype.name, t.shape) for name, t in stored.items()}
    wrong, missing = dict(found.items() - expected.items()), dict(expected.items() - found.items())
    require(found == expected, f"the tensors {wrong}, expected {missing}")
    if limits is not None:
        low, high = limits
        require(pixel_threshold is None, "limits beside a pixel threshold")
        require(((low < high) & np.isfinite(high - low)).all(), "limits that are not finite, or low >= high")
    layers, layer_input, of_bytes = [], shape, pixel_threshold is None
    for i, entry in enumerate(entries):
        layers.append(_layer(stored, i, entry, of_bytes))
        layer_input, of_bytes = layers[-1].output_shape(layer_input), layers[-1].activation == "codes"
    for name, tensor in tensors(layers).items():
        require(np.array_equal(tensor, stored[name]), f"{name} with bits that belong to no number")
    return Folded(shape, layers, pixel_threshold, limits)


def _table(i: int, entry: dict, is_last: bool) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name, dtype and shape of all tensors of a layer that is described so."""
    (outputs, *inputs), pooled, bits, padding = entry["shape"], entry["pooled"], entry["bits"], entry["padding"]
    activation = entry["activation"]
    is_convolution = len(inputs) == 3 and inputs[1] == inputs[2] and not is_last
    is_dense = len(inputs) == 1 and not pooled and padding == 0
    fits = type(pooled) is bool and activation in NUMBERS and (activation == "logits") == is_last
    require(
        fits and (is_convolution or is_dense),
        f"layer {i} of shape {entry['shape']}, pooled {pooled!r}, with {activation!r}",
    )
    require_whole(f"in layer {i} the bits", [] if bits is TERNARY else [bits], 1, 8)
    numbers = [padding, entry["top"] - 1] if activation == "codes" else [padding]
    require_whole(f"in layer {i} padding and top - 1", numbers, 0, BYTE - 1)
    require_whole(f"in layer {i} the point", [entry["point"]] if activation == "codes" else [], 0, MOST_SHIFTED)
    table = {f"{i}.weight": ("uint8", (outputs, math.ceil(math.prod(inputs) * bits / 8)))}
    table |= {f"{i}.{name}": (dtype, (outputs,)) for name, dtype in NUMBERS[activation].items()}
    return table | ({f"{i}.inverted": ("uint8", (1, -(-outputs // 8)))} if pooled and activation == "sign" else {})


def _layer(stored: dict[str, Array], i: int, entry: dict, of_bytes: bool) -> FoldedLayer:
    shape, activation, bits = entry["shape"], entry["activation"], entry["bits"]
    require(of_bytes or entry["padding"] == 0, f"layer {i} with zeros around signs")
    fields = {name: stored[f"{i}.{name}"] for name in NUMBERS[activation]}
    fields |= {name: entry[name] for name in ("stride", "padding", "pooled")}
    fields |= {name: entry[name] for name in ("point", "top") if activation == "codes"}
    if f"{i}.inverted" in stored:
        inverted = np.unpackbits(stored[f"{i}.inverted"][0], count=shape[0], bitorder="little")
        fields["inverted"] = inverted.astype(bool)
    levels = unpack_levels(stored[f"{i}.weight"], bits, math.prod(shape[1:]))
    layer = FoldedLayer(levels.reshape(shape), bits, of_bytes, **fields)
    require(_in_range(layer), f"{' or '.join(f'{i}.{name}' for name in NUMBERS[activation])} out of range")
    return (
        replace_fields(layer, **fold_logits(layer.scale, layer.shift, layer.largest))
        if activation == "logits"
        else layer
    )


def _in_range(layer: FoldedLayer) -> bool:
    if layer.activation == "logits":
        fits = np.isfinite([layer.scale, layer.shift])
    elif layer.activation == "codes":
        multiplier, offset = (abs(n.astype(np.int64)) for n in (layer.multiplier, layer.offset))
        fits = (multiplier * layer.largest >> FRACTION) + offset < 2**31 - 1
    else:
        fits = abs(layer.threshold.astype(np.int64) - 0.5) <= layer.largest + 0.5
    return bool(fits.all())


def require_whole(what: str, numbers: list, least: int, most: int) -> None:
    """Refuse what is not whole, or out of range; JSON has `true` and 1.0, too."""
    require(all(type(n) is int and least <= n <= most for n in numbers), f"{what} {numbers}")
