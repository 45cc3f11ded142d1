"""`python -m bnn_tutorial` as a user types it."""

import pandas as pd
import pytest

import bnn_tutorial as bnn
from bnn_tutorial.__main__ import main


@pytest.fixture(autouse=True)
def headless(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")


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
        (["--output", "/dev/null/build"], "Not a directory"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


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
