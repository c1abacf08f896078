"""`python -m vidtok`: the command line, whose program lies beside this file."""

import os
import sys
from pathlib import Path

import torch


def main():
    program = Path(__file__).with_name("bin") / "vidtok"
    if not program.exists():
        sys.exit("error: this installation of vidtok has no command line")
    # The program uses torch's own libraries.
    folders = [str(Path(torch.__file__).parent / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
    os.environ.setdefault("VIDTOK_MODELS", str(Path(__file__).with_name("models")))
    os.execv(program, [str(program), *sys.argv[1:]])


if __name__ == "__main__":
    main()
