"""What the benchmark of inference stores."""

import pandas as pd

from study.rivals import inference


def test_a_machine_s_rows_are_replaced_and_those_of_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "RESULTS", tmp_path / "inference.csv")
    row = {"processor": "a", "instructions": "VNNI", "threads": 1, "what": "product", "int8": 2.0}
    for rows in ([row], [row | {"threads": 2}], [row | {"int8": 3.0}]):
        inference.store(rows)
    stored = pd.read_csv(tmp_path / "inference.csv")
    assert stored[["threads", "int8"]].to_numpy().tolist() == [[2, 2.0], [1, 3.0]]
