"""Exact gradients by enumeration, and what is known of the estimators beforehand."""

import pytest
import torch

from study import gradients


@pytest.fixture(scope="module")
def medians():
    return gradients.quality(networks=20).groupby("estimator").median()


def test_reinforce_has_no_bias_and_the_identity_has_much(medians):
    assert medians.loc["REINFORCE, baseline", "bias"] < 1e-9
    assert medians.loc["straight through, identity", "bias"] > medians.loc["straight through, window", "bias"] > 0.1


def test_a_sharper_relaxation_has_less_bias_and_more_variance(medians):
    soft, sharp = (medians.loc[f"Gumbel, temperature {t:g}"] for t in gradients.TEMPERATURES)
    assert sharp["bias"] < soft["bias"]
    assert sharp["deviation"] > soft["deviation"]


def test_the_window_is_exact_where_the_loss_is_nearly_a_straight_line():
    medians = gradients.quality(networks=20, scale=1e-4).groupby("estimator").median()
    assert medians.loc["straight through, window", ["bias", "deviation"]].max() < 1e-3


def test_the_score_times_the_loss_has_the_exact_gradient_as_its_mean(monkeypatch):
    seen = []
    monkeypatch.setattr(gradients, "_row", lambda *row: seen.append(row) or gradients.pd.DataFrame())
    gradients.quality(networks=3)
    (_, drawn, p, exact), *_ = seen[2:]  # of REINFORCE: the slope of log p times loss
    assert torch.allclose((p[..., None] * drawn).sum(dim=1), exact)
    assert (exact == 0).any()  # of units that are out of the window
    assert torch.allclose(p.sum(dim=1), torch.ones(3, dtype=p.dtype))


@pytest.mark.parametrize(("w", "expected"), [(0.3, (1.0, -0.2)), (0.0, (1.0, 1.0)), (-0.5, (1.0, 3.0))])
def test_slopes_of_a_loss_that_turns_between_the_signs(w, expected):
    """s² is 1 at both signs: the mean of s - 2 s² is w - 2, while the estimator sees 1 - 4 s."""
    assert gradients.slopes(lambda s: s - 2 * s**2, w) == pytest.approx(expected)
