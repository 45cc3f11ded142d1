"""Shared fixtures. No test reaches the network: MNIST is either where BNN_TUTORIAL_DATA says or the bundled subset."""

import os

import pytest
import torch

import bnn_tutorial as bnn


@pytest.fixture(scope="session")
def subset():
    return bnn.load_mnist(source="subset")


@pytest.fixture(scope="session")
def full():
    if not os.environ.get("BNN_TUTORIAL_DATA"):
        pytest.skip("needs the whole of MNIST: set BNN_TUTORIAL_DATA")
    return bnn.load_mnist(source="full")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def tiny(subset):
    """200 images to train and 100 to test: enough to see a loop work."""
    train_set, test_set = subset.train_images[:200], subset.test_images[:100]
    return bnn.Mnist(train_set, subset.train_labels[:200], test_set, subset.test_labels[:100], source="tiny")
