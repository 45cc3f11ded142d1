"""Binary neural networks in PyTorch, for learners: weights and hidden activations in {-1, +1}.

The notebooks of the project use what is exported here; `bnn_tutorial.plots` draws. See the website for the whole way.
"""

from . import plots
from .augmentation import random_affine
from .bender import bender_history, beside_bender
from .data import Mnist, SubsetWarning, hold_out, load_mnist, scale_pixels
from .drawing import prepare_picture, prepare_strokes
from .forward_maps import (
    ForwardMap,
    binary_conv2d,
    binary_linear,
    binary_weights,
    conv2d,
    has_binary_weights,
    linear,
    pooled_binary_conv2d,
    pooled_conv2d,
    stochastic_binary_linear,
)
from .layers import BinaryInput, GenConv2d, GenDense, binary_layers, clamp_latent_weights_
from .losses import Loss, cross_entropy, squared_hinge
from .models import binary_convnet, binary_mlp, eval_mode, summary
from .optimisers import Adam, Bop, Optimiser, as_optimiser
from .ste import (
    ada_ste,
    approx_sign,
    clipped_sign_ste,
    hard_sigmoid,
    most_likely,
    sign,
    sign_ste,
    stochastic_sign_ste,
    swish_sign,
    tanh_sign,
)
from .training import TrainConfig, evaluate, train

__all__ = [
    "plots",
    "random_affine",
    "bender_history",
    "beside_bender",
    "Mnist",
    "SubsetWarning",
    "hold_out",
    "load_mnist",
    "scale_pixels",
    "prepare_picture",
    "prepare_strokes",
    "ForwardMap",
    "binary_conv2d",
    "binary_linear",
    "binary_weights",
    "conv2d",
    "has_binary_weights",
    "linear",
    "pooled_binary_conv2d",
    "pooled_conv2d",
    "stochastic_binary_linear",
    "BinaryInput",
    "GenConv2d",
    "GenDense",
    "binary_layers",
    "clamp_latent_weights_",
    "Loss",
    "cross_entropy",
    "squared_hinge",
    "binary_convnet",
    "binary_mlp",
    "eval_mode",
    "summary",
    "Adam",
    "Bop",
    "as_optimiser",
    "Optimiser",
    "ada_ste",
    "approx_sign",
    "clipped_sign_ste",
    "hard_sigmoid",
    "most_likely",
    "sign",
    "sign_ste",
    "stochastic_sign_ste",
    "swish_sign",
    "tanh_sign",
    "TrainConfig",
    "evaluate",
    "train",
]
