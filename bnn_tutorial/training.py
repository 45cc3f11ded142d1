"""Training and evaluation, with the tutorial's settings as defaults."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .data import Mnist, load_mnist, scale_pixels
from .layers import binary_layers, clamp_latent_weights_
from .losses import Loss, cross_entropy
from .models import binary_mlp, eval_mode
from .optimisers import Adam, Optimiser, as_optimiser

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrainConfig", "evaluate", "train"]


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the defaults are those of the Julia tutorial (`Args` in Bender).

    Attributes:
        epochs: passes over the training set, at least 1.
        learning_rate: of the optimiser, positive.
        batch_size: images a step, at least 1.
        clamp: when the latent weights are clamped to [-1, 1]: "epoch": after each epoch and its evaluation; "step":
            after each step; None: never.
        schedule: None: the learning rate stays; "cosine": it falls to 0 along half a cosine, step by step.
        loss: `(logits, targets) -> mean over the images`, see `Loss`; default `cross_entropy`.
        optimiser: `(model, learning_rate) -> Optimiser`, or one of `torch.optim`, for example
            `lambda model, rate: torch.optim.SGD(model.parameters(), rate)`; default `Adam`.
        augment: `pixels -> pixels`, (N, pixels) float in [0, 1], applied to each batch: for example `random_affine`;
            default None.
        teacher: a trained network, whose softmax(logits / temperature) replaces the labels; default None. It is run in
            `eval` mode, on the device of the training, and is not trained.
        temperature: positive; by it the logits of teacher and pupil are divided in the training loss, so that above 1
            the teacher's second thoughts weigh more (Hinton et al. 2015, arXiv 1503.02531).
        score_images: how many training images, the first ones, `loss_train` and `acc_train` are taken over, at least 1;
            None: all. To score a large network on all of them takes a third of its training's time.
        seed: of the network's start, the order of the images and everything random in the network.
        device: "cpu", "cuda", ...; None chooses CUDA where there is one, else the CPU.

    Raises:
        ValueError: if a value is out of range or the device is not there.
    """

    epochs: int = 10
    learning_rate: float = 3e-4
    batch_size: int = 64
    clamp: str | None = "epoch"  # the tutorial's habit; BinaryConnect clamps at each step
    schedule: str | None = None
    loss: Loss = cross_entropy
    optimiser: Callable[[nn.Module, float], Optimiser] = Adam
    augment: Callable[[Tensor], Tensor] | None = None
    teacher: nn.Module | None = None
    temperature: float = 1.0
    score_images: int | None = None
    seed: int = 0  # the tutorial has none
    device: str | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not _is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}")
        if self.score_images is not None and (not _is_whole(self.score_images) or self.score_images < 1):
            raise ValueError(f"score_images must be None or a whole number, at least 1, got {self.score_images!r}")
        for name in ("learning_rate", "temperature"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value!r}")
        for name in ("loss", "optimiser"):
            if not callable(getattr(self, name)):
                raise ValueError(f"{name} must be a function, got {getattr(self, name)!r}")
        if self.augment is not None and not callable(self.augment):
            raise ValueError(f"augment must be None or a function, got {self.augment!r}")
        if self.teacher is not None and not isinstance(self.teacher, nn.Module):
            raise ValueError(f"teacher must be a network, got {self.teacher!r}")
        if self.clamp not in ("epoch", "step", None):
            raise ValueError(f'clamp must be "epoch", "step" or None, got {self.clamp!r}')
        if self.schedule not in ("cosine", None):
            raise ValueError(f'schedule must be "cosine" or None, got {self.schedule!r}')
        if not _is_whole(self.seed) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, got {self.seed!r}")
        _device(self.device)


def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 1000, loss: Loss = cross_entropy
) -> tuple[float, float]:
    """Loss and accuracy over all images, in `eval` mode.

    Args:
        model: float pixels in [0, 1] -> logits; it stays in the mode that it had.
        images: (N, pixels) uint8, on any device.
        labels: (N,) int64.
        batch_size: images at a time; it bounds the memory and does not change the result.
        loss: as in `TrainConfig`; default `cross_entropy`.

    Returns:
        The mean loss (in nats by default), and the share of images whose largest logit is the label's, in [0, 1].

    Source: `evaluate` in Bender's tutorial, which leaves out the last partial batch; here every image counts.
    """
    device = next(model.parameters()).device
    total, correct = 0.0, 0
    with eval_mode(model):
        for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits, y = model(scale_pixels(x.to(device))), y.to(device)
            total += loss(logits, y).item() * len(y)
            correct += (logits.argmax(dim=1) == y).sum().item()
    return total / len(images), correct / len(images)


def train(
    config: TrainConfig | None = None,
    data: Mnist | None = None,
    model: nn.Module | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, nn.Module]:
    """Train a network, with Adam and cross-entropy unless told otherwise; evaluate it after each epoch.

    The same settings and seed give the same table on the same CPU (on a GPU, some of PyTorch's gradients are summed in
    no fixed order). Ctrl-C ends the training: the table then holds
    the epochs that were completed, and the model is as it was after the last of them.

    Args:
        config: default `TrainConfig()`, the tutorial's settings.
        data: default `load_mnist()`.
        model: default the tutorial's `binary_mlp()`, started from the seed; a given one is trained in place.
        progress: whether to show a bar.

    Returns:
        The history, a row an epoch, and the trained network, on the device that it was trained on. Columns are

        - `epoch`: from 1;
        - `loss_train`, `loss_test`: against the labels, in nats with the default loss;
        - `acc_train`, `acc_test`: shares in [0, 1];
        - `flip_ratio`: share of the binary weights whose sign at the end of the epoch is not the one at its start;
        - `seconds`: of training, without evaluation.

    Raises:
        ValueError: if the data or the teacher do not fit the model (pixels, labels or classes out of its range), if it
            has nothing to train, or if batch norm would get a batch of one image.
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
    if config.teacher is not None:
        _check_teacher(config.teacher.to(device), model, data)
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
    targets = train_set[1]
    if config.teacher is not None and config.augment is None:  # it sees each image once and for all
        targets = _opinion(config, pixels)
    optimiser = as_optimiser(config.optimiser(model, config.learning_rate))
    order = torch.Generator().manual_seed(config.seed)
    rates = _rates(config, config.epochs * _steps(config, len(pixels)))
    with _bar(config, data, progress) as bar:
        for epoch in range(1, config.epochs + 1):
            signs = _signs(model)
            start = time.perf_counter()
            _train_epoch(config, model, optimiser, _batches(config, pixels, targets, order), rates, bar)
            seconds = time.perf_counter() - start
            scores = _scores(config, model, train_set, test_set)
            flip_ratio = (_signs(model) != signs).float().mean().item()
            if config.clamp == "epoch":
                clamp_latent_weights_(model)
            bar.set_postfix(epoch=epoch, acc_test=f"{scores['acc_test']:.3f}")
            yield {"epoch": epoch, **scores, "flip_ratio": flip_ratio, "seconds": seconds}


def _train_epoch(config, model, optimiser, batches, rates, bar) -> None:
    model.train()
    for x, targets in batches:
        logits = model(x) if config.teacher is None else model(x) / config.temperature
        loss = config.loss(logits, targets)
        optimiser.step(torch.autograd.grad(loss, optimiser.parameters, materialize_grads=True), next(rates))
        if config.clamp == "step":
            clamp_latent_weights_(model)
        bar.update()
    if x.is_cuda:
        torch.cuda.synchronize()


def _batches(config: TrainConfig, pixels: Tensor, targets: Tensor, order: torch.Generator) -> Iterator[tuple]:
    """One pass over the images in a new order: (pixels, targets) of each batch, augmented and taught as configured."""
    permutation = torch.randperm(len(pixels), generator=order).to(pixels.device)
    # Equal parts instead of full batches and a rest: no step is noisier than the others.
    for batch in permutation.tensor_split(_steps(config, len(pixels))):
        x, y = pixels.index_select(0, batch), targets.index_select(0, batch)
        if config.augment is not None:
            x = config.augment(x)
            y = y if config.teacher is None else _opinion(config, x)
        yield x, y


def _opinion(config: TrainConfig, pixels: Tensor) -> Tensor:
    """What the teacher sees in the images: (N, classes), rows that sum to 1."""
    with eval_mode(config.teacher):
        logits = torch.cat([config.teacher(x) for x in pixels.split(1000)])
    return torch.softmax(logits / config.temperature, dim=1)


def _rates(config: TrainConfig, steps: int) -> Iterator[float]:
    """The share of the learning rate at each step: 1, or half a cosine from 1 to 0."""
    return (0.5 + 0.5 * math.cos(math.pi * step / steps) if config.schedule else 1.0 for step in range(steps))


def _scores(config: TrainConfig, model: nn.Module, train_set: tuple, test_set: tuple) -> dict[str, float]:
    images, labels = (part[: config.score_images] for part in train_set)
    loss_train, acc_train = evaluate(model, images, labels, loss=config.loss)
    loss_test, acc_test = evaluate(model, *test_set, loss=config.loss)
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
    """Dropout takes no generator, so the device's global one is seeded inside and given back as it was.

    It is not seeded with `seed` itself, from which the network's start was drawn: the first noise would repeat it.
    """
    noise = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(seed)))
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(noise)
        for gpu in cuda:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(noise)
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
    classes = _classes("model", model, data, next(model.parameters()).device)
    for split, labels in (("train", data.train_labels), ("test", data.test_labels)):
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high >= classes:
            raise ValueError(f"{split}_labels must lie in 0 to {classes - 1}, the model's classes; got {low} to {high}")


def _check_teacher(teacher: nn.Module, model: nn.Module, data: Mnist) -> None:
    device = next(model.parameters()).device
    taught, learned = (_classes(*network, data, device) for network in (("teacher", teacher), ("model", model)))
    if taught != learned:
        raise ValueError(f"teacher and model must have the same classes, got {taught} and {learned}")


def _classes(role: str, network: nn.Module, data: Mnist, device: torch.device) -> int:
    try:
        with eval_mode(network):
            return network(scale_pixels(data.train_images[:1].to(device))).shape[-1]
    except (RuntimeError, ValueError) as error:
        pixels = data.train_images.shape[1]
        raise ValueError(
            f"the {role} does not take images of {pixels} pixels as x of shape (N, {pixels}): {error}"
        ) from error


def _check_batches(model: nn.Module, config: TrainConfig, data: Mnist) -> None:
    images = len(data.train_images)
    smallest = images // _steps(config, images)
    if smallest == 1 and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        size = config.batch_size
        raise ValueError(f"batch norm needs two images in each batch, got one: {images} images in batches of {size}")
