"""The example for several processes: run as a reader would, then looked at from inside, with real gloo processes."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import bnn_tutorial as bnn

SCRIPT = Path(__file__).parent.parent / "examples" / "distributed.py"


def example():
    spec = importlib.util.spec_from_file_location("distributed", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_torchrun_trains_on_two_processes():
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, SCRIPT, "--epochs", "2", "--source", "subset"]
    run = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rows = re.findall(r"epoch (\d): test accuracy (0\.\d+), flip ratio (0\.\d+)", run.stdout)
    assert [row[0] for row in rows] == ["1", "2"]
    assert float(rows[-1][1]) > 0.8  # 0.1 is chance
    assert all(0 < float(row[2]) < 0.5 for row in rows)


def process(rank, size, folder, arguments, steps):
    """One process's training on its share of the images; its latent weights and flip ratios go to a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{size}", rank=rank, world_size=size)
    module, subset = example(), bnn.load_mnist(source="subset")
    images = 64 * steps
    data = bnn.Mnist(subset.train_images[:images], subset.train_labels[:images], subset.test_images, subset.test_labels)
    model = bnn.binary_mlp(generator=torch.Generator().manual_seed(rank))  # starts that differ
    rows = module.train(module.parse(arguments), data, model)
    weights = {str(i): layer.weight.detach().numpy() for i, layer in enumerate(model)}
    np.savez(folder / f"{size}-{rank}.npz", **weights, flips=[row[2] for row in rows])
    dist.destroy_process_group()


def trained(folder, size, arguments, steps):
    mp.spawn(process, (size, folder, arguments, steps), nprocs=size)
    return [np.load(folder / f"{size}-{rank}.npz") for rank in range(size)]


def test_processes_end_with_the_same_clamped_weights(tmp_path):
    one, two = trained(tmp_path, 2, ["--epochs", "2", "--learning-rate", "0.5"], steps=5)
    assert all(np.array_equal(one[name], two[name]) for name in one.files)
    assert max(np.abs(one[name]).max() for name in "012") == 1  # at this rate they would be far out
    assert (one["flips"] > 0).all()


def test_two_processes_take_the_steps_that_one_takes_with_the_whole_batch(tmp_path):
    arguments = ["--epochs", "1", "--learning-rate", "0.001"]
    (alone,), (shared, _) = (trained(tmp_path, size, arguments, steps=3) for size in (1, 2))
    start = bnn.binary_mlp(generator=torch.Generator().manual_seed(0))[0].weight.detach().numpy()
    assert np.abs(alone["0"] - start).max() > 5e-4
    close = np.isclose(alone["0"], shared["0"], atol=1e-5)
    assert close.mean() > 0.99  # where a gradient is nearly 0, rounding decides which way Adam goes
