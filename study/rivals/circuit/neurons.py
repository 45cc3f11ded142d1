"""One neuron of bits and its rivals in the cells of five chips, and in gates: `python -m study.rivals.circuit.neurons`.

A neuron has K inputs and a threshold. Its weights are fixed in the circuit, or come from a memory, which is not
counted. Inputs x weights of 1 x 1, 8 x 1, 8 x 4 and 8 x 8 bits, all written by the same generator: fixed weights as
signed digits, those from memory as all pairs of their bits. On chips that have them, fixed weights with carry chains,
too, and 8 x 8 with multipliers. Weights of 4 and 8 bits are drawn from a normal distribution and rounded with the step
that loses least of it, as trained ones are.

Writes `circuit.csv`, a row as soon as it is there; rows that are there stay. A synthesis that takes too long has a row
that says so. An hour on one core.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from importlib.metadata import version
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from bnn_tutorial.export import verilog
from bnn_tutorial.packed.files import replace

from . import chains
from .synthesis import TARGETS, cells

RESULTS = Path(__file__).parents[2] / "results" / "circuit.csv"
INPUTS = 32, 128, 300
KINDS = {"1 x 1": (1, 1), "8 x 1": (8, 1), "8 x 4": (8, 4), "8 x 8": (8, 8)}
STEPS = {4: 0.3352, 8: 0.0308}  # Max 1960, table I
SOURCES = "fixed", "chains", "memory", "multipliers"
KEY = ["inputs", "kind", "weights", "target"]


def neuron(inputs: int, kind: str, weights: str) -> str:
    """A module `neuron` in Verilog."""
    bits, places = KINDS[kind]
    ports = f"input [{inputs * bits - 1}:0] x, input [{inputs * places - 1}:0] w, output y"
    if weights == "multipliers":
        products = [f"$signed({{1'b0, x[{8 * k} +: 8]}}) * $signed(w[{8 * k} +: 8])" for k in range(inputs)]
        lines = [f"wire signed [24:0] n = {' + '.join(products)};", "assign y = n >= 1000;"]
    elif weights == "memory":
        columns = defaultdict(list)
        for b, v in product(range(bits), range(places)):
            text = f"x[{inputs * b} +: {inputs}] ~^ w[{inputs * v} +: {inputs}]"
            columns[b + v].append((text, inputs))
        most = inputs * (2**bits - 1) * (2**places - 1)
        lines = [*verilog.add_up("n", columns), f"assign y = n >= {most // 2 + 1};"]
    else:
        ports = f"input [{inputs * bits - 1}:0] x, output y"
        digits = verilog.signed_digits(fixed_weights(inputs, places))
        if weights == "chains":
            lines = by_chains(digits[:, 0], bits)
        else:
            counts = verilog.Counts.of(digits, bits, bits == 1)
            lines = [*verilog.neuron("n", "x", counts, 0), f"assign y = n >= {counts.most[0] // 2 + 1};"]
    return "\n".join([f"module neuron({ports});", *lines, "endmodule", verilog.PARTS.read_text(), chains.ADDER])


def fixed_weights(inputs: int, places: int) -> np.ndarray:
    """(1, inputs) int64, of so many bits."""
    drawn = np.random.default_rng(0).normal(size=(1, inputs))
    if places == 1:
        return np.where(drawn < 0, -1, 1)
    half = 2 ** (places - 1)
    return np.clip(np.rint(drawn / STEPS[places]), -half, half - 1).astype(np.int64)


def by_chains(digits: np.ndarray, bits: int) -> list[str]:
    """A neuron with digits (places, inputs): whether what they add is more than what they take away."""
    lines, (places, inputs) = [], digits.shape
    width = bits + places + inputs.bit_length()
    for name, sign in (("added", 1), ("less", -1)):
        columns = defaultdict(list)
        for place, bit in product(range(places), range(bits)):
            wires = [f"x[{inputs * bit + k}]" for k in np.flatnonzero(digits[place] == sign)[::-1]]
            if wires:
                columns[place + bit].append((f"{{{', '.join(wires)}}}", len(wires)))
        lines += chains.add_up(name, columns, width)
    lines.append(f"wire [{width}:0] n;\nchain #({width}, {width}, {width + 1}) last(added, ~less, n);")
    return [*lines, f"assign y = n[{width}];"]  # the carry: added > less


def jobs() -> list[tuple]:
    """The rows of the table: first look-up tables of four inputs, and what is small."""
    ways = list(product(INPUTS, KINDS, SOURCES, TARGETS))
    chips = [name for name, target in TARGETS.items() if "DSP" in target.cells]
    ways = [way for way in ways if way[3] in chips or way[2] in ("fixed", "memory")]
    return sorted((way for way in ways if way[2] != "multipliers" or way[1] == "8 x 8"), key=_effort)


def _effort(way: tuple) -> float:
    inputs, kind, weights, target = way
    size = inputs * float(np.prod(KINDS[kind])) * {"memory": 1, "multipliers": 1 / 30}.get(weights, 1 / 3)
    return size * (1 if target == "LUT4" or weights == "chains" else 30)


def row(inputs: int, kind: str, weights: str, target: str) -> dict:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "neuron.v"
        path.write_text(neuron(inputs, kind, weights))
        try:
            found = cells(path, "neuron", target, dsp=weights == "multipliers", chains=weights == "chains")
        except TimeoutError as error:
            found = {"refused": str(error)}
    return dict(zip(KEY, (inputs, kind, weights, target), strict=True)) | found | {"yosys": version("pyosys")}


def main() -> None:
    rows = pd.read_csv(RESULTS, dtype={"yosys": str}).to_dict("records") if RESULTS.exists() else []
    rows = [row for row in rows if row["yosys"] == version("pyosys")]
    done = {tuple(row[name] for name in KEY) for row in rows}
    for job in jobs():
        if job in done or (len(sys.argv) > 1 and str(job[0]) not in sys.argv[1:]):
            continue
        rows.append(row(*job))
        print(rows[-1], flush=True)
        order = pd.DataFrame(rows).sort_values(KEY, kind="stable")
        replace(RESULTS, order.convert_dtypes().to_csv(index=False).encode())


if __name__ == "__main__":
    main()
