"""Shared by the measuring programs of this folder: arguments, time, memory, and the result as a line of JSON."""

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

import torch
from omegaconf import OmegaConf


def run(description, works):
    """Calls the function of the work that the command line names with the arguments, and prints its result."""
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
        # compare.py shows the last line in its table.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sys.exit(": ".join([type(error).__name__, *lines[:1]]))
    print(json.dumps(result))


def read_config(arguments):
    """The clone's configuration with `--ch` base channels."""
    paths = list((arguments.reference / "configs").rglob(f"{arguments.config}.yaml"))
    if len(paths) != 1:
        sys.exit(f"{arguments.reference}: found {len(paths)} configurations {arguments.config}, expected 1")
    config = OmegaConf.load(paths[0])
    # The decoder's parameters refer to the encoder's.
    OmegaConf.update(config, "model.params.encoder_config.params.ch", arguments.ch)
    return config


def time_repeats(repeats, work):
    """The seconds of each repeat."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def memory_before_work():
    """The process's resident memory in MiB. Resets the peak."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory_peak():
    """The peak of resident memory since the reset, in MiB."""
    return memory("VmHWM")


def memory(field):
    """A field of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
