"""Run one target, or all of them in turn, under the coverage-guided fuzzer atheris.

::

    python -m fuzz.run                       all targets, one minute each
    python -m fuzz.run commands --seconds 600
    python -m fuzz.run commands crash-0815   try one input again

A finding is written to `crash-…` in the current directory; shortened, it belongs to `fuzz/regressions/<target>/`.
atheris is not among the development dependencies, since it has no wheels for every platform: `pip install atheris`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SETTINGS = ("-max_len=65536", "-timeout=20", "-rss_limit_mb=2048", "-verbosity=0", "-print_final_stats=1")
"""Options of the fuzzer: bytes of an input, seconds and mebibytes that one may take."""


def fuzz(target: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; does not return."""
    try:
        import atheris
    except ImportError:
        sys.exit("The fuzzer is not installed: pip install atheris")
    with atheris.instrument_imports(include=["paddington", "templemeads"]):
        from fuzz.targets import TARGETS
    # The compiled parser of the standard library cannot be instrumented; comparisons of ours can.
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    """Fuzz as the command line says; give the exit status: 1 if anything was found."""
    from fuzz.seeds import write
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("input", nargs="?", type=Path, help="a file to try instead of fuzzing")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    options = parser.parse_args()
    if options.input is not None:
        TARGETS[options.target](options.input.read_bytes())
        return 0
    found = []
    with tempfile.TemporaryDirectory() as directory:
        write(Path(directory))
        for target in TARGETS if options.target == "all" else [options.target]:
            print(f"--- {target}: {options.seconds} s", flush=True)
            arguments = [f"{directory}/{target}", f"-max_total_time={options.seconds}", *SETTINGS]
            # A process for each: the fuzzer ends its own when it is done.
            command = [sys.executable, "-c", f"from fuzz.run import fuzz; fuzz({target!r}, {arguments!r})"]
            if subprocess.run(command, check=False).returncode:  # noqa: S603 - nothing foreign is in it
                found.append(target)
    print("Nothing was found." if not found else f"Found something in: {', '.join(found)}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
