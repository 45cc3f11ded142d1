"""Networks that leave PyTorch: folded to whole numbers, run by compiled kernels, kept in files.

`from bnn_tutorial import packed` imports numba, which `import bnn_tutorial` alone does not.
"""

from . import files, folding, kernels, network
from .folding import FoldedLayer
from .network import PackedNetwork, load_pretrained

__all__ = ["files", "folding", "kernels", "network", "FoldedLayer", "PackedNetwork", "load_pretrained"]
