"""The tutorial's network, a good dense one, and a convolutional one."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from .forward_maps import ForwardMap, binary_conv2d, binary_linear
from .layers import Activation, BinaryInput, GenConv2d, GenDense
from .ste import clipped_sign_ste, sign_ste


def tutorial_mlp(generator: torch.Generator | None = None) -> nn.Sequential:
    """Bender's network: 784-300-100-10, the identity as the sign's gradient, no batch norm; `build_model` there.

    Examples:
        >>> tutorial_mlp()
        Sequential(
          (0): GenDense(784, 300, activation=sign_ste, forward_map=binary_linear)
          (1): GenDense(300, 100, activation=sign_ste, forward_map=binary_linear)
          (2): GenDense(100, 10, forward_map=binary_linear)
        )
    """
    return binary_mlp(activation=sign_ste, normalise=False, generator=generator)


def binary_mlp(
    widths: Sequence[int] = (784, 300, 100, 10),
    activation: Activation = clipped_sign_ste,
    forward_map: ForwardMap = binary_linear,
    normalise: bool = True,
    binary_input: bool = False,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A multilayer perceptron with binary weights and hidden activations: float pixels -> real logits.

    It takes (N, widths[0]), in [0, 1], to (N, widths[-1]). With `torch.relu` and `linear` the same network is float.

    Args:
        widths: pixels, hidden widths, classes.
        activation: of the hidden layers.
        forward_map: of all layers.
        normalise: batch-normalise each pre-activation, the outputs too.
        binary_input: take the pixels as one bit each, by `BinaryInput`.
        dropout: probability that a hidden neuron is set to 0 in training.
        generator: for the initial weights; default PyTorch's global one.
    """
    if len(widths) < 2:
        raise ValueError(f"widths must have at least an input and an output, got {tuple(widths)}")
    options = {"forward_map": forward_map, "normalise": normalise, "generator": generator}
    layers = [BinaryInput()] if binary_input else []
    *hidden, last = pairwise(widths)
    for pair in hidden:
        layers.append(GenDense(*pair, activation=activation, **options))
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, GenDense(*last, **options))


def binary_convnet(
    channels: Sequence[int] = (32, 64, 64),
    kernel_sizes: Sequence[int] = (3, 3, 3),
    widths: Sequence[int] = (64, 10),
    activation: Activation = clipped_sign_ste,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A convolutional network, (N, 784) -> (N, widths[-1]), with binary weights, binary activations and real logits.

    Convolutions without padding, all but the last with 2×2 max pooling, then dense layers, all batch-normalised. The
    default has the 93,088 weights of the network in Larq's tutorial (docs.larq.dev).

    Args:
        channels: of the convolutions.
        kernel_sizes: sides of their square kernels, in pixels.
        widths: of the dense layers, the classes last.
        activation: of all layers but the last.
        generator: for the initial weights; default PyTorch's global one.
    """
    if not channels or len(channels) != len(kernel_sizes) or not widths:
        got = f"{tuple(channels)}, {tuple(kernel_sizes)} and {tuple(widths)}"
        raise ValueError(f"expected channels, as many kernel_sizes, and widths, got {got}")
    options = {"activation": activation, "forward_map": binary_conv2d, "normalise": True, "generator": generator}
    side, layers = 28, [nn.Unflatten(1, (1, 28, 28))]
    for i, (pair, kernel_size) in enumerate(zip(pairwise((1, *channels)), kernel_sizes, strict=True)):
        pool = 2 if i < len(channels) - 1 else 1
        layers.append(GenConv2d(*pair, kernel_size, pool=pool, **options))
        side = (side - kernel_size + 1) // pool
    if side < 1:
        raise ValueError(f"kernel_sizes {tuple(kernel_sizes)} leave nothing of an image of 28x28 pixels")
    dense = binary_mlp((side * side * channels[-1], *widths), activation, generator=generator)
    # With channels last in memory PyTorch's convolutions are up to twice as fast on a CPU; only rounding differs.
    return nn.Sequential(*layers, nn.Flatten(), *dense).to(memory_format=torch.channels_last)
