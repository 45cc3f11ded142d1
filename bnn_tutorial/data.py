"""Images with their labels: MNIST, which comes with the package, and torchvision's other sets of grey images."""

import io
import tarfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class LabelledImages:
    """Images and labels, split for training and testing. What does not fit together is a `ValueError`.

    Arrays of NumPy become tensors.

    Attributes:
        train_images, test_images: (N, pixels) uint8, one image a row; in MNIST 0 is the background and 255 full ink.
        train_labels, test_labels: (N,) int64, the class, from 0; in MNIST the digit.
        name: of the data set; `hold_out` adds ", held out".
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
                raise ValueError(f"{split}_images must be uint8 of shape (N, pixels), got {_describe(images)}")
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
                raise ValueError(f"{split}_labels must be int64 of shape ({len(images)},), got {_describe(labels)}")
        if self.train_images.shape[1] != self.test_images.shape[1]:
            shapes = f"{tuple(self.train_images.shape)} and {tuple(self.test_images.shape)}"
            raise ValueError(f"train_images and test_images must have the same number of pixels, got {shapes}")


def as_tensor(x: Tensor | np.ndarray) -> Tensor:
    """A tensor as it is; of an array of NumPy, or a list, a copy."""
    if isinstance(x, Tensor):
        return x
    array = np.array(x)
    try:
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))  # this machine's order of bytes
    except TypeError as error:
        raise ValueError(
            f"expected a tensor or an array of numbers, got {type(x).__name__} of {array.dtype}"
        ) from error


def load_mnist() -> LabelledImages:
    """The whole of MNIST, which comes with the package: 60,000 images to train, 10,000 to test, 28x28 pixels each.

    A damaged file is a `ValueError`. Source: LeCun, Cortes, Burges, the MNIST database; CC BY-SA 3.0.
    """
    try:
        import lzma
    except ImportError as error:  # Python leaves it out where it was built without the library
        raise ImportError(
            "MNIST lies in an .xz file, and this Python was built without lzma: use another one"
        ) from error
    file = files("bnn_tutorial") / "mnist" / "mnist.tar.xz"
    try:
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(file.read_bytes()))) as archive:
            content = {member.name: archive.extractfile(member).read() for member in archive}
        train_images, train_labels, test_images, test_labels = (
            torch.from_numpy(np.frombuffer(content[f"{split}-{part}-ubyte"], np.uint8, offset=header).copy())
            for split in ("train", "t10k")
            for part, header in (("images-idx3", 16), ("labels-idx1", 8))  # IDX: magic number and sizes, 4 bytes each
        )
    except (OSError, EOFError, KeyError, lzma.LZMAError, tarfile.TarError) as error:
        raise ValueError(f"{file} is damaged ({error!r}): install bnn_tutorial again") from error
    train_set, test_set = (
        (train_images.view(-1, 784), train_labels.long()),
        (test_images.view(-1, 784), test_labels.long()),
    )
    return LabelledImages(*train_set, *test_set, name="MNIST")


def load_images(name: str, root: str | Path, **options: object) -> LabelledImages:
    """A data set of grey images from `torchvision.datasets`, downloaded and checked by torchvision where it is missing.

    Args:
        name: of the class there, for example "FashionMNIST", "KMNIST" or "QMNIST".
        root: the folder that holds, or shall hold, torchvision's folder of that name.
        options: further arguments of the class, such as `split="digits"` of "EMNIST"; transforms have no effect.

    Images that torchvision keeps on their side, those of "EMNIST", are turned upright. Labels are as they are there:
    those of EMNIST's letters go from 1 to 26.

    Raises:
        ValueError: if there is no such set, its images are not grey, its files are damaged or pickles, or it cannot be
            downloaded.
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
        raise ValueError(f"{got}: if its own files there are damaged, delete those") from error
    on_side = name in ON_THEIR_SIDE
    return LabelledImages(*(tensor for split in splits for tensor in _grey(split, on_side)), name=name)


ON_THEIR_SIDE = ("EMNIST",)  # rows and columns exchanged, as its authors' files have them (arXiv 1702.05373)
_operators: torch.library.Library  # what declares operators of torchvision that are missing


def _grey(split, on_side: bool) -> tuple[Tensor, Tensor]:
    """Images (N, pixels) uint8 and labels (N,) int64 of a torchvision data set."""
    images, labels = torch.as_tensor(split.data), torch.as_tensor(split.targets).long()
    if images.dim() != 3:
        raise ValueError(f"expected grey images, (N, height, width), got {_describe(images)}")
    images = images.mT if on_side else images
    return images.flatten(1), labels if labels.dim() == 1 else labels[:, 0]  # QMNIST's first column is the class


def hold_out(data: LabelledImages, images: int = 10_000) -> LabelledImages:
    """The training set alone, split in two: its last `images` take the place of the test set.

    Choices are made on them, so that the test set, of which no image is in the result, is looked at once, at the end.
    """
    if not 1 <= images < len(data.train_images):
        raise ValueError(f"images must be from 1 to {len(data.train_images) - 1}, got {images}")
    (x, held_x), (y, held_y) = ((t[:-images], t[-images:]) for t in (data.train_images, data.train_labels))
    return LabelledImages(x, y, held_x, held_y, name=f"{data.name}, held out")


def scale_pixels(images: Tensor) -> Tensor:
    """uint8 pixels, 0 to 255, any shape -> float32 in [0, 1], the same shape: what the models take."""
    images = as_tensor(images)
    if images.dtype != torch.uint8:
        raise ValueError(f"expected uint8 pixels, got {_describe(images)}")
    return images.float().div_(255)


def torchvision_datasets() -> ModuleType:
    """`torchvision.datasets`, also where torchvision's compiled operators cannot be loaded.

    Its usual wheel needs CUDA's libraries for them. Beside a CPU build of torch they are missing, and then the import
    fails, for it describes two of them (torchvision 0.28). The data sets use none, so to declare the two is enough.
    """
    try:
        from torchvision import datasets
    except ModuleNotFoundError as error:
        raise ImportError("load_images needs torchvision: pip install torchvision") from error
    except RuntimeError:
        if hasattr(torch.ops.torchvision, "nms"):  # then something else is wrong
            raise
        global _operators  # the declaration ends when the object is collected
        _operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import datasets
    return datasets


def _describe(x: Tensor) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)}"
