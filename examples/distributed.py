"""Train a normalised network on several processes: `torchrun --nproc-per-node 2 examples/distributed.py`.

The layers are plain `nn.Module`s, so `DistributedDataParallel` wraps them like any other. Each process takes its share
of every batch; PyTorch averages the gradients; then each makes the same step and clamps its own copy, so that the
latent weights stay equal, bit for bit. On GPUs (`--backend nccl`) each process takes one of its own.

`bnn.train` asks for gradients with `torch.autograd.grad`, which DDP does not see: hence a loop with `backward` here.
"""

from __future__ import annotations

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import bnn_tutorial as bnn


def main() -> None:
    args = parse()
    dist.init_process_group(args.backend)
    try:
        generator = torch.Generator().manual_seed(args.seed)
        model = bnn.binary_mlp(activation=bnn.clipped_sign_ste, normalise=True, generator=generator)
        rows = train(args, bnn.load_mnist(source=args.source), model)
        if dist.get_rank() == 0:
            print("\n".join(f"epoch {e}: test accuracy {a:.3f}, flip ratio {f:.3f}" for e, a, f in rows))
    finally:
        dist.destroy_process_group()


def train(args: argparse.Namespace, data: bnn.Mnist, model: nn.Module) -> list[tuple[int, float, float]]:
    """This process's part; gives (epoch, test accuracy, flip ratio) of each epoch.

    Batch norm takes its mean and deviation from this process's share of a batch, and DDP copies the first process's
    running statistics to the others; `nn.SyncBatchNorm.convert_sync_batchnorm` makes them common, on GPUs.
    """
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if args.backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if args.batch_size % dist.get_world_size():
        raise ValueError(f"{dist.get_world_size()} processes cannot share a batch of {args.batch_size} evenly")
    model.to(device)
    parallel = DistributedDataParallel(model)  # it copies the first process's start to all others
    optimiser = torch.optim.Adam(model.parameters(), args.learning_rate)
    images = TensorDataset(bnn.scale_pixels(data.train_images), data.train_labels)
    share = DistributedSampler(images, seed=args.seed)
    batches = DataLoader(images, args.batch_size // dist.get_world_size(), sampler=share)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, args.epochs * len(batches))
    rows = []
    for epoch in range(1, args.epochs + 1):
        share.set_epoch(epoch)  # another order in each epoch
        before = signs(model)
        for x, y in batches:
            loss = bnn.cross_entropy(parallel(x.to(device)), y.to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            bnn.clamp_latent_weights_(model)
            schedule.step()
        _, accuracy = bnn.evaluate(model, data.test_images, data.test_labels)
        rows.append((epoch, accuracy, (signs(model) != before).float().mean().item()))
    return rows


def signs(model: nn.Module) -> torch.Tensor:
    return torch.cat([bnn.sign(layer.weight.detach()).flatten() for layer in bnn.binary_layers(model)])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64, help="of all processes together")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", choices=["gloo", "nccl"], default="gloo")
    parser.add_argument("--source", choices=["auto", "full", "subset"], default="auto")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
