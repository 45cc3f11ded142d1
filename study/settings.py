"""Settings as text, so that each result can record its own."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

import torch

import bnn_tutorial as bnn

# Where long runs compute products faster in bfloat16. Emulated, it takes three to nine times as long as float32.
PRODUCTS = "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"

TUTORIAL = bnn.TrainConfig(score_images=10_000, device="cpu")


def describe(config: bnn.TrainConfig) -> str:
    """The settings that differ from the tutorial's training, as you would type them."""
    values = [(f.name, getattr(config, f.name), getattr(TUTORIAL, f.name)) for f in fields(config)]
    return "; ".join(f"{name}={typed(value)}" for name, value, default in values if value != default)


def typed(value: object) -> str:
    """A function by its name, a partial with its arguments, anything else by its repr."""
    if isinstance(value, partial):
        arguments = [*map(typed, value.args), *(f"{key}={typed(v)}" for key, v in value.keywords.items())]
        return f"{typed(value.func)}({', '.join(arguments)})"
    return getattr(value, "__name__", None) or repr(value)
