"""Training and evaluation, with the tutorial's settings as defaults."""

from __future__ import annotations

import atexit
import copy
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from .data import LabelledImages, load_mnist, scale_pixels
from .layers import binary_layers, clamp_latent_weights_, eval_mode
from .losses import Loss, cross_entropy
from .models import tutorial_mlp
from .optimisers import adam

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrainConfig", "evaluate", "train"]


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the defaults are those of the Julia tutorial (`Args` there). A bad value is a `ValueError`.

    Attributes:
        epochs: passes over the training set.
        learning_rate: of the optimizer.
        batch_size: images a step; under `torchrun`, of all processes together.
        clamp: when the latent weights are clamped to [-1, 1]: "epoch": after each epoch and its evaluation; "step":
            after each step; None: never.
        schedule: `(optimizer, steps of the whole training) -> scheduler`, stepped after each batch: for example
            `torch.optim.lr_scheduler.CosineAnnealingLR`; None: the learning rate stays.
        loss: `(logits, targets) -> mean over the images`, see `Loss`.
        optimizer: `(model, learning_rate) -> torch.optim.Optimizer`.
        augment: None, or `pixels -> pixels`, (N, pixels) float in [0, 1], for each batch: for example `random_affine`.
        teacher: None, or a trained network whose softmax(logits / temperature), its soft targets, replace the labels:
            knowledge distillation (Hinton et al. 2015, arXiv 1503.02531). It is run in `eval` mode and not trained.
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
        def whole(n, least):
            return isinstance(n, Integral) and not isinstance(n, bool) and least <= n < 2**63

        for names, fits, expected in (
            ("epochs batch_size", lambda n: whole(n, 1), "a whole number, at least 1"),
            ("score_images", lambda n: n is None or whole(n, 1), "None or a whole number, at least 1"),
            ("seed", lambda n: whole(n, 0), "a whole number from 0 to 2**63 - 1"),
            ("learning_rate temperature", lambda x: isinstance(x, Real) and 0 < x < math.inf, "positive and finite"),
            ("clamp", lambda when: when in ("epoch", "step", None), '"epoch", "step" or None'),
            ("loss optimizer", callable, "a function"),
            ("schedule augment", lambda f: f is None or callable(f), "None or a function"),
            ("teacher", lambda m: m is None or isinstance(m, nn.Module), "None or a network"),
        ):
            for name in names.split():
                if not fits(value := getattr(self, name)):
                    raise ValueError(f"{name} must be {expected}, got {value!r}")
        torch.empty(0, device=self.device)  # PyTorch says what is wrong with a device


def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 1000, loss: Loss = cross_entropy
) -> tuple[float, float]:
    """Mean loss and accuracy, the share of images whose largest logit is the label's: `evaluate` in Bender's tutorial.

    Args:
        model: float pixels in [0, 1] -> logits; it stays in the mode that it had.
        images: (N, pixels) uint8, on any device.
        labels: (N,) int64.
        batch_size: images at a time; it bounds the memory and does not change the result.
        loss: as in `TrainConfig`.
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
    data: LabelledImages | None = None,
    model: nn.Module | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, nn.Module]:
    """Train a network and evaluate it after each epoch: `train` in Bender's tutorial.

    The same settings and seed give the same table on the same CPU (on a GPU, some of PyTorch's gradients are summed in
    no fixed order). Ctrl-C ends the training: the table then holds the epochs that were completed, and the model is as
    it was after the last of them; in the first epoch it is a `KeyboardInterrupt`.

    Under `torchrun` each process takes its share of every batch, `DistributedDataParallel` averages the gradients, and
    all processes return the same scores and network. Batch norm takes its statistics from a process's share. Ctrl-C
    ends all processes, and what they return then is not to be used.

    Args:
        config: default `TrainConfig()`, the tutorial's settings.
        data: default `load_mnist()`.
        model: default `tutorial_mlp()`, its initial weights from the seed; a given one is trained in place.
        progress: whether to show a bar.

    Returns:
        The history, a row an epoch, and the trained network, in training mode, on the device of the training. Columns:

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
    _check(config, data, model.to(_device(config.device)))
    _join_torchrun()
    rows, kept = [], None
    try:
        with _seeded(config.seed, next(model.parameters()).device):
            for row in _epochs(config, data, model, progress):
                rows, kept = [*rows, row], copy.deepcopy(model.state_dict())
    except KeyboardInterrupt:
        if not rows:
            raise
        model.load_state_dict(kept)
        warnings.warn(f"interrupted: kept the {len(rows)} epochs that were done", stacklevel=2)
    return pd.DataFrame(rows), model


def _epochs(config: TrainConfig, data: LabelledImages, model: nn.Module, progress: bool) -> Iterator[dict]:
    """Train epoch by epoch and yield the table's rows."""
    device = next(model.parameters()).device
    tensors = data.train_images, data.train_labels, data.test_images, data.test_labels
    images, labels, *test_set = (tensor.to(device) for tensor in tensors)
    pixels = scale_pixels(images)  # 188 MB for the whole of MNIST, or each step would make them again
    # Without augmentation the teacher sees each image once and for all.
    targets = labels if config.teacher is None or config.augment else _soft_targets(config, pixels)
    parallel = DistributedDataParallel(model) if dist.is_initialized() else model
    optimizer = config.optimizer(model, config.learning_rate)
    steps = config.epochs * math.ceil(len(pixels) / config.batch_size)
    scheduler = config.schedule and config.schedule(optimizer, steps)
    order = torch.Generator().manual_seed(config.seed)
    with tqdm(total=steps, unit="step", disable=not progress or _rank() > 0) as bar:
        for epoch in range(1, config.epochs + 1):
            signs, start = _signs(model), time.perf_counter()
            parallel.train()
            for x, y in _batches(config, pixels, targets, order):
                _step(config, parallel, x, y, optimizer, scheduler)
                bar.update()
            flip_ratio = (_signs(model) != signs).float().mean().item()  # waits for the last step of a GPU, too
            seconds = time.perf_counter() - start
            scores = _scores(config, model, (images, labels), test_set)
            if config.clamp == "epoch":
                clamp_latent_weights_(model)
            bar.set_postfix(epoch=epoch, acc_test=f"{scores['acc_test']:.3f}")
            yield {"epoch": epoch, **scores, "flip_ratio": flip_ratio, "seconds": seconds}


def _step(config: TrainConfig, model: nn.Module, x: Tensor, y: Tensor, optimizer, scheduler) -> None:
    logits = model(x)
    loss = config.loss(logits if config.temperature == 1 else logits / config.temperature, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if scheduler is not None:
        scheduler.step()
    if config.clamp == "step":
        clamp_latent_weights_(model)


def _batches(config: TrainConfig, pixels: Tensor, targets: Tensor, order: torch.Generator) -> Iterator[tuple]:
    """One pass over the images in a new order: this process's share of each batch, (pixels, targets)."""
    permutation = torch.randperm(len(pixels), generator=order).to(pixels.device)
    # Equal parts instead of full batches and a rest: no step is noisier than the others.
    for batch in permutation.tensor_split(math.ceil(len(pixels) / config.batch_size)):
        if dist.is_initialized() and len(batch) < dist.get_world_size():
            raise ValueError(f"a batch of {len(batch)} is too small for {dist.get_world_size()} processes")
        share = batch[_rank() :: dist.get_world_size()] if dist.is_initialized() else batch
        x, y = pixels.index_select(0, share), targets.index_select(0, share)
        if config.augment is not None:
            x = config.augment(x)
            y = y if config.teacher is None else _soft_targets(config, x)
        yield x, y


def _soft_targets(config: TrainConfig, pixels: Tensor) -> Tensor:
    """The teacher's softmax(logits / temperature): (N, classes), rows that sum to 1."""
    with eval_mode(config.teacher):
        logits = torch.cat([config.teacher(x) for x in pixels.split(1000)])
    return torch.softmax(logits / config.temperature, dim=1)


def _scores(config: TrainConfig, model: nn.Module, train_set: tuple, test_set: tuple) -> dict[str, float]:
    if dist.is_initialized():  # each process has batch norm's running statistics of its own share
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
    images, labels = (part[: config.score_images] for part in train_set)
    loss_train, acc_train = evaluate(model, images, labels, loss=config.loss)
    loss_test, acc_test = evaluate(model, *test_set, loss=config.loss)
    return {"loss_train": loss_train, "loss_test": loss_test, "acc_train": acc_train, "acc_test": acc_test}


def _signs(model: nn.Module) -> Tensor:
    """True for each binary weight that is +1, in one vector; empty without binary layers."""
    weights = [layer.weight.detach().flatten() for layer in binary_layers(model)]
    return torch.cat(weights) >= 0 if weights else torch.empty(0, device=next(model.parameters()).device) >= 0


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _join_torchrun() -> None:
    """Join the processes that `torchrun` started, if it did; a group that is there already stays its owner's."""
    if dist.is_torchelastic_launched() and not dist.is_initialized():
        dist.init_process_group()  # gloo on CPUs, NCCL on GPUs
        atexit.register(dist.destroy_process_group)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout takes no generator, so the global ones, of CPU and GPU, are seeded inside and given back as they were."""
    # Not with `seed` itself, from which the network's start was drawn: the first noise would repeat it.
    noise = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(seed)))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(noise + _rank())
        yield


def _device(name: str | None) -> torch.device:
    device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device == torch.device("cuda"):  # torchrun gives each process its own GPU
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())))
    return device


def _check(config: TrainConfig, data: LabelledImages, model: nn.Module) -> None:
    """Run one image through the networks before the training starts, and compare the labels with what comes out."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"the model, {type(model).__name__}, has no parameters to train")
    image = scale_pixels(data.train_images[:1].to(next(model.parameters()).device))
    labels = torch.cat([data.train_labels, data.test_labels])
    for network in (model, config.teacher) if config.teacher is not None else (model,):
        with eval_mode(network.to(image.device)):
            classes = network(image).shape[-1]
        if labels.min() < 0 or labels.max() >= classes:
            got, name = f"{labels.min()} to {labels.max()}", type(network).__name__
            raise ValueError(f"labels must be from 0 to {classes - 1}, the classes of {name}, got {got}")
