"""Place and route by nextpnr: which cell of a chip does what, and how fast its clock may be.

The circuit stands between pins: its inputs come in a few at each clock, and what it says goes out. The clock that
nextpnr gives is an estimate, for one seed, of the slowest way between two registers. That a chip does it was not tried.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .synthesis import cells, run

FRAME = """
module chip(input clk, input [{pins}-1:0] x, output [{best}-1:0] best);
  reg [{wires}-1:0] image;
  always @(posedge clk) image <= {{x, image}} >> {pins};
  {name} network(.clk(clk), .x(image), .best(best));
endmodule
"""


class Chip(NamedTuple):
    """A chip that is sold: what Yosys and nextpnr call it."""

    target: str
    program: str
    options: tuple[str, ...]


CHIPS = {
    "iCE40 UP5K": Chip("iCE40", "nextpnr_ice40", ("--up5k", "--package", "sg48")),
    "iCE40 HX8K": Chip("iCE40", "nextpnr_ice40", ("--hx8k", "--package", "ct256")),
    "ECP5 25F": Chip("ECP5", "nextpnr_ecp5", ("--25k", "--package", "CABGA256")),
}


class Placed(NamedTuple):
    """A chip with a circuit on it: what it uses of what there is, its clock, and where each cell lies."""

    used: dict[str, tuple[int, int]]
    megahertz: float
    places: list[tuple[str, int, int]]


def frame(name: str, wires: int, pins: int, best: int) -> str:
    """A module `chip` in Verilog, which takes some wires of an example at a clock through its pins."""
    return FRAME.format(name=name, wires=wires, pins=pins, best=best)


def place(verilog: Path, top: str, chip: str, dsp: bool = False, chains: bool = False) -> Placed:
    """Synthesise a module (see `cells`), and place and route it.

    Raises:
        RuntimeError: with nextpnr's reason, for example that the chip is too small.
        TimeoutError: if a tool takes too long.
    """
    target, program, options = CHIPS[chip]
    with TemporaryDirectory() as name:
        folder = Path(name)
        cells(verilog, top, target, folder / "netlist.json", dsp, chains)
        written = ["--report", "report.json", "--write", "placed.json", "--seed", "1", "--freq", "50"]
        code = f"import sys, yowasp_{program} as tool; sys.exit(tool.run_{program}(sys.argv[1:]))"
        command = [sys.executable, "-c", code, *options, "--json", "netlist.json", *written, "--timing-allow-fail"]
        done = run(command, folder)
        if done.returncode:
            raise RuntimeError("; ".join(re.findall("ERROR: (.*)", done.stderr)) or done.stderr[-1000:])
        report = json.loads((folder / "report.json").read_text())
        modules = json.loads((folder / "placed.json").read_text())["modules"]
    used = {kind: (n["used"], n["available"]) for kind, n in report["utilization"].items() if n["used"]}
    bels = [
        (cell["type"], cell["attributes"].get("NEXTPNR_BEL", ""))
        for module in modules.values()
        for cell in module["cells"].values()
    ]
    found = [(kind, re.match(r"X(\d+)/Y(\d+)/", bel)) for kind, bel in bels]
    places = [(kind, int(match[1]), int(match[2])) for kind, match in found if match]
    return Placed(used, min(clock["achieved"] for clock in report["fmax"].values()), places)
