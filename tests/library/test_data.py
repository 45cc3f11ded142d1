"""MNIST as it was published, and other sets of torchvision's, of which little ones are made here in its layout."""

import hashlib
import lzma
import struct
import subprocess
import sys
import tarfile
from importlib.resources import as_file, files

import numpy as np
import pytest
import torch

import bnn_tutorial as bnn
from bnn_tutorial import data as module

MD5 = {  # of the four published files, unpacked
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def idx(values):
    """The IDX format: 0, 0, 8 for bytes, the number of axes, then their sizes and the values."""
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def test_mnist_is_the_four_published_files_bit_for_bit(full):
    splits = {"train": (full.train_images, full.train_labels), "t10k": (full.test_images, full.test_labels)}
    for split, (images, labels) in splits.items():
        rebuilt = {
            f"{split}-images-idx3-ubyte": idx(images.numpy().reshape(-1, 28, 28)),
            f"{split}-labels-idx1-ubyte": idx(labels.numpy().astype(np.uint8)),
        }
        assert {name: hashlib.md5(content).hexdigest() for name, content in rebuilt.items()}.items() <= MD5.items()


def test_mnist_has_its_known_counts(full):
    assert (full.train_images.shape, full.train_labels.dtype, full.name) == ((60_000, 784), torch.int64, "MNIST")
    assert full.test_labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_takes_at_most_10_megabytes_and_its_licence_lies_beside_it():
    folder = files("bnn_tutorial") / "mnist"
    assert len((folder / "mnist.tar.xz").read_bytes()) <= 10_000_000
    assert "Attribution-Share Alike 3.0" in (folder / "README.md").read_text()


def damaged(content, path):
    """The package's folder with this instead of the file."""
    (path / "mnist").mkdir()
    (path / "mnist" / "mnist.tar.xz").write_bytes(content)
    return lambda package: path


@pytest.fixture(scope="module")
def archive():
    with as_file(files("bnn_tutorial") / "mnist" / "mnist.tar.xz") as path:
        return path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole[:5_000_000] + bytes([whole[5_000_000] ^ 1]) + whole[5_000_001:],
        lambda whole: lzma.compress(b"no archive"),
    ],
)
def test_a_damaged_file_is_a_clear_error(archive, damage, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "files", damaged(damage(archive), tmp_path))
    with pytest.raises(ValueError, match=r"mnist\.tar\.xz is damaged .*: install bnn_tutorial again"):
        bnn.load_mnist()


def test_an_archive_without_one_of_the_files_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "files", damaged(b"", tmp_path))
    with tarfile.open(tmp_path / "mnist" / "mnist.tar.xz", "w:xz"):
        pass
    with pytest.raises(ValueError, match=r"is damaged .*train-images-idx3-ubyte"):
        bnn.load_mnist()


def place(root, name="FashionMNIST", images=20):
    """A little data set in torchvision's layout."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for start, split in ((0, "train"), (1, "t10k")):
        pixels = np.arange(start, start + images * 784).astype(np.uint8).reshape(images, 28, 28)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(idx(pixels))
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(idx((np.arange(images) % 10).astype(np.uint8)))
    return raw


@pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST"])
def test_other_sets_of_torchvision_are_read_where_they_lie(tmp_path, name):
    place(tmp_path, name)
    data = bnn.load_images(name, tmp_path)
    assert (data.name, data.train_images.shape, data.train_images.dtype) == (name, (20, 784), torch.uint8)
    assert data.train_images[1, :3].tolist() == [784 % 256, 785 % 256, 786 % 256]
    assert data.test_images[0, :3].tolist() == [1, 2, 3]
    assert data.test_labels.tolist() == list(range(10)) * 2


def stand_in(monkeypatch, **attributes):
    """A data set of torchvision's that has already been downloaded."""

    class Stand:
        def __init__(self, root, train, download):
            self.__dict__.update(attributes)

    monkeypatch.setattr(module.torchvision_datasets(), "Stand", Stand, raising=False)


@pytest.mark.parametrize("targets", [[3, 4], torch.tensor([[3, 0], [4, 1]])])
def test_arrays_lists_and_columns_of_labels_are_read(tmp_path, monkeypatch, targets):
    stand_in(monkeypatch, data=np.zeros((2, 16, 16), np.uint8), targets=targets)  # as USPS and QMNIST keep theirs
    data = bnn.load_images("Stand", tmp_path)
    assert (data.train_images.shape, data.train_labels.tolist()) == ((2, 256), [3, 4])


def test_coloured_images_are_refused(tmp_path, monkeypatch):
    stand_in(monkeypatch, data=np.zeros((2, 32, 32, 3), np.uint8), targets=[0, 1])
    with pytest.raises(ValueError, match=r"expected grey images, \(N, height, width\), got .*\(2, 32, 32, 3\)"):
        bnn.load_images("Stand", tmp_path)


def test_images_that_lie_on_their_side_are_turned_upright(tmp_path):
    raw = place(tmp_path, "EMNIST")
    for file in sorted(raw.iterdir()):
        split = "train" if "train" in file.name else "test"
        file.rename(raw / f"emnist-digits-{split}-{file.name.split('-', 1)[1]}")
    data, lying = bnn.load_images("EMNIST", tmp_path, split="digits"), np.arange(784).astype(np.uint8).reshape(28, 28)
    assert data.train_images[0].tolist() == lying.T.ravel().tolist()


def test_without_torchvision_load_images_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError, match="load_images needs torchvision: pip install torchvision"):
        bnn.load_images("KMNIST", tmp_path)


def test_without_lzma_and_torch_distributed_only_what_the_package_brings_is_missing():
    code = """
import sys
import numpy as np, pandas, torch._dynamo, torch.distributed  # PyTorch itself makes do
sys.modules["lzma"] = sys.modules["_lzma"] = None
for name in ("is_initialized", "is_torchelastic_launched", "init_process_group", "get_rank", "get_world_size"):
    delattr(torch.distributed, name)
import bnn_tutorial as bnn, bnn_tutorial.language
try:
    bnn.load_mnist()
except ImportError as error:
    print(error)
images, labels = [[0, 255], [255, 0]], [0, 1]
data = bnn.LabelledImages(*[np.array(x, t) for x, t in ((images, "uint8"), (labels, "int64"))] * 2)
try:
    bnn.language.load_shakespeare()
except ImportError as error:
    print(error)
print(len(bnn.train(bnn.TrainConfig(epochs=2), data, bnn.binary_mlp((2, 2)), progress=False)[0]))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    mnist, plays, rows = out.stdout.splitlines() or [out.stderr] * 3
    assert "MNIST" in mnist
    assert all("this Python was built without lzma" in message for message in (mnist, plays))
    assert rows == "2"


def test_a_set_that_torchvision_does_not_have_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"torchvision\.datasets has no 'Fashion': expected a class such as"):
        bnn.load_images("Fashion", tmp_path)


def test_a_file_cut_short_is_refused(tmp_path):
    file = place(tmp_path) / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"FashionMNIST in .* can neither be read nor downloaded .*: if its files"):
        bnn.load_images("FashionMNIST", tmp_path)


def test_a_missing_set_that_cannot_be_downloaded_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module.torchvision_datasets().FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(ValueError, match=r"can neither be read nor downloaded .*Error downloading train-images"):
        bnn.load_images("FashionMNIST", tmp_path)


def test_pickles_of_an_old_torchvision_are_not_loaded(tmp_path, monkeypatch):
    processed = place(tmp_path).parent / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(b"a pickle")
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was opened"))
    with pytest.raises(ValueError, match=r"\.pt is a pickle of an old torchvision, and pickles are never loaded"):
        bnn.load_images("FashionMNIST", tmp_path)


def test_held_out_images_are_the_last_of_the_training_set(subset):
    split = bnn.hold_out(subset, 100)
    assert torch.equal(split.test_images, subset.train_images[3900:])
    assert torch.equal(split.test_labels, subset.train_labels[3900:])
    assert torch.equal(split.train_images, subset.train_images[:3900])
    assert (len(split.train_labels), split.name) == (3900, f"{subset.name}, held out")


@pytest.mark.parametrize("images", [0, -1, 4000])
def test_holding_out_nothing_or_everything_is_refused(subset, images):
    with pytest.raises(ValueError, match=f"images must be from 1 to 3999, got {images}"):
        bnn.hold_out(subset, images)


def test_scaled_pixels_lie_between_zero_and_one():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(bnn.scale_pixels(pixels), torch.arange(256) / 255)
    with pytest.raises(ValueError, match=r"expected uint8 pixels, got torch.float32 of shape \(2,\)"):
        bnn.scale_pixels(torch.zeros(2))


IMAGES, LABELS = torch.zeros(3, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ((IMAGES.float(), LABELS, IMAGES, LABELS), "train_images must be uint8 .* got torch.float32"),
        ((IMAGES, LABELS, IMAGES.reshape(3, 2, 2), LABELS), r"test_images must be uint8 .* got .*\(3, 2, 2\)"),
        ((IMAGES[:0], LABELS[:0], IMAGES, LABELS), r"train_images must be .* got .*\(0, 4\)"),
        ((IMAGES, LABELS[:2], IMAGES, LABELS), r"train_labels must be int64 of shape \(3,\), got .*\(2,\)"),
        ((IMAGES.float().numpy(), LABELS, IMAGES, LABELS), "train_images must be uint8 .* got torch.float32"),
        ((None, LABELS, IMAGES, LABELS), "expected numbers, got NoneType of object"),
        ((IMAGES, list("abc"), IMAGES, LABELS), "expected numbers, got list of <U1"),
        ((IMAGES, LABELS, IMAGES, LABELS.int()), "test_labels must be int64 .* got torch.int32"),
        ((IMAGES, LABELS, IMAGES[:, :3], LABELS), r"the same number of pixels, got \(3, 4\) and \(3, 3\)"),
    ],
)
def test_tensors_that_do_not_fit_together_are_refused(tensors, message):
    with pytest.raises(ValueError, match=message):
        bnn.LabelledImages(*tensors)


def backwards_and_read_only(tensor):
    array = tensor.numpy()[::-1]
    array.flags.writeable = False
    return array


def test_arrays_of_numpy_become_tensors(tiny):
    names = ("train_images", "train_labels", "test_images", "test_labels")
    arrays = [backwards_and_read_only(getattr(tiny, name)) for name in names]
    arrays[1] = arrays[1].astype(">i8")  # as files of other machines have them
    data = bnn.LabelledImages(*arrays)
    assert all(torch.equal(getattr(data, name), getattr(tiny, name).flip(0)) for name in names)
    arrays, model = (data.test_images.numpy(), data.test_labels.numpy()), bnn.tutorial_mlp()
    assert bnn.evaluate(model, *arrays) == bnn.evaluate(model, data.test_images, data.test_labels)
    assert torch.equal(bnn.scale_pixels(arrays[0]), bnn.scale_pixels(data.test_images))


@pytest.mark.parametrize("operators", ["missing", pytest.param("there", marks=pytest.mark.slow)])
def test_torchvision_is_imported_with_and_without_its_operators(operators):
    """In a process of its own: with real or stand-in operators the cure stays away, without them it is applied."""
    define = """
library = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
    code = f"""
import torch
{define if operators == "there" else ""}
from bnn_tutorial import data
print(data.torchvision_datasets().MNIST.__name__, hasattr(data, "_operators"))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    cured = operators == "missing" and not compiled_operators_load()
    assert out == ["MNIST", str(cured)]


def compiled_operators_load():
    code = "import torch, torchvision"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
