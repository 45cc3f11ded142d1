"""Shared fixtures: MNIST and parts of it; and the order of the tests."""

import pytest
import torch
from datasets import first

import bnn_tutorial as bnn


def pytest_collection_modifyitems(items):
    """What takes long comes first: of two processes, none works alone in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(("notebooks/", "tests/web/")))


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
