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

from .data import LabelledImages, as_tensor, load_mnist, scale_pixels
from .layers import clamp_, eval_mode, is_whole, latent_weights
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
        batch_size: images a step.
        clamp: when the latent weights that are trained are clamped to [-1, 1]: "epoch": after each epoch, before its
            evaluation; "step": after each step; None: never.
        schedule: `(optimizer, steps of the whole training) -> scheduler`, stepped after each batch: for example
            `torch.optim.lr_scheduler.CosineAnnealingLR`; None: the learning rate stays.
        loss: `(logits, targets) -> mean over the images`, see `Loss`.
        optimizer: `(model, learning_rate) -> torch.optim.Optimizer`.
        augment: None, or `pixels -> pixels`, (N, pixels) float in [0, 1], for each batch: for example `random_affine`.
        teacher: None, or a trained network whose softmax(logits / temperature), its soft targets, replace the labels:
            knowledge distillation (Hinton et al. 2015, arXiv 1503.02531). It is moved to the device of the training,
            run in `eval` mode and not trained.
        temperature: the training loss sees the logits, the teacher's and the student's, divided by it.
        score_images: how many training images, the first ones, `loss_train` and `acc_train` are taken over; None: all.
        seed: of the initial weights, the order of the images and everything random in the network.
        device: "cpu", "cuda", ...; None chooses CUDA where there is one, else the CPU.
    """

    epochs: int = 10
    learning_rate: float = 3e-4
    batch_size: int = 64
    clamp: str | None = "epoch"  # the tutorial's habit; BinaryConnect clamps at each step
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
        torch.empty(0, device=self.device)  # PyTorch says what is wrong with a device


def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 1000, loss: Loss = cross_entropy
) -> tuple[float, float]:
    """Mean loss and accuracy, the share of images whose largest logit is the label's: `evaluate` in Bender's tutorial.

    Args:
        model: float pixels in [0, 1] -> logits; it stays in the mode that it had.
        images: (N, pixels) uint8, on any device, at least one.
        labels: (N,) int64.
        batch_size: images at a time; it bounds the memory, and changes nothing but the rounding of the loss.
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

    The same settings and seed give the same table on the same machine with the same version of PyTorch and the same
    number of threads (`torch.set_num_threads`). Another number of threads sums in another order, and soon a sign flips:
    the table is another one, as with another seed. On a GPU some gradients are summed in no fixed order.

    Ctrl-C ends the training: the table then holds the epochs that were completed, and the model is as it was after the
    last of them; in the first epoch it is a `KeyboardInterrupt`.

    Frozen parts stay as they are. Parameters that need no gradient are neither moved nor clamped, and a module that is
    in `eval` mode while the network as a whole is in training mode stays in it, so that its batch norm does not move.
    A network that is in `eval` mode as a whole is put into training mode, but for the modules whose parameters are all
    frozen.

    Args:
        config: default `TrainConfig()`, the tutorial's settings.
        data: default `load_mnist()`.
        model: default `tutorial_mlp()`, its initial weights from the seed; a given one is trained in place. The pixels
            are given to it in the type of its parameters.
        progress: whether to show a bar.

    Returns:
        The history, a row an epoch, and the trained network, on the device of the training. Columns:

        - `epoch`: from 1;
        - `loss_train`, `loss_test`: against the labels, in nats with the default loss;
        - `acc_train`, `acc_test`: shares in [0, 1];
        - `flip_ratio`: share of the binary weights whose sign is not that of the epoch's start; NaN without any;
        - `seconds`: of training, without evaluation.

    Raises:
        ValueError: if labels are out of a network's range, or there is nothing to train.
    """
    import pandas as pd

    config = config or TrainConfig()
    data = load_mnist() if data is None else data
    if model is None:
        model = tutorial_mlp(generator=torch.Generator().manual_seed(config.seed))
    check_fit(config, data, model)
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    start_training_mode(model.to(device))
    pixels = pixels_for(model, data.train_images)  # 188 MB for the whole of MNIST, or each step would make them again
    targets = targets_of(config, pixels, data.train_labels.to(device))
    steps = config.epochs * math.ceil(len(pixels) / config.batch_size)
    optimizer = config.optimizer(model, config.learning_rate)
    scheduler = config.schedule and config.schedule(optimizer, steps)
    order, rows, kept = torch.Generator().manual_seed(config.seed), [], None
    with seeded(config.seed, device), tqdm(total=steps, unit="step", disable=not progress) as bar:
        try:
            for epoch in range(1, config.epochs + 1):
                work = train_epoch(config, model, batches(config, pixels, targets, order), optimizer, scheduler, bar)
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
    """A step for each batch, (pixels, targets): the columns `flip_ratio` and `seconds` of the table."""
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


def batches(config: TrainConfig, pixels: Tensor, targets: Tensor, order: torch.Generator) -> Iterator:
    """One pass over the images in a new order."""
    permutation = torch.randperm(len(pixels), generator=order).to(pixels.device)
    # Equal parts instead of full batches and a rest: no step is noisier than the others.
    for batch in permutation.tensor_split(math.ceil(len(pixels) / config.batch_size)):
        x, y = pixels.index_select(0, batch), targets.index_select(0, batch)
        if config.augment is not None:
            x = config.augment(x)
            y = y if config.teacher is None else soft_targets(config, x)  # of the images as they are now
        yield x, y


def targets_of(config: TrainConfig, pixels: Tensor, labels: Tensor) -> Tensor:
    """The labels; or what the teacher says, once and for all, if the images are not augmented."""
    return labels if config.teacher is None or config.augment else soft_targets(config, pixels)


def soft_targets(config: TrainConfig, pixels: Tensor) -> Tensor:
    """The teacher's softmax(logits / temperature): (N, classes), rows that sum to 1."""
    teacher = config.teacher.to(pixels.device)
    with eval_mode(teacher):
        logits = torch.cat([teacher(x.to(_first_parameter(teacher))) for x in pixels.split(1000)])
    return torch.softmax(logits / config.temperature, dim=1).to(pixels)


def score(config: TrainConfig, data: LabelledImages, model: nn.Module) -> dict[str, float]:
    """Losses and accuracies on the training and the test set: the table's columns."""
    images, labels = (part[: config.score_images] for part in (data.train_images, data.train_labels))
    loss_train, acc_train = evaluate(model, images, labels, loss=config.loss)
    loss_test, acc_test = evaluate(model, data.test_images, data.test_labels, loss=config.loss)
    return {"loss_train": loss_train, "loss_test": loss_test, "acc_train": acc_train, "acc_test": acc_test}


def signs_of(model: nn.Module) -> Tensor:
    """True for each binary weight that is +1, in one vector; empty without binary layers."""
    signs = [w.detach().flatten() >= 0 for w in latent_weights(model)]
    return torch.cat(signs) if signs else torch.empty(0, dtype=torch.bool)


def pixels_for(model: nn.Module, images: Tensor) -> Tensor:
    """uint8 pixels -> float pixels in [0, 1], on the device and in the type of the model's parameters."""
    return scale_pixels(images.to(_first_parameter(model).device)).to(_first_parameter(model))


def _first_parameter(model: nn.Module) -> Tensor:
    """It stands for the device and the type of all; of a model without any, those of a new tensor."""
    return next(model.parameters(), torch.empty(0))


def start_training_mode(model: nn.Module) -> None:
    """A network that is in `eval` mode as a whole trains, but for frozen modules; any other keeps the modes it has."""
    if model.training:
        return
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout takes no generator, so the global ones, of CPU and GPU, are seeded inside and given back as they were."""
    # Not with `seed` itself, from which the network's start was drawn: the first noise would repeat it.
    noise = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(seed)))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(noise)
        yield


def check_fit(config: TrainConfig, data: LabelledImages, model: nn.Module) -> None:
    """Run one image through the networks before the training starts, and compare the labels with what comes out."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"the model, {type(model).__name__}, has no parameters to train")
    labels = torch.cat([data.train_labels, data.test_labels])
    for network in (model, config.teacher) if config.teacher is not None else (model,):
        with eval_mode(network):
            classes = network(pixels_for(network, data.train_images[:1])).shape[-1]
        if labels.min() < 0 or labels.max() >= classes:
            got, name = f"{labels.min()} to {labels.max()}", type(network).__name__
            raise ValueError(f"labels must be from 0 to {classes - 1}, the classes of {name}, got {got}")
