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
from bnn_tutorial import packed

from .recipes import AUGMENTED
from .runner import Recipe
from .settings import describe
from .teacher import CONFIG, images, teacher, train_whole

FILE = Path(packed.__file__).parent / "pretrained" / "mnist.safetensors"
SEED = 0


def trained(recipe: Recipe, data: bnn.Mnist, teaching: bnn.TrainConfig = CONFIG) -> packed.PackedNetwork:
    """Train from the seed, and pack.

    Args:
        recipe: how to train and what.
        data: one of `teacher.images`, if the recipe is taught.
        teaching: how the teacher was trained, on the same training images.
    """
    model = recipe.build(generator=torch.Generator().manual_seed(SEED))
    config = replace(recipe.config, seed=SEED, teacher=teacher(data.source, teaching) if recipe.taught else None)
    train_whole(config, data, model)
    return packed.PackedNetwork.from_model(model)


def train_and_save(
    file: Path, recipe: Recipe, data: bnn.Mnist, module: str, teaching: bnn.TrainConfig = CONFIG
) -> None:
    """Train, and write the file, which says how it was made and how it does on the test images.

    Args:
        file: its folder is made.
        recipe, data, teaching: see `trained`.
        module: which, run as a command, calls this.
    """
    network = trained(recipe, data, teaching)
    accuracy = (network.predict(data.test_images) == data.test_labels.numpy()).mean()
    network.provenance |= {
        "command": f"python -m {module}",
        "settings": recipe.settings(),
        "seed": str(SEED),
        "data": f"MNIST, {len(data.train_images):,} images to train, {len(data.test_images):,} to test",
        "accuracy": f"{accuracy:.4f}",
        "versions": f"bnn_tutorial {version('bnn_tutorial')}, torch {version('torch')}",
    }
    if recipe.taught:
        network.provenance["teacher"] = describe(teaching)
    file.parent.mkdir(parents=True, exist_ok=True)
    network.save(file)
    print(json.dumps(network.provenance, indent=2), f"\n{file.stat().st_size:,} bytes")


if __name__ == "__main__":
    train_and_save(FILE, AUGMENTED, images("full"), "experiments.pretrained")
