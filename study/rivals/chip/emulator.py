"""C for an Arm Cortex-M, compiled by zig's clang and run by Unicorn, with every instruction counted.

What is counted are instructions, not cycles and not energy: a chip takes one to three cycles for most of them, more for
a division or where flash is slow. An instruction whose condition fails counts, as it does in the chip's own time.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy import ndarray as Array
from unicorn import UC_ARCH_ARM, UC_HOOK_BLOCK, UC_MODE_THUMB, Uc, arm_const

CORES = ("m0", "m3", "m4", "m7")
FLASH, RAM, SIZE = 0x0, 0x2000_0000, 0x0020_0000  # two MB each, so that rivals have room, too
STOP = FLASH + SIZE - 4  # where the function returns to
IMAGE, SUMS, STACK = RAM, RAM + 0x8000, RAM + SIZE
STACK_SIZE = 0x10000  # the sums and the variables lie below it
FILL = 0xA5

LINKER = f"""
MEMORY {{ FLASH (rx) : ORIGIN = {FLASH:#x}, LENGTH = {SIZE:#x}
         RAM (rw) : ORIGIN = {RAM + 0x10000:#x}, LENGTH = {SIZE - 0x10000 - STACK_SIZE:#x} }}
SECTIONS {{
    .text : {{ KEEP(*(.entry)) *(.text*) *(.rodata*) }} > FLASH
    .data : {{ *(.data*) }} > RAM
    .bss : {{ *(.bss*) *(COMMON) }} > RAM
    /DISCARD/ : {{ *(.ARM.exidx*) *(.ARM.attributes) }}
}}
"""
ENTRY = """
#include "{path}"
__attribute__((section(".entry"), used)) int entry(const uint8_t *pixels, int32_t *sums)
{{
    return {function}(pixels, sums);
}}
"""


def compile_for(
    core: str, source: Path, function: str, optimise: str = "-O2", runtime: bool = False, others: Sequence[Path] = ()
) -> bytes:
    """The ELF file of a C file for a Cortex-M, freestanding; `function` is `int f(const uint8_t *, int32_t *)`."""
    with TemporaryDirectory() as folder:
        main, script, elf = (Path(folder) / name for name in ("main.c", "link.ld", "main.elf"))
        main.write_text(ENTRY.format(path=Path(source).resolve(), function=function))
        script.write_text(LINKER)
        unit = core in ("m4", "m7")  # has a floating-point unit
        target = ["-target", f"thumb-freestanding-eabi{'hf' * unit}", f"-mcpu=cortex_{core}{'+vfp4d16sp' * unit}"]
        options = ["-std=c99", optimise, "-ffreestanding", "-nostdlib", "-g", "-fno-sanitize=all", "-T", str(script)]
        options += ["-fomit-frame-pointer", *["-rtlib=compiler-rt"] * runtime]
        zig(*target, *options, str(main), *map(str, others), "-o", str(elf))
        return elf.read_bytes()


def zig(*arguments: str) -> None:
    """zig's clang, with the errors of the compiler in the exception."""
    done = subprocess.run([sys.executable, "-m", "ziglang", "cc", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"zig cc {' '.join(arguments)} failed:\n{done.stderr}")


class Chip:
    """A Cortex-M with a compiled network in its flash.

    Attributes:
        flash: bytes of code and constants.
        instructions: of the last call of `classify`; 0 if they are not counted, which is five times as fast.
        ram: bytes of stack that the calls so far have touched, and of variables; the image and the sums are not in it.
    """

    def __init__(self, core: str, elf: bytes, counted: bool = True):
        self._uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB)  # with UC_MODE_MCLASS it would be an M33, whatever the model
        model = getattr(arm_const, f"UC_CPU_ARM_CORTEX_{core.upper()}")
        self._uc.ctl_set_cpu_model(model)
        if (found := self._uc.ctl_get_cpu_model()) != model:
            raise RuntimeError(f"expected Unicorn to emulate a Cortex-{core.upper()}, its model {model}, got {found}")
        for start in (FLASH, RAM):
            self._uc.mem_map(start, SIZE)
        self._uc.mem_write(RAM, bytes([FILL]) * SIZE)
        self.flash, self._variables = 0, 0
        for address, content, size in _segments(elf):
            self._uc.mem_write(address, content + bytes(size - len(content)))
            if address < RAM:
                self.flash += size
            else:
                self._variables += size
        self._uc.reg_write(arm_const.UC_ARM_REG_CPSR, 0x20)  # thumb
        if core in ("m4", "m7"):
            self._uc.reg_write(arm_const.UC_ARM_REG_C1_C0_2, 0xF << 20)  # allow the floating-point unit
            self._uc.reg_write(arm_const.UC_ARM_REG_FPEXC, 0x4000_0000)
        self._counted, self.instructions = {}, 0
        if counted:
            self._uc.hook_add(UC_HOOK_BLOCK, self._count)

    def classify(self, pixels: Array, classes: int = 10) -> tuple[int, Array]:
        """(pixels,) uint8 -> the class, and (classes,) int32 sums."""
        self._uc.mem_write(IMAGE, pixels.tobytes())
        for register, value in {"R0": IMAGE, "R1": SUMS, "SP": STACK, "LR": STOP | 1}.items():
            self._uc.reg_write(getattr(arm_const, f"UC_ARM_REG_{register}"), value)
        self.instructions = 0
        self._uc.emu_start(FLASH | 1, STOP)
        sums = np.frombuffer(bytes(self._uc.mem_read(SUMS, 4 * classes)), "<i4")
        return self._uc.reg_read(arm_const.UC_ARM_REG_R0), sums

    @property
    def ram(self) -> int:
        stack = bytes(self._uc.mem_read(STACK - STACK_SIZE, STACK_SIZE))
        return len(stack.lstrip(bytes([FILL]))) + self._variables

    def _count(self, uc: Uc, address: int, size: int, _) -> None:
        if (address, size) not in self._counted:
            self._counted[address, size] = _instructions(bytes(uc.mem_read(address, size)))
        self.instructions += self._counted[address, size]


def _instructions(code: bytes) -> int:
    """Of Thumb code: those that begin with 11101, 11110 or 11111 have four bytes, the others two."""
    count, at = 0, 0
    while at < len(code):
        at += 4 if code[at + 1] >> 3 in (0b11101, 0b11110, 0b11111) else 2
        count += 1
    return count


def _segments(elf: bytes) -> list[tuple[int, bytes, int]]:
    """Address, content and size in memory of what an ELF file wants loaded."""
    (offset,), (size, count) = struct.unpack_from("<I", elf, 28), struct.unpack_from("<2H", elf, 42)
    headers = [struct.unpack_from("<8I", elf, offset + i * size) for i in range(count)]
    return [(address, elf[at : at + n], m) for kind, at, address, _, n, m, *_ in headers if kind == 1 and m]
