"""What writes a network for others: `to_c` and `to_board`, `qonnx.to_qonnx`, `verilog.to_verilog`."""

from . import c
from .c import to_board, to_c

__all__ = ["c", "to_board", "to_c"]
