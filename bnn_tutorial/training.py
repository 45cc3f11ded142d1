"""Training and evaluation, with the tutorial's settings as defaults."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from .checks import is_whole
from .data import LabelledImages, as_tensor, load_mnist, scale_pixels
from .layers import clamp_, eval_mode, latent_weights
from .losses import Loss, cross_entropy
from .models import tutorial_mlp
from .optimisers import adam

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the defaults are those of the Julia tutorial (`Args` there). A bad value is a `ValueError`.

    Attributes:
        epochs: passes over the training set.
        learning_rate: of the optimizer.
        batch_size: images per step, at most.
        clamp: the latent weights to [-1, 1], after each "step", at the end of each "epoch" or, with None, never.
        schedule: `(optimizer, total steps) -> scheduler`, stepped after each batch, for example
            `torch.optim.lr_scheduler.CosineAnnealingLR`; None keeps the learning rate.
        loss: `(logits, targets) -> mean over the images`, see `Loss`.
        optimizer: `(model, learning_rate) -> torch.optim.Optimizer`.
        augment: None, or `pixels -> pixels`, (N, pixels) float in [0, 1], for each batch, for example `random_affine`.
        teacher: None, or a trained network whose soft targets, softmax(logits / temperature), replace the labels:
            knowledge distillation (Hinton et al. 2015, arXiv 1503.02531). It is moved to the device of the training,
            runs in `eval` mode and is not trained.
        temperature: the training loss divides all logits by it, the teacher's too.
        score_images: `loss_train` and `acc_train` are taken over so many training images, the first ones; None: all.
        seed: of the initial weights, the order of the images and everything random in the network.
        device: "cpu", "cuda", ...; None takes CUDA if there is any, else the CPU.
    """

    epochs: int = 10
    learning_rate: float = 3e-4
    batch_size: int = 64
    clamp: str | None = "epoch"  # as in the tutorial; BinaryConnect clamps after each step
    schedule: Callable[[Optimizer, int], LRScheduler] | None = None
    loss: Loss = cross_entropy
    optimizer: Callable[[nn.Module, float], Optimizer] = adam
    augment: Callable[[Tensor], Tensor] | None = None
    teacher: nn.Module | None = None
    temperature: float = 1.0
    score_images: int | None = None
    seed: int = 0  # the tutorial has none
    device: str | None = None

    def __post_init__(self):
        function = "a function", callable
        optional = "None or a function", lambda f: f is None or callable(f)
        positive = "positive and finite", lambda x: isinstance(x, Real) and 0 < x < math.inf
        counted = "a whole number, at least 1", lambda n: is_whole(n, 1)
        rules = {
            "epochs": counted,
            "batch_size": counted,
            "learning_rate": positive,
            "temperature": positive,
            "loss": function,
            "optimizer": function,
            "schedule": optional,
            "augment": optional,
            "clamp": ('"epoch", "step" or None', lambda when: when in ("epoch", "step", None)),
            "teacher": ("None or a network", lambda m: m is None or isinstance(m, nn.Module)),
            "score_images": ("None or a whole number, at least 1", lambda n: n is None or is_whole(n, 1)),
            "seed": ("a whole number from 0 to 2**63 - 1", lambda n: is_whole(n, 0) and n < 2**63),
        }
        for name, (expected, fits) in rules.items():
            if not fits(value := getattr(self, name)):
                raise ValueError(f"{name} must be {expected}, got {value!r}")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise ValueError(f"device must be one that PyTorch has here, got {self.device!r}: {error}") from error


def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 1000, loss: Loss = cross_entropy
) -> tuple[float, float]:
    """Mean loss and accuracy, the share of images whose largest logit is the label's: `evaluate` in Bender's tutorial.

    Args:
        model: float pixels in [0, 1] -> logits; it stays in the mode that it had.
        images: (N, pixels) uint8, on any device, at least one.
        labels: (N,) int64.
        batch_size: images at a time; it limits the memory, and changes nothing but the rounding of the loss.
        loss: as in `TrainConfig`.
    """
    images, labels = as_tensor(images), as_tensor(labels)
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"expected at least one image, and a label for each, got {len(images)} and {len(labels)}")
    total, correct = 0.0, 0
    with eval_mode(model):
        for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits = model(pixels_for(model, x))
            y = y.to(logits.device)
            total += loss(logits, y).item() * len(y)
            correct += (logits.argmax(dim=1) == y).sum().item()
    return total / len(images), correct / len(images)


def train(
    config: TrainConfig | None = None,
    data: LabelledImages | None = None,
    model: nn.Module | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, nn.Module]:
    """Train a network and evaluate it after each epoch: `train` in Bender's tutorial.

    The same settings and seed give the same table on the same machine, with the same PyTorch and the same number of
    threads (`torch.set_num_threads`). With another number of threads sums are rounded differently, soon a sign flips,
    and the table differs as much as with another seed. On a GPU some gradients are summed in no fixed order.

    Parameters that need no gradient do not change. If the network as a whole is in training mode, modules in `eval`
    mode stay in it, so their batch norm does not change. If it is in `eval` mode, all modules are put into training
    mode except those whose parameters are all frozen.

    Ctrl-C ends the training after the last complete epoch: the table and the model are as they were then. In the first
    epoch it is a `KeyboardInterrupt`.

    Args:
        config: default `TrainConfig()`, the tutorial's settings.
        data: default `load_mnist()`.
        model: trained in place, with pixels in the type of its parameters; default `tutorial_mlp()`.
        progress: whether to show a bar.

    Returns:
        The history and the trained network, on the device of the training. The history has a row for each epoch:

        - `epoch`: from 1;
        - `loss_train`, `loss_test`: against the labels, in nats with the default loss;
        - `acc_train`, `acc_test`: shares in [0, 1];
        - `flip_ratio`: the share of binary weights whose sign differs from the epoch's start; NaN if there are none;
        - `seconds`: of training, without evaluation.

    Raises:
        ValueError: if labels are out of a network's range, or there is nothing to train.
    """
    import pandas as pd

    config, data = config or TrainConfig(), data or load_mnist()
    if model is None:
        model = tutorial_mlp(generator=torch.Generator().manual_seed(config.seed))
    check_fit(config, data, model)
    model.to(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    batches = Batches(config, pixels_for(model, data.train_images), data.train_labels)
    optimizer, steps = config.optimizer(model, config.learning_rate), config.epochs * len(batches)
    scheduler = config.schedule and config.schedule(optimizer, steps)
    rows, kept = [], {}
    with seeded(config.seed, batches.pixels.device), tqdm(total=steps, unit="step", disable=not progress) as bar:
        try:
            for epoch in range(1, config.epochs + 1):
                work = train_epoch(config, model, batches, optimizer, scheduler, bar)
                row = {"epoch": epoch} | score(config, data, model) | work
                rows, kept = [*rows, row], copy.deepcopy(model.state_dict())
                bar.set_postfix(epoch=epoch, acc_test=f"{row['acc_test']:.3f}")
        except KeyboardInterrupt:
            if not rows:
                raise
            model.load_state_dict(kept)
            warnings.warn(f"interrupted: kept the {len(rows)} epochs that were done", stacklevel=2)
    return pd.DataFrame(rows), model


def train_epoch(
    config: TrainConfig, model: nn.Module, batches: Iterable, optimizer, scheduler, bar
) -> dict[str, float]:
    """A step for each batch, (pixels, targets); returns the columns `flip_ratio` and `seconds` of the table."""
    start_training_mode(model)
    weights, signs, start = latent_weights(model), signs_of(model), time.perf_counter()
    for x, y in batches:
        loss = config.loss(model(x) / config.temperature, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        if config.clamp == "step":
            clamp_(weights)
        bar.update()
    if config.clamp == "epoch":
        clamp_(weights)
    flip_ratio = (signs_of(model) != signs).float().mean().item()  # waits for the last step of a GPU, too
    return {"flip_ratio": flip_ratio, "seconds": time.perf_counter() - start}


class Batches:
    """What a `DataLoader` gives, from images that are in memory: (pixels, targets), in a new order each time."""

    def __init__(self, config: TrainConfig, pixels: Tensor, labels: Tensor):
        soft = config.teacher is not None and config.augment is None  # else the teacher sees each augmented image
        self.config, self.pixels = config, pixels  # 188 MB for MNIST, instead of conversions at each step
        self.targets = soft_targets(config, pixels) if soft else labels.to(pixels.device)
        self.order = torch.Generator().manual_seed(config.seed)

    def __len__(self) -> int:
        return math.ceil(len(self.pixels) / self.config.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        permutation = torch.randperm(len(self.pixels), generator=self.order).to(self.pixels.device)
        for batch in permutation.tensor_split(len(self)):  # equal parts, so that no step is noisier than the others
            x, y = self.pixels.index_select(0, batch), self.targets.index_select(0, batch)
            if self.config.augment is not None:
                x = self.config.augment(x)
                y = y if self.config.teacher is None else soft_targets(self.config, x)
            yield x, y


def soft_targets(config: TrainConfig, pixels: Tensor) -> Tensor:
    """The teacher's softmax(logits / temperature): (N, classes), rows that sum to 1."""
    teacher = config.teacher.to(pixels.device)
    with eval_mode(teacher):
        logits = torch.cat([teacher(x.to(_first_parameter(teacher))) for x in pixels.split(1000)])
    return torch.softmax(logits / config.temperature, dim=1).to(pixels)


def score(config: TrainConfig, data: LabelledImages, model: nn.Module) -> dict[str, float]:
    """The columns of the table with losses and accuracies on the training and the test set."""
    images, labels = data.train_images[: config.score_images], data.train_labels[: config.score_images]
    loss_train, acc_train = evaluate(model, images, labels, loss=config.loss)
    loss_test, acc_test = evaluate(model, data.test_images, data.test_labels, loss=config.loss)
    return {"loss_train": loss_train, "loss_test": loss_test, "acc_train": acc_train, "acc_test": acc_test}


def signs_of(model: nn.Module) -> Tensor:
    """Whether each binary weight is +1, as one vector, which is empty without binary layers."""
    signs = [w.detach().flatten() >= 0 for w in latent_weights(model)]
    return torch.cat(signs) if signs else torch.empty(0, dtype=torch.bool)


def pixels_for(model: nn.Module, images: Tensor) -> Tensor:
    """uint8 pixels -> float pixels in [0, 1], on the device and in the type of the model's parameters."""
    return scale_pixels(images.to(_first_parameter(model).device)).to(_first_parameter(model))


def _first_parameter(model: nn.Module) -> Tensor:
    """A tensor with the device and type of the parameters, or of new tensors if the model has none."""
    return next(model.parameters(), torch.empty(0))


def start_training_mode(model: nn.Module) -> None:
    """If the whole network is in `eval` mode, `model.train()` but for frozen modules; else leave all as they are."""
    if model.training:
        return
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of CPU and GPU inside the block, since dropout uses no other, and restore them."""
    # Not with `seed` itself: the noise would repeat the numbers from which the initial weights were drawn.
    noise = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(seed)))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(noise)
        yield


def check_fit(config: TrainConfig, data: LabelledImages, model: nn.Module) -> None:
    """Run one image through the networks before the training starts, and compare the labels with their outputs."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"the model, {type(model).__name__}, has no parameters to train")
    labels = torch.cat([data.train_labels, data.test_labels])
    for network in (model, config.teacher) if config.teacher is not None else (model,):
        with eval_mode(network):
            classes = network(pixels_for(network, data.train_images[:1])).shape[-1]
        if labels.min() < 0 or labels.max() >= classes:
            got, name = f"{labels.min()} to {labels.max()}", type(network).__name__
            raise ValueError(f"labels must be from 0 to {classes - 1}, the classes of {name}, got {got}")
