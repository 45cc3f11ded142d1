"""A packed network as a circuit, in Verilog-2001: `python -m bnn_tutorial.export.verilog FILE`.

All at once: the circuit takes an example at every clock, and has a register behind each layer. Its weights are fixed:
where a weight is +1, the wire of the input goes on as it is, where it is -1, through an inverter. So a neuron of bits
is a count of ones, compared with its threshold. One after the other: for small chips, the neurons of a layer take turns
at one counter, and the weights lie in memory.

`counts` has the numbers, `adders` the trees that add up. In `verilog.v` is what all circuits share, in
`verilog_at_once.v`, `verilog_in_turn.v` and `verilog_layer.v` the frame of each form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from string import Template

import numpy as np
from numpy import ndarray as Array

from ..packed.files import replace
from ..packed.folding import FoldedLayer
from ..packed.network import PackedNetwork
from .adders import add_up, neuron, number, times
from .command import check_name, run, valid_name
from .counts import Counts, Scaled, bits_of, signed_digits

__all__ = ["to_verilog"]

PARTS = Path(__file__).with_name("verilog.v")
KEYWORDS = """
always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default defparam design
disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable endtask event
for force forever fork function generate genvar highz0 highz1 if ifnone incdir include initial inout input instance
integer join large liblist library localparam macromodule medium module nand negedge nmos nor noshowcancelled not notif0
notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent
rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify
specparam strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
unsigned use vectored wait wand weak0 weak1 while wire wor xnor xor
"""  # of Verilog-2001: IEEE 1364-2001, annex B
TAKEN = {*KEYWORDS.split(), *re.findall(r"^module (\w+)", PARTS.read_text(), re.MULTILINE)}
LARGEST_TABLE = 1024  # of what a class can count; beyond it, logits are multiplied


def to_verilog(network: PackedNetwork, path: str | Path, at_once: int | None = None) -> None:
    """Write the network as one file of Verilog-2001, with a module of the file's name.

    For "mnist.v" it is `mnist(clk, x, best, sums)`. `x` has the inputs of an example, the first in the lowest bits: its
    bytes, or bits where the network has a `pixel_threshold`. So many clocks later as there are layers, `sums` has what
    the last one adds up, and one clock after that `best` is the class.

    With `at_once` it is `mnist(clk, valid, x, ready, summed, sum, done, best)`. It takes some inputs at each clock with
    `valid`, which needs `ready`; says `summed` with each sum of the last layer, and `done` with the best class.

    Args:
        network: of dense layers.
        path: of the file.
        at_once: None, or how many inputs a neuron of the first layer takes at a clock, the neurons one after the other.

    Raises:
        ValueError: if the file's name is no free name in Verilog, or the network cannot be written, with the reason.
    """
    path = Path(path)
    check_name(path, ".v", "Verilog", TAKEN)
    _check(network, at_once)
    classes, wide = len(network.layers[-1].levels), 1 + bits_of(network.layers[-1].largest)
    form, marks = _all_at_once(network, wide) if at_once is None else _in_turn(network, wide, at_once)
    text = _filled(form, name=path.stem, classes=classes, c=bits_of(classes - 1), C=bits_of(classes - 1) - 1, **marks)
    replace(path, (text + PARTS.read_text()).encode())


def _check(network: PackedNetwork, at_once: int | None) -> None:
    first = network.layers[0]
    if at_once is not None and not 0 < at_once <= first.inputs:
        raise ValueError(f"at_once must be from 1 to {first.inputs}, the inputs of the first layer, got {at_once}")
    for i, layer in enumerate(network.layers):
        if at_once and len(layer.levels) > (clocks := len(first.levels) * -(-first.inputs // at_once)):
            busy = f"layer {i} has {len(layer.levels)} neurons, and the first layer is done after {clocks} clocks"
            raise ValueError(f"{busy}: take a smaller at_once, or None")
        if layer.levels.ndim != 2:
            raise ValueError(f"layer {i} is a convolution: only dense layers are written, whose inputs are all wired")
        if at_once and layer.bits == Fraction(8, 5):
            raise ValueError(f"layer {i} is ternary: a weight in memory is bits that mean -1 and +1, which are never 0")


def _all_at_once(network: PackedNetwork, wide: int) -> tuple[str, dict]:
    last, classes = network.layers[-1], range(len(network.layers[-1].levels))
    counts = [_counts(layer) for layer in network.layers]
    lines = [line for i, layer in enumerate(network.layers) for line in _wired(i, layer, counts[i], wide)]
    if (most := counts[-1].most).max() < LARGEST_TABLE:
        ranks = counts[-1].ranks(last)
        logit_bits = bits_of(ranks.max())
        logits = [_table(f"y{m}", f"r{m}", ranks[m], logit_bits, at="*") for m in classes]
    else:
        scaled, logits = Scaled.of(last, counts[-1]), []
        logit_bits = scaled.width - scaled.shift
        for m in classes:
            logits += [*times(f"z{m}", f"r{m}", scaled, m, most[m]), _without_fraction(f"y{m}", f"z{m}", scaled)]
    marks = {"X": network.layers[0].inputs * counts[0].bits - 1, "S": len(classes) * wide - 1, "l": logit_bits}
    marks |= {"layers": "\n".join(lines), "logits": "\n".join(logits), "L": logit_bits - 1}
    return "at_once", marks | {"all": ", ".join(f"y{m}" for m in reversed(classes))}


def _counts(layer: FoldedLayer) -> Counts:
    few = layer.bits in (1, Fraction(8, 5))
    digits = signed_digits(layer.levels.astype(np.int64) - (not few))  # of 2 q + 1 those of 2 q
    return Counts.of(digits, 8 if layer.of_bytes else 1, not layer.of_bytes, not few)


def _wired(i: int, layer: FoldedLayer, counts: Counts, wide: int) -> Iterator[str]:
    """A layer with fixed weights; of the last one, the sums have so many bits."""
    (neurons, size), bits, out = layer.levels.shape, counts.bits, 8 if layer.top else 1
    scaled = Scaled.of(layer, counts) if layer.activation == "codes" else None
    yield f"\n// Layer {i}: {neurons} neurons of {size} inputs of {bits} bit{'s' * (bits > 1)}."
    yield f"wire [{size * bits - 1}:0] p{i};\nplanes #({size}, {bits}) planes{i}(x{i}, p{i});"
    if counts.plus_inputs:
        yield from add_up(f"all{i}", {b: [(f"p{i}[{size * b} +: {size}]", size)] for b in range(bits)})
    if layer.activation != "logits":
        yield f"reg [{neurons * out - 1}:0] x{i + 1};"
    for m, name in enumerate(f"n{i}_{m}" for m in range(neurons)):
        yield from neuron(name, f"p{i}", counts, m, f"all{i}")
        stored = f"always @(posedge clk) x{i + 1}[{out * m} +: {out}] <="
        if layer.activation == "sign":
            least = counts.least(layer.threshold)[m]
            always_or_never = f"1'b{int(least <= 0)}"
            reached = f"{name} >= {bits_of(least)}'d{least}" if 0 < least <= counts.most[m] else always_or_never
            yield f"{stored} {reached};"
        elif layer.activation == "codes":
            yield from times(f"{name}z", name, scaled, m, counts.most[m])
            yield f"{_clip(f'{name}z', f'{name}c', scaled, layer.top)}\n{stored} {name}c;"
        else:
            yield f"reg [{bits_of(counts.most[m]) - 1}:0] r{m};\nalways @(posedge clk) r{m} <= {name};"
            less = f"{wide}'d{counts.offset[m] % 2**wide}"
            yield f"assign sums[{wide * m} +: {wide}] = {counts.unit} * r{m} - {less};"


def _in_turn(network: PackedNetwork, wide: int, at_once: int) -> tuple[str, dict]:
    first, last, i = network.layers[0], network.layers[-1], len(network.layers) - 1
    period = len(first.levels) * -(-first.inputs // at_once)
    lanes = [d for d in range(1, at_once + 1) if at_once % d == first.inputs % d == 0]
    lanes = next((d for d in lanes if first.inputs // d <= period), lanes[-1])
    lines = _from_memory(0, first, at_once, lanes)
    for k, layer in enumerate(network.layers[1:], 1):
        width = next(p for p in count(1) if len(layer.levels) * -(-layer.inputs // p) <= period)
        lines += _from_memory(k, layer, width, 1)
    counts = _counts_of_bits(last)
    lines.append(_table("offset", f"m{i}", counts.offset % 2**wide, wide))
    if counts.most.max() < LARGEST_TABLE:
        table = counts.ranks(last)
        logit_bits, room = bits_of(table.max()), 2 ** bits_of(counts.most.max()) - table.shape[1]
        logits = _table("y", f"{{m{i}, n{i}}}", np.pad(table, [(0, 0), (0, room)]).ravel(), logit_bits)
    else:
        scaled = Scaled.of(last, counts)
        logit_bits = scaled.width - scaled.shift
        logits = "\n".join([*_multiplied(i, scaled), _without_fraction("y", f"z{i}", scaled)])
    marks = {"X": lanes * (8 if first.of_bytes else 1) - 1, "S": wide - 1, "i": i, "next": i + 1, "l": logit_bits}
    return "in_turn", marks | {"layers": "\n".join(lines), "unit": counts.unit, "logits": logits}


def _bits_of_weights(layer: FoldedLayer) -> Array:
    """(M, K, bits) of 0 and 1, which mean -1 and +1; the lowest first."""
    return (layer.levels[:, :, None] + 2 ** int(layer.bits) - 1) // 2 >> np.arange(int(layer.bits)) & 1


def _counts_of_bits(layer: FoldedLayer) -> Counts:
    digits = 2 * _bits_of_weights(layer).transpose(2, 0, 1).astype(np.int64) - 1
    return Counts.of(digits, 8 if layer.of_bytes else 1, not layer.of_bytes)


def _from_memory(i: int, layer: FoldedLayer, width: int, lanes: int) -> list[str]:
    """A layer whose neurons take so many inputs at a clock; the inputs come so many `lanes` at a time."""
    (neurons, size), places, counts = layer.levels.shape, int(layer.bits), _counts_of_bits(layer)
    words, codes = -(-size // width), _bits_of_weights(layer)
    # The inputs of the last word lie at its upper end, with zeros before them.
    filled = np.insert(codes, [(words - 1) * width] * (words * width - size), 1, axis=1)
    rows = filled.reshape(neurons * words, width * places)
    lines = [_table(f"w{i}", f"at{i}", map(number, rows), width * places)]
    sizes = {"neurons": neurons, "size": size, "width": width, "bits": counts.bits, "places": places, "lanes": lanes}
    a, m, n = bits_of(neurons * words - 1), bits_of(neurons - 1), bits_of(counts.most.max())
    widths = {"a": a, "A": a - 1, "m": m, "M": m - 1, "n": n, "N": n - 1, "w": bits_of(width)}
    lines.append(_filled("layer", i=i, next=i + 1, **sizes, **widths))
    if layer.activation == "sign":
        least = np.clip(counts.least(layer.threshold), 0, counts.most + 1)
        lines += [_table(f"least{i}", f"m{i}", least, n + 1), f"wire x{i + 1} = s{i} >= least{i};"]
    elif layer.activation == "codes":
        scaled = Scaled.of(layer, counts)
        lines += [*_multiplied(i, scaled), _clip(f"z{i}", f"x{i + 1}", scaled, layer.top)]
    return lines


def _multiplied(i: int, scaled: Scaled) -> Iterator[str]:
    """factor * n + constant by a multiplier, the numbers from memory."""
    signed = 1 + bits_of(abs(scaled.factor).max())
    yield _table(f"factor{i}", f"m{i}", scaled.factor % 2**signed, signed)
    yield _table(f"constant{i}", f"m{i}", (int(c) % 2**scaled.width for c in scaled.constant), scaled.width)
    product = f"$signed(factor{i}) * $signed({{1'b0, s{i}}})"
    yield f"wire [{scaled.width - 1}:0] z{i} = {product} + $signed(constant{i});"


def _without_fraction(y: str, z: str, scaled: Scaled) -> str:
    return f"wire [{scaled.width - scaled.shift - 1}:0] {y} = {z}[{scaled.width - 1}:{scaled.shift}];"


def _clip(z: str, code: str, scaled: Scaled, top: int) -> str:
    sizes = f"{scaled.width - scaled.shift}, 8, {-scaled.low}, {top}"
    return f"wire [7:0] {code};\nclip #({sizes}) clip_{code}({z}[{scaled.width - 1}:{scaled.shift}], {code});"


def _table(name: str, address: str, values: Iterable[int], bits: int, at: str = "(posedge clk)") -> str:
    """A memory: what it has at the address comes at the next clock, or with "*" at once."""
    sign = "=" if at == "*" else "<="
    cases = [f"  {k}: {name} {sign} {bits}'h{int(value):x};" for k, value in enumerate(values)]
    head = f"reg [{bits - 1}:0] {name};\nalways @{at} case ({address})"
    return "\n".join([head, *cases, f"  default: {name} {sign} {bits}'bx;", "endcase"])


def _filled(form: str, **marks: object) -> str:
    return Template(PARTS.with_name(f"verilog_{form}.v").read_text()).substitute(marks)


def main() -> None:
    def write(network, options):
        path = options.output or valid_name(options.file, ".v", TAKEN)
        to_verilog(network, path, options.at_once)
        return path

    at_once = {"type": int, "help": "inputs at a clock; then the neurons come one after the other"}
    output = {"type": Path, "help": "the Verilog file; default: beside it, with a name that Verilog allows"}
    run(__doc__, write, at_once=at_once, output=output)


if __name__ == "__main__":
    main()
