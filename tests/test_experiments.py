"""The runner goes on where it was, and the tables in git are whole and are what the recipes say."""

import pickle
import sys
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest
import torch

import bnn_tutorial as bnn
from experiments import choices, closing_the_gap, estimators, recipes, records, runner, teacher

EXPERIMENTS = [choices, estimators, closing_the_gap, records]


@pytest.fixture(params=EXPERIMENTS, ids=lambda module: module.__name__)
def experiment(request):
    return request.param


def test_every_run_has_its_row(experiment):
    table = pd.read_csv(experiment.RESULTS)
    expected = [(name, seed) for name, recipe in experiment.RECIPES.items() for seed in range(recipe.seeds)]
    assert list(zip(table["name"], table["seed"], strict=True)) == expected
    assert (table["epoch"] == table["name"].map({n: r.config.epochs for n, r in experiment.RECIPES.items()})).all()
    assert table["acc_test"].between(0.09, 1).all()
    assert (table["seconds"] > 0).all()


def test_every_recipe_reaches_another_process(experiment):
    for recipe in experiment.RECIPES.values():
        assert pickle.loads(pickle.dumps(recipe)).build.__class__ is recipe.build.__class__


def held_out(prefix):
    scores = pd.read_csv(choices.RESULTS).set_index("name")["acc_test"]
    return scores[scores.index.str.startswith(prefix)]


def test_the_recipes_take_what_was_best_on_held_out_images():
    config = recipes.TEN_EPOCHS.config
    assert held_out("learning rate").idxmax() == f"learning rate {config.learning_rate}"
    assert held_out("batches").max() <= held_out("learning rate").max()
    assert config.batch_size == 64


def tiny_images(source):
    subset = bnn.load_mnist(source="subset")
    return replace(subset, train_images=subset.train_images[:200], train_labels=subset.train_labels[:200])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run an experiment of two recipes on a few images, in this process, with these command-line arguments."""
    monkeypatch.setattr(runner, "images", tiny_images)
    one_epoch = runner.Recipe(replace(runner.TUTORIAL, epochs=1), partial(bnn.binary_mlp, (784, 10)), seeds=2)
    table = {"plain": one_epoch, "fast": recipes.changed(one_epoch, learning_rate=0.01)._replace(seeds=1)}

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["experiment", *arguments])
        runner.run_missing(tmp_path / "results.csv", table, processes=1)
        return pd.read_csv(tmp_path / "results.csv")

    return run


def test_runs_are_written_in_the_order_of_the_recipes(run, capsys):
    table = run()
    assert list(zip(table["name"], table["seed"], strict=True)) == [("plain", 0), ("plain", 1), ("fast", 0)]
    assert table.columns.tolist()[-2:] == ["seconds", "torch"]
    assert table["acc_test"].nunique() == 3
    assert "3 of 3" in capsys.readouterr().out


def test_what_has_a_row_is_not_run_again(run, capsys):
    assert len(run("fast")) == 1
    first = run()
    capsys.readouterr()
    pd.testing.assert_frame_equal(run(), first)
    assert " of " not in capsys.readouterr().out


def test_a_name_that_is_not_there_is_refused(run, capsys):
    with pytest.raises(SystemExit):
        run("slow")
    assert "invalid choice: 'slow'" in capsys.readouterr().err


def test_a_recipe_with_changes_keeps_the_rest():
    changed = recipes.changed(recipes.TEN_EPOCHS, epochs=3, network={"dropout": 0.5})
    assert changed.config == replace(recipes.TEN_EPOCHS.config, epochs=3)
    assert any(isinstance(module, torch.nn.Dropout) for module in changed.build())


def test_the_teacher_is_trained_once_and_read_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "images", tiny_images)
    monkeypatch.setattr(teacher, "cache_file", lambda source: tmp_path / "folder" / f"{source}.safetensors")
    monkeypatch.setattr(teacher, "CONFIG", replace(teacher.CONFIG, epochs=1))
    first = teacher.teacher.__wrapped__("full")
    monkeypatch.setattr(bnn, "train", None)  # from here on training would fail
    again = teacher.teacher.__wrapped__("full")
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert not any(p.requires_grad for p in again.parameters())
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["full.safetensors"]
