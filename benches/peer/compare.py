"""Measures our programs beside the reference (microsoft/VidTok) on the same weights and inputs, and prints a table.

`cargo xtask peer WORK --reference CLONE` starts it. All programs run in turn, A B A B, so that the machine's other load
meets each of them. Each run is a process of its own that prints its measurement as a line of JSON. It needs nothing but
Python's standard library; the reference runs in the Python of --python or in an environment that is made in .deps/peer.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
OURS = ["--release", "--package", "vidtok-benches", "--example", "peer"]
CARGO = os.environ.get("CARGO", "cargo")
# Nothing runs beside the measurement, so threads may spin; .cargo/config.toml is for tests beside each other.
ENVIRONMENT = os.environ | {"OMP_WAIT_POLICY": "active"}

# A file that only a clone of the reference has.
MARK = "vidtok/models/autoencoder.py"
WORKS = ("train-step", "encode", "decode", "encode-decode")
# Name, help, default of `train-step`, default of passes.
NUMBERS = (
    ("ch", "base channels", 32, 128),
    ("frames", "frames of a clip", 17, 17),
    ("size", "rows and columns of a frame", 64, 128),
    ("batch", "clips at once", 1, 1),
    ("steps", "timed repeats in each run, after one that is not timed", 3, 3),
    ("threads", "threads of each program", 2, 2),
)

# All programs compute the same function; float32 leaves about this relative difference.
TOLERANCE = 1e-3
# Indices may differ where a value is between two levels.
EQUAL_INDICES = 0.99


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="cargo xtask peer", description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=WORKS, help="what is measured: time, memory and the results, which must agree")
    parser.add_argument("--reference", type=Path, required=True, metavar="CLONE", help="a clone of microsoft/VidTok")
    parser.add_argument("--python", help=f"a Python with the packages of {REQUIREMENTS.relative_to(ROOT)}; "
                        "without it an environment is made in .deps/peer (several GB)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program")
    parser.add_argument("--compile", action="store_true", help="also the reference under torch.compile")
    parser.add_argument("--diffusers", action="store_true",
                        help="also the VidTok of Hugging Face's diffusers, if the Python has it; version 1.1 only")
    parser.add_argument("--config", default="vidtok_kl_causal_488_4chn", help="a released configuration")
    for name, text, *defaults in NUMBERS:
        parser.add_argument(f"--{name}", type=int, help=f"{text} ({defaults[1]}; train-step: {defaults[0]})")
    found = parser.parse_args(arguments)
    # Programs run in the repository's root.
    found.reference = found.reference.resolve()
    if found.python and "/" in found.python:
        found.python = os.path.abspath(found.python)
    for name, _, of_step, of_pass in NUMBERS:
        if getattr(found, name) is None:
            setattr(found, name, of_step if found.work == "train-step" else of_pass)
    if min(found.rounds, found.steps) < 1:
        parser.error("--rounds and --steps must be at least 1")
    if not (found.reference / MARK).is_file():
        parser.error(f"--reference: {found.reference} is no clone of microsoft/VidTok: it has no {MARK}")
    if found.diffusers and found.work == "train-step":
        parser.error("--diffusers: diffusers has no training step")
    if found.diffusers and not found.config.endswith("_v1_1"):
        parser.error("--diffusers: diffusers has version 1.1 only; choose a --config that ends with _v1_1")
    return found


def environment():
    """The Python of .deps/peer, which is made where it is missing or has other requirements."""
    folder = ROOT / ".deps/peer"
    python, stamp = folder / "bin/python", folder / ".stamp"
    lines = (line.strip() for line in REQUIREMENTS.read_text().splitlines())
    requirements = " ".join(line for line in lines if line and not line.startswith("#"))
    if stamp.is_file() and stamp.read_text().strip() == requirements:
        return python
    print("making .deps/peer with PyTorch for the reference: several GB; --python uses what you have", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = ["-m", "pip", "install", "--quiet", "--no-cache-dir", "--requirement", REQUIREMENTS]
    subprocess.run([python, *install], check=True)
    stamp.write_text(requirements + "\n")
    return python


def programs(options):
    """The command of each program by its name; the first is ours."""
    case = ["--config", options.config]
    for name, *_ in NUMBERS:
        case += [f"--{name}", str(getattr(options, name))]
    python = [options.python or environment(), "-B", "-W", "ignore"]
    work = [options.work, "--reference", options.reference, *case]
    found = {
        "ours": [CARGO, "run", "--quiet", *OURS, "--", options.work, *case],
        "reference": [*python, HERE / "reference.py", *work],
    }
    if options.compile:
        found["compiled"] = [*python, HERE / "reference.py", *work, "--compile"]
    if options.diffusers:
        found["diffusers"] = [*python, HERE / "hugging_face.py", *work]
    return found


def measure(command):
    """Runs a program to its end. An error is the last line that it wrote to standard error."""
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"{command[0]} ended with status {done.returncode}")
    return json.loads(done.stdout)


def difference(found, expected):
    """The largest difference of two lists, relative to the largest value; 1 where a value is missing or NaN."""
    if len(found) != len(expected):
        return 1.0
    scale = max((abs(value) for value in [*found, *expected]), default=0.0)
    apart = [0.0 if a == b else abs(a - b) / scale for a, b in zip(found, expected)]
    return max((1.0 if math.isnan(value) else value for value in apart), default=0.0)


def largest_difference(pairs):
    """The difference and the name of the first repeat's numbers that differ most."""
    return max(
        ((difference(ours["first"].get(name, []), numbers), name) for ours, peer in pairs
         for name, numbers in peer["first"].items()),
        default=None,
    )


def equal_indices(pairs):
    """The share of equal indices in the worst round."""
    lists = [(ours.get("indices", []), peer.get("indices", [])) for ours, peer in pairs]
    return min((sum(a == b for a, b in zip(*two)) / max(map(len, two)) for two in lists if any(two)), default=None)


MEASURES = (
    ("seconds", 3, lambda run: statistics.median(run["seconds"])),
    ("memory with the weights, MiB", 0, lambda run: run["base_mb"]),
    ("peak memory above that, MiB", 0, lambda run: run["peak_mb"] - run["base_mb"]),
)


def table(rounds, failures):
    """The runs of all programs, a list for each, as Markdown. Ratios are medians of the ratios within rounds."""
    ours, peers = rounds["ours"], [name for name in rounds if name != "ours"]
    pairs = {name: list(zip(ours, rounds[name])) if name not in failures else [] for name in peers}
    rows = [["", "ours"] + [cell for name in peers for cell in (name, f"ours / {name}")]]
    for label, digits, of in MEASURES:
        row = [label, f"{statistics.median(map(of, ours)):.{digits}f}"]
        for name in peers:
            if pairs[name]:
                ratio = statistics.median(of(a) / of(b) for a, b in pairs[name])
                row += [f"{statistics.median(map(of, rounds[name])):.{digits}f}", f"{ratio:.2f}"]
            else:
                row += [f"failed: {failures.get(name, '')}".replace("|", "/") if label == "seconds" else "", ""]
        rows.append(row)
    agreement = (
        ("largest difference of the first repeat's numbers", largest_difference, lambda x: f"{x[0]:.1e} ({x[1]})"),
        ("equal indices of the first repeat", equal_indices, lambda x: f"{100 * x:.1f} %"),
    )
    for label, of, text in agreement:
        found = {name: of(pairs[name]) for name in peers}
        if any(value is not None for value in found.values()):
            cells = [cell for name in peers for cell in ("", "" if found[name] is None else text(found[name]))]
            rows.append([label, "", *cells])
    rows += [[label, text] + [""] * 2 * len(peers) for label, text in operations(ours)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def operations(runs):
    """Floating-point operations, which only our program counts; a multiplication and its addition are two."""
    counted = [run for run in runs if run.get("flops")]
    if not counted:
        return []
    executed = [run["flops"]["executed"] / 1e9 for run in counted]
    speed = [gflop / statistics.median(run["seconds"]) for gflop, run in zip(executed, counted)]
    sgemm = [run["flops"]["sgemm_a_second"] / 1e9 for run in counted]
    return [
        ("GFLOP executed", f"{statistics.median(executed):.1f}"),
        ("GFLOP/s", f"{statistics.median(speed):.1f}"),
        ("GFLOP/s of large matrix products", f"{statistics.median(sgemm):.1f}"),
        ("share of that", f"{100 * statistics.median(a / b for a, b in zip(speed, sgemm)):.0f} %"),
    ]


def check(rounds, failures):
    """Raises SystemExit unless the first repeats of all programs that ran gave the same numbers."""
    peers = [name for name in rounds if name != "ours" and name not in failures]
    if not peers:
        sys.exit("error: all other programs failed, so ours is compared with nothing")
    for name in peers:
        pairs = list(zip(rounds["ours"], rounds[name]))
        apart, equal = largest_difference(pairs), equal_indices(pairs)
        if apart is not None and apart[0] > TOLERANCE:
            sys.exit(f"error: ours and {name} disagree: {apart[1]} differs by {apart[0]:.1e}, more than {TOLERANCE:.0e}")
        if equal is not None and equal < EQUAL_INDICES:
            sys.exit(f"error: ours and {name} disagree: only {100 * equal:.1f} % of the indices are equal")
        if apart is None and equal is None:
            sys.exit(f"error: {name} returned nothing to compare")


def main():
    options = parse()
    commands = programs(options)
    if subprocess.run([CARGO, "build", *OURS], cwd=ROOT).returncode != 0:
        sys.exit(1)
    rounds, failures = {name: [] for name in commands}, {}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for name, command in commands.items():
            if name in failures:
                continue
            try:
                rounds[name].append(measure(command))
            except (RuntimeError, ValueError) as error:
                if name == "ours":
                    sys.exit(f"error: {error}")
                # One failure is enough: the program is not started again.
                failures[name] = str(error)
        if len(failures) == len(commands) - 1:
            break
    size = f"{options.batch} x {options.frames}x{options.size}x{options.size}"
    print(f"`{options.work}` of {options.config}, ch {options.ch}, {size}, float32, {options.threads} threads, "
          f"{options.steps} steps a run, {len(rounds['ours'])} rounds\n\n{table(rounds, failures)}")
    check(rounds, failures)


if __name__ == "__main__":
    main()
