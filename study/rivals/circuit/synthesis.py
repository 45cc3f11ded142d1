"""Synthesis by Yosys: from Verilog to the cells of a chip.

For every target the logic goes through ABC, Berkeley's logic synthesiser, with the same commands: `strash` makes
and-gates and inverters of it, equal ones only once; `ifraig` finds what is equal but was made otherwise; `if` covers
it with look-up tables (LUTs) of K inputs. Yosys' own commands for ABC take longer and make a sixth more tables.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

RUN = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin:
    libyosys.run_pass(line.strip(), design)
"""
LOGIC = """
hierarchy -top {top}; proc; flatten -noscopeinfo; opt_clean; opt_expr; opt_merge; memory -nomap
memory_map r:SIZE<=256; opt_clean; techmap; opt_expr; opt_merge; opt_clean; dfflegalize -cell $_DFF_P_ 01
"""
TABLES = "abc -lut {} -script tables_of_{}"
ICE40 = "ice40_wrapcarry -unwrap; techmap -map +/ice40/ff_map.v; clean; opt_lut -tech ice40"
XILINX = """
clean; xilinx_srl -fixed -minlen 3
techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6; xilinx_dffopt; opt_lut_ins -tech xilinx
"""
GENERIC = {"LUT": "$lut", "flip-flop": "$_DFF_P_"}
MOST_SECONDS = 600  # of one run of a tool; the largest circuits would take it an hour


class Target(NamedTuple):
    """What Yosys does before the logic is mapped, by what it is, and what afterwards; how cells are called.

    `dsp` is the option that lets Yosys take the multipliers of a chip, or keeps it from them; `chains` the one that
    leaves modules apart until their additions have become carry chains, or joins them at once.
    """

    before: str
    mapped: str
    after: str
    cells: dict[str, str]
    dsp: dict[bool, str] = {True: "", False: ""}  # noqa: RUF012
    chains: dict[bool, str] = {True: "-noflatten", False: ""}  # noqa: RUF012


TARGETS = {
    "LUT4": Target(LOGIC, TABLES.format(4, 4), "opt_clean", GENERIC),
    "LUT6": Target(LOGIC, TABLES.format(6, 6), "opt_clean", GENERIC),
    "gates": Target(LOGIC, "abc -g cmos4,XOR,XNOR,MUX -script gates", "opt_clean", {"flip-flop": "$_DFF_P_"}),
    "iCE40": Target(
        "synth_ice40 -top {top} {dsp} {chains} -run begin:map_luts",
        TABLES.format(4, 4),
        f"{ICE40}; synth_ice40 -run map_cells:check",
        {"LUT": "SB_LUT4", "carry": "SB_CARRY", "flip-flop": "SB_DFF", "RAM": "SB_RAM", "DSP": "SB_MAC16"},
        {True: "-dsp -device u", False: ""},
    ),
    "ECP5": Target(
        "synth_ecp5 -top {top} {dsp} {chains} -run begin:map_luts",
        TABLES.format(4, 4),
        "clean; techmap -map +/lattice/cells_map_trellis.v; opt_lut_ins -tech lattice; clean",
        {"LUT": "LUT4", "carry": "CCU2C", "flip-flop": "TRELLIS_FF", "RAM": "DP16KD", "DSP": "MULT18X18D"}
        | {"LUT RAM": "TRELLIS_DPR16X4"},
        {True: "", False: "-nodsp"},
    ),
    "Xilinx 7": Target(
        "synth_xilinx -family xc7 {chains} -noiopad -noclkbuf -top {top} {dsp} -run begin:map_luts",
        TABLES.format(6, 6),
        XILINX,
        {"LUT": "LUT", "carry": "CARRY4", "flip-flop": "FD", "RAM": "RAMB", "LUT RAM": "RAM32M", "DSP": "DSP48E1"},
        {True: "", False: "-nodsp"},
        {True: "", False: "-flatten"},
    ),
}


def cells(
    verilog: Path, top: str, target: str, netlist: Path | None = None, dsp: bool = False, chains: bool = False
) -> dict[str, int]:
    """Synthesise module `top` of a file; returns how many cells of which kind a target needs.

    Args:
        verilog: the file.
        top: the name of the module.
        target: of `TARGETS`.
        netlist: where the cells and their wires are written, as JSON.
        dsp: whether multipliers of the chip may be used.
        chains: whether each module's additions become carry chains, before the modules are joined.

    Raises:
        TimeoutError: if it takes longer than `MOST_SECONDS`.
        RuntimeError: with what Yosys says.
    """
    way = TARGETS[target]
    with TemporaryDirectory() as name:
        folder = Path(name)
        for inputs in (4, 6):
            (folder / f"tables_of_{inputs}").write_text(f"strash\nifraig\nif -K {inputs}\n")
        (folder / "gates").write_text("strash\nifraig\nmap\n")
        before = way.before.format(top=top, dsp=way.dsp[dsp], chains=way.chains[chains])
        before += "; flatten; opt_clean; opt_merge; opt_clean" if chains else ""
        written = f"write_json {netlist.resolve()}" if netlist else ""
        yosys(
            f"read_verilog {verilog.resolve()}\n{before}\n{way.mapped}\n{way.after}\ncheck -noinit\n"
            f"blackbox =A:whitebox\ntee -q -o stat.json stat -json -tech cmos\n{written}",
            folder,
        )
        found = json.loads((folder / "stat.json").read_text())["modules"][f"\\{top}"]
    counted = found["num_cells_by_type"]
    kinds = {kind: sum(n for cell, n in counted.items() if cell.startswith(start)) for kind, start in way.cells.items()}
    return kinds | ({"transistors": int(found["estimated_num_transistors"])} if target == "gates" else {})


def yosys(commands: str, folder: Path) -> str:
    """Run Yosys in a process of its own, since it may take gigabytes; returns what it said."""
    lines = "\n".join(line.strip() for line in commands.replace(";", "\n").splitlines() if line.strip())
    done = run([sys.executable, "-c", RUN], folder, lines)
    if done.returncode:
        raise RuntimeError(f"Yosys failed: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def run(command: list[str], folder: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool in a folder, with `text` as its input; a `TimeoutError` after `MOST_SECONDS`."""
    try:
        return subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"not done in {MOST_SECONDS} s") from error
