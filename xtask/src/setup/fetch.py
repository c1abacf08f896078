"""Writes one file of a package to standard output: a line with its size in bytes (0: unknown), then its bytes from OFFSET on.

Called as `python3 -c THIS OFFSET NAME VERSION PIP-OPTIONS...`. pip itself finds the file and opens the connection, so
that its settings hold here too: index, mirror, proxy, certificates, credentials. (`pip download` cannot take up an
interrupted download, and `pip install --dry-run --report` fetches the whole file to tell its address.)

Exit status 3: this pip is built differently inside, use `pip download`.
"""

import logging
import os
import sys
import time

CHUNK = 1 << 18
TRIES = 5


class LastProblem(logging.Handler):
    """Keeps why pip could not read an index page; pip only logs it and goes on without."""

    text = ""

    def emit(self, record):
        text = record.getMessage()
        if text.startswith("Could not fetch URL"):
            self.text = text


def find(name, version, options):
    """The address of the file, and the session to fetch it with."""
    problem = LastProblem()
    log = logging.getLogger("pip")
    log.setLevel(logging.DEBUG)
    log.addHandler(problem)
    log.propagate = False
    try:
        from pip._internal.cli.cmdoptions import make_target_python
        from pip._internal.commands import create_command
        from pip._vendor.packaging.specifiers import SpecifierSet

        command = create_command("download")
        options, _ = command.parse_args(options)
        session = command._build_session(options)
        finder = command._build_package_finder(
            options=options, session=session, target_python=make_target_python(options)
        )
        # "===" takes the text as it is; "==2.11.0" would take a local version like 2.11.0+cpu too.
        best = finder.find_best_candidate(name, SpecifierSet("===" + version)).best_candidate
        address = best.link.url.split("#")[0] if best else None
    except (ImportError, AttributeError, TypeError):
        sys.exit(3)
    if address is None and problem.text:
        sys.exit(f"pip cannot read the package index, is there a network? ({problem.text})")
    if address is None:
        sys.exit("the package index that pip uses does not have it")
    return session, address


def stream(session, address, offset, out):
    """Sends the size and the bytes; where the connection breaks, it is taken up again."""
    size, failures = None, 0
    while True:
        start = offset
        try:
            headers = {"Accept-Encoding": "identity", "Range": f"bytes={offset}-"}
            response = session.get(address, headers=headers, stream=True)
            skip, found = 0, offset
            if response.status_code == 206:
                found = int(response.headers["Content-Range"].split("/")[-1])
            elif response.status_code != 416:  # 416: there is nothing from this offset on.
                response.raise_for_status()
                # The server sends the whole file, whatever was asked for.
                skip, found = offset, int(response.headers.get("Content-Length", 0))
            if size is None:
                size = found
                out.write(b"%d\n" % size)
            while response.status_code != 416:
                chunk = response.raw.read(CHUNK)
                if not chunk:
                    break
                kept = chunk[skip:]
                skip = max(0, skip - len(chunk))
                out.write(kept)
                offset += len(kept)
            problem = ConnectionError("the connection broke off")
        except BrokenPipeError:
            raise
        except Exception as error:
            problem = error
        out.flush()
        if size is not None and offset >= size:
            return
        failures = 1 if offset > start else failures + 1
        if failures == TRIES:
            raise problem
        time.sleep(failures)


def main():
    offset, name, version, *options = sys.argv[1:]
    try:
        stream(*find(name, version, options), int(offset), sys.stdout.buffer)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)
    except Exception as error:
        text = " ".join(str(error).split())
        sys.exit(f"{type(error).__name__}: {text}")


main()
