"""What the benchmark of inference stores, and that nobody has more threads than others."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from study.rivals.results import store

UP_TO_THE_RIVALS = """
import sys
from study.rivals import inference
def stop(): sys.exit(f"threads: {inference._options().intra_op_num_threads}")
inference.onnx_sessions = stop
inference.main()
"""


def test_a_machine_s_rows_are_replaced_and_those_of_others_stay(tmp_path):
    machine, row = {"processor": "a", "instructions": "VNNI", "threads": 1}, {"what": "product", "int8": 2.0}
    for owner, rows in ((machine, [row]), (machine | {"threads": 2}, [row]), (machine, [row | {"int8": 3.0}])):
        store(tmp_path / "inference.csv", rows, owner)
    stored = pd.read_csv(tmp_path / "inference.csv")
    assert stored[["threads", "int8"]].to_numpy().tolist() == [[1, 3.0], [2, 2.0]]


def test_onnx_runtime_has_as_many_threads_as_was_asked():
    """numba's OpenMP, when it starts, gives PyTorch as many threads as there are cores."""
    command = [sys.executable, "-c", UP_TO_THE_RIVALS, "--threads", "1"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.stderr.strip().endswith("threads: 1"), run.stderr
