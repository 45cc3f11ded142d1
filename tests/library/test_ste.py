"""The estimators against NumPy one-liners and closed forms that are written again here."""

from functools import partial

import numpy as np
import pytest
import torch

import bnn_tutorial as bnn

SIGNS = [bnn.sign, bnn.sign_ste, bnn.clipped_sign_ste, bnn.tanh_sign, bnn.approx_sign, bnn.swish_sign]
ALL = [*SIGNS, bnn.stochastic_sign_ste, bnn.hard_sigmoid]
TINY = torch.finfo(torch.float32).smallest_normal
# Exact zeros of both signs, the edges of every window, subnormals and the largest floats.
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, TINY / 8, -TINY / 8, 3e38, -3e38]


def points():
    return torch.cat([torch.tensor(EDGES), torch.linspace(-3, 3, 1001)])


def gradient(estimator, x, dy=None):
    """The surrogate's derivative at x, or the gradient passed back for the incoming gradient dy."""
    x = x.clone().requires_grad_()
    estimator(x).backward(torch.ones_like(x) if dy is None else dy)
    return x.grad


@pytest.mark.parametrize("estimator", SIGNS)
def test_forward_is_sign_with_plus_one_at_zero(estimator):
    x = points()
    np.testing.assert_array_equal(estimator(x).numpy(), np.where(x.numpy() >= 0, 1.0, -1.0))


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_sign_of_zero_is_plus_one(zero):
    assert bnn.sign(torch.tensor([zero])).item() == 1


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3, 5)])
def test_shape_dtype_and_device_are_kept(function, dtype, shape):
    x = torch.zeros(shape, dtype=dtype)
    y = function(x)
    assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)


@pytest.mark.parametrize("function", ALL)
def test_nan_in_nan_out(function):
    assert function(torch.tensor([torch.nan, 0.3])).isnan().tolist() == [True, False]


@pytest.mark.parametrize("function", ALL)
def test_input_is_left_alone(function):
    x = points()
    function(x)
    torch.testing.assert_close(x, points(), rtol=0, atol=0)


@pytest.mark.parametrize("function", SIGNS)
def test_views_that_are_not_contiguous_work(function):
    x = torch.linspace(-2, 2, 12).reshape(3, 4)
    torch.testing.assert_close(function(x.T), function(x).T, rtol=0, atol=0)


def inside(x, limit=1.0):
    return (np.abs(x) <= limit).astype(np.float64)


def swish_derivative(x, beta):
    with np.errstate(over="ignore", invalid="ignore"):
        value = beta * (2 - beta * x * np.tanh(beta * x / 2)) / (1 + np.cosh(beta * x))
    return np.where(np.abs(beta * x) > 300, 0.0, value)


CLOSED_FORMS = [
    (bnn.sign, lambda x: 0 * inside(x)),
    (bnn.sign_ste, lambda x: np.ones_like(x)),
    (bnn.stochastic_sign_ste, lambda x: np.ones_like(x)),
    (partial(bnn.stochastic_sign_ste, clip=1.0), inside),
    (bnn.hard_sigmoid, lambda x: inside(x) / 2),
    (bnn.clipped_sign_ste, inside),
    (partial(bnn.clipped_sign_ste, clip=0.5), lambda x: inside(x, 0.5)),
    (bnn.tanh_sign, lambda x: 1 - np.tanh(x) ** 2),
    (bnn.approx_sign, lambda x: np.where(inside(x), 2 - 2 * np.abs(x), 0.0)),
    (bnn.swish_sign, lambda x: swish_derivative(x, 5.0)),
    (partial(bnn.swish_sign, beta=2.0), lambda x: swish_derivative(x, 2.0)),
]


@pytest.mark.parametrize(("estimator", "derivative"), CLOSED_FORMS)
def test_gradient_is_the_closed_form(estimator, derivative):
    x = points().double()
    x = x[x.isfinite()]
    np.testing.assert_allclose(gradient(estimator, x).numpy(), derivative(x.numpy()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("estimator", "derivative"), CLOSED_FORMS)
def test_gradient_is_multiplied_by_the_incoming_one(estimator, derivative):
    x, dy = np.linspace(-2, 2, 101), np.linspace(-7, 5, 101)
    passed = gradient(estimator, torch.from_numpy(x), torch.from_numpy(dy))
    np.testing.assert_allclose(passed.numpy(), dy * derivative(x), atol=1e-12)


@pytest.mark.parametrize("estimator", SIGNS)
def test_gradient_is_finite_for_every_finite_float32(estimator):
    x = torch.tensor([-3.4e38, -1e30, -89.0, -17.7, -TINY / 8, 0.0, 17.8, 88.9, 1e30, 3.4e38])
    assert gradient(estimator, x).isfinite().all()


def test_stochastic_sign_is_plus_one_with_probability_hard_sigmoid(generator):
    x = torch.tensor([-0.8, -0.3, 0.0, 0.5, 0.9])
    draws = bnn.stochastic_sign_ste(x.expand(40_000, -1), generator)
    p = np.clip((x.numpy() + 1) / 2, 0, 1)
    tolerance = 5 * np.sqrt(p * (1 - p) / 40_000)  # five standard errors
    assert (np.abs((draws == 1).double().mean(dim=0).numpy() - p) < tolerance).all()
    assert set(draws.unique().tolist()) == {-1.0, 1.0}


def test_stochastic_sign_is_certain_from_one_on(generator):
    x = torch.tensor([-1.0, 1.0]).expand(100_000, 2)
    assert torch.equal(bnn.stochastic_sign_ste(x, generator), x)


def test_stochastic_sign_repeats_with_its_generator():
    first, second = (bnn.stochastic_sign_ste(torch.zeros(99), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.unique().numel() == 2


def test_hard_sigmoid_against_numpy():
    x = points()
    np.testing.assert_allclose(bnn.hard_sigmoid(x).numpy(), np.clip(x.numpy() / 2 + 0.5, 0, 1), atol=1e-7)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(("x", "came"), [(torch.tensor([1, 2]), "torch.int64"), (0.5, "float")])
def test_anything_but_a_float_tensor_is_refused(function, x, came):
    with pytest.raises(TypeError, match=f"expected a floating-point tensor, got .*{came}"):
        function(x)


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_window_and_steepness_must_be_positive(value):
    with pytest.raises(ValueError, match=f"clip must be positive, got {value}"):
        bnn.clipped_sign_ste(torch.zeros(1), clip=value)
    with pytest.raises(ValueError, match=f"beta must be positive, got {value}"):
        bnn.swish_sign(torch.zeros(1), beta=value)


@pytest.mark.parametrize("estimator", SIGNS)
def test_function_transforms_see_the_surrogate(estimator):
    x = torch.linspace(-2, 2, 9)
    per_sample = torch.func.vmap(torch.func.grad(estimator))(x)
    torch.testing.assert_close(per_sample, gradient(estimator, x))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # PyTorch's compiler does it, and warns of itself
@pytest.mark.parametrize("estimator", SIGNS)
def test_export_and_compilation_keep_values_and_gradients(estimator):
    class Layer(torch.nn.Module):
        def forward(self, x):
            return estimator(x)

    x = torch.linspace(-2, 2, 9)
    exported = torch.export.export(Layer(), (x,)).module()
    assert torch.equal(exported(x), estimator(x))
    compiled = torch.compile(estimator, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(gradient(compiled, x), gradient(estimator, x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter, which many still use
@pytest.mark.parametrize("estimator", SIGNS)
def test_the_old_exporter_of_onnx_keeps_the_signs(estimator, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra bench")

    class Layer(torch.nn.Module):
        def forward(self, x):
            return estimator(x)

    x = points()
    torch.onnx.export(Layer(), (x,), tmp_path / "sign.onnx", dynamo=False)
    session = onnxruntime.InferenceSession(tmp_path / "sign.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_array_equal(found, estimator(x).numpy())


def test_straight_through_has_the_values_of_one_and_the_gradient_of_the_other():
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    y = bnn.straight_through(x.round(), x**3)
    assert torch.equal(y, x.round())
    torch.testing.assert_close(gradient(lambda x: bnn.straight_through(x.round(), x**3), x), 3 * x**2)


def test_most_likely_replaces_the_draw_and_nothing_else():
    with_generator = partial(bnn.stochastic_sign_ste, generator=torch.Generator())
    assert bnn.most_likely(bnn.stochastic_sign_ste) is bnn.most_likely(with_generator) is bnn.sign_ste
    assert bnn.most_likely(bnn.approx_sign) is bnn.approx_sign


@pytest.mark.parametrize("in_dims", [(None, 0), (0, None), (0, 0)])
def test_straight_through_works_where_one_side_is_batched(in_dims):
    q, x = torch.randn(3, 4), torch.randn(3, 4)
    sides = [t if d == 0 else t[0] for t, d in zip((q, x), in_dims, strict=True)]
    y = torch.func.vmap(bnn.straight_through, in_dims)(*sides)
    assert torch.equal(y, q if in_dims[0] == 0 else q[0].expand(3, 4))
    slope = torch.func.vmap(torch.func.grad(lambda q, x: bnn.straight_through(q, x**2).sum(), argnums=1), in_dims)
    torch.testing.assert_close(slope(*sides), 2 * (x if in_dims[1] == 0 else x[0].expand(3, 4)))


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_random_signs_of_one_tensor_can_be_drawn_in_a_batch(randomness):
    x = torch.zeros(50)
    draw = torch.func.vmap(lambda _: bnn.stochastic_sign_ste(x), randomness=randomness)
    y = draw(torch.zeros(20))
    assert y.shape == (20, 50)
    assert y.unique().tolist() == [-1, 1]
    assert (y == y[0]).all() == (randomness == "same")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script. is deprecated")  # PyTorch's forward mode uses it itself
@pytest.mark.parametrize("estimator", [*SIGNS, bnn.stochastic_sign_ste, bnn.quantised_relu])
def test_transforms_of_torch_func_agree_with_backward(estimator):
    x = torch.linspace(-2, 2, 9)
    expected = gradient(estimator, x)
    torch.testing.assert_close(torch.func.grad(lambda x: estimator(x).sum())(x), expected)
    _, forward_mode = torch.func.jvp(estimator, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(forward_mode, expected)
    torch.testing.assert_close(torch.func.jacrev(estimator)(x), expected.diag())
    torch.testing.assert_close(torch.func.jacfwd(estimator, randomness="same")(x), expected.diag())
