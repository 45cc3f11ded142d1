"""The strongest rival that users have: the same network with ReLU, quantised after training to 8 bits.

All parts are stock. PyTorch exports the network to ONNX and folds batch norm into the weights. ONNX Runtime quantises
weights and activations after training, with the ranges that 1,000 training images give, and runs the network. There is
one scale per layer, which is faster than one per neuron.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

import bnn_tutorial as bnn


class _Batches(CalibrationDataReader):
    def __init__(self, pixels: Tensor):
        self.batches = iter(pixels.split(100))

    def get_next(self) -> dict | None:
        batch = next(self.batches, None)
        return None if batch is None else {"pixels": batch.numpy()}


def to_float32(model: nn.Module, path: Path) -> None:
    """Write a dense network of float weights as ONNX: pixels, float (N, 784), -> logits, float (N, classes)."""
    with bnn.eval_mode(model):
        torch.onnx.export(
            model,
            (torch.zeros(2, 784),),
            path,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )


def to_int8(float32: Path, path: Path, images: Tensor) -> None:
    """Quantise what `to_float32` wrote: uint8 pixels, (N, 784), -> logits, float (N, classes).

    Args:
        images: (N, 784) uint8; their activations determine the ranges that the 8 bits cover.
    """
    quantize_static(
        float32,
        path,
        _Batches(bnn.scale_pixels(images)),
        quant_format=QuantFormat.QOperator,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    model = onnx.load(path)
    quantise = model.graph.node[0]  # of float pixels; ours are uint8 already, and the scale it found is 1 / 255
    model.graph.node.remove(quantise)
    del model.graph.input[:]
    pixels = onnx.helper.make_tensor_value_info(quantise.output[0], onnx.TensorProto.UINT8, ["N", 784])
    model.graph.input.append(pixels)
    onnx.save(model, path)
