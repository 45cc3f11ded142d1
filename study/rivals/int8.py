"""The strongest rival that users have: the same network with ReLU, quantised after training to 8 bits.

All parts are stock. PyTorch exports the network to ONNX and folds batch norm into the weights. ONNX Runtime quantises
weights and activations after training, with the ranges that 1,000 training images give, and runs the network. There is
one scale per layer, which is faster than one per neuron. Beside it are PyTorch's own quantised layers, by oneDNN.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

import bnn_tutorial as bnn

# Without VNNI the sum of two products has 16 bits (VPMADDUBSW), and saturates unless the weights have 7 bits.
LARGEST = 127 if torch.cpu._is_vnni_supported() else 63

Layer = tuple[Tensor, Tensor]  # weights, float (M, K), and biases, float (M,)


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
        reduce_range=LARGEST < 127,
    )
    model = onnx.load(path)
    quantise = model.graph.node[0]  # of float pixels; ours are uint8 already, and the scale it found is 1 / 255
    model.graph.node.remove(quantise)
    del model.graph.input[:]
    pixels = onnx.helper.make_tensor_value_info(quantise.output[0], onnx.TensorProto.UINT8, ["N", 784])
    model.graph.input.append(pixels)
    onnx.save(model, path)


def to_onednn(layers: list[Layer], images: Tensor) -> Callable[[Tensor], Tensor]:
    """The same in PyTorch, by oneDNN: a function from uint8 pixels, (N, K), to classes, (N,).

    Args:
        layers: with ReLU between them.
        images: (N, K) uint8, whose activations say which ranges the 8 bits cover.
    """
    torch.backends.quantized.engine = "onednn"
    x, stages = bnn.scale_pixels(images), []
    with warnings.catch_warnings(action="ignore"):  # these layers are stock, but called deprecated since PyTorch 2.13
        for w, b in layers:
            held = torch.quantize_per_tensor(w, float(w.abs().max()) / LARGEST, 0, torch.qint8)
            x = nn.functional.linear(x.relu(), w, b)
            stages.append((torch.ops.quantized.linear_prepack(held, b), float(x.abs().max())))

    @torch.inference_mode()
    def classes(pixels: Tensor) -> Tensor:
        *hidden, (last, largest) = stages
        codes = torch._make_per_tensor_quantized_tensor(pixels, 1 / 255, 0)
        for weights, top in hidden:
            codes = torch.ops.quantized.linear_relu(codes, weights, top / 255, 0)
        return torch.ops.quantized.linear(codes, last, largest / 127, 128).int_repr().argmax(dim=1)

    return classes


def integer_product(weights: Tensor, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """ONNX Runtime's product of bytes: "x", uint8 (N, K), whose 1 stands for 0, times int8 (M, K) -> int32 (N, M).

    Exact where no weight is beyond ±`LARGEST`.
    """
    held = onnx.numpy_helper.from_array(weights.T.contiguous().numpy(), "weights")
    zero = onnx.helper.make_tensor("zero", onnx.TensorProto.UINT8, [], [1])
    node = onnx.helper.make_node("MatMulInteger", ["x", "weights", "zero"], ["y"])
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, ["N", weights.shape[1]])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT32, ["N", weights.shape[0]])
    graph = onnx.helper.make_graph([node], "product", [x], [y], [held, zero])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), options)
