"""`python -m bnn_tutorial`: train the tutorial's network, print its table beside Bender's, save the plots."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .bender import bender_history, beside_bender
from .data import load_mnist, scale_pixels
from .plots import plot_history, plot_predictions, plot_weights
from .ste import sign
from .training import TrainConfig, train

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from .data import Mnist


def main(arguments: list[str] | None = None) -> None:
    """The command line; `arguments` default to those of the process."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        config = TrainConfig(epochs=options.epochs, seed=options.seed)
        options.output.mkdir(parents=True, exist_ok=True)
        data = load_mnist(options.data, options.source)
    except (OSError, RuntimeError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    print(f"MNIST ({data.source}): {len(data.train_images):,} images to train, {len(data.test_images):,} to test")
    history, model = train(config, data)
    print(beside_bender(history).to_string(float_format="{:.3f}".format))
    for file in _save(history, model, data, options.output):
        print(f"saved {file}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bnn_tutorial",
        description="Train the binary network 784-300-100-10 on MNIST, print its table beside the Julia tutorial's and "
        "save the plots.",
    )
    defaults = TrainConfig()
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="passes over the data (%(default)s)")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="the same seed, the same table (%(default)s)")
    parser.add_argument("--data", metavar="FOLDER", help="the folder that holds, or shall hold, MNIST/raw")
    sources = "auto: all of MNIST, or else the bundled 5,000 images; full: all or nothing; subset (%(default)s)"
    parser.add_argument("--source", choices=("auto", "full", "subset"), default="auto", help=sources)
    parser.add_argument("--output", type=Path, default=Path("build"), metavar="FOLDER", help="for plots (%(default)s)")
    return parser


def _save(history: pd.DataFrame, model: nn.Module, data: Mnist, folder: Path) -> list[Path]:
    history.to_csv(folder / "history.csv", index=False)
    images, labels = data.test_images[:50], data.test_labels[:50]
    with torch.no_grad():
        predictions = model.cpu().eval()(scale_pixels(images)).argmax(dim=1)
    axes = {
        "loss": plot_history(history, "loss", bender_history()),
        "accuracy": plot_history(history, "acc", bender_history()),
        "weights": plot_weights(sign(model[0].weight[:50])),
        "predictions": plot_predictions(images, labels, predictions),
    }
    for name, ax in axes.items():
        ax.figure.savefig(folder / f"{name}.png", dpi=150)
    return [folder / "history.csv", *(folder / f"{name}.png" for name in axes)]


if __name__ == "__main__":
    main()
