"""Train an epoch, pack, predict: with the package as it is installed, by `python -I tests/library/installed.py`.

With `-I` Python looks neither in the current folder nor in PYTHONPATH, where it could find the repository instead.
"""

import sys
from pathlib import Path

import torch

import bnn_tutorial as bnn
from bnn_tutorial import packed


def main() -> None:
    assert Path(sys.prefix) in Path(bnn.__file__).parents, f"not the installed package: {bnn.__file__}"
    data = bnn.load_mnist()
    history, model = bnn.train(bnn.TrainConfig(epochs=1, device="cpu"), data, progress=False)
    assert history["acc_test"].iloc[-1] > 0.5
    images = data.test_images[:100]
    with bnn.eval_mode(model):
        classes = model(bnn.scale_pixels(images)).argmax(1)
    network = packed.PackedNetwork.from_model(model)
    assert torch.equal(torch.as_tensor(network.predict(images)), classes)
    assert packed.load_pretrained().predict(images[:4]).tolist() == [7, 2, 1, 0]
    print("trained, packed, predicted")


if __name__ == "__main__":
    main()
