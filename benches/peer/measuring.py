"""What the programs of this folder share: arguments, time, memory, and a line of JSON as the result."""

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

import torch
from omegaconf import OmegaConf


def run(description, works):
    """Does the work that the command line names, of functions of the arguments, and prints what it tells."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("work", choices=works)
    parser.add_argument("--reference", type=Path, required=True, help="a clone of microsoft/VidTok")
    parser.add_argument("--config", required=True, help="a file name in its folder configs, without .yaml")
    for name in ("ch", "frames", "size", "batch", "steps", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--compile", action="store_true", help="the networks under torch.compile")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        result = works[arguments.work](arguments)
    except Exception as error:
        traceback.print_exc()
        # The last line is what a table of several programs says.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sys.exit(": ".join([type(error).__name__, *lines[:1]]))
    print(json.dumps(result))


def read_config(arguments):
    """The clone's configuration, narrowed to `--ch`."""
    paths = list((arguments.reference / "configs").rglob(f"{arguments.config}.yaml"))
    if len(paths) != 1:
        sys.exit(f"{arguments.reference}: {len(paths)} configurations are called {arguments.config}")
    config = OmegaConf.load(paths[0])
    # The decoder's parameters refer to the encoder's.
    OmegaConf.update(config, "model.params.encoder_config.params.ch", arguments.ch)
    return config


def time_repeats(repeats, work):
    """Seconds of each repeat."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def memory_before_work():
    """What the process holds now, in MiB; the system forgets what it held before."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory_peak():
    """The most that the process held since then, in MiB."""
    return memory("VmHWM")


def memory(field):
    """A line of what Linux tells about this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
