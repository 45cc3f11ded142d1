"""The folder for boards, compiled for a Cortex-M0+ with stand-ins for the boards' functions, run up to the answer."""

import pytest
from unicorn import UC_HOOK_MEM_WRITE

from bnn_tutorial import export, packed
from study.rivals.chip.emulator import IMAGE, SUMS, Chip, compile_for, zig

ARDUINO = f"""
#include <stdint.h>
static struct {{
    void begin(int) {{}}
    int readBytes(char *out, int count)
    {{
        for (int k = 0; k < count; k++)
            out[k] = *(volatile char *)({IMAGE:#x} + k);
        return count;
    }}
    void println(int best) {{ *(volatile int32_t *){SUMS:#x} = best; }}
}} Serial;
"""
PICO = f"""
#include <stdint.h>
static int place;
static void stdio_init_all(void) {{}}
static int getchar(void) {{ return *(volatile uint8_t *)({IMAGE:#x} + place++); }}
static void printf(const char *form, int best) {{ (void)form; *(volatile int32_t *){SUMS:#x} = best; }}
"""


@pytest.fixture(scope="module")
def mnist():
    return packed.load_pretrained("mnist")


@pytest.fixture
def folder(mnist, tmp_path):
    export.to_board(mnist, tmp_path / "digits")
    return tmp_path / "digits"


def test_the_folder_is_a_sketch_of_its_name_and_a_project_for_the_pico(folder):
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    assert found == {"digits.ino", "digits.c", "pico/main.c", "pico/CMakeLists.txt"}
    assert "add_executable(digits main.c)" in (folder / "pico" / "CMakeLists.txt").read_text()


def test_a_name_that_is_none_in_c_leaves_nothing_behind(mnist, tmp_path):
    with pytest.raises(ValueError, match="expected a name in C"):
        export.to_board(mnist, tmp_path / "my-net")
    assert not list(tmp_path.iterdir())


def test_the_pico_answers_with_the_class(folder, mnist, full):
    stub = folder / "pico" / "pico"
    stub.mkdir()
    (stub / "stdlib.h").write_text(PICO)
    main = folder / "pico" / "main.c"
    text = main.read_text().replace("#include <stdio.h>\n", "")  # which a freestanding compiler has not
    main.write_text(text.replace("int main(void)", "int answer(const uint8_t *p, int32_t *s)"))
    chip = Chip("m0", compile_for("m0", main, "answer"))
    chip._uc.hook_add(UC_HOOK_MEM_WRITE, lambda uc, *_: uc.emu_stop(), begin=SUMS, end=SUMS + 3)
    image = full.test_images[7].numpy()
    _, sums = chip.classify(image)
    assert sums[0] == mnist.predict(image[None])[0]


def test_the_sketch_answers_with_the_class(folder, mnist, full, tmp_path):
    main = tmp_path / "main.c"
    main.write_text(
        "#include <stdint.h>\nvoid setup(void);\nvoid loop(void);\n"
        "int answer(const uint8_t *p, int32_t *s) { (void)p; setup(); loop(); return s[0]; }\n"
    )
    sketch = tmp_path / "sketch.cpp"
    both = ARDUINO + (folder / "digits.ino").read_text().replace("void setup", 'extern "C" void setup')
    sketch.write_text(both.replace("void loop", 'extern "C" void loop'))
    program, image = tmp_path / "sketch.o", full.test_images[3].numpy()
    target = [
        "-target",
        "thumb-freestanding-eabi",
        "-mcpu=cortex_m0plus",
        "-ffreestanding",
        "-fno-exceptions",
        "-fno-sanitize=all",
    ]
    zig(*target, "-Wall", "-Wextra", "-Werror", "-c", str(sketch), "-o", str(program))
    chip = Chip("m0", compile_for("m0", main, "answer", others=[program, folder / "digits.c"]))
    assert chip.classify(image)[0] == mnist.predict(image[None])[0]
