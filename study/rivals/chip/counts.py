"""Instructions, flash and RAM of the binary network and its rivals on emulated Cortex-M.

Every class and every sum of ours is compared with Python's, for every twentieth test image on all four cores, with
`-Os` for every hundredth. The rivals of 8 bits run every fifth image, floats every hundredth, and CMSIS-NN, whose work
is the same for all images, every thousandth; theirs are compared with NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy import ndarray as Array

import bnn_tutorial as bnn
from bnn_tutorial import export, packed

from .cmsis import Cmsis
from .emulator import CORES, Chip, compile_for
from .rivals import Rival

SAME, SMALL = (784, 300, 100, 10), (784, 40, 10)
RIVALS = {
    f"{kind}, {'-'.join(map(str, widths))}": Rival(widths, kind)
    for widths in (SAME, SMALL)
    for kind in ("int8", "dual", "float32")
}
RIVALS |= {f"CMSIS-NN's algorithm, {'-'.join(map(str, widths))}": Cmsis(widths) for widths in (SAME, SMALL)}
W1A8 = "1-bit weights, 8-bit activations, 784-288-96-10"


def w1a8(widths: tuple[int, ...], images: torch.Tensor) -> packed.PackedNetwork:
    """With random weights, and a batch norm that has seen images: what counts is how many codes are 0, about half."""
    model = bnn.binary_mlp(widths, bnn.quantised_relu, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for batch in bnn.scale_pixels(images[:10_000]).split(100):
            model(batch)
    return packed.PackedNetwork.from_model(model)


OURS = {
    "binary, 784-300-100-10": lambda: packed.load_pretrained("mnist"),
    W1A8: lambda: w1a8((784, 288, 96, 10), bnn.load_mnist().train_images),
}


def jobs(images: int) -> Iterator[tuple]:
    for optimise, every in (("-O2", 20), ("-Os", 100)):
        for core in CORES:
            for name in OURS:
                yield name, core, optimise, images // every
    for name, rival in RIVALS.items():
        for core in ("m4", "m7") if rival.kind == "dual" else CORES:  # the others have no dual multiplication
            yield name, core, "-O2", images // {"float32": 100, "cmsis": 1000}.get(rival.kind, 5)


def count(name: str, core: str, optimise: str, images: int) -> dict:
    """A row of the table, over so many test images at equal distances."""
    pixels = bnn.load_mnist().test_images.numpy()[:: 10_000 // images]
    network = OURS[name]() if name in OURS else RIVALS[name]
    row = {"name": name, "core": core, "optimise": optimise, "images": images}
    return row | measure(network, core, optimise, pixels)


def measure(network: Rival | packed.PackedNetwork, core: str, optimise: str, pixels: Array) -> dict:
    """Instructions of the mean image and of one that is all ink, flash and RAM; what is computed must be right.

    Args:
        network: a rival, or one of ours, which is written as C first.
        core: of `CORES`.
        optimise: "-O2" or "-Os".
        pixels: (N, 784) uint8.

    Raises:
        AssertionError: an image has another class or another sum than in Python.
    """
    is_rival = isinstance(network, Rival)
    is_float = is_rival and network.kind == "float32"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.c"
        if is_rival:
            path.write_text(network.source(core))
            expected = map(network.classify, pixels)
        else:
            export.to_c(network, path)
            expected = zip(network.predict(pixels), network.sums(pixels), strict=True)
        runtime = is_rival and network.kind in ("float32", "cmsis")  # for floats, and for products of 64 bits
        elf = compile_for(core, path, "classify" if is_rival else "net_classify", optimise, runtime)
    chip, instructions = Chip(core, elf), []
    for image, right in zip(pixels, expected, strict=True):
        found = chip.classify(image)
        instructions.append(chip.instructions)
        if found[0] != right[0] or not (is_float or np.array_equal(found[1], right[1])):
            raise AssertionError(f"{network} on {core}: {found}, not {right}")
    chip.classify(np.full(784, 255, np.uint8))
    mean = round(float(np.mean(instructions)))
    return {"mean": mean, "all_ink": chip.instructions, "flash": chip.flash, "ram": chip.ram}
