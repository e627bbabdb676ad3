"""What a run was made on, and whether anything else was at work there meanwhile."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

LIBRARIES = ("attrs", "pynacl", "templemeads", "trio", "trio-websocket")
FOREIGN = 0.1
"""Processors that others may keep busy on a machine that counts as quiet."""

LOAD = 0.5
"""The load average, before anything is measured, above which a machine does not count as quiet."""

LOAD_BEFORE = "TEMPLEMEADS_BENCHMARK_LOAD"
"""Environment variable with the load before a run of all benchmarks, in which each is a load for the next."""


def describe() -> dict[str, object]:
    """Describe this machine and its software."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "architecture": platform.machine(),
        "processor": _line("/proc/cpuinfo", "model name") or platform.processor(),
        "processors": os.cpu_count(),
        "memory": _line("/proc/meminfo", "MemTotal"),
        "libraries": versions,
    }


def _line(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def load_before() -> float:
    """Return the load average from before the whole run."""
    return float(os.environ.get(LOAD_BEFORE) or os.getloadavg()[0])


def _our_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _busy_seconds() -> float:
    """Return the time that the processors have been busy, from /proc; 0 where there is none."""
    try:
        fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    except OSError:
        return 0.0
    user, nice, system, _idle, _waiting, hard, soft, steal = fields
    return (user + nice + system + hard + soft + steal) / os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """From its making to the end of a run: how busy the machine was with other things."""

    load: float = field(default_factory=load_before)
    _begun: float = field(default_factory=time.monotonic)
    _ours: float = field(default_factory=_our_seconds)
    _all: float = field(default_factory=_busy_seconds)

    def foreign(self) -> float:
        """Return how many processors others kept busy on average, the host of a virtual machine included.

        Everything that was started must have ended and been waited for, or it counts as foreign.
        """
        others = (_busy_seconds() - self._all) - (_our_seconds() - self._ours)
        return max(0.0, others / max(time.monotonic() - self._begun, 0.01))

    def warning(self) -> str | None:
        """Say that the machine was not quiet, if it was not."""
        foreign = self.foreign()
        if foreign <= FOREIGN and self.load <= LOAD:
            return None
        return (
            f"THE MACHINE WAS NOT QUIET: load average {self.load:.2f} before, other work on {foreign:.2f} of "
            f"{os.cpu_count()} processors meanwhile; do not quote these figures"
        )
