"""Shared fixtures: MNIST and parts of it."""

import pytest
import torch
from datasets import first

import bnn_tutorial as bnn


@pytest.fixture(scope="session")
def full():
    return bnn.load_mnist()


@pytest.fixture(scope="session")
def subset(full):
    """4,000 images to train and 1,000 to test."""
    return first(full, 4000, 1000)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def tiny(subset):
    """200 images to train and 100 to test: enough to see a loop work."""
    return first(subset, 200, 100)
