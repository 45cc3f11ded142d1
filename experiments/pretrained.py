"""The network that comes with the package: `python -m experiments.pretrained`.

784-300-100-10, 60 epochs of augmented images. The seed is fixed beforehand; nothing is
chosen among runs. About three minutes on two cores. The file says how it was made, and how it did on the test set.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch

import bnn_tutorial as bnn

from .recipes import AUGMENTED
from .teacher import images, train_whole

FILE = Path(bnn.__file__).parent / "pretrained" / "mnist.safetensors"
SEED = 0


def main() -> None:
    data = images("full")
    model = AUGMENTED.build(generator=torch.Generator().manual_seed(SEED))
    train_whole(replace(AUGMENTED.config, seed=SEED), data, model)
    network = bnn.PackedNetwork.from_model(model)
    accuracy = (network.predict(data.test_images) == data.test_labels.numpy()).mean()
    network.provenance |= {
        "command": "python -m experiments.pretrained",
        "settings": AUGMENTED.settings(),
        "seed": str(SEED),
        "data": "MNIST, 60,000 images to train, 10,000 to test",
        "accuracy": f"{accuracy:.4f}",
        "versions": f"bnn_tutorial {version('bnn_tutorial')}, torch {version('torch')}",
    }
    FILE.parent.mkdir(exist_ok=True)
    network.save(FILE)
    print(json.dumps(network.provenance, indent=2), f"\n{FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
