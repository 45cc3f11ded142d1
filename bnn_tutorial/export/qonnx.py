"""A trained network as a QONNX graph, the form that FINN, hls4ml and Brevitas exchange; needs the extra `export`.

QONNX (Pappalardo et al. 2022, arXiv 2206.07527) is ONNX with nodes that say how many bits a value has. `BipolarQuant`
is our `sign`: +1 for x >= 0, else -1; `Quant` is a whole number, less its zero point, times a scale. The graph computes
in floats what the model does in `eval` mode. There is no command, since it takes the model: of that a packed file keeps
only what it folded.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy import ndarray as Array
from onnx import helper, numpy_helper
from torch import nn

from .. import ste
from ..forward_maps import conv2d, kept_weights, linear
from ..layers import BinaryInput, GenConv2d, GenDense, QuantisedInput
from ..packed.files import replace
from ..packed.folding import _numbers, _of_norm, codes_of, require_plain, unflattened_shape

DOMAIN = "qonnx.custom_op.general"


def to_qonnx(model: nn.Sequential, path: str | Path, images: int = 1) -> None:
    """Write a network as QONNX: pixels, float32 (images, pixels) in [0, 1] -> logits, float32 (images, classes).

    Args:
        model: a `Sequential` of `BinaryInput`, `QuantisedInput`, `nn.Unflatten`, `GenConv2d`, `nn.Flatten`, `GenDense`,
            `nn.Dropout`, with real weights or of few bits, and signs, `quantised_relu` or `torch.relu` as activations.
        path: of the file.
        images: at a time; the field's tools want shapes that are fixed, and most of them want 1.

    Raises:
        ValueError: with the reason, if there is something else in the model.
    """
    graph, modules = _Graph(), list(model) if isinstance(model, nn.Sequential) else [model]
    if not any(isinstance(module, GenDense) for module in modules):
        raise ValueError(f"expected layers of bnn_tutorial in a Sequential, a GenDense among them, got {model}")
    require_plain("the model", model)
    for module in modules:
        graph.add(module)
    graph.nodes[-1].output[0] = graph.value = "logits"
    first = next(m for m in modules if isinstance(m, GenDense | GenConv2d | nn.Unflatten))
    if isinstance(first, GenConv2d):
        raise ValueError("expected nn.Unflatten(1, (channels, height, width)) before the first convolution, got none")
    inputs = first.in_features if isinstance(first, GenDense) else int(np.prod(unflattened_shape(first)))
    classes = [m for m in modules if isinstance(m, GenDense)][-1].out_features
    ends = [("pixels", inputs), (graph.value, classes)]
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [images, size]) for name, size in ends]
    made = helper.make_graph(graph.nodes, "bnn_tutorial", values[:1], values[1:], graph.constants)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 2)]
    replace(Path(path), helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString())


class _Graph:
    """The nodes so far; `value` names what the last one gives."""

    def __init__(self):
        self.nodes, self.constants, self.value = [], [], "pixels"

    def add(self, module: nn.Module) -> None:
        require_plain(f"node {len(self.nodes)}", module)
        match module:
            case BinaryInput():
                self._node("Sub", self._constant("threshold", module.threshold))
                self._quantised(1, 1.0)
            case QuantisedInput():
                self._node("Sub", self._constant("low", module.low))
                self._node("Div", self._constant("range", module.high - module.low))
                self._unsigned(255, 255.0)
            case nn.Unflatten(dim=1):
                self._node("Reshape", self._constant("shape", np.array([0, *unflattened_shape(module)])))
            case nn.Flatten(start_dim=1):
                self._node("Flatten", axis=1)
            case nn.Dropout():
                pass
            case GenDense() | GenConv2d():
                self._layer(module)
            case _:
                raise ValueError(f"expected layers of bnn_tutorial in a Sequential, got {module}")

    def _layer(self, layer: GenDense | GenConv2d) -> None:
        is_conv, kept, x = isinstance(layer, GenConv2d), kept_weights(layer), self.value
        if kept is None and layer.forward_map not in (linear, conv2d):
            raise ValueError(f"expected a forward map of weights as they are, or of few bits, got {layer.forward_map}")
        scale = kept and kept.scale.expand(len(layer.weight), *[1] * (layer.weight.dim() - 1))
        weight = layer.weight if kept is None else scale * kept.levels
        self.value = self._constant("weight", weight if is_conv else weight.T)  # MatMul takes (inputs, outputs)
        if kept is not None:
            self._quantised(kept.bits, scale if is_conv else scale.T)
        weight, self.value = self.value, x
        if is_conv:
            sides = {
                "kernel_shape": [layer.kernel_size] * 2,
                "strides": [layer.stride] * 2,
                "pads": [layer.padding] * 4,
            }
            self._node("Conv", weight, dilations=[1, 1], group=1, **sides)
        else:
            self._node("MatMul", weight)
        if layer.bias is not None:
            shape = (-1, 1, 1) if is_conv else (-1,)
            self._node("Add", self._constant("bias", layer.bias.reshape(shape)))
        if getattr(layer, "pool", 1) > 1:
            self._node("MaxPool", kernel_shape=[layer.pool] * 2, strides=[layer.pool] * 2)
        if (norm := layer.norm) is not None:
            names = ("weight", "bias", "running_mean", "running_var")
            constants = [self._constant(*pair) for pair in zip(names, _of_norm(norm), strict=True)]
            self._node("BatchNormalization", *constants, epsilon=norm.eps)
        self._activate(layer.activation)

    def _activate(self, activation) -> None:
        activation = activation and ste.most_likely(activation)
        if activation in (torch.relu, nn.functional.relu):
            self._node("Relu")
        elif getattr(activation, "func", activation) in ste.SIGNS:
            self._quantised(1, 1.0)
        elif found := codes_of(activation):
            self._unsigned(*found)
        elif activation is not None:
            raise ValueError(f"expected a sign, quantised_relu, torch.relu or no activation, got {activation}")

    def _quantised(self, bits: int | Fraction, scale: torch.Tensor | float) -> None:
        """The whole numbers of `KeptWeights` times the scale: odd ones are twice a number and a half."""
        if bits == 1:
            self._node("BipolarQuant", self._constant("scale", scale), domain=DOMAIN)
            return
        ternary = bits == Fraction(8, 5)
        numbers = (scale, 0.0, 2.0) if ternary else (2 * scale, -0.5, float(bits))
        self._quant(numbers, signed=1, narrow=int(ternary))

    def _unsigned(self, top: int, per_unit: float) -> None:
        """Codes from 0 to `top`, of which so many are 1.0."""
        self._quant((1 / per_unit, 0.0, float((top + 1).bit_length() - 1)), signed=0, narrow=0)

    def _quant(self, numbers: tuple, **attributes: int) -> None:
        inputs = map(self._constant, ("scale", "zero_point", "bits"), numbers)
        self._node("Quant", *inputs, domain=DOMAIN, rounding_mode="ROUND", **attributes)

    def _node(self, kind: str, *others: str, **attributes) -> None:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.value, *others], [name], name=name, **attributes))
        self.value = name

    def _constant(self, name: str, value: torch.Tensor | Array | float) -> str:
        array = _numbers(value) if isinstance(value, torch.Tensor) else np.asarray(value)
        array = array if array.dtype.kind == "i" else array.astype(np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: numbers that are not finite: train anew, with a smaller learning rate")
        name = f"{name}_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name
