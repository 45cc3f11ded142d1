"""The script of the page *Larger than one machine*, on two real gloo processes."""

import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

pytestmark = pytest.mark.slow  # five processes that import PyTorch
ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "docs" / "larger_than_one_machine.py")


def test_torchrun_trains_on_two_processes(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, SCRIPT, "--epochs", "2", "--images", "3000", "--output", str(tmp_path / "model.pt")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    accuracies = re.findall(r"^epoch \d: accuracy (0\.\d+)", run.stdout, re.MULTILINE)
    assert len(accuracies) == 2  # one process prints
    assert float(accuracies[-1]) > 0.8
    assert torch.load(tmp_path / "model.pt")["0.weight"].shape == (300, 784)


def process(rank, folder, port):
    """One process of two; it writes the parameters with which it ends."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    sys.argv[1:], models = ["--epochs", "1", "--images", "500", "--learning-rate", "0.5"], []
    wrapped = DistributedDataParallel.__init__
    DistributedDataParallel.__init__ = lambda self, model: (models.append(model), wrapped(self, model))[1]
    runpy.run_path(SCRIPT, run_name="__main__")
    torch.save(models[0].state_dict(), folder / f"{rank}.pt")


def test_processes_end_with_the_same_clamped_weights(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    mp.spawn(process, (tmp_path, port), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    names = [name for name in one if "running" not in name]  # batch norm's statistics are those of a process's share
    assert len(names) == 12
    assert all(torch.equal(one[name], two[name]) for name in names)
    assert one["0.weight"].abs().max() == 1  # at this rate they would be far out
