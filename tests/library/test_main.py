"""`python -m bnn_tutorial` as a user types it."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bnn_tutorial as bnn
from bnn_tutorial.__main__ import main

ROOT = Path(bnn.__file__).parents[1]
COMMANDS = [path for path in (ROOT / "bnn_tutorial").rglob("*.py") if "def main(" in path.read_text()]


def test_command_prints_the_table_beside_benders_and_saves_the_plots(tmp_path, capsys):
    main(["--epochs", "1", "--output", str(tmp_path / "new" / "build")])
    out, err = capsys.readouterr()
    assert "MNIST: 60,000 images to train, 10,000 to test" in out
    assert "ours Bender" in out
    assert " 0.792\n" in out  # Bender's first test accuracy
    assert "100%" in err
    files = {file.name for file in (tmp_path / "new" / "build").iterdir()}
    assert files == {"history.csv", "loss.png", "accuracy.png", "weights.png", "predictions.png"}


def test_command_repeats_what_the_library_computes(tmp_path):
    main(["--epochs", "1", "--seed", "5", "--output", str(tmp_path)])
    history, _ = bnn.train(bnn.TrainConfig(epochs=1, seed=5), progress=False)
    saved = pd.read_csv(tmp_path / "history.csv")
    pd.testing.assert_frame_equal(saved.drop(columns="seconds"), history.drop(columns="seconds"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "epochs must be a whole number, at least 1, got 0"),
        (["--epochs", "two"], "argument --epochs: invalid int value: 'two'"),
        (["--output", "/dev/null/build"], "cannot write to /dev/null/build: Not a directory; choose another --output"),
        (["--output", "/proc"], "cannot write to /proc: "),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_an_output_file_that_cannot_be_written_is_noticed_before_the_training(tmp_path, capsys):
    (tmp_path / "weights.png").mkdir()
    with pytest.raises(SystemExit) as stop:
        main(["--output", str(tmp_path)])
    assert stop.value.code == 2
    assert f"cannot write to {tmp_path}: Is a directory" in capsys.readouterr().err


@pytest.mark.slow  # no library is there without docstrings: Python compiles all of them
def test_the_command_runs_without_docstrings_and_with_a_notebooks_backend(tmp_path):
    code = """
from bnn_tutorial import __main__ as command, data
whole = data.load_mnist()
parts = (whole.train_images[:64], whole.train_labels[:64], whole.test_images[:64], whole.test_labels[:64])
command.load_mnist = lambda: data.LabelledImages(*parts, name="a part of MNIST")
command.main(["--epochs", "1"])
"""
    options = {"cwd": tmp_path, "capture_output": True, "text": True}
    environment = os.environ | {"MPLBACKEND": "module://of_a_notebook", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-OO", "-c", code], env=environment, **options)
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / "build").iterdir())) == 5


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_help_needs_no_docstring(path, monkeypatch, capsys):
    """As under `python -OO`: what the module's docstring says is missing, and nothing else."""
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    monkeypatch.setattr(module, "__doc__", None)
    monkeypatch.setattr("sys.argv", ["command", "--help"])
    with pytest.raises(SystemExit, match="0"):
        module.main()
    assert "usage" in capsys.readouterr().out


def test_help_explains_each_option(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(option in out for option in ("--epochs", "--seed", "--output"))
    assert "Train the tutorial's network on MNIST" in out


def test_beside_bender_pairs_the_columns():
    table = bnn.beside_bender(bnn.bender_history().assign(epoch=range(6, 16)))
    assert table.columns.tolist()[:2] == [("loss_train", "ours"), ("loss_train", "Bender")]
    assert table.loc[6].tolist()[:2] == [1.900, 1.234]
    assert table["acc_test", "Bender"].isna().sum() == 5
