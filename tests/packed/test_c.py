"""The C file computes what Python does: on this machine, and on emulated small chips."""

import ctypes
import re
import shutil
import subprocess
from functools import partial

import numpy as np
import pytest
import torch
from networks import FEW_BITS, NETWORKS, shaken

import bnn_tutorial as bnn
from bnn_tutorial import export, packed
from bnn_tutorial.export import c
from study.rivals.chip.emulator import CORES, Chip, compile_for, zig

STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]


def packed_at_random(build, seed, **options):
    """With batch norms as training could leave them, scales of both signs and zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    model = build(generator=generator, **options)
    shaken(model, generator)
    return packed.PackedNetwork.from_model(model.eval()), generator


def loaded(path, function, compiler=zig, optimise="-O2"):
    """The function of a C file, compiled for this machine: pixels -> class, sums."""
    library = path.with_suffix(".so")
    compiler(*STRICT, optimise, "-shared", "-fPIC", str(path), "-o", str(library))
    classify = ctypes.CDLL(str(library))[function]

    def run(pixels):
        pixels, sums = np.ascontiguousarray(pixels), np.empty(64, np.int32)
        return classify(pixels.ctypes.data_as(ctypes.c_void_p), sums.ctypes.data_as(ctypes.c_void_p)), sums

    return run


def check(network, run, images):
    sums, classes = network.sums(images), network.predict(images)
    for image, expected, best in zip(images, sums, classes, strict=True):
        found, found_sums = run(image)
        assert found_sums[: len(expected)].tolist() == expected.tolist()
        assert found == best


@pytest.fixture(scope="module")
def mnist():
    return packed.load_pretrained("mnist")


@pytest.fixture(scope="module")
def mnist_c(mnist, tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "mnist.c"
    export.to_c(mnist, path)
    return path


@pytest.fixture(scope="module")
def images(full):
    return full.test_images.numpy()


def test_all_test_images_have_the_same_sums_and_class_on_this_machine(mnist, mnist_c, images):
    check(mnist, loaded(mnist_c, "mnist_classify"), images)


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler of the system")
def test_the_compiler_of_the_system_gets_the_same(mnist, mnist_c, images):
    cc = partial(subprocess.run, check=True)
    check(mnist, loaded(mnist_c, "mnist_classify", lambda *a: cc(["cc", *a])), images[:1000])


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("optimise", ["-O2", "-Os"])
def test_emulated_chips_get_the_same(core, optimise, mnist, mnist_c, images):
    chip = Chip(core, compile_for(core, mnist_c, "mnist_classify", optimise))
    check(mnist, chip.classify, [*images[:25], np.zeros(784, np.uint8), np.full(784, 255, np.uint8)])


WIDTHS = [(1, 1, 2), (7, 3, 2), (8, 64, 5, 3), (16, 2, 2), (33, 40, 7), (50, 31, 33, 97, 4), (64, 12, 32, 10)]
WIDTHS += [(101, 13, 11)]
MAPS = [bnn.binary_linear, bnn.scaled_binary_linear, bnn.ternary_linear]
MAPS += [partial(bnn.quantised_linear, bits=bits) for bits in (2, 4, 8)]
KINDS = [(forward_map, activation) for activation in (bnn.sign_ste, bnn.quantised_relu) for forward_map in MAPS]


@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4)]])
@pytest.mark.parametrize("one_bit", [False, True], ids=["8-bit pixels", "1-bit pixels"])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_random_networks_of_odd_widths_have_the_same_sums_here_and_on_chips(widths, one_bit, seed, tmp_path):
    forward_map, activation = KINDS[(7 * len(WIDTHS[0]) + WIDTHS.index(widths) + 3 * seed) % len(KINDS)]
    options = {"widths": widths, "binary_input": one_bit, "forward_map": forward_map, "activation": activation}
    network, generator = packed_at_random(bnn.binary_mlp, seed, **options)
    export.to_c(network, tmp_path / "net.c")
    pixels = torch.randint(0, 256, (40, widths[0]), generator=generator, dtype=torch.uint8).numpy()
    pixels[::2] *= np.random.default_rng(seed).random(pixels[::2].shape) < 0.2  # little ink
    check(network, loaded(tmp_path / "net.c", "net_classify", optimise="-O1"), pixels)
    for core in CORES if seed else CORES[:1]:
        chip = Chip(core, compile_for(core, tmp_path / "net.c", "net_classify"))
        check(network, partial(chip.classify, classes=widths[-1]), pixels[:10])


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_each_kind_have_the_same_sums(name, tmp_path, images):
    network, _ = packed_at_random(NETWORKS[name], 0)
    export.to_c(network, tmp_path / "net.c")
    check(network, loaded(tmp_path / "net.c", "net_classify"), images[:40])


WHOLE = ["normalised", "strides", *FEW_BITS]  # dense and convolutional, of one bit and of more


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_all_test_images_have_the_same_sums_and_class_in_every_kind_of_network(name, tmp_path, images):
    network, _ = packed_at_random(NETWORKS[name], 1)
    export.to_c(network, tmp_path / "net.c")
    check(network, loaded(tmp_path / "net.c", "net_classify"), images)


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", WHOLE)
def test_all_test_images_have_the_same_sums_and_class_on_chips(name, core, tmp_path, images):
    network, _ = packed_at_random(NETWORKS[name], 1)
    export.to_c(network, tmp_path / "net.c")
    check(network, Chip(core, compile_for(core, tmp_path / "net.c", "net_classify"), counted=False).classify, images)


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", ["convnet", *FEW_BITS])
def test_networks_of_each_kind_have_the_same_sums_on_chips(name, core, tmp_path, images):
    network, _ = packed_at_random(NETWORKS[name], 0)
    export.to_c(network, tmp_path / "net.c")
    check(network, Chip(core, compile_for(core, tmp_path / "net.c", "net_classify")).classify, images[:5])


def test_the_file_needs_no_library_even_where_there_is_no_division(mnist_c):
    assert compile_for("m0", mnist_c, "mnist_classify")  # linked without any


def test_the_file_can_be_included_twice_and_beside_another(mnist, mnist_c, tmp_path):
    export.to_c(mnist, tmp_path / "other.c")
    main = tmp_path / "main.c"
    main.write_text(f'#include "{mnist_c}"\n#include "{mnist_c}"\n#include "other.c"\n')
    zig(*STRICT, "-c", str(main), "-o", str(tmp_path / "main.o"))


@pytest.mark.parametrize("array", ["signs_0", pytest.param("weights_1", marks=pytest.mark.slow), "weights_2"])
def test_ten_changed_bits_each_change_a_sum(array, mnist_c, mnist, images, tmp_path):
    """Of `signs_0` those of pixels that often have ink: of one that never has any, no image can notice the sign."""
    text, few = mnist_c.read_text(), images[:1000]
    start = text.index("{", text.index(f"mnist_{array}["))
    numbers = [*re.finditer(r"0x[0-9a-f]+|\d+", text[start : text.index("}", start)])]
    for number in range(10):
        if array == "signs_0":  # 300 neurons of each block of 4x2 pixels, of which number 45 is in the middle
            at, bit = 300 * 45 + 29 * number, number % 8
        else:
            at, bit = (len(numbers) - 1) * number // 9, number
        first, end = (start + at for at in numbers[at].span())
        (tmp_path / f"broken{number}.c").write_text(f"{text[:first]}{int(text[first:end], 0) ^ 1 << bit}u{text[end:]}")
        run = loaded(tmp_path / f"broken{number}.c", "mnist_classify", optimise="-O1")
        found = [run(image)[1][:10].tolist() for image in few]
        assert found != mnist.sums(few).tolist()


TEXT = "a */ b /* net_ INPUTS\nsecond ??/ \0 \u202e \ud800 é"


def test_the_file_says_where_the_network_comes_from_and_cannot_be_broken_by_it(tmp_path):
    network = packed.PackedNetwork.from_model(bnn.binary_mlp((4, 3, 2)).eval(), {"author": TEXT})
    export.to_c(network, tmp_path / "net.c")
    expected = "author: a * / b / * net_ INPUTS\n * second ? ?/ \\x00 \\u202e \\ud800 é\n"
    assert expected in (tmp_path / "net.c").read_text()
    zig(*STRICT, "-c", str(tmp_path / "net.c"), "-o", str(tmp_path / "net.o"))


def test_codes_that_hardly_change_are_those_of_python(tmp_path):
    """So flat that there would be room for 53 bits behind the point, which C could not cut off an int32."""
    model = bnn.binary_mlp((4, 1, 2), bnn.quantised_relu, generator=torch.Generator().manual_seed(0)).eval()
    model[0].norm.weight.data.zero_()
    model[0].norm.bias.data.fill_(-0.5 * 6 / 255 + 2e-9)
    network = packed.PackedNetwork.from_model(model)
    assert network.layers[0].point == 31
    export.to_c(network, tmp_path / "net.c")
    check(network, loaded(tmp_path / "net.c", "net_classify", optimise="-O0"), np.zeros((1, 4), np.uint8))


@pytest.mark.parametrize("name", ["net", "net.h", "3.c", "my net.c", "net-1.c", "_.c"])
def test_other_names_are_refused(name, tmp_path, mnist):
    with pytest.raises(ValueError, match=r"expected a name in C with the suffix \.c"):
        export.to_c(mnist, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["W1A8", "mixed", "strides", "convolutions, ternary", "convnet of one-bit pixels"])
def test_the_file_is_cplusplus_too(name, tmp_path):
    network, _ = packed_at_random(NETWORKS[name], 0)
    export.to_c(network, tmp_path / "net.c")
    (tmp_path / "net.cpp").write_text('#include "net.c"\n')
    zig("-x", "c++", "-Wall", "-Wextra", "-Werror", "-c", str(tmp_path / "net.cpp"), "-o", str(tmp_path / "net.o"))


@pytest.mark.slow
def test_compiled_as_a_program_it_reads_an_image_and_prints_the_class(mnist, mnist_c, tmp_path, images):
    program = tmp_path / "mnist"
    zig(*STRICT, "-Dmnist_MAIN", str(mnist_c), "-o", str(program))
    for image, best in zip(images[:5], mnist.predict(images[:5]), strict=True):
        done = subprocess.run([program], input=b"P5 28 28 255\n" + image.tobytes(), capture_output=True)
        assert done.stdout == f"{best}\n".encode()
    done = subprocess.run([program], input=b"P5 28 27 255\n" + bytes(784), capture_output=True)
    assert done.returncode == 1
    assert b"expected an image of 784 pixels" in done.stderr


@pytest.mark.parametrize("name", ["convnet", "mixed", "W1A8", "convolutions, ternary"])
def test_nothing_is_computed_that_c_leaves_undefined(name, tmp_path, images):
    """An index beyond an array, a sum beyond 32 bits: there the program would end with an illegal instruction."""
    network, _ = packed_at_random(NETWORKS[name], 0)
    export.to_c(network, tmp_path / "net.c")
    options = ["-O1", "-fsanitize=undefined", "-fsanitize-trap=undefined", "-Dnet_MAIN"]
    zig(*STRICT, *options, str(tmp_path / "net.c"), "-o", str(tmp_path / "net"))
    for image, best in zip(images[:3], network.predict(images[:3]), strict=True):
        done = subprocess.run([tmp_path / "net"], input=b"P5 28 28 255\n" + image.tobytes(), capture_output=True)
        assert done.stdout == f"{best}\n".encode()


def test_limits_of_a_table_stand_in_the_file(tmp_path):
    model = torch.nn.Sequential(bnn.QuantisedInput([-1.5, 0.0], [2.5, 1.0]), *bnn.binary_mlp((2, 3, 2)))
    export.to_c(packed.PackedNetwork.from_model(model), tmp_path / "net.c")
    assert " * low: -1.5, 0.0\n * high: 2.5, 1.0\n" in (tmp_path / "net.c").read_text()


def test_the_command_writes_the_file(mnist, tmp_path, monkeypatch, capsys):
    mnist.save(tmp_path / "net.safetensors")
    monkeypatch.setattr("sys.argv", ["c", str(tmp_path / "net.safetensors")])
    c.main()
    assert "net_classify" in (tmp_path / "net.c").read_text()
    assert capsys.readouterr().out == f"wrote {tmp_path / 'net.c'}\n"


@pytest.mark.parametrize(("file", "name"), [("my-net.safetensors", "my_net.c"), ("3 nets.safetensors", "net_3_nets.c")])
def test_the_command_makes_a_name_that_c_allows(file, name, mnist, tmp_path, monkeypatch):
    mnist.save(tmp_path / file)
    monkeypatch.setattr("sys.argv", ["c", str(tmp_path / file)])
    c.main()
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("arguments", [["nothing.safetensors"], ["broken.safetensors"], ["net", "--output", "a-b.c"]])
def test_the_command_says_what_is_wrong_without_a_traceback(arguments, mnist, tmp_path, monkeypatch, capsys):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing of the kind")
    mnist.save(tmp_path / "net")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["c", *arguments])
    with pytest.raises(SystemExit, match="2"):
        c.main()
    assert f"{arguments[-1]}" in capsys.readouterr().err
