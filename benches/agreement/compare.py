"""Compares our metrics with those of Python packages on the same frames of real clips, and prints a table.

`cargo xtask agree --python PYTHON` starts it in a Python with the packages of requirements.txt. It fails if a metric
differs by more than the tolerance.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import packages

ROOT = Path(__file__).resolve().parents[2]
FRAMES = ROOT / ".deps/agreement/frames.safetensors"
# The example in `benches` that writes the frames and measures them. Speed does not matter, so it is a debug build.
OURS = ["run", "--quiet", "--package", "vidtok-benches", "--example", "agreement", "--", str(FRAMES)]
# Relative to the largest value of a metric; both sides compute in float32.
TOLERANCE = 1e-3


def difference(found, expected):
    """The largest difference, relative to the largest expected value; 1 where a value is missing or NaN."""
    if len(found) != len(expected):
        return 1.0
    scale = max(map(abs, expected))
    apart = [0.0 if a == b else abs(a - b) / scale for a, b in zip(found, expected)]
    return max(1.0 if math.isnan(value) else value for value in apart)


def main():
    FRAMES.parent.mkdir(parents=True, exist_ok=True)
    ours = subprocess.run([os.environ.get("CARGO", "cargo"), *OURS], cwd=ROOT, stdout=subprocess.PIPE)
    if ours.returncode != 0:
        sys.exit("error: our program failed")
    found = json.loads(ours.stdout)["numbers"]
    expected = packages.measure(FRAMES)
    differences = {name: difference(found.get(name, []), values) for name, values in sorted(expected.items())}
    print("| | values | largest difference, relative to the largest value |\n|---|---|---|")
    for name, value in differences.items():
        print(f"| {name} | {len(expected[name])} | {value:.1e} |")
    for name, value in differences.items():
        if not value <= TOLERANCE:
            sys.exit(f"error: {name} differs by {value:.1e} of its largest value, more than {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
