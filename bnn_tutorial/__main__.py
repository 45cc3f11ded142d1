"""`python -m bnn_tutorial`: train the tutorial's network, print its table beside Bender's, save the plots."""

import argparse
import os
from pathlib import Path

import torch

from .bender import bender_history, beside_bender
from .data import LabelledImages, load_mnist, scale_pixels
from .plots import plot_history, plot_predictions, plot_weights
from .ste import sign
from .training import TrainConfig, train


def main(arguments: list[str] | None = None) -> None:
    """The command line; `arguments` default to those of the process."""
    defaults = TrainConfig()
    description = "Train the tutorial's network on MNIST, print its table beside the Julia tutorial's, save the plots."
    parser = argparse.ArgumentParser(prog="python -m bnn_tutorial", description=description)
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="passes over the data (%(default)s)")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="the same seed, the same table (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build"), metavar="FOLDER", help="for plots (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        config = TrainConfig(epochs=options.epochs, seed=options.seed)
        options.output.mkdir(parents=True, exist_ok=True)
        data = load_mnist()
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    history, model = train(config, data)
    if int(os.environ.get("RANK", 0)) > 0:  # of several processes of torchrun the first one reports
        return
    print(f"{data.name}: {len(data.train_images):,} images to train, {len(data.test_images):,} to test")
    print(beside_bender(history).to_string(float_format="{:.3f}".format))
    history.to_csv(options.output / "history.csv", index=False)
    for name, ax in _plots(history, model.cpu().eval(), data).items():
        ax.figure.savefig(options.output / f"{name}.png", dpi=150)
    print(f"The table and the plots are in {options.output}")


def _plots(history, model: torch.nn.Module, data: LabelledImages) -> dict:
    images, labels = data.test_images[:50], data.test_labels[:50]
    with torch.no_grad():
        predictions = model(scale_pixels(images)).argmax(dim=1)
    return {
        "loss": plot_history(history, "loss", bender_history()),
        "accuracy": plot_history(history, "acc", bender_history()),
        "weights": plot_weights(sign(model[0].weight[:50])),
        "predictions": plot_predictions(images, labels, predictions),
    }


if __name__ == "__main__":
    main()
