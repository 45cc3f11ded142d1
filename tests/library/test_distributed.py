"""`train` on several processes: run as a reader would, and real gloo processes compared with each other."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import bnn_tutorial as bnn


def test_torchrun_trains_the_tutorials_network_on_two_processes(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "bnn_tutorial", "--epochs", "1", "--output", str(tmp_path)]
    run = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rows = re.findall(r"^1 +.* (0\.\d+) +0\.792$", run.stdout, re.MULTILINE)
    assert len(rows) == 1  # one process prints
    assert float(rows[0]) > 0.7


def process(rank, size, folder, images, normalise, settings):
    """One process's training; what it returns goes to a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{size}", rank=rank, world_size=size)
    data = bnn.load_mnist()
    parts = data.train_images[:images], data.train_labels[:images], data.test_images, data.test_labels
    generator = torch.Generator().manual_seed(rank)  # starts that differ
    model = bnn.binary_mlp(normalise=normalise, generator=generator)
    config = bnn.TrainConfig(device="cpu", **settings)
    history, _ = bnn.train(config, bnn.LabelledImages(*parts), model, progress=False)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    np.savez(folder / f"{size}-{rank}.npz", **state, history=history.drop(columns="seconds"))
    dist.destroy_process_group()


def trained(folder, size, images, normalise=True, **settings):
    mp.spawn(process, (size, folder, images, normalise, settings), nprocs=size)
    return [np.load(folder / f"{size}-{rank}.npz") for rank in range(size)]


def test_processes_end_with_the_same_network_and_table(tmp_path):
    one, two = trained(tmp_path, 2, 500, epochs=2, learning_rate=0.5, clamp="step")
    assert all(np.array_equal(one[name], two[name]) for name in one.files)
    assert max(np.abs(one[f"{layer}.weight"]).max() for layer in range(3)) == 1  # at this rate they would be far out


def test_two_processes_learn_as_much_as_one(tmp_path):
    (alone,), (shared, _) = (trained(tmp_path, size, 10_000, epochs=1, learning_rate=0.003) for size in (1, 2))
    assert alone["0.weight"].shape == (300, 784)
    accuracies = alone["history"][0, 4], shared["history"][0, 4]
    assert min(accuracies) > 0.85
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.02)


def test_two_processes_take_the_steps_that_one_takes_with_the_whole_batch(tmp_path):
    """Without batch norm, whose statistics are those of a share."""
    settings = {"normalise": False, "epochs": 1, "learning_rate": 0.001}
    (alone,), (shared, _) = (trained(tmp_path, size, 192, **settings) for size in (1, 2))
    start = bnn.binary_mlp(generator=torch.Generator().manual_seed(0))[0].weight.detach().numpy()
    assert np.abs(alone["0.weight"] - start).max() > 5e-4
    close = np.isclose(alone["0.weight"], shared["0.weight"], atol=1e-5)
    assert close.mean() > 0.99  # where a gradient is nearly 0, rounding decides which way Adam goes
