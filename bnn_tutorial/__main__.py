"""`python -m bnn_tutorial`: train the tutorial's network, print its table beside Bender's, save the plots."""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryFile

import torch

from .bender import bender_history, beside_bender
from .data import LabelledImages, load_mnist, scale_pixels
from .plots import plot_history, plot_predictions, plot_weights
from .ste import sign
from .training import TrainConfig, train


def main(arguments: list[str] | None = None) -> None:
    """The command line; `arguments` default to those of the process."""
    os.environ["MPLBACKEND"] = "agg"  # it draws to files only, whatever a notebook's shell has set
    defaults = TrainConfig()
    description = "Train the tutorial's network on MNIST, print its table beside the Julia tutorial's, save the plots."
    parser = argparse.ArgumentParser(prog="python -m bnn_tutorial", description=description)
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="passes over the data (%(default)s)")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of everything random (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build"), metavar="FOLDER", help="for plots (%(default)s)")
    options = parser.parse_args(arguments)
    files = {name: options.output / name for name in ("history.csv", *(f"{name}.png" for name in PLOTS))}
    try:
        config = TrainConfig(epochs=options.epochs, seed=options.seed)
        check_writable(options.output, files.values())
        data = load_mnist()
    except (ImportError, OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    history, model = train(config, data)
    print(f"{data.name}: {len(data.train_images):,} images to train, {len(data.test_images):,} to test")
    print(beside_bender(history).to_string(float_format="{:.3f}".format))
    history.to_csv(files["history.csv"], index=False)
    for name, draw in PLOTS.items():
        draw(history, model.cpu().eval(), data).figure.savefig(files[f"{name}.png"], dpi=150)
    print(f"The table and the plots are in {options.output}")


def check_writable(folder: Path, files: list[Path]) -> None:
    """Make the folder, and check before the training that the files can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
        for file in files:
            if file.exists():
                file.open("ab").close()
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror}; choose another --output") from error


def draw_predictions(history, model: torch.nn.Module, data: LabelledImages):
    images, labels = data.test_images[:50], data.test_labels[:50]
    with torch.no_grad():
        return plot_predictions(images, labels, model(scale_pixels(images)).argmax(dim=1))


PLOTS = {
    "loss": lambda history, model, data: plot_history(history, "loss", bender_history()),
    "accuracy": lambda history, model, data: plot_history(history, "acc", bender_history()),
    "weights": lambda history, model, data: plot_weights(sign(model[0].weight[:50])),
    "predictions": draw_predictions,
}


if __name__ == "__main__":
    main()
