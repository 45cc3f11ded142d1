"""The runner goes on where it was, and the tables in git are whole and were computed with the recipes as they are."""

import itertools
import json
import pickle
import sys
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest
import torch
from datasets import first

import bnn_tutorial as bnn
from bnn_tutorial import packed
from study import (
    binarise,
    binarise_choices,
    choices,
    closing_the_gap,
    controls,
    estimators,
    pretrained,
    recipes,
    records,
    records_choices,
    runner,
    settings,
    teacher,
    windows,
    worth,
    worth_choices,
)

EXPERIMENTS = [choices, controls, estimators, windows, closing_the_gap, records, binarise_choices, binarise]
EXPERIMENTS += [worth_choices, worth, records_choices]


@pytest.fixture(params=EXPERIMENTS, ids=lambda module: module.__name__)
def experiment(request):
    return request.param


def test_every_run_has_its_row_and_was_computed_with_its_settings(experiment):
    table = pd.read_csv(experiment.RESULTS)
    recipes = experiment.RECIPES.items()
    expected = [(name, seed, recipe.settings()) for name, recipe in recipes for seed in range(recipe.seeds)]
    assert list(zip(table["name"], table["seed"], table["settings"], strict=True)) == expected
    assert table["epoch"].tolist() == [recipe.config.epochs for _, recipe in recipes for _ in range(recipe.seeds)]
    assert table["acc_test"].between(0.09, 1).all()


@pytest.mark.parametrize(
    ("experiment", "name", "deviation"),
    [(closing_the_gap, "tutorial", 0.008), (windows, "batch norm, scale 1, clip 1", 0.0016)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_stored_row_is_computed_again(experiment, name, deviation):
    """Bit for bit on a machine like the one that it comes from; on another, rounding leads to a row like any seed's."""
    stored = pd.read_csv(experiment.RESULTS).set_index(["name", "seed"]).loc[name, 0]
    row = runner._row(experiment.RECIPES[name], 0, False, None)
    assert row["acc_test"] == pytest.approx(stored["acc_test"], abs=4 * deviation)  # of the seeds


def test_choices_were_made_on_held_out_images_and_results_on_the_test_set(experiment):
    held_out = ", held out" if experiment.__name__.endswith("choices") else ""
    table = pd.read_csv(experiment.RESULTS)
    assert table["data"].tolist() == [experiment.RECIPES[name].data + held_out for name in table["name"]]


GOALS = dict(zip(records.RECIPES, [0.979, 0.990, 0.993, 0.982, 0.993], strict=True))
GOALS |= {"both binary, 10 epochs": 0.975, "both binary, 60 epochs": 0.980}


@pytest.mark.parametrize(("name", "goal"), GOALS.items())
def test_the_records_are_what_the_notebook_promises(name, goal):
    table = pd.concat(pd.read_csv(module.RESULTS) for module in (records, controls)).groupby("name")["acc_test"]
    assert table.get_group(name).mean() >= goal


def test_the_budgets_are_counted_as_summary_counts():
    for name, recipe in worth.RECIPES.items():
        kind, widths = name.split(", ", 1)[1], recipe.build.keywords["widths"]
        kind = next(k for k in sorted(worth.KINDS, key=len, reverse=True) if kind.startswith(f"{k}, "))
        stored = bnn.summary(recipe.build(generator=torch.Generator())).loc["total", "bytes_packed"]
        assert stored == worth.stored_bytes(kind, widths)
        if "bytes" in name:
            assert stored <= worth.BUDGETS[worth.CELLS.index(name.split(f"{kind}, ")[1].split(", aug")[0])]


def test_no_wider_network_would_fit_the_budget():
    for kind, budget, hidden in itertools.product(worth.KINDS, worth.BUDGETS, (1, 2)):
        widest = worth.widest(kind, budget, hidden)
        first = widest[1] if widest else 0
        assert worth.stored_bytes(kind, worth.shape(hidden, first + 1)) > budget


def test_the_best_candidate_is_known_once_all_were_tried(tmp_path):
    candidates, choices = {name: recipes.Recipe(seeds=n) for n, name in enumerate("abc")}, tmp_path / "choices.csv"
    assert runner.best(candidates, choices) is None
    pd.DataFrame({"name": ["a", "b"], "acc_test": [0.1, 0.3]}).to_csv(choices, index=False)
    assert runner.best(candidates, choices) is None
    pd.DataFrame({"name": ["a", "b", "c", "d"], "acc_test": [0.1, 0.3, 0.2, 0.9]}).to_csv(choices, index=False)
    assert runner.best(candidates, choices) is candidates["b"]
    assert runner.best({}, choices) is None


def test_int8_is_computed_of_the_float_networks_only():
    table = pd.read_csv(controls.RESULTS)
    is_float = table["name"].str.startswith("float")
    assert (table["acc_int8"].notna() == is_float).all()
    assert (table["acc_int8"] - table["acc_test"])[is_float].abs().max() < 0.005


def test_every_recipe_reaches_another_process(experiment):
    for recipe in experiment.RECIPES.values():
        assert pickle.loads(pickle.dumps(recipe)).settings() == recipe.settings()


AUGMENTED = recipes.changed(recipes.TEN_EPOCHS, augment=recipes.augment(1))
TAKEN = {  # of which group of choices, which is in the recipes
    "learning rate": recipes.TEN_EPOCHS,
    "batches of": recipes.TEN_EPOCHS,
    "dropout": recipes.TEN_EPOCHS,
    "ten epochs, cross_entropy": recipes.TEN_EPOCHS,
    "ten epochs, squared_hinge": closing_the_gap.RECIPES["squared hinge"],
    "tutorial, cross_entropy": closing_the_gap.RECIPES["tutorial, logit scale 0.1"],
    "tutorial, squared_hinge": closing_the_gap.RECIPES["tutorial, squared hinge"],
    "augmentation": AUGMENTED,
    "teacher": closing_the_gap.RECIPES["teacher"],
    "Bop": closing_the_gap.RECIPES["Bop"],
    "60 epochs": recipes.SIXTY_EPOCHS,
    "1-bit input": recipes.ONE_BIT_INPUT,
    "small convnet": recipes.changed(recipes.SMALL_CONVNET, epochs=15),
    "large convnet": recipes.changed(recipes.LARGE_CONVNET, epochs=10),
} | {name: controls.RECIPES[name] for name in recipes.CONTROLS}


@pytest.fixture(scope="module")
def scores():
    """Accuracy on held-out images, of seed 0 alone where that is all that there is."""
    return pd.read_csv(choices.RESULTS).groupby(["name", "settings"], sort=False)["acc_test"].mean().reset_index()


def test_every_choice_belongs_to_a_recipe(scores):
    groups = [[group for group in TAKEN if name.startswith(group)] for name in scores["name"]]
    assert all(len(group) == 1 for group in groups)
    assert {group for (group,) in groups} == set(TAKEN)


@pytest.mark.parametrize(("group", "recipe"), TAKEN.items())
def test_what_a_recipe_takes_is_within_a_standard_error_of_the_best(scores, group, recipe):
    best = scores["acc_test"][scores["name"].str.startswith(group)].max()
    taken = scores["acc_test"][scores["settings"] == recipe._replace(measure=None).settings()].max()
    assert taken >= best - (best * (1 - best) / 10_000) ** 0.5


@pytest.mark.parametrize("group", ["learning rate", "tutorial, cross_entropy", "1-bit input"])
def test_these_recipes_take_what_was_best_on_held_out_images(scores, group):
    best = scores.loc[scores["acc_test"][scores["name"].str.startswith(group)].idxmax(), "settings"]
    assert best == TAKEN[group].settings()


def tiny_images(name, held_out=False):
    """Few of them, so that an epoch is fast."""
    few = first(bnn.load_mnist(), 200, 1000)
    return bnn.hold_out(few, 50) if held_out else few


@pytest.fixture
def table():
    one_epoch = recipes.Recipe(replace(settings.TUTORIAL, epochs=1), partial(bnn.binary_mlp, (784, 10)), seeds=2)
    return {"plain": one_epoch, "fast": recipes.changed(one_epoch, learning_rate=0.01)._replace(seeds=1)}


@pytest.fixture
def run(tmp_path, monkeypatch, table):
    """Run an experiment of two recipes on a few images, in this process, with these command-line arguments."""
    monkeypatch.setattr(runner, "images", tiny_images)

    def run(*arguments, held_out=False):
        monkeypatch.setattr(sys, "argv", ["experiment", *arguments])
        runner.run_missing(tmp_path / "results.csv", table, held_out, processes=1)
        return pd.read_csv(tmp_path / "results.csv")

    return run


def test_runs_are_written_in_the_order_of_the_recipes(run, capsys):
    rows = run()
    assert list(zip(rows["name"], rows["seed"], strict=True)) == [("plain", 0), ("plain", 1), ("fast", 0)]
    assert rows["acc_test"].nunique() == 3
    assert (rows["seconds"] >= 0).all()
    assert "3 of 3" in capsys.readouterr().out


def test_what_has_a_row_is_not_run_again(run, capsys):
    assert len(run("fast")) == 1
    first = run()
    capsys.readouterr()
    pd.testing.assert_frame_equal(run(), first)
    assert " of " not in capsys.readouterr().out


def test_other_settings_are_another_run(run, table, capsys):
    first = run()
    table["fast"] = recipes.changed(table["fast"], learning_rate=0.02)
    capsys.readouterr()
    second = run()
    assert "1 of 1: fast" in capsys.readouterr().out
    assert first["settings"].iloc[2] != second["settings"].iloc[2]
    assert first["loss_train"].iloc[2] != second["loss_train"].iloc[2]


def test_choices_are_scored_on_other_images(run, table, tmp_path):
    full = run("plain")
    (tmp_path / "results.csv").unlink()
    held_out = run("plain", held_out=True)
    assert held_out["data"].unique().tolist() == ["first 200 of MNIST, held out"]
    assert (held_out["acc_test"] * 50 % 1).tolist() == pytest.approx([0, 0], abs=1e-6)  # a share of 50 images
    assert full["acc_test"].tolist() != held_out["acc_test"].tolist()


def interrupted_after(steps):
    """A loss with a Ctrl-C after so many steps; evaluation comes with more images at a time."""
    calls = iter(range(100))

    def loss(logits, targets):
        if len(targets) <= 128 and next(calls) == steps:
            raise KeyboardInterrupt
        return bnn.cross_entropy(logits, targets)

    return loss


def test_a_training_that_was_broken_off_leaves_no_row(run, table, tmp_path):
    table["plain"] = recipes.changed(table["plain"], epochs=3, loss=interrupted_after(5))
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="interrupted"):
        run("plain")
    assert not (tmp_path / "results.csv").exists()


def test_a_run_that_fails_does_not_take_the_others_with_it(tmp_path, monkeypatch, table):
    good = table["fast"]
    broken = good._replace(build=partial(bnn.binary_mlp, (784,)))
    monkeypatch.setattr(sys, "argv", ["experiment"])
    with pytest.raises(ExceptionGroup, match="1 of 2 runs failed"):
        runner.run_missing(tmp_path / "results.csv", {"broken": broken, "good": good}, processes=2)
    rows = pd.read_csv(tmp_path / "results.csv")
    assert rows["name"].tolist() == ["good"]
    assert "seconds" not in rows  # two at a time


def test_a_name_that_is_not_there_is_refused(run, capsys):
    with pytest.raises(SystemExit):
        run("slow")
    assert "invalid choice: 'slow'" in capsys.readouterr().err


def test_a_recipe_with_changes_keeps_the_rest():
    recipe = recipes.TEN_EPOCHS._replace(distilled=True, seeds=3)
    changed = recipes.changed(recipe, epochs=3, network={"dropout": 0.5})
    assert changed.config == replace(recipe.config, epochs=3)
    assert (changed.distilled, changed.seeds) == (True, 3)
    assert any(isinstance(module, torch.nn.Dropout) for module in changed.build())


def test_settings_say_what_is_not_as_in_the_tutorial():
    recipe = recipes.changed(recipes.TEN_EPOCHS, distilled=True, loss=partial(bnn.cross_entropy, scale=0.1))
    assert recipe.settings() == (
        "binary_mlp; learning_rate=0.003; clamp='step'; schedule=CosineAnnealingLR; "
        "loss=cross_entropy(scale=0.1); distilled"
    )
    assert recipes.Recipe().settings() == "tutorial_mlp"


class Stub:
    """A teacher's recipe that trains nothing, and keeps which images it was to train on."""

    def __init__(self):
        self.config, self.asked = replace(settings.TUTORIAL, epochs=1), []

    def train(self, seed, data):
        self.asked.append(data)
        return None, torch.nn.Linear(784, 10)


def test_taught_recipes_learn_from_one_teacher_that_has_not_seen_the_scored_images(run, table, monkeypatch):
    stub = Stub()
    monkeypatch.setattr(runner, "TEACHER", stub)
    table["distilled"] = table["plain"]._replace(distilled=True)
    rows = run(held_out=True).set_index("name")
    held_out = tiny_images("MNIST", held_out=True)
    assert [data.name for data in stub.asked] == [held_out.name]
    assert torch.equal(stub.asked[0].train_images, held_out.train_images)
    assert (rows.loc["distilled", "loss_train"].values > rows.loc["plain", "loss_train"].values).all()


def test_without_taught_recipes_no_teacher_is_trained(run, monkeypatch):
    monkeypatch.setattr(runner, "TEACHER", None)  # to ask it for anything would fail
    assert len(run()) == 3


def test_the_teacher_reaches_another_process():
    model = teacher.TEACHER.build(generator=torch.Generator().manual_seed(0)).eval()
    x = torch.rand(5, 784, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))


def test_the_images_of_choices_are_none_of_the_test_set(full):
    held_out = teacher.images("MNIST", held_out=True)
    assert torch.equal(held_out.test_images, full.train_images[50_000:])
    assert torch.equal(held_out.train_images, full.train_images[:50_000])


@pytest.fixture
def small():
    return recipes.Recipe(build=partial(bnn.binary_mlp, (784, 10)))


def test_training_writes_the_network_and_how_it_was_made(tiny, small, tmp_path, capsys):
    file = tmp_path / "new" / "model.safetensors"
    pretrained.train_and_save(file, small, tiny, "study.some")
    said = packed.PackedNetwork.load(file).provenance
    assert json.loads(capsys.readouterr().out.rpartition("\n")[0].rpartition("}")[0] + "}") == said
    assert (said["command"], said["seed"]) == ("python -m study.some", "0")
    assert said["data"] == "MNIST, 200 images to train, 100 to test"
    assert "teacher" not in said


def test_a_taught_network_says_how_its_teacher_was_trained(tiny, small, tmp_path):
    stub, file = Stub(), tmp_path / "model.safetensors"
    pretrained.train_and_save(file, small._replace(distilled=True), tiny, "study.some", stub)
    assert stub.asked == [tiny]
    assert packed.PackedNetwork.load(file).provenance["teacher"] == "epochs=1"
