"""What writes a network for somebody else: `to_c(network, path)` and `to_qonnx(model, path)`, each also a command."""

from . import c
from .c import to_board, to_c

__all__ = ["c", "to_board", "to_c"]
