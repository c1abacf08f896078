"""Samples a second from a token dataset through torch's DataLoader, beside webdataset's own loader, and the memory of both.

python compare.py --workers 4 --epochs 10 TOKENS WEBDATASET

TOKENS and WEBDATASET are datasets of the same clips, all of one length, which `vidtok tokenize` has written with `--format
safetensors` and `--format webdataset`. The Python needs the package vidtok and webdataset. Both loaders are measured in turn,
epoch by epoch, in one process; the first epoch, which starts the workers, does not count.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
import vidtok
import webdataset
from torch.utils.data import DataLoader


def resident(process):
    """The memory of a process in bytes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def tree_memory(process="self"):
    """The memory of a process and of its children."""
    children = []
    for task in Path(f"/proc/{process}/task").iterdir():
        children += (task / "children").read_text().split()
    return resident(process) + sum(tree_memory(child) for child in children)


def epoch(loader):
    """Samples a second, and the memory at the end."""
    start, samples = time.perf_counter(), 0
    for batch in loader:
        samples += len(batch[0] if isinstance(batch, (list, tuple)) else batch["key"])
        memory = tree_memory()
    return samples / (time.perf_counter() - start), memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokens")
    parser.add_argument("webdataset")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    arguments = parser.parse_args()
    tokens = vidtok.TokenDataset(arguments.tokens)
    names = ("indices.npy",) if "indices" in tokens[0] else ("mean.npy", "logvar.npy")
    shards = sorted(map(str, Path(arguments.webdataset, "shards").glob("*.tar")))
    options = {"num_workers": arguments.workers, "persistent_workers": True}
    archive = webdataset.WebDataset(shards, shardshuffle=False).decode().to_tuple(*names)
    loaders = {
        "vidtok.TokenDataset": DataLoader(tokens, batch_size=arguments.batch, shuffle=True, **options),
        "webdataset.WebLoader": webdataset.WebLoader(archive.batched(arguments.batch), batch_size=None, **options),
    }
    speeds, memories = {name: [] for name in loaders}, {name: [] for name in loaders}
    for _ in range(arguments.epochs + 1):
        for name, loader in loaders.items():
            speed, memory = epoch(loader)
            speeds[name].append(speed)
            memories[name].append(memory)
    print(f"{len(tokens)} clips, {arguments.workers} workers, {arguments.epochs} epochs")
    print("| loader | samples/s (median) | memory of all processes after the first and the last epoch |\n|---|---|---|")
    for name in loaders:
        first, last = memories[name][1] / 2**20, memories[name][-1] / 2**20
        print(f"| {name} | {statistics.median(speeds[name][1:]):.0f} | {first:.0f} MiB, {last:.0f} MiB |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
