"""Every branch of `load_mnist`. The mirror is a web server in this process, so torchvision's own code runs."""

import gzip
import hashlib
import socket
import struct
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
import torch

import bnn_tutorial as bnn
from bnn_tutorial import data as module

# urllib leaves the socket of a broken connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

N = 20  # images of each split in the little MNIST below


@pytest.fixture
def files():
    """A little MNIST: the four files of the real layout, by name."""
    pixels, digits = bytes(range(256)) * 62, bytes(range(10)) * 2
    images = struct.pack(">4i", 2051, N, 28, 28) + pixels[: N * 784]
    labels = struct.pack(">2i", 2049, N) + digits
    return {name: images if "images" in name else labels for name in module.MD5}


@pytest.fixture(autouse=True)
def isolated(files, tmp_path, monkeypatch):
    """The little MNIST's checksums, an empty cache folder, and no mirror."""
    monkeypatch.setattr(module, "MD5", {name: hashlib.md5(content).hexdigest() for name, content in files.items()})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BNN_TUTORIAL_DATA", raising=False)
    monkeypatch.setattr(module._torchvision_mnist().MNIST, "mirrors", ["http://127.0.0.1:9/"])  # nobody listens


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A function that puts files, gzipped, on a web server and makes it torchvision's only mirror."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()

    def offer(files):
        mnist = module._torchvision_mnist().MNIST
        packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}
        for name, content in packed.items():
            (folder / name).write_bytes(content)
        resources = [(f"{name}.gz", hashlib.md5(packed.get(f"{name}.gz", b"")).hexdigest()) for name in module.MD5]
        monkeypatch.setattr(mnist, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(mnist, "resources", resources)

    yield offer
    server.shutdown()
    server.server_close()


def place(folder, files):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return raw


def assert_little_mnist(data):
    assert data.source == "full"
    assert (data.train_images.shape, data.train_images.dtype) == ((N, 784), torch.uint8)
    assert data.test_labels.tolist() == list(range(10)) * 2
    assert data.train_images[1, :3].tolist() == [784 % 256, 785 % 256, 786 % 256]


def test_found_in_root(files, tmp_path):
    place(tmp_path / "mine", files)
    assert_little_mnist(bnn.load_mnist(tmp_path / "mine"))


def test_found_where_the_variable_says(files, tmp_path, monkeypatch):
    place(tmp_path / "named", files)
    monkeypatch.setenv("BNN_TUTORIAL_DATA", str(tmp_path / "named"))
    assert_little_mnist(bnn.load_mnist())


def test_found_in_the_cache(files, tmp_path):
    place(tmp_path / "cache" / "bnn_tutorial", files)
    assert_little_mnist(bnn.load_mnist())


def test_root_comes_first(files, tmp_path, monkeypatch):
    place(tmp_path / "mine", files)
    raw = place(tmp_path / "named", files)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"never looked at")
    monkeypatch.setenv("BNN_TUTORIAL_DATA", str(tmp_path / "named"))
    assert_little_mnist(bnn.load_mnist(tmp_path / "mine"))


def test_an_incomplete_folder_is_passed_over(files, tmp_path):
    place(tmp_path / "mine", dict(list(files.items())[:2]))
    place(tmp_path / "cache" / "bnn_tutorial", files)
    assert_little_mnist(bnn.load_mnist(tmp_path / "mine"))


def test_downloaded_to_root(files, tmp_path, mirror):
    mirror(files)
    assert_little_mnist(bnn.load_mnist(tmp_path / "mine"))
    assert sorted(f.name for f in (tmp_path / "mine/MNIST/raw").iterdir()) == sorted(files)


def test_downloaded_to_the_cache_by_default(files, tmp_path, mirror):
    mirror(files)
    assert_little_mnist(bnn.load_mnist())
    assert (tmp_path / "cache/bnn_tutorial/MNIST/raw/train-images-idx3-ubyte").is_file()


def test_an_incomplete_folder_is_completed(files, tmp_path, mirror):
    place(tmp_path / "mine", dict(list(files.items())[1:]))
    mirror(files)
    assert_little_mnist(bnn.load_mnist(tmp_path / "mine"))


def test_a_download_shows_a_bar_and_gives_the_time_out_back(files, tmp_path, mirror, monkeypatch, capfd):
    mirror(files)
    seen = []
    real = module._torchvision_mnist().MNIST.download
    recorder = lambda self: (seen.append(socket.getdefaulttimeout()), real(self))  # noqa: E731
    monkeypatch.setattr(module._torchvision_mnist().MNIST, "download", recorder)
    bnn.load_mnist(tmp_path / "mine")
    assert seen == [module.TIMEOUT]
    assert socket.getdefaulttimeout() is None
    assert "100%" in capfd.readouterr().err


def test_a_mirror_that_never_answers_is_given_up(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(module._torchvision_mnist().MNIST, "mirrors", [address])
        monkeypatch.setattr(module, "TIMEOUT", 0.2)
        with pytest.raises(RuntimeError, match="neither found nor downloaded"):
            bnn.load_mnist(tmp_path / "mine", source="full")


def test_a_download_that_breaks_off_leaves_nothing_behind(files, tmp_path, mirror):
    mirror(dict(list(files.items())[:3]))
    with pytest.raises(RuntimeError, match="neither found nor downloaded"):
        bnn.load_mnist(tmp_path / "mine", source="full")
    assert not (tmp_path / "mine").exists()


def test_a_failed_download_leaves_a_folder_that_was_there(files, tmp_path):
    raw = place(tmp_path / "mine", dict(list(files.items())[:1]))
    with pytest.raises(RuntimeError, match="neither found nor downloaded"):
        bnn.load_mnist(tmp_path / "mine", source="full")
    assert [file.name for file in raw.iterdir()] == ["train-images-idx3-ubyte"]


BROKEN = [b"not HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\ncut off"]


@pytest.mark.parametrize("answer", BROKEN)
def test_a_broken_answer_falls_back(tmp_path, monkeypatch, answer):
    class Broken(BaseRequestHandler):
        def handle(self):
            self.request.recv(4096)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        monkeypatch.setattr(module._torchvision_mnist().MNIST, "mirrors", [address])
        with pytest.warns(bnn.SubsetWarning, match="neither found nor downloaded"):
            assert bnn.load_mnist(tmp_path / "mine").source == "subset"
        server.shutdown()


def test_auto_falls_back_with_a_warning_that_says_how_to_get_it(tmp_path):
    with pytest.warns(bnn.SubsetWarning, match=r"bundled 5,000 images.*set BNN_TUTORIAL_DATA=FOLDER"):
        data = bnn.load_mnist(tmp_path / "mine")
    assert data.source == "subset"


def test_full_raises_instead(tmp_path):
    with pytest.raises(RuntimeError, match=r"neither found nor downloaded.*set BNN_TUTORIAL_DATA=FOLDER"):
        bnn.load_mnist(tmp_path / "mine", source="full")


def test_a_folder_that_cannot_be_written_falls_back_too(files, tmp_path, mirror):
    mirror(files)
    (tmp_path / "file").write_text("a file where a folder is needed")
    with pytest.warns(bnn.SubsetWarning, match="Not a directory"):
        assert bnn.load_mnist(tmp_path / "file").source == "subset"


@pytest.mark.parametrize("source", ["auto", "full"])
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:100] + b"\xff" + b[101:], lambda b: b""])
def test_a_damaged_file_is_named_and_never_read(files, tmp_path, source, damage):
    raw = place(tmp_path / "mine", files)
    file = raw / "t10k-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte is damaged: expected MD5 .* Delete the file"):
        bnn.load_mnist(tmp_path / "mine", source=source)


def test_a_damaged_download_is_not_kept(files, tmp_path, mirror):
    wrong = files | {"t10k-labels-idx1-ubyte": files["t10k-labels-idx1-ubyte"][:-1] + b"\x09\x09"}
    mirror(wrong)
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte is damaged"):
        bnn.load_mnist(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_pickle_beside_the_files_is_not_loaded(files, tmp_path, monkeypatch):
    raw = place(tmp_path / "mine", files)
    processed = raw.parent / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):  # torchvision's old cache, which it would prefer
        (processed / name).write_bytes(b"a pickle")
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was opened"))
    assert_little_mnist(bnn.load_mnist(tmp_path / "mine"))


def test_subset_never_looks_further(monkeypatch):
    monkeypatch.setattr(module, "_find_or_download", lambda root: pytest.fail("looked for the whole set"))
    data = bnn.load_mnist(source="subset")
    assert data.train_labels.bincount().tolist() == [400] * 10
    assert data.test_labels.bincount().tolist() == [100] * 10


def test_subset_is_the_same_every_time(subset):
    again = bnn.load_mnist(source="subset")
    assert torch.equal(again.train_images, subset.train_images)
    assert torch.equal(again.test_labels, subset.test_labels)


def test_subset_shares_no_image_between_its_parts(subset):
    train, test = ({bytes(image) for image in images.numpy()} for images in (subset.train_images, subset.test_images))
    assert (len(train), len(test), len(train & test)) == (4000, 1000, 0)


def test_subset_comes_from_the_training_images(full, subset):
    train, test = ({bytes(image) for image in images.numpy()} for images in (full.train_images, full.test_images))
    assert {bytes(image) for image in subset.test_images.numpy()} <= train
    assert not {bytes(image) for image in subset.train_images.numpy()} & test


def test_full_mnist_has_its_known_counts(full):
    assert full.train_images.shape == (60_000, 784)
    assert full.test_labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_held_out_images_are_the_last_of_the_training_set(subset):
    split = bnn.hold_out(subset, 100)
    assert torch.equal(split.test_images, subset.train_images[3900:])
    assert torch.equal(split.test_labels, subset.train_labels[3900:])
    assert torch.equal(split.train_images, subset.train_images[:3900])
    assert len(split.train_labels) == 3900
    assert split.source == "subset, held out"


@pytest.mark.parametrize("images", [0, -1, 4000])
def test_holding_out_nothing_or_everything_is_refused(subset, images):
    with pytest.raises(ValueError, match=f"images must be from 1 to 3999, got {images}"):
        bnn.hold_out(subset, images)


def test_unknown_source_is_refused():
    with pytest.raises(ValueError, match=r"source must be .* got 'all'"):
        bnn.load_mnist(source="all")


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
        ((IMAGES, LABELS, IMAGES, LABELS.int()), "test_labels must be int64 .* got torch.int32"),
        ((IMAGES, LABELS, IMAGES[:, :3], LABELS), r"the same number of pixels, got \(3, 4\) and \(3, 3\)"),
    ],
)
def test_tensors_that_do_not_fit_together_are_refused(tensors, message):
    with pytest.raises(ValueError, match=message):
        bnn.Mnist(*tensors)


@pytest.mark.parametrize("operators", ["there", "missing"])
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
calls = []
cure = data._declare_missing_operators
data._declare_missing_operators = lambda: (calls.append(1), cure())
from_scratch = data._torchvision_mnist()
print(from_scratch.MNIST.__name__, len(calls))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out[0] == "MNIST"
    assert int(out[1]) == (operators == "missing" and not compiled_operators_load())


def compiled_operators_load():
    code = "import torch, torchvision"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
