"""Write the C file without its constants: `python -m docs.web.make.c_template`.

In the Playground one trains a network 784-300-100-10 and downloads it as the C file that `to_c` writes. For one shape
all but the constants is the same text; here `to_c` itself writes it, and a name such as @scale@ takes the place of each
constant array's numbers. docs/web/engine/c.js fills them in.
"""

from __future__ import annotations

import re
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from bnn_tutorial import packed

FILE = Path(__file__).parents[1] / "engine" / "template.c"
NAME = "my_digits"
WIDTHS = (784, 300, 100, 10)


def template() -> str:
    """What `to_c` writes, with names in place of what depends on the network."""
    text = _without_constants(nearest=1e-9)
    text = re.sub(r"\bint64_t\b", "@kind@", text)
    # Nothing but the last layer's type tells it from the text of a network for which 32 bits are enough.
    assert text.replace("@kind@", "int32_t") == _without_constants(nearest=0.75)
    return text


def _without_constants(nearest: float) -> str:
    """The C file of a network with two logits that are no farther from each other than `nearest`."""
    *hidden, last = [np.zeros((outputs, inputs), bool) for inputs, outputs in pairwise(WIDTHS)]
    layers = [packed.FoldedLayer(weight, np.zeros(len(weight), np.int32)) for weight in hidden]
    shift = np.array([*range(len(last) - 1), nearest * 16]) / 16
    network = packed.PackedNetwork(
        WIDTHS[:1], None, [*layers, packed.FoldedLayer(last, scale=np.ones(len(last)), shift=shift)], {"key": "text"}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.c"
        network.to_c(path)
        text = path.read_text()
    body = re.compile(rf"(static const \w+ {NAME}_(\w+)\[\d+\] = {{\n    )[^}}]*(\n}};)")
    return body.sub(r"\1@\2@\3", text).replace(" * key: text\n", "@provenance@")


if __name__ == "__main__":
    FILE.write_text(template())
    print(f"{FILE.stat().st_size:,} bytes")
