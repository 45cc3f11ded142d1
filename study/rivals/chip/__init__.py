"""Networks in C on the processors of small chips, emulated instruction by instruction: `python -m study.rivals.chip`.

- `emulator`: compiles a C file for a Cortex-M, runs it, and counts instructions, flash and RAM.
- `rivals`: the same task with 8-bit and with float weights, in C written for it.
- `counts`: what each of them takes on each core, once its results are those of Python.
"""
