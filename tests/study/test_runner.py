"""The runner goes on where it was; a recipe says what it is; the teacher knows no image that is scored."""

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
from study import images, pretrained, recipes, runner, settings, teacher


def tiny_images(name, held_out=False):
    """Few of them, so that an epoch is fast."""
    few = replace(first(bnn.load_mnist(), 200, 1000), name=name)
    return bnn.hold_out(few, 50) if held_out else few


@pytest.fixture
def table():
    one_epoch = recipes.Recipe(replace(settings.TUTORIAL, epochs=1), partial(bnn.binary_mlp, (784, 10)), seeds=2)
    return {"plain": one_epoch, "fast": recipes.changed(one_epoch, learning_rate=0.01)._replace(seeds=1)}


@pytest.fixture
def run(tmp_path, monkeypatch, table):
    """Run a study of two recipes on a few images, in this process, with these command-line arguments."""
    monkeypatch.setattr(runner, "images", tiny_images)

    def run(*arguments, held_out=False):
        monkeypatch.setattr(sys, "argv", ["study", *arguments])
        runner.run_missing(tmp_path / "results.csv", table, held_out, processes=1)
        return pd.read_csv(tmp_path / "results.csv")

    return run


def test_runs_are_written_in_the_order_of_the_recipes(run, capsys):
    rows = run()
    assert list(zip(rows["name"], rows["seed"], strict=True)) == [("plain", 0), ("plain", 1), ("fast", 0)]
    assert rows["acc_test"].nunique() == 3
    assert rows["seconds"].notna().all()
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


def test_other_data_are_another_run(run, table, capsys):
    first = run()
    table["fast"] = table["fast"]._replace(data="FashionMNIST")
    capsys.readouterr()
    assert run()["data"].tolist() == [*first["data"][:2], "FashionMNIST"]
    assert "1 of 1: fast" in capsys.readouterr().out
    run(held_out=True)
    assert "3 of 3" in capsys.readouterr().out


def test_choices_are_scored_on_other_images(run, table, tmp_path):
    full = run("plain")
    (tmp_path / "results.csv").unlink()
    held_out = run("plain", held_out=True)
    assert held_out["data"].unique().tolist() == ["MNIST, held out"]
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


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_fails_does_not_take_the_others_with_it(tmp_path, monkeypatch, table, processes):
    good = table["fast"]
    broken = good._replace(build=partial(bnn.binary_mlp, (784,)))
    monkeypatch.setattr(sys, "argv", ["study"])
    with pytest.raises(ExceptionGroup, match="1 of 2 runs failed"):
        runner.run_missing(tmp_path / "results.csv", {"broken": broken, "good": good}, processes=processes)
    rows = pd.read_csv(tmp_path / "results.csv")
    assert rows["name"].tolist() == ["good"]
    assert ("seconds" in rows) == (processes == 1)


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


def test_distilled_recipes_learn_from_one_teacher_that_has_not_seen_the_scored_images(run, table, monkeypatch):
    stub = Stub()
    monkeypatch.setattr(runner, "TEACHER", stub)
    table["distilled"] = table["plain"]._replace(distilled=True)
    rows = run(held_out=True).set_index("name")
    held_out = tiny_images("MNIST", held_out=True)
    assert [data.name for data in stub.asked] == [held_out.name]
    assert torch.equal(stub.asked[0].train_images, held_out.train_images)
    assert (rows.loc["distilled", "loss_train"].values > rows.loc["plain", "loss_train"].values).all()


def test_without_distilled_recipes_no_teacher_is_trained(run, monkeypatch):
    monkeypatch.setattr(runner, "TEACHER", None)  # to ask it for anything would fail
    assert len(run()) == 3


def test_the_teacher_reaches_another_process():
    model = teacher.TEACHER.build(generator=torch.Generator().manual_seed(0)).eval()
    x = torch.rand(5, 784, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))


def test_the_images_of_choices_are_none_of_the_test_set(full):
    held_out = images.images("MNIST", held_out=True)
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


def test_a_distilled_network_says_how_its_teacher_was_trained(tiny, small, tmp_path):
    stub, file = Stub(), tmp_path / "model.safetensors"
    pretrained.train_and_save(file, small._replace(distilled=True), tiny, "study.some", stub)
    assert stub.asked == [tiny]
    assert packed.PackedNetwork.load(file).provenance["teacher"] == "epochs=1"


def test_names_of_another_table_do_not_matter_where_names_are_given(table, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "images", tiny_images)
    monkeypatch.setattr(sys, "argv", ["study", "another"])
    runner.run_missing(tmp_path / "results.csv", table, names=["fast"], processes=1)
    assert pd.read_csv(tmp_path / "results.csv")["name"].tolist() == ["fast"]
