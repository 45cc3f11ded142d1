"""Training and evaluation, with the tutorial's settings as defaults."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from .data import Mnist, load_mnist, scale_pixels
from .layers import binary_layers, clamp_latent_weights_
from .models import binary_mlp, eval_mode
from .optimisers import Adam

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrainConfig", "evaluate", "train"]


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the defaults are those of the Julia tutorial (`Args` in Bender).

    Attributes:
        epochs: passes over the training set, at least 1.
        learning_rate: of Adam, positive.
        batch_size: images a step, at least 1.
        clamp: when the latent weights are clamped to [-1, 1]: "epoch": after each epoch and its evaluation; "step":
            after each step; None: never.
        seed: of the network's start, the order of the images and everything random in the network.
        device: "cpu", "cuda", ...; None chooses CUDA where there is one, else the CPU.

    Raises:
        ValueError: if a value is out of range or the device is not there.
    """

    epochs: int = 10
    learning_rate: float = 3e-4
    batch_size: int = 64
    clamp: str | None = "epoch"  # the tutorial's habit; BinaryConnect clamps at each step
    seed: int = 0  # the tutorial has none
    device: str | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not _is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}")
        if not isinstance(self.learning_rate, Real) or not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be positive and finite, got {self.learning_rate!r}")
        if self.clamp not in ("epoch", "step", None):
            raise ValueError(f'clamp must be "epoch", "step" or None, got {self.clamp!r}')
        if not _is_whole(self.seed) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, got {self.seed!r}")
        _device(self.device)


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 1000) -> tuple[float, float]:
    """Loss and accuracy over all images, in `eval` mode.

    Args:
        model: float pixels in [0, 1] -> logits; it stays in the mode that it had.
        images: (N, pixels) uint8, on any device.
        labels: (N,) int64.
        batch_size: images at a time; it bounds the memory and does not change the result.

    Returns:
        The mean cross-entropy in nats, and the share of images whose largest logit is the label's, in [0, 1].

    Source: `evaluate` in Bender's tutorial, which leaves out the last partial batch; here every image counts.
    """
    device = next(model.parameters()).device
    loss, correct = 0.0, 0
    with eval_mode(model):
        for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits, y = model(scale_pixels(x.to(device))), y.to(device)
            loss += F.cross_entropy(logits, y, reduction="sum").item()
            correct += (logits.argmax(dim=1) == y).sum().item()
    return loss / len(images), correct / len(images)


def train(
    config: TrainConfig | None = None,
    data: Mnist | None = None,
    model: nn.Module | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, nn.Module]:
    """Train a network with Adam and cross-entropy; evaluate it after each epoch.

    The same settings and seed give the same table on the same machine. Ctrl-C ends the training: the table then holds
    the epochs that were completed, and the model is as it was after the last of them.

    Args:
        config: default `TrainConfig()`, the tutorial's settings.
        data: default `load_mnist()`.
        model: default the tutorial's `binary_mlp()`, started from the seed; a given one is trained in place.
        progress: whether to show a bar.

    Returns:
        The history, a row an epoch, and the trained network, on the device that it was trained on. Columns are

        - `epoch`: from 1;
        - `loss_train`, `loss_test`: in nats;
        - `acc_train`, `acc_test`: shares in [0, 1];
        - `flip_ratio`: share of the binary weights whose sign at the end of the epoch is not the one at its start;
        - `seconds`: of training, without evaluation.

    Raises:
        ValueError: if the data do not fit the model (pixels or labels out of its range), if it has nothing to train, or
            if batch norm would get a batch of one image.
        KeyboardInterrupt: if it comes before the first epoch is done.

    Source: `train` in Bender's tutorial.
    """
    import pandas as pd

    config = config or TrainConfig()
    device = _device(config.device)
    data = load_mnist() if data is None else data
    if model is None:
        model = binary_mlp(generator=torch.Generator().manual_seed(config.seed))
    _check_fit(model.to(device), data)
    _check_batches(model, config, data)
    rows, kept = [], None
    try:
        with _seeded(config.seed, device):
            for row in _epochs(config, data, model, device, progress):
                rows, kept = [*rows, row], copy.deepcopy(model.state_dict())
    except KeyboardInterrupt:
        if not rows:
            raise
        model.load_state_dict(kept)
        warnings.warn(f"interrupted: kept the {len(rows)} epochs that were done", stacklevel=2)
    return pd.DataFrame(rows), model


def _epochs(config: TrainConfig, data: Mnist, model: nn.Module, device: torch.device, progress: bool) -> Iterator[dict]:
    """Train epoch by epoch and yield the table's rows."""
    # The images live on the device: as uint8 to evaluate, and once more as the float pixels that every step would have
    # to make again, 188 MB for the whole of MNIST.
    train_set = data.train_images.to(device), data.train_labels.to(device)
    pixels = scale_pixels(train_set[0])
    test_set = data.test_images.to(device), data.test_labels.to(device)
    adam = Adam(model.parameters(), config.learning_rate)
    order = torch.Generator().manual_seed(config.seed)
    with _bar(config, data, progress) as bar:
        for epoch in range(1, config.epochs + 1):
            signs = _signs(model)
            seconds = _train_epoch(config, model, adam, pixels, train_set[1], order, bar)
            scores = _scores(model, train_set, test_set)
            flip_ratio = (_signs(model) != signs).float().mean().item()
            if config.clamp == "epoch":
                clamp_latent_weights_(model)
            bar.set_postfix(epoch=epoch, acc_test=f"{scores['acc_test']:.3f}")
            yield {"epoch": epoch, **scores, "flip_ratio": flip_ratio, "seconds": seconds}


def _train_epoch(config, model, adam, pixels, labels, order, bar) -> float:
    """One pass over the images in a new order; its duration in seconds."""
    model.train()
    start = time.perf_counter()
    permutation = torch.randperm(len(pixels), generator=order).to(pixels.device)
    # Equal parts instead of full batches and a rest: no step is noisier than the others.
    for batch in permutation.tensor_split(_steps(config, len(pixels))):
        x, y = pixels.index_select(0, batch), labels.index_select(0, batch)
        loss = F.cross_entropy(model(x), y)
        adam.step(torch.autograd.grad(loss, adam.parameters, materialize_grads=True))
        if config.clamp == "step":
            clamp_latent_weights_(model)
        bar.update()
    if pixels.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _scores(model: nn.Module, train_set: tuple, test_set: tuple) -> dict[str, float]:
    (loss_train, acc_train), (loss_test, acc_test) = evaluate(model, *train_set), evaluate(model, *test_set)
    return {"loss_train": loss_train, "loss_test": loss_test, "acc_train": acc_train, "acc_test": acc_test}


def _signs(model: nn.Module) -> Tensor:
    """True for each binary weight that is +1, in one vector; empty without binary layers."""
    weights = [layer.weight.detach().flatten() for layer in binary_layers(model)]
    return torch.cat(weights) >= 0 if weights else torch.empty(0, dtype=torch.bool)


def _steps(config: TrainConfig, images: int) -> int:
    return math.ceil(images / config.batch_size)


def _bar(config: TrainConfig, data: Mnist, progress: bool) -> tqdm:
    return tqdm(total=config.epochs * _steps(config, len(data.train_images)), unit="step", disable=not progress)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout takes no generator, so the device's global one is seeded inside and given back as it was."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for gpu in cuda:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a device that cannot give a number back cannot train
    except (RuntimeError, AssertionError, NotImplementedError, ImportError, TypeError) as error:
        raise ValueError(f'device {name!r} cannot be used here ({error}): try None, "cpu" or "cuda"') from error
    return device


def _check_fit(model: nn.Module, data: Mnist) -> None:
    """Run one image before the training starts, and compare the labels with what comes out."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"the model, {type(model).__name__}, has no parameters to train")
    images = data.train_images[:1].to(next(model.parameters()).device)
    try:
        with eval_mode(model):
            classes = model(scale_pixels(images)).shape[-1]
    except (RuntimeError, ValueError) as error:
        pixels = data.train_images.shape[1]
        raise ValueError(
            f"the model does not take images of {pixels} pixels as x of shape (N, {pixels}): {error}"
        ) from error
    for split, labels in (("train", data.train_labels), ("test", data.test_labels)):
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high >= classes:
            raise ValueError(f"{split}_labels must lie in 0 to {classes - 1}, the model's classes; got {low} to {high}")


def _check_batches(model: nn.Module, config: TrainConfig, data: Mnist) -> None:
    images = len(data.train_images)
    smallest = images // _steps(config, images)
    if smallest == 1 and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        size = config.batch_size
        raise ValueError(f"batch norm needs two images in each batch, got one: {images} images in batches of {size}")
