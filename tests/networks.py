"""Networks that tests pack: one of each kind, with parameters as wild as training makes them."""

from functools import partial

import torch
from torch import nn

import bnn_tutorial as bnn

NORMALISED = {"activation": bnn.clipped_sign_ste, "normalise": True}
DENSE = partial(bnn.GenDense, forward_map=bnn.binary_linear)
CONV = partial(bnn.GenConv2d, forward_map=bnn.binary_conv2d, **NORMALISED)


class WithShortcut(bnn.GenDense):
    """It computes something that neither a packed file nor a graph would have."""

    def forward(self, x):
        return super().forward(x) + x[..., :2]


class Inverted(nn.Sequential):
    """It hides something before its layers."""

    def forward(self, x):
        return super().forward(1 - x)


class Negated(nn.Dropout):
    """No dropout at all."""

    def forward(self, x):
        return -x


def strides(generator):
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        CONV(1, 5, 3, stride=2, generator=generator),
        CONV(5, 6, 4, stride=3, pool=2, generator=generator),
        nn.Flatten(),
        DENSE(24, 10, generator=generator),
    )


def convnet_of_one_bit_pixels(generator):
    return nn.Sequential(
        bnn.BinaryInput(0.3), *bnn.binary_convnet((8, 16), (3, 3), (10,), activation=bnn.sign_ste, generator=generator)
    )


def two_channels_to_dense(generator):
    """Pixels in two channels lie in another order for the kernels than for PyTorch."""
    return nn.Sequential(nn.Unflatten(1, (2, 14, 28)), nn.Flatten(), DENSE(784, 10, generator=generator))


def codes_of_convolutions(forward_map, generator):
    """Images of four channels, zeros around pixels and codes, strides, pooling, and scales of both signs."""
    options = {"forward_map": forward_map, "activation": bnn.quantised_relu, "normalise": True, "generator": generator}
    return nn.Sequential(
        nn.Unflatten(1, (4, 14, 14)),
        bnn.GenConv2d(4, 5, 3, stride=2, padding=1, **options),
        bnn.GenConv2d(5, 7, 4, stride=2, padding=2, pool=2, **options),
        nn.Flatten(),
        DENSE(28, 10, generator=generator),
    )


def channels_of_signs(forward_map, generator):
    """A kernel on one-bit pixels in four channels."""
    conv = bnn.GenConv2d(4, 5, 3, **(NORMALISED | {"forward_map": forward_map, "generator": generator}))
    layers = nn.Unflatten(1, (4, 14, 14)), conv, nn.Flatten(), DENSE(720, 10, generator=generator)
    return nn.Sequential(bnn.BinaryInput(0.3), *layers)


def mixed(generator):
    """Weights of 8, 1.6, 1 and 4 bits, activations of one, eight and three bits."""
    dense = partial(bnn.GenDense, normalise=True, generator=generator)
    three = partial(bnn.quantised_relu, bits=3, limit=2.0)
    return nn.Sequential(
        dense(784, 31, activation=bnn.sign_ste, forward_map=bnn.quantised_linear),
        dense(31, 40, activation=bnn.quantised_relu, forward_map=bnn.ternary_linear),
        dense(40, 33, activation=three, forward_map=bnn.scaled_binary_linear),
        dense(33, 10, forward_map=partial(bnn.quantised_linear, bits=4)),
    )


def dense_codes(forward_map, **options):
    return partial(bnn.binary_mlp, (784, 61, 33, 10), bnn.quantised_relu, forward_map, **options)


FEW_BITS = {
    "W1A8": dense_codes(bnn.binary_linear),
    "W1A8 with a bias": dense_codes(bnn.scaled_binary_linear, normalise=False),
    "ternary": dense_codes(bnn.ternary_linear),
    "2 bits": dense_codes(partial(bnn.quantised_linear, bits=2)),
    "3 bits and signs": partial(
        bnn.binary_mlp, (784, 61, 33, 10), bnn.sign_ste, partial(bnn.quantised_linear, bits=3), binary_input=True
    ),
    "4 bits": dense_codes(partial(bnn.quantised_linear, bits=4)),
    "8 bits": dense_codes(bnn.quantised_linear),
    "mixed": mixed,
    "convolutions, W1A8": partial(codes_of_convolutions, bnn.binary_conv2d),
    "convolutions, ternary": partial(codes_of_convolutions, bnn.ternary_conv2d),
    "convolutions, 4 bits": partial(codes_of_convolutions, partial(bnn.quantised_conv2d, bits=4)),
    "convolutions, 8 bits": partial(codes_of_convolutions, bnn.quantised_conv2d),
    "channels of signs, ternary": partial(channels_of_signs, bnn.ternary_conv2d),
}

NETWORKS = FEW_BITS | {
    "tutorial": bnn.tutorial_mlp,
    "normalised": partial(bnn.binary_mlp, **NORMALISED),
    "one-bit pixels": partial(bnn.binary_mlp, (784, 65, 64, 10), **NORMALISED, binary_input=True, dropout=0.1),
    "no hidden layer": partial(bnn.binary_mlp, (784, 10), normalise=False),
    "stochastic": partial(bnn.binary_mlp, (784, 30, 10), activation=bnn.stochastic_sign_ste, normalise=False),
    "convnet": partial(bnn.binary_convnet, (9, 33, 70), (5, 3, 2), (20, 10)),
    "one convolution": partial(bnn.binary_convnet, (4,), (28,), (10,)),
    "convnet of one-bit pixels": convnet_of_one_bit_pixels,
    "strides": strides,
    "two channels": two_channels_to_dense,
    "channels of signs": partial(channels_of_signs, bnn.binary_conv2d),
}


def shaken(model, generator, bias=5.0):
    """Scales of both signs, some zero, all else spread."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            units = len(module.bias)
            kept = torch.rand(units, generator=generator) > 0.1
            module.weight.data = torch.randn(units, generator=generator) * kept
            module.bias.data = torch.randn(units, generator=generator)
            module.running_mean = bias * torch.randn(units, generator=generator)
            module.running_var = 0.1 + 50 * torch.rand(units, generator=generator)
        elif getattr(module, "bias", None) is not None:
            module.bias.data = bias * torch.randn(len(module.bias), generator=generator)
    return model.eval()
