"""The circuit computes what Python does: its netlist is simulated, clock by clock."""

import os
import re
import shutil
import subprocess
from functools import partial

import numpy as np
import pytest
import torch
from networks import shaken

import bnn_tutorial as bnn
from bnn_tutorial import packed
from bnn_tutorial.export import counts, verilog
from bnn_tutorial.export.verilog import to_verilog

simulation = pytest.importorskip("study.rivals.circuit.simulation", reason="needs numba")
pytest.importorskip("pyosys", reason="needs the extra circuit")

SIGNS = {"activation": bnn.clipped_sign_ste, "binary_input": True}
CODES = {"activation": bnn.quantised_relu}
MAPS = {f"{b} bits": partial(bnn.quantised_linear, bits=b) for b in (2, 4, 8)}
MAPS = {"1 bit": bnn.binary_linear, "ternary": bnn.ternary_linear} | MAPS


def network(widths, seed=0, bias=0.5, **options):
    generator = torch.Generator().manual_seed(seed)
    model = shaken(bnn.binary_mlp(widths, generator=generator, **options), generator, bias)
    return packed.PackedNetwork.from_model(model)


def check(net, images=192, at_once=None, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (images, net.shape[0]), np.uint8)
    sums, classes, circuit = simulation.simulate(net, pixels, at_once)
    assert np.array_equal(sums, net.sums(pixels))
    assert np.array_equal(classes, net.predict(pixels))
    return circuit


def test_signs_equal_python():
    check(network((37, 9, 6, 5), **SIGNS))


def test_neurons_one_after_the_other_equal_python():
    circuit = check(network((37, 9, 6, 5), **SIGNS), at_once=8)
    period = 9 * 5  # neurons times words of 8 inputs; all layers work at the same time, on other images
    assert circuit.clocks < 37 + (simulation.IMAGES + 2) * period + 20


def test_a_pixel_of_eight_bits_and_a_code_equal_python():
    check(network((5, 3, 3), **CODES))


@pytest.mark.skipif(
    not shutil.which("iverilog") and "CI" not in os.environ, reason="needs Icarus Verilog, another compiler"
)
@pytest.mark.parametrize("at_once", [None, 2])
@pytest.mark.parametrize("options", [SIGNS, CODES])
def test_another_compiler_takes_it_as_verilog_2001_without_a_warning(options, at_once, tmp_path):
    to_verilog(network((5, 3, 3), **options), tmp_path / "net.v", at_once)
    command = ["iverilog", "-g2001", "-Wall", "-s", "net", "-o", str(tmp_path / "net"), str(tmp_path / "net.v")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.parametrize("options", [SIGNS, CODES])
def test_a_neuron_without_any_weight_equals_python(options):
    model = bnn.binary_mlp((6, 4, 3), forward_map=bnn.ternary_linear, **options).eval()
    model[-1].weight.data[2] *= 1e-3
    check(packed.PackedNetwork.from_model(model))


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("options", [SIGNS, CODES, CODES | {"binary_input": True}])
def test_weights_of_every_kind_equal_python(name, options):
    check(network((13, 5, 6, 3), forward_map=MAPS[name], **options))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1 bit", "2 bits", "8 bits"])
@pytest.mark.parametrize("options", [SIGNS, CODES])
def test_weights_in_memory_equal_python(name, options):
    check(network((13, 5, 6, 3), forward_map=MAPS[name], **options), at_once=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_fifty_networks_of_odd_widths_equal_python(seed):
    random = np.random.default_rng(seed)
    widths = random.integers(2, 40), *random.integers(1, 12, random.integers(1, 4)), random.integers(2, 6)
    net = network(tuple(map(int, widths)), seed, **SIGNS)
    check(net, seed=seed)
    fast_enough = [n for n in range(1, widths[0] + 1) if widths[1] * -(-widths[0] // n) >= max(widths[1:])]
    if fast_enough:
        check(net, at_once=int(random.choice(fast_enough)), seed=seed)
    else:
        with pytest.raises(ValueError, match="take a smaller at_once, or None"):
            check(net, at_once=1, seed=seed)


@pytest.mark.slow
def test_ten_thousand_images_equal_python(full):
    net = network((784, 16, 10), **SIGNS)
    pixels = full.test_images.numpy()[:9999]
    sums, classes, _ = simulation.simulate(net, pixels)
    assert np.array_equal(sums, net.sums(pixels))
    assert np.array_equal(classes, net.predict(pixels))


@pytest.mark.slow
def test_the_shipped_network_from_memory_equals_python(full):
    net, pixels = packed.load_pretrained("mnist"), full.test_images.numpy()[:999]
    sums, classes, _ = simulation.simulate(net, pixels, at_once=98)
    assert np.array_equal(sums, net.sums(pixels))
    assert np.array_equal(classes, net.predict(pixels))


def test_a_changed_weight_is_noticed():
    net = network((37, 5, 3), **SIGNS)
    pixels = np.random.default_rng(0).integers(0, 256, (192, 37), np.uint8)
    sums, _, _ = simulation.simulate(net, pixels)
    net.layers[0].levels[0, 0] *= -1
    changed = packed.PackedNetwork(net.shape, net.layers, net.pixel_threshold)
    assert not np.array_equal(sums, changed.sums(pixels))


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_signed_digits_are_few_and_make_the_number(bits):
    numbers = np.arange(-(2**bits), 2**bits + 1)
    digits = counts.signed_digits(numbers)
    assert np.array_equal((2 ** np.arange(len(digits))) @ digits, numbers)
    assert not (digits[1:] & digits[:-1] & 1).any()


@pytest.mark.parametrize("seed", range(20))
def test_fewer_bits_give_the_same_codes(seed):
    random = np.random.default_rng(seed)
    factor = random.integers(-(2**24), 2**24, 5)
    constant, shift, most = random.integers(-(2**34), 2**34, 5), 26, random.integers(1, 5000, 5)
    small, less, fewer = counts.fewer_bits(factor, constant, shift, most, 255)
    for m in range(5):
        n = np.arange(most[m] + 1)
        code = np.clip(factor[m] * n + constant[m] >> shift, 0, 255)
        assert np.array_equal(np.clip(small[m] * n + less[m] >> fewer, 0, 255), code)


def test_of_equal_logits_the_first_class_has_the_largest_rank():
    net = network((7, 3), binary_input=True, normalise=False, activation=None)
    layer = net.layers[-1]
    digits = counts.signed_digits(layer.levels.astype(np.int64))
    ranks = counts.Counts.of(digits, 1, True).ranks(layer)
    assert len({*ranks[0]} & {*ranks[1]}) == 0


@pytest.mark.parametrize("name", ["mnist.c", "1.v", "a b.v", "reg.v", "endmodule.v", "count.v", "clip.v"])
def test_a_name_that_is_none_in_verilog_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="a free name in Verilog"):
        to_verilog(network((3, 2)), tmp_path / name)


def test_a_convolution_is_refused(tmp_path):
    model = bnn.binary_convnet((4,), (3,), (10,)).eval()
    with pytest.raises(ValueError, match="layer 0 is a convolution: only dense layers"):
        to_verilog(packed.PackedNetwork.from_model(model), tmp_path / "net.v")


def test_ternary_weights_in_memory_are_refused(tmp_path):
    with pytest.raises(ValueError, match="layer 0 is ternary"):
        to_verilog(network((6, 3, 2), forward_map=bnn.ternary_linear), tmp_path / "net.v", at_once=2)


@pytest.mark.parametrize(("at_once", "text"), [(7, "from 1 to 6"), (6, "take a smaller at_once")])
def test_a_wrong_number_of_inputs_at_once_is_refused(at_once, text, tmp_path):
    with pytest.raises(ValueError, match=text):
        to_verilog(network((6, 2, 4)), tmp_path / "net.v", at_once=at_once)


def test_the_command_writes_the_file(tmp_path, monkeypatch, capsys):
    network((6, 3, 2)).save(tmp_path / "net.safetensors")
    monkeypatch.setattr("sys.argv", ["verilog", str(tmp_path / "net.safetensors"), "--at-once", "2"])
    verilog.main()
    assert "module net(\n  input clk, input valid" in (tmp_path / "net.v").read_text()
    assert "wrote" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nothing.safetensors"], ["broken.safetensors"], ["net", "--at-once", "7"]])
def test_the_command_says_what_is_wrong_without_a_traceback(arguments, tmp_path, monkeypatch, capsys):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing of the kind")
    network((6, 3, 2)).save(tmp_path / "net")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["verilog", *arguments])
    with pytest.raises(SystemExit, match="2"):
        verilog.main()
    assert re.search(rf"error: .*{arguments[-1]}.*\n$", capsys.readouterr().err)
    assert not list(tmp_path.glob("*.v"))


def test_the_command_makes_a_name_that_verilog_allows(tmp_path, monkeypatch):
    network((6, 3, 2)).save(tmp_path / "3 nets")
    monkeypatch.setattr("sys.argv", ["verilog", str(tmp_path / "3 nets")])
    verilog.main()
    assert (tmp_path / "net_3_nets.v").exists()
