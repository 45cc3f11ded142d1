"""Binary neural networks in PyTorch, for learners: weights and hidden activations in {-1, +1}.

This package is the tutorial: estimators, forward maps, layers, networks, training, plots. Networks of bits and whole
numbers are in `bnn_tutorial.packed`, files for chips and other programs in `bnn_tutorial.export`; import each alone.
"""

# ruff: noqa: F401, I001
# fmt: off
from . import plots
from .augmentation import random_affine
from .bender import bender_history, beside_bender
from .costs import summary
from .data import LabelledImages, hold_out, load_images, load_mnist, scale_pixels
from .forward_maps import ForwardMap, KeptWeights, keeps, kept_weights, weight_bits
from .forward_maps import binary_weights, quantised_weights, scaled_binary_weights, ternary_weights
from .forward_maps import binary_linear, linear, quantised_linear, scaled_binary_linear, stochastic_binary_linear
from .forward_maps import binary_conv2d, conv2d, quantised_conv2d, scaled_binary_conv2d, ternary_conv2d, ternary_linear
from .layers import BinaryInput, GenConv2d, GenDense, QuantisedInput
from .layers import binary_layers, clamp_latent_weights_, eval_mode, latent_weights
from .losses import Loss, cross_entropy, squared_hinge
from .models import binary_convnet, binary_mlp, tutorial_mlp
from .optimisers import Bop, adam
from .ste import sign, sign_ste, straight_through, clipped_sign_ste, hard_sigmoid, stochastic_sign_ste
from .ste import approx_sign, most_likely, quantised_relu, swish_sign, tanh_sign
from .training import TrainConfig, evaluate, train
