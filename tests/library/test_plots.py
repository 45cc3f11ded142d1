"""Plots are read back from their Axes: the numbers drawn are the numbers given."""

import matplotlib as mpl
import numpy as np
import pandas as pd
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
    assert [text.get_color() == plots.VERMILION for text in ax.texts] == [False, True, False]


def runs():
    rows = [("plain", 0, 0.8), ("plain", 1, 0.9), ("better", 0, 0.95), ("better", 1, 0.97), ("once", 0, 0.5)]
    return pd.DataFrame(rows, columns=["name", "seed", "acc_test"])


def test_runs_show_each_seed_the_mean_and_the_deviation(ax):
    plots.plot_runs(runs(), reference="plain", ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["plain", "better", "once"]
    assert ax.lines[0].get_xdata() == pytest.approx([0.85, 0.85])  # the reference
    assert ax.lines[1].get_xdata().tolist() == [0.8, 0.9]
    bars = [bar.get_segments()[0][:, 0] for bar in ax.collections]
    spread = 0.1 / np.sqrt(2)
    np.testing.assert_allclose(bars[0], [0.85 - spread, 0.85 + spread])
    np.testing.assert_allclose(bars[2], [0.5, 0.5])
    assert [text.get_text().strip() for text in ax.texts] == ["0.850", "0.960", "0.500"]
    assert ax.yaxis_inverted()


def test_runs_refuse_a_reference_that_is_not_there():
    with pytest.raises(ValueError, match="reference must be one of 'plain', 'better', 'once', got 'Bender'"):
        plots.plot_runs(runs(), reference="Bender")


def test_decision_shows_the_class_at_each_place(ax):
    def right_of_the_middle(x):
        return torch.stack([-x[:, 0], x[:, 0]], dim=1)

    points = torch.tensor([[0.5, 1.0], [-1.0, -1.0]])
    plots.plot_decision(right_of_the_middle, points, torch.tensor([1, 0]), limit=2.0, ax=ax)
    (image,) = ax.images
    classes = image.get_array()
    assert (*ax.get_xlim(), *ax.get_ylim()) == (-2, 2, -2, 2)
    assert classes[:, :100].max() == 0
    assert classes[:, 101:].min() == 1
    assert np.diff(image.get_extent()[:2]) / 201 == pytest.approx(0.02)  # a place every 0.02
    np.testing.assert_allclose(ax.collections[0].get_offsets(), points)


def test_latent_weights_are_shares_over_a_common_range(ax):
    snapshots = {"start": torch.zeros(10), "end": torch.tensor([[-1.0, 1.0], [1.0, 1.0]], requires_grad=True)}
    plots.plot_latent_weights(snapshots, bins=3, ax=ax)
    first, last = (patch.get_data() for patch in ax.patches)
    assert first.values.tolist() == [0, 1, 0]
    assert last.values.tolist() == [0.25, 0, 0.75]
    np.testing.assert_allclose(first.edges, [-1, -1 / 3, 1 / 3, 1], rtol=1e-6)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["start", "end"]


@pytest.mark.parametrize("shape", [(784,), (3, 783), (2, 28, 28)])
def test_pictures_must_be_square_rows(shape):
    with pytest.raises(ValueError, match="square images in rows"):
        plots.plot_weights(torch.zeros(shape))


def test_a_new_figure_is_made_where_none_is_given():
    assert plots.plot_history(bnn.bender_history()).figure.number in plt.get_fignums()
