"""Train the network that comes with the package: `python -m study.pretrained`.

784-300-100-10, for 60 epochs of augmented images. The seed was fixed in advance; nothing is chosen among runs. About
three minutes. The file says how it was made, and how accurate it is on the test set.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import torch

import bnn_tutorial as bnn
from bnn_tutorial import packed

from .images import images
from .recipes import AUGMENTED, Recipe
from .settings import describe
from .teacher import TEACHER

FILE = Path(packed.__file__).parent / "pretrained" / "mnist.safetensors"
SEED = 0


def trained(recipe: Recipe, data: bnn.LabelledImages, teacher: Recipe = TEACHER) -> packed.PackedNetwork:
    """Train from the seed, and pack. If the recipe is distilled, train the teacher first, on the same images."""
    model = teacher.train(SEED, data)[1] if recipe.distilled else None
    return packed.PackedNetwork.from_model(recipe.train(SEED, data, model)[1])


def train_and_save(
    file: Path, recipe: Recipe, data: bnn.LabelledImages, module: str, teacher: Recipe = TEACHER
) -> None:
    """Train, and write the file. It says how it was made, and its accuracy on the test images.

    Args:
        file: its folder is created.
        recipe, data, teacher: see `trained`.
        module: the one that calls this when it is run as a command.
    """
    network = trained(recipe, data, teacher)
    accuracy = (network.predict(data.test_images) == data.test_labels.numpy()).mean()
    network.provenance |= {
        "command": f"python -m {module}",
        "settings": recipe.settings(),
        "seed": str(SEED),
        "data": f"MNIST, {len(data.train_images):,} images to train, {len(data.test_images):,} to test",
        "accuracy": f"{accuracy:.4f}",
        "versions": f"bnn_tutorial {version('bnn_tutorial')}, torch {version('torch')}",
    }
    if recipe.distilled:
        network.provenance["teacher"] = describe(teacher.config)
    file.parent.mkdir(parents=True, exist_ok=True)
    network.save(file)
    print(json.dumps(network.provenance, indent=2), f"\n{file.stat().st_size:,} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)  # as the rows of `controls`: this is the network of "both binary, 60 epochs", seed 0
    train_and_save(FILE, AUGMENTED, images("MNIST"), "study.pretrained")
