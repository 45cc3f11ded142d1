"""What each half of binarising costs: `python -m study.controls`.

784-300-100-10 with float weights and ReLU, with binary weights only, with binary activations only, and with both. Each
is trained for ten and for sixty epochs of gently augmented images, with the learning rate that `choices` found for it
on held-out images. Training uses the whole training set. Accuracies are on all 10,000 test images after the last epoch,
for five seeds. `acc_int8` is the accuracy of the float network after its weights and activations were rounded to 8
bits. 784-40-10 then has as many bytes as the binary network. About half an hour on two cores.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
from torch import nn

import bnn_tutorial as bnn
from study.rivals.int8 import to_float32, to_int8

from .recipes import CONTROLS
from .runner import run_missing

RESULTS = Path(__file__).parent / "results" / "controls.csv"


def int8(model: nn.Module, data: bnn.LabelledImages) -> dict[str, float]:
    """The accuracy on the test images in 8 bits, with the ranges that the first 1,000 training images give."""
    with TemporaryDirectory() as folder:
        float32, path = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        to_float32(model, float32)
        to_int8(float32, path, data.train_images[:1000])
        session = onnxruntime.InferenceSession(path)
        (logits,) = session.run(None, {session.get_inputs()[0].name: data.test_images.numpy()})
    return {"acc_int8": float((logits.argmax(axis=1) == data.test_labels.numpy()).mean())}


RECIPES = {name: recipe._replace(measure=int8) if "float" in name else recipe for name, recipe in CONTROLS.items()}

if __name__ == "__main__":
    run_missing(RESULTS, RECIPES)
