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
from .runner import Recipe
from .teacher import images, teacher, train_whole

FILE = Path(bnn.__file__).parent / "pretrained" / "mnist.safetensors"
SEED = 0


def train_and_save(file: Path, recipe: Recipe, data: bnn.Mnist, module: str, **provenance: str) -> None:
    """Train from the seed, pack, and write the file, which says how it was made and how it does on the test images.

    Args:
        file: its folder is made.
        recipe: how to train and what. A teacher is the one of all training images.
        data: to train and to test with.
        module: which, run as a command, calls this.
        provenance: what else the file shall say.
    """
    model = recipe.build(generator=torch.Generator().manual_seed(SEED))
    config = replace(recipe.config, seed=SEED, teacher=teacher("full") if recipe.taught else None)
    train_whole(config, data, model)
    network = bnn.PackedNetwork.from_model(model)
    accuracy = (network.predict(data.test_images) == data.test_labels.numpy()).mean()
    network.provenance |= {
        "command": f"python -m {module}",
        "settings": recipe.settings(),
        "seed": str(SEED),
        "data": f"MNIST, {len(data.train_images):,} images to train, {len(data.test_images):,} to test",
        "accuracy": f"{accuracy:.4f}",
        "versions": f"bnn_tutorial {version('bnn_tutorial')}, torch {version('torch')}",
        **provenance,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    network.save(file)
    print(json.dumps(network.provenance, indent=2), f"\n{file.stat().st_size:,} bytes")


if __name__ == "__main__":
    train_and_save(FILE, AUGMENTED, images("full"), "experiments.pretrained")
