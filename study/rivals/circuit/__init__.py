"""Networks as circuits: cells that a synthesiser needs, clocks of chips that are sold; needs the extra `circuit`.

- `synthesis`: Yosys, for look-up tables, gates, and the cells of four chips.
- `simulation`: runs a synthesised circuit, 64 images at a time in each word.
- `place`: nextpnr, which places the cells on a chip and routes the wires between them.
"""
