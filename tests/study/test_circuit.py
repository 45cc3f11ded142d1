"""What circuits cost: counted by a synthesiser, and what the stored tables say."""

import numpy as np
import pandas as pd
import pytest
import torch
from networks import shaken

import bnn_tutorial as bnn
from bnn_tutorial import packed

pytest.importorskip("pyosys", reason="needs the extra circuit")

from study.rivals.circuit import chains, neurons, simulation
from study.rivals.circuit import networks as circuit_networks
from study.rivals.circuit.place import frame, place
from study.rivals.circuit.simulation import Circuit
from study.rivals.circuit.synthesis import TARGETS, cells

STORED = pd.read_csv(neurons.RESULTS, dtype={"yosys": str})


def written(folder, text):
    path = folder / "circuit.v"
    path.write_text(text)
    return path


def test_a_neuron_of_bits_needs_two_tables_for_each_full_adder_at_most(tmp_path):
    found = cells(written(tmp_path, neurons.neuron(31, "1 x 1", "fixed")), "neuron", "LUT4")["LUT"]
    adders = 31 - (31).bit_count()
    assert adders < found <= 2 * adders


def test_fixed_weights_cost_no_table(tmp_path):
    mixed = neurons.neuron(15, "1 x 1", "fixed")
    weights = mixed[mixed.index("15'h") :].split(",")[0]
    counts = [cells(written(tmp_path, mixed.replace(weights, w)), "neuron", "LUT4") for w in (weights, "15'h7fff")]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kind", neurons.KINDS)
def test_a_neuron_with_weights_from_memory_compares_its_sum(kind, tmp_path):
    bits, places = neurons.KINDS[kind]
    circuit = Circuit(written(tmp_path, neurons.neuron(5, kind, "memory")), "neuron", 300)
    random = np.random.default_rng(0)
    x, w = (random.integers(0, 2, (300, n, 5)) for n in (bits, places))
    n = sum(2 ** (i + j) * (x[:, i] == w[:, j]).sum(axis=1) for i in range(bits) for j in range(places))
    y = circuit.step(x=x.reshape(300, -1) > 0, w=w.reshape(300, -1) > 0)["y"][:, 0]
    assert np.array_equal(y, n > 5 * (2**bits - 1) * (2**places - 1) // 2)


@pytest.mark.parametrize("kind", neurons.KINDS)
def test_a_neuron_of_carry_chains_compares_its_sum(kind, tmp_path):
    bits, places = neurons.KINDS[kind]
    circuit = Circuit(written(tmp_path, neurons.neuron(9, kind, "chains")), "neuron", 300)
    x = np.random.default_rng(1).integers(0, 2, (300, bits, 9))
    sums = (2 ** np.arange(bits)[:, None] * x).sum(axis=1) @ neurons.fixed_weights(9, places)[0]
    assert np.array_equal(circuit.step(x=x.reshape(300, -1) > 0)["y"][:, 0], sums > 0)


def test_carry_chains_take_the_adders(tmp_path):
    path = written(tmp_path, neurons.neuron(8, "8 x 1", "chains"))
    found = cells(path, "neuron", "iCE40", chains=True)
    assert found["carry"] > 8 * 7  # seven additions of at least eight bits
    assert found["LUT"] < cells(path, "neuron", "iCE40")["LUT"]


def test_a_network_of_carry_chains_equals_python(monkeypatch):
    monkeypatch.setattr(simulation, "to_verilog", lambda net, path, _: chains.to_verilog(net, path))
    generator = torch.Generator().manual_seed(0)
    model = bnn.binary_mlp((5, 3, 3), generator=generator, **circuit_networks.KINDS["8 x 4"])
    net = packed.PackedNetwork.from_model(shaken(model, generator, 0.5))
    pixels = np.random.default_rng(0).integers(0, 256, (192, 5), np.uint8)
    sums, classes, _ = simulation.simulate(net, pixels)
    assert np.array_equal(sums, net.sums(pixels))
    assert np.array_equal(classes, net.predict(pixels))


def test_images_read_a_memory_at_addresses_of_their_own(tmp_path):
    values = np.random.default_rng(0).permutation(1024)
    cases = "\n".join(f"{k}: y <= {value};" for k, value in enumerate(values))
    text = f"module rom(input clk, input [9:0] a, output reg [9:0] y); always @(posedge clk) case (a)\n{cases}\n"
    circuit = Circuit(written(tmp_path, text + "endcase endmodule"), "rom", 200)
    assert circuit.cells["LUT"] == 0  # it is a memory
    addresses = np.random.default_rng(1).integers(0, 1024, 200)
    bits = (addresses[:, None] >> np.arange(10) & 1).astype(bool)
    circuit.step(a=bits)
    circuit.edge()
    assert np.array_equal(circuit.step(a=bits)["y"] @ 2 ** np.arange(10), values[addresses])


def test_yosys_says_why_it_stops(tmp_path):
    with pytest.raises(RuntimeError, match="syntax error"):
        cells(written(tmp_path, "module neuron(;"), "neuron", "LUT4")


def test_cells_that_the_simulation_does_not_know_are_refused(tmp_path):
    box = "(* blackbox *) module box(input a, output y); endmodule"
    text = f"{box} module neuron(input a, output y); box inner(a, y); endmodule"
    with pytest.raises(ValueError, match="cells that the simulation does not know"):
        Circuit(written(tmp_path, text), "neuron", 64)


def test_each_row_of_the_table_is_there_once_and_says_its_tools():
    assert not STORED.duplicated(neurons.KEY).any()
    assert STORED["yosys"].notna().all()
    assert set(STORED["target"]) <= set(TARGETS)


def test_a_stored_neuron_is_what_is_synthesised_today():
    row = neurons.row(32, "1 x 1", "fixed", "LUT4")
    kept = STORED.query("inputs == 32 and kind == '1 x 1' and weights == 'fixed' and target == 'LUT4'")
    assert kept["LUT"].item() == row["LUT"]


def test_the_smallest_rival_reaches_the_interval(tmp_path):
    table = circuit_networks.Table(tmp_path / "results.csv")
    scores = {circuit_networks.REFERENCE: (0.80, 0.81, 0.82, 0.80, 0.82)}  # 81 ± 1.24 %
    for kind in list(circuit_networks.KINDS)[1:]:
        few, more, *most = circuit_networks.WIDTHS[kind]
        scores |= {
            circuit_networks.named(kind, few): (0.8, 0.81, 0.7, 0.7, 0.7),
            circuit_networks.named(kind, more): (0.805,) * 5,
        }
        scores |= {circuit_networks.named(kind, n): (0.9,) * 5 for n in most}
    for name, row in scores.items():
        for seed, accuracy in enumerate(row):
            table.add(name, seed, {"acc_test": accuracy}, circuit_networks.recipe("1 x 1", 2, 0.01))
    assert circuit_networks.smallest(table) == {
        kind: circuit_networks.WIDTHS[kind][1] for kind in list(circuit_networks.KINDS)[1:]
    }


def test_a_synthesis_that_takes_too_long_has_a_row_that_says_so(monkeypatch):
    monkeypatch.setattr("study.rivals.circuit.synthesis.MOST_SECONDS", 0)
    assert neurons.row(3, "1 x 1", "fixed", "LUT4")["refused"] == "not done in 0 s"


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["iCE40 UP5K", "ECP5 25F"])
def test_a_small_circuit_is_placed_and_routed(chip, tmp_path):
    text = "module net(input clk, input [7:0] x, output reg [3:0] best); always @(posedge clk) best <= x[3:0] ^ x[7:4];"
    placed = place(written(tmp_path, text + " endmodule" + frame("net", 8, 2, 4)), "chip", chip)
    assert placed.megahertz > 0
    assert len(placed.places) >= 12
