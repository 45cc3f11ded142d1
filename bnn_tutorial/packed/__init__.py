"""Networks that leave PyTorch: folded to whole numbers, run by compiled kernels, kept in files.

`from bnn_tutorial import packed` imports numba, which `import bnn_tutorial` alone does not.
"""

try:
    from . import files, folding, kernels, network
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    if missing not in ("llvmlite", "numba", "safetensors"):
        raise
    needs = f"bnn_tutorial.packed needs {missing}, which comes with the extra `packed`"
    raise ImportError(f"{needs}: run pip install '.[packed]' in the project's folder") from error

from .folding import FoldedLayer
from .network import PackedNetwork, load_pretrained

__all__ = ["files", "folding", "kernels", "network", "FoldedLayer", "PackedNetwork", "load_pretrained"]
