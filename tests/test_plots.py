"""Plots are read back from their Axes: the numbers drawn are the numbers given."""

import matplotlib as mpl
import numpy as np
import pytest
import torch

import bnn_tutorial as bnn
from bnn_tutorial import plots

mpl.use("agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


def test_estimator_plot_draws_forward_and_gradient(ax):
    assert plots.plot_estimator(bnn.approx_sign, limit=2.0, ax=ax) is ax
    forward, gradient = ax.lines
    x = np.linspace(-2, 2, 2001, dtype=np.float32)
    np.testing.assert_allclose(forward.get_ydata(), np.where(forward.get_xdata() >= 0, 1, -1))
    np.testing.assert_allclose(gradient.get_ydata(), np.clip(2 - 2 * np.abs(x), 0, None), atol=1e-5)
    assert ax.get_xlabel() == "x"


@pytest.mark.parametrize(("quantity", "unit"), [("loss", "nats"), ("acc", "share")])
def test_history_plot_draws_the_columns_and_the_reference(ax, quantity, unit):
    table = bnn.bender_history()
    plots.plot_history(table.head(4), quantity, reference=table, ax=ax)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["Bender.jl, test set", "training set", "test set"]
    assert ax.lines[1].get_ydata().tolist() == table[f"{quantity}_train"].tolist()[:4]
    assert ax.lines[0].get_ydata().tolist() == table[f"{quantity}_test"].tolist()
    assert unit in ax.get_ylabel()


def test_history_plot_refuses_an_unknown_quantity():
    with pytest.raises(ValueError, match='quantity must be "loss" or "acc", got \'f1\''):
        plots.plot_history(bnn.bender_history(), "f1")


def test_weights_are_tiles_row_by_row():
    weight = torch.arange(3 * 4).reshape(3, 4).float()
    (image,) = plots.plot_weights(weight, columns=2).images
    picture = np.ma.filled(image.get_array().astype(float), np.nan)
    assert picture[:2, :2].tolist() == [[0, 1], [2, 3]]
    assert picture[:2, 4:6].tolist() == [[4, 5], [6, 7]]
    assert picture[4:6, :2].tolist() == [[8, 9], [10, 11]]
    assert np.isnan(picture[2:4]).all()


def test_predictions_mark_exactly_the_mistakes():
    images, labels = torch.zeros(3, 784, dtype=torch.uint8), torch.tensor([1, 2, 3])
    ax = plots.plot_predictions(images, labels, torch.tensor([1, 7, 3]))
    assert [text.get_text() for text in ax.texts] == ["1", "7, not 2", "3"]
    assert len(ax.patches) == 1


@pytest.mark.parametrize("shape", [(784,), (3, 783), (2, 28, 28)])
def test_pictures_must_be_square_rows(shape):
    with pytest.raises(ValueError, match="square images in rows"):
        plots.plot_weights(torch.zeros(shape))


def test_a_new_figure_is_made_where_none_is_given():
    assert plots.plot_history(bnn.bender_history()).figure.number in plt.get_fignums()
