"""Train `binary_mlp` with several processes, started by `torchrun`. Each takes its share of every batch.

torchrun --standalone --nproc-per-node 2 docs/larger_than_one_machine.py --epochs 2
"""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import bnn_tutorial as bnn


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--batch-size", type=int, default=64, help="of all processes together")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--output", help="a file for the trained parameters")
    options = parser.parse_args()

    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", dist.get_rank() % torch.cuda.device_count())
    data = bnn.load_mnist()
    images = TensorDataset(data.train_images[: options.images], data.train_labels[: options.images])
    sampler = DistributedSampler(images)  # a different share for each process
    loader = DataLoader(images, options.batch_size // dist.get_world_size(), sampler=sampler)
    # Batch norm computes its statistics over a process's own share. On GPUs, nn.SyncBatchNorm computes them over all.
    model = bnn.binary_mlp(generator=torch.Generator().manual_seed(0)).to(device)
    parallel = DistributedDataParallel(model)  # averages the gradients of all processes
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)  # shuffles anew
        parallel.train()
        for x, y in loader:
            loss = F.cross_entropy(parallel(bnn.scale_pixels(x.to(device))), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bnn.clamp_latent_weights_(model)
        if dist.get_rank() == 0:
            _, accuracy = bnn.evaluate(model, data.test_images, data.test_labels)
            print(f"epoch {epoch + 1}: accuracy {accuracy:.4f} on the test set", flush=True)
    if options.output and dist.get_rank() == 0:
        torch.save(model.state_dict(), options.output)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
