"""The loop: what the table holds, what is repeatable, what a broken-off run leaves, what is refused."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import bnn_tutorial as bnn

CosineAnnealingLR = torch.optim.lr_scheduler.CosineAnnealingLR
COLUMNS = ["epoch", "loss_train", "loss_test", "acc_train", "acc_test", "flip_ratio", "seconds"]


def train(data, model=None, **settings):
    return bnn.train(bnn.TrainConfig(**{"epochs": 2, "device": "cpu"} | settings), data, model, progress=False)


def test_table_has_a_row_an_epoch(tiny):
    history, _ = train(tiny, epochs=3)
    assert history.columns.tolist() == COLUMNS
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history[["acc_train", "acc_test", "flip_ratio"]].stack().between(0, 1).all()


def test_training_learns(subset):
    history, _ = train(subset, epochs=3)
    assert history["loss_train"].is_monotonic_decreasing
    assert history["acc_test"].iloc[-1] > 0.6  # 0.1 is chance


def test_sign_without_an_estimator_learns_nothing_before_the_last_layer(tiny):
    model = bnn.binary_mlp(activation=bnn.sign, normalise=False)
    before = [layer.weight.clone() for layer in model]
    train(tiny, model, clamp=None)
    assert [torch.equal(w, layer.weight) for w, layer in zip(before, model, strict=True)] == [True, True, False]


def test_same_seed_same_table_and_weights(tiny):
    (first, one), (second, two) = train(tiny, seed=7), train(tiny, seed=7)
    pd.testing.assert_frame_equal(first.drop(columns="seconds"), second.drop(columns="seconds"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_another_seed_another_table(tiny):
    assert not np.array_equal(train(tiny, seed=1)[0]["loss_train"], train(tiny, seed=2)[0]["loss_train"])


def test_seed_reaches_everything_random_and_leaves_the_global_generator_alone(tiny):
    def run():
        model = bnn.binary_mlp(
            activation=bnn.stochastic_sign_ste, normalise=False, generator=torch.Generator().manual_seed(0)
        )
        return train(tiny, model)[0]["loss_train"].tolist()

    state = torch.get_rng_state()
    first = run()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert run() == first


def test_last_row_is_the_returned_model(tiny):
    history, model = train(tiny)
    loss, accuracy = bnn.evaluate(model, tiny.test_images, tiny.test_labels)
    assert (loss, accuracy) == tuple(history[["loss_test", "acc_test"]].iloc[-1])


@pytest.mark.parametrize("clamp", ["epoch", "step", None])
def test_last_row_is_the_returned_model_where_sizes_of_weights_count(tiny, clamp):
    model = bnn.binary_mlp(forward_map=bnn.scaled_binary_linear, normalise=False)
    history, _ = train(tiny, model, clamp=clamp, learning_rate=0.5)
    again = bnn.evaluate(model, tiny.test_images, tiny.test_labels)
    assert again == tuple(history[["loss_test", "acc_test"]].iloc[-1])


FREEZE = {
    "frozen and in eval mode": lambda m: m[0].requires_grad_(False).eval(),
    "norm in eval mode, the rest frozen": lambda m: (m[0].requires_grad_(False), m[0].norm.eval()),
    "frozen, then all in eval mode": lambda m: (m[0].requires_grad_(False), m.eval()),
}


@pytest.mark.parametrize("how", FREEZE)
@pytest.mark.parametrize("optimizer", [bnn.adam, bnn.Bop])
@pytest.mark.parametrize("clamp", ["epoch", "step"])
def test_frozen_parts_stay_as_they_are(tiny, how, optimizer, clamp):
    model = bnn.binary_mlp((784, 20, 20, 10))
    nn.init.uniform_(model[0].weight, -3, 3)
    FREEZE[how](model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(tiny, model, clamp=clamp, optimizer=optimizer)
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"1", "2"}
    assert [m.training for m in (model, model[0].norm, model[1].norm)] == [True, False, True]


def test_a_norm_in_eval_mode_keeps_its_statistics_while_the_rest_trains(tiny):
    model = bnn.binary_mlp((784, 20, 10))
    model[0].norm.eval()
    train(tiny, model)
    assert model[0].norm.num_batches_tracked == 0 < model[1].norm.num_batches_tracked


def test_a_network_in_eval_mode_is_trained(tiny):
    model = bnn.binary_mlp((784, 20, 10)).eval()
    train(tiny, model)
    assert all(layer.norm.num_batches_tracked > 0 for layer in model)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_types_are_trained_and_evaluated(tiny, dtype):
    model = bnn.binary_mlp((784, 20, 10), dropout=0.1).to(dtype)
    history, _ = train(tiny, model, learning_rate=0.01, epochs=5, teacher=bnn.tutorial_mlp())
    assert history["loss_train"].notna().all()
    assert model[0].weight.dtype == dtype


def test_a_default_type_of_64_bits_is_followed(tiny):
    torch.set_default_dtype(torch.float64)
    try:
        history, model = train(tiny, augment=bnn.random_affine, teacher=bnn.binary_mlp())
    finally:
        torch.set_default_dtype(torch.float32)
    assert model[0].weight.dtype == torch.float64
    assert history.notna().all(axis=None)


class NoFloat64(TorchDispatchMode):
    """The CPU as a device without float64, as Apple's GPU is one."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if any(isinstance(x, torch.Tensor) and x.dtype == torch.float64 for x in tree_leaves(result)):
            raise TypeError(f"{function}: this device has no float64")
        return result


@pytest.mark.parametrize("optimizer", [bnn.adam, bnn.Bop])
def test_a_device_without_float64_is_enough(tiny, optimizer):
    model = bnn.binary_convnet((4,), (9,), (10,))
    settings = {"augment": bnn.random_affine, "teacher": bnn.binary_mlp(), "loss": bnn.squared_hinge}
    with NoFloat64():
        history, _ = train(tiny, model, optimizer=optimizer, **settings)
        bnn.summary(model)
    assert history.notna().all(axis=None)


def test_evaluation_of_no_images_or_too_few_labels_is_refused(tiny):
    for images, labels in ((0, 0), (5, 4)):
        with pytest.raises(ValueError, match=f"expected at least one image, .*, got {images} and {labels}"):
            bnn.evaluate(bnn.tutorial_mlp(), tiny.test_images[:images], tiny.test_labels[:labels])


def test_a_network_without_parameters_is_evaluated(tiny):
    assert bnn.evaluate(nn.Flatten(), tiny.test_images, tiny.test_labels)[1] < 0.1


def test_checks_move_nothing(tiny):
    teacher = Oracle(digit=0, classes=3)
    teacher.to = lambda *_: pytest.fail("moved")
    model = bnn.tutorial_mlp()
    model.to = teacher.to
    with pytest.raises(ValueError, match="labels must be"):
        train(tiny, model, teacher=teacher)


@pytest.mark.parametrize(("clamp", "bounded"), [("epoch", True), ("step", True), (None, False)])
def test_clamp_bounds_the_latent_weights(tiny, clamp, bounded):
    _, model = train(tiny, clamp=clamp, learning_rate=0.5)
    largest = max(layer.weight.abs().max().item() for layer in model)
    assert (largest <= 1) == bounded


def test_clamping_each_step_differs_from_clamping_each_epoch(tiny):
    tables = [train(tiny, clamp=clamp, learning_rate=0.7)[0]["loss_train"] for clamp in ("step", "epoch")]
    assert not np.array_equal(*tables)


def test_flip_ratio_is_the_share_of_changed_signs(tiny):
    model = bnn.tutorial_mlp()
    before = torch.cat([layer.weight.detach().flatten() for layer in model])
    history, _ = train(tiny, model, epochs=1, clamp=None)
    after = torch.cat([layer.weight.detach().flatten() for layer in model])
    expected = ((before >= 0) != (after >= 0)).double().mean().item()
    assert 0 < history["flip_ratio"].item() == pytest.approx(expected, rel=1e-5)


def test_a_network_without_binary_layers_trains_too(tiny):
    history, _ = train(tiny, nn.Sequential(nn.Linear(784, 10)))
    assert history["flip_ratio"].isna().all()
    assert history["loss_train"].is_monotonic_decreasing


def test_every_image_is_seen_once_an_epoch(tiny):
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.append(x)
            return super().forward(x)

    train(tiny, Spy(784, 10), epochs=1, batch_size=64)
    assert [len(x) for x in seen] == [50, 50, 50, 50]  # 200 images in equal parts of at most 64
    assert torch.cat(seen).sort(dim=0).values.equal(bnn.scale_pixels(tiny.train_images).sort(dim=0).values)


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_evaluation_covers_all_images_whatever_the_batch(tiny, batch_size, generator):
    model = bnn.tutorial_mlp(generator=generator).double()
    images, labels = tiny.test_images[:99], tiny.test_labels[:99]
    model = Doubled(model)
    logits = model(bnn.scale_pixels(images)).detach().numpy()
    log_p = (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )
    loss, accuracy = bnn.evaluate(model, images, labels, batch_size)
    assert loss == pytest.approx(-log_p[np.arange(99), labels].mean())
    assert accuracy == (logits.argmax(1) == labels.numpy()).mean()


class Doubled(nn.Module):
    """A network in float64, for an evaluation without rounding to speak of."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x.double())


@pytest.mark.parametrize("training_mode", [True, False])
def test_evaluation_leaves_the_mode_as_it_was(tiny, training_mode):
    model = bnn.tutorial_mlp().train(training_mode)
    bnn.evaluate(model, tiny.test_images, tiny.test_labels)
    assert model.training == training_mode


def interrupt_in_epoch(number):
    """A loss with a Ctrl-C at the third step of an epoch; each has four steps and two evaluations."""
    calls = iter(range(1000))

    def loss(logits, targets):
        if next(calls) == (number - 1) * 6 + 2:
            raise KeyboardInterrupt
        return bnn.cross_entropy(logits, targets)

    return loss


def test_ctrl_c_keeps_the_epochs_done_and_the_model_as_it_was_then(tiny):
    with pytest.warns(UserWarning, match="interrupted: kept the 2 epochs that were done"):
        history, model = train(tiny, epochs=9, loss=interrupt_in_epoch(3))
    whole, expected = train(tiny, epochs=2)
    assert history.drop(columns="seconds").equals(whole.drop(columns="seconds"))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))


def test_ctrl_c_in_the_first_epoch_is_passed_on(tiny):
    with pytest.raises(KeyboardInterrupt):
        train(tiny, loss=interrupt_in_epoch(1))


def rates_seen(data, **settings):
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            super().step(closure)

    train(data, optimizer=lambda model, rate: Spy(model.parameters(), rate), **settings)
    return rates


def test_a_scheduler_of_pytorch_steps_after_each_batch(tiny):
    rates = rates_seen(tiny, schedule=CosineAnnealingLR, batch_size=50, learning_rate=1.0)
    assert rates == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])
    assert rates_seen(tiny, batch_size=50, learning_rate=1.0) == [1.0] * 8


def test_bop_trains_without_latent_weights(subset):
    model = bnn.binary_mlp((784, 100, 10))
    settings = {"optimizer": partial(bnn.Bop, adaptivity=1e-3, threshold=1e-7), "learning_rate": 0.01}
    history, _ = train(subset, model, **settings)
    assert history["acc_test"].iloc[-1] > 0.7
    assert all(set(layer.weight.unique().tolist()) == {-1.0, 1.0} for layer in model)


@pytest.mark.parametrize("loss", [bnn.squared_hinge, partial(bnn.cross_entropy, scale=0.1)])
def test_table_shows_the_loss_that_was_asked_for(tiny, loss):
    history, model = train(tiny, loss=loss)
    with bnn.eval_mode(model):
        expected = loss(model(bnn.scale_pixels(tiny.test_images)), tiny.test_labels).item()
    assert history["loss_test"].iloc[-1] == pytest.approx(expected, rel=1e-5)


def test_training_scores_can_be_taken_over_the_first_images(tiny):
    history, model = train(tiny, score_images=30)
    expected = bnn.evaluate(model, tiny.train_images[:30], tiny.train_labels[:30])
    assert tuple(history[["loss_train", "acc_train"]].iloc[-1]) == expected
    whole, _ = train(tiny)
    assert history["loss_test"].tolist() == whole["loss_test"].tolist()


class Oracle(nn.Module):
    """A teacher that always says the same, behind layers that would give training away; it keeps what it was asked."""

    def __init__(self, digit, classes=10):
        super().__init__()
        self.logits = nn.Parameter(10 * torch.eye(classes)[digit])
        self.norm, self.dropout = nn.BatchNorm1d(784), nn.Dropout()
        self.asked = []

    def forward(self, x):
        assert torch.equal(self.dropout(x), x)
        self.norm(x)
        self.asked.append(x)
        return self.logits.expand(len(x), -1)


def test_the_teacher_replaces_the_labels(tiny):
    teacher = Oracle(digit=7)
    _, model = train(tiny, teacher=teacher, epochs=3, learning_rate=0.01)
    with bnn.eval_mode(model):
        predictions = model(bnn.scale_pixels(tiny.test_images)).argmax(dim=1)
    assert (predictions == 7).float().mean() > 0.9
    assert teacher.logits.grad is None
    assert teacher.training
    assert teacher.norm.num_batches_tracked == 0


def test_the_teacher_sees_each_image_once_or_each_augmented_one(tiny):
    once, always = Oracle(0), Oracle(0)
    tables = [train(tiny, teacher=once)[0], train(tiny, teacher=always, augment=torch.clone)[0]]
    counts = [sum(map(len, teacher.asked)) for teacher in (once, always)]
    assert counts == [1 + 200, 1 + 2 * 200]  # one image tells whether it fits
    train(tiny, teacher=always, augment=torch.zeros_like, epochs=1)
    assert not torch.cat(always.asked[-4:]).any()
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables))


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_temperature_softens_teacher_and_pupil(tiny, temperature):
    seen = []

    def loss(logits, targets):
        seen.append((logits, targets))
        return bnn.cross_entropy(logits, targets)

    pupil = nn.Linear(784, 10)
    nn.init.zeros_(pupil.weight)
    nn.init.constant_(pupil.bias, 3.0)
    train(tiny, pupil, teacher=Oracle(digit=7), temperature=temperature, loss=loss, epochs=1)
    logits, targets = seen[0]
    torch.testing.assert_close(targets[0], torch.softmax(10 * torch.eye(10)[7] / temperature, dim=0))
    torch.testing.assert_close(logits[0], torch.full((10,), 3.0 / temperature))


def test_noise_is_independent_of_the_start():
    """Both follow the seed, but not from the same random numbers."""
    images, labels = torch.randint(256, (64, 784), dtype=torch.uint8), torch.arange(64) % 10
    agree = []

    def spy(layer, x):
        drawn = bnn.stochastic_sign_ste(layer.weight * 0)  # a fair coin for each weight
        agree.append((drawn == bnn.sign(layer.weight)).float().mean().item())
        return nn.functional.linear(x, layer.weight)

    model = nn.Sequential(bnn.GenDense(784, 10, forward_map=spy, generator=torch.Generator().manual_seed(0)))
    train(bnn.LabelledImages(images, labels, images, labels), model, epochs=1)
    assert all(0.45 < share < 0.55 for share in agree)


@pytest.mark.parametrize("schedule", [None, CosineAnnealingLR])
def test_an_optimiser_of_pytorch_can_be_used(tiny, schedule):
    def adam(model, rate):
        return torch.optim.Adam(model.parameters(), rate)

    settings = {"schedule": schedule, "learning_rate": 0.01}
    ours, theirs = train(tiny, **settings)[0], train(tiny, optimizer=adam, **settings)[0]
    assert theirs["acc_test"].tolist() == pytest.approx(ours["acc_test"].tolist(), abs=0.02)
    assert theirs["loss_train"].tolist() == pytest.approx(ours["loss_train"].tolist(), rel=0.02)


def test_augmentation_reaches_training_and_not_evaluation(tiny):
    history, model = train(tiny, augment=torch.zeros_like, epochs=1)
    assert (history["loss_test"].iloc[-1], history["acc_test"].iloc[-1]) == bnn.evaluate(
        model, tiny.test_images, tiny.test_labels
    )
    batches = []
    train(tiny, augment=lambda x: batches.append(x) or x, epochs=1)
    assert sum(map(len, batches)) == 200
    assert all(x.dtype == torch.float32 and 0 <= x.min() <= x.max() == 1 for x in batches)


def test_random_augmentation_follows_the_seed(tiny):
    tables = [train(tiny, augment=bnn.random_affine, seed=seed)[0]["loss_train"].tolist() for seed in (1, 1, 2)]
    assert tables[0] == tables[1] != tables[2]


def test_a_teacher_of_other_classes_is_refused(tiny):
    with pytest.raises(ValueError, match="labels must be from 0 to 2, the classes of Oracle, got 0 to 9"):
        train(tiny, teacher=Oracle(0, classes=3))


@pytest.mark.parametrize("progress", [True, False])
def test_the_bar_can_be_turned_off(tiny, progress, capsys):
    bnn.train(bnn.TrainConfig(epochs=1), tiny, progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("100%" in err) == progress


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number, at least 1, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number, at least 1, got 2.5"),
        ({"batch_size": -64}, "batch_size must be a whole number, at least 1, got -64"),
        ({"learning_rate": -1e-3}, "learning_rate must be positive and finite, got -0.001"),
        ({"learning_rate": 0}, "learning_rate must be positive and finite, got 0"),
        ({"learning_rate": math.nan}, "learning_rate must be positive and finite, got nan"),
        ({"learning_rate": math.inf}, "learning_rate must be positive and finite, got inf"),
        ({"learning_rate": "fast"}, "learning_rate must be positive and finite, got 'fast'"),
        ({"epochs": True}, "epochs must be a whole number, at least 1, got True"),
        ({"temperature": 0}, "temperature must be positive and finite, got 0"),
        ({"score_images": 0}, "score_images must be None or a whole number, at least 1, got 0"),
        ({"schedule": "linear"}, "schedule must be None or a function, got 'linear'"),
        ({"loss": "hinge"}, "loss must be a function, got 'hinge'"),
        ({"optimizer": None}, "optimizer must be a function, got None"),
        ({"augment": 3}, "augment must be None or a function, got 3"),
        ({"teacher": bnn.sign}, "teacher must be None or a network, got <function sign"),
        ({"clamp": "always"}, "clamp must be .* got 'always'"),
        ({"device": "nonsense"}, "device must be one that PyTorch has here, got 'nonsense'"),
        ({"device": 3.5}, "device must be one that PyTorch has here, got 3.5"),
        ({"seed": -1}, "seed must be a whole number .* got -1"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(setting, message):
    with pytest.raises(ValueError, match=message):
        bnn.TrainConfig(**setting)


@pytest.mark.parametrize(("split", "label"), [("train", 10), ("test", 10), ("train", -1)])
def test_labels_out_of_range_are_refused(tiny, split, label):
    labels = {"train": tiny.train_labels.clone(), "test": tiny.test_labels.clone()}
    labels[split][3] = label
    data = bnn.LabelledImages(tiny.train_images, labels["train"], tiny.test_images, labels["test"])
    with pytest.raises(ValueError, match=rf"labels must be from 0 to 9, the classes of Sequential, got .*{label}"):
        train(data)


def test_images_of_the_wrong_size_are_refused(tiny):
    data = bnn.LabelledImages(
        tiny.train_images[:, :100], tiny.train_labels, tiny.test_images[:, :100], tiny.test_labels
    )
    with pytest.raises(ValueError, match=r"GenDense expects float x of shape \(\.\.\., 784\), got .*\(1, 100\)"):
        train(data)


@pytest.mark.parametrize("model", [nn.Sequential(nn.Identity()), bnn.tutorial_mlp().requires_grad_(False)])
def test_a_model_with_nothing_to_train_is_refused(tiny, model):
    with pytest.raises(ValueError, match="has no parameters to train"):
        train(tiny, model)


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert bnn.TrainConfig(epochs=np.int64(3)).epochs == 3


def test_refused_data_leave_the_model_as_it_was(tiny):
    model = bnn.binary_mlp((100, 10), normalise=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="GenDense expects"):
        train(tiny, model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_defaults_are_those_of_the_tutorial():
    config = bnn.TrainConfig()
    assert (config.epochs, config.learning_rate, config.batch_size, config.clamp) == (10, 0.0003, 64, "epoch")
