"""Images with labels: MNIST, which comes with the package, and torchvision's other sets of grey images."""

import io
import tarfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from .checks import describe


@dataclass(frozen=True)
class LabelledImages:
    """Images and labels, split for training and testing. What does not fit together is a `ValueError`.

    Attributes:
        train_images, test_images: (N, pixels) uint8, one image a row. In MNIST 0 is the background, 255 full ink.
        train_labels, test_labels: (N,) int64, the class, from 0. In MNIST it is the digit.
        name: of the data set; `hold_out` adds ", held out".

    NumPy arrays become tensors.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    name: str = "custom"

    def __post_init__(self):
        for name in ("train_images", "train_labels", "test_images", "test_labels"):
            object.__setattr__(self, name, as_tensor(getattr(self, name)))  # as a frozen dataclass sets its fields
        for split in ("train", "test"):
            images, labels = getattr(self, f"{split}_images"), getattr(self, f"{split}_labels")
            if images.dtype != torch.uint8 or images.dim() != 2 or not images.numel():
                raise ValueError(f"{split}_images must be uint8 of shape (N, pixels), got {describe(images)}")
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
                raise ValueError(f"{split}_labels must be int64 of shape ({len(images)},), got {describe(labels)}")
        if self.train_images.shape[1] != self.test_images.shape[1]:
            shapes = f"{tuple(self.train_images.shape)} and {tuple(self.test_images.shape)}"
            raise ValueError(f"train_images and test_images must have the same number of pixels, got {shapes}")


def as_tensor(x: Tensor | np.ndarray) -> Tensor:
    """A tensor as it is; a NumPy array or a list as a copy."""
    if isinstance(x, Tensor):
        return x
    array = np.array(x)
    try:
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))  # in this machine's byte order
    except TypeError as error:
        raise ValueError(f"expected numbers, got {type(x).__name__} of {array.dtype}") from error


def load_mnist() -> LabelledImages:
    """The whole of MNIST, which comes with the package: 60,000 images to train, 10,000 to test, 28x28 pixels each.

    A damaged file is a `ValueError`. Source: LeCun, Cortes, Burges, the MNIST database; CC BY-SA 3.0.
    """
    try:
        import lzma
    except ImportError as error:  # Python can be built without it
        raise ImportError("MNIST is an .xz file, and this Python was built without lzma: use another one") from error
    file, arrays = files("bnn_tutorial") / "mnist" / "mnist.tar.xz", []
    try:
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(file.read_bytes()))) as archive:
            for split in ("train", "t10k"):  # IDX files: a magic number and sizes, 4 bytes each, then the values
                images = archive.extractfile(f"{split}-images-idx3-ubyte").read()
                labels = archive.extractfile(f"{split}-labels-idx1-ubyte").read()
                arrays.append(np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784))
                arrays.append(np.frombuffer(labels, np.uint8, offset=8).astype(np.int64))
    except (OSError, EOFError, KeyError, lzma.LZMAError, tarfile.TarError) as error:
        raise ValueError(f"{file} is damaged ({error!r}): install bnn_tutorial again") from error
    return LabelledImages(*arrays, name="MNIST")


def load_images(name: str, root: str | Path, **options: object) -> LabelledImages:
    """A set of grey images from `torchvision.datasets`, which downloads it if it is missing and checks the files.

    EMNIST's images, which lie on their side there, are turned upright. Labels are not changed: those of EMNIST's
    letters go from 1 to 26.

    Args:
        name: of torchvision's class, for example "FashionMNIST", "KMNIST" or "QMNIST".
        root: the folder in which torchvision's folder of that name is, or will be.
        options: further arguments of the class, such as `split="digits"` for "EMNIST"; transforms have no effect.

    Raises:
        ValueError: there is no such set, it is not grey, its files are damaged or pickles, or the download fails.
    """
    dataset = getattr(torchvision_datasets(), name, None)
    if not isinstance(dataset, type):
        raise ValueError(f"torchvision.datasets has no {name!r}: expected a class such as 'FashionMNIST'")
    if pickles := list(Path(root, name, "processed").glob("*.pt")):
        raise ValueError(f"{pickles[0]} is a pickle of an old torchvision, and pickles are never loaded: delete it")
    try:
        splits = [dataset(root, train=train, download=True, **options) for train in (True, False)]
    except (AssertionError, OSError, RuntimeError, TypeError, ValueError) as error:
        got = f"{name} in {root} can neither be read nor downloaded ({error!r})"
        raise ValueError(f"{got}: if its files there are damaged, delete them") from error
    return LabelledImages(*(tensor for split in splits for tensor in _grey(split, name)), name=name)


def _grey(split, name: str) -> tuple[Tensor, Tensor]:
    """Images (N, pixels) uint8 and labels (N,) int64 of a torchvision data set."""
    images, labels = torch.as_tensor(split.data), torch.as_tensor(split.targets).long()
    if images.dim() != 3:
        raise ValueError(f"expected grey images, (N, height, width), got {describe(images)}")
    if name == "EMNIST":  # its authors' files have rows and columns exchanged (arXiv 1702.05373)
        images = images.mT
    return images.flatten(1), labels if labels.dim() == 1 else labels[:, 0]  # QMNIST's first column is the class


def hold_out(data: LabelledImages, images: int = 10_000) -> LabelledImages:
    """The training set alone, split in two: its last `images` take the place of the test set.

    Use it to choose between settings. The real test set is not in the result, so it can be kept for the end.
    """
    if not 1 <= images < len(data.train_images):
        raise ValueError(f"images must be from 1 to {len(data.train_images) - 1}, got {images}")
    (x, held_x), (y, held_y) = ((t[:-images], t[-images:]) for t in (data.train_images, data.train_labels))
    return LabelledImages(x, y, held_x, held_y, name=f"{data.name}, held out")


def scale_pixels(images: Tensor) -> Tensor:
    """uint8 pixels, any shape -> float32 in [0, 1], the same shape: what the models take."""
    images = as_tensor(images)
    if images.dtype != torch.uint8:
        raise ValueError(f"expected uint8 pixels, got {describe(images)}")
    return images.float().div_(255)


_operators: torch.library.Library  # operators stay declared as long as this object lives


def torchvision_datasets() -> ModuleType:
    """`torchvision.datasets`, even where torchvision's compiled operators cannot be loaded.

    The usual wheel needs CUDA's libraries for them, which a CPU build of PyTorch lacks. The import then fails at two
    operators (torchvision 0.28). The data sets use neither, so it is enough to declare them.
    """
    try:
        from torchvision import datasets
    except ModuleNotFoundError as error:
        raise ImportError("load_images needs torchvision: pip install torchvision") from error
    except RuntimeError:
        if hasattr(torch.ops.torchvision, "nms"):  # then something else is wrong
            raise
        global _operators
        _operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import datasets
    return datasets
