"""All benchmarks one after another, each in a process of its own: ``python -m benchmarks``.

The tables go to the terminal; ``--json`` names a directory for the figures.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = {
    "jobs": [],
    "peers": ["--rounds", "2"],
    "route": ["--rounds", "2"],
    "boards": ["--sizes", "0", "10000", "100000"],
    "resync": ["--jobs", "100000"],
    "idle": ["--peers", "500"],
    "micro": [],
    "imports": [],
    "grammar": ["--size", "50000"],
    "startup": ["--rounds", "5"],
}
"""What keeps the whole below five minutes; each script alone does more if asked to."""

PLAIN = {"grammar", "startup"}
"""These have tables of their own, write no figures, and end with 1 where a target is missed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures of each into this directory")
    parser.add_argument("only", nargs="*", metavar="name", help=f"only these: {', '.join(SCRIPTS)}")
    options = parser.parse_args()
    begun = time.monotonic()
    failed = []
    for name, extra in SCRIPTS.items():
        if options.only and name not in options.only:
            continue
        command = [sys.executable, str(HERE / f"{name}.py"), *extra]
        if options.json is not None and name not in PLAIN:
            options.json.mkdir(parents=True, exist_ok=True)
            command += ["--json", str(options.json / f"{name}.json")]
        if subprocess.run(command, check=False).returncode and name not in PLAIN:
            failed.append(name)
    print(f"\n{time.monotonic() - begun:.0f} s in all" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
