"""The processes of the benchmarks: servers that run beside a measurement, and workers that take orders.

A worker is a script of this directory that reads orders from its standard input, one JSON object a line, and
answers each with a line of JSON. So whatever is measured has a process, a heap and a garbage collector of its
own, is started once, and works only when it is told to. What a worker starts belongs to its process group: all
of it is counted, frozen and ended together.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent

PATIENCE = 300.0
"""Seconds that an answer may take: more than anything here does, and less than for ever."""


# -- as the one who gives orders ------------------------------------------------------------------------------


class Worker:
    """A process that takes orders, and whatever it has started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._frozen = False

    def ask(self, order: str, **details: object) -> dict[str, Any]:
        """Return an order and wait for the answer."""
        self.tell(order, **details)
        return self.answer()

    def tell(self, order: str, **details: object) -> None:
        """Send an order; its `answer` is to be fetched later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"order": order, **details}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            state = "has ended" if ready else f"has not answered for {PATIENCE:g} s"
            raise RuntimeError(f"{self._process.args!r} {state}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def processor_seconds(self) -> float:
        """Return the processor time that the whole group has used."""
        return sum(seconds for group, seconds in _processes() if group == self._process.pid)

    def freeze(self) -> None:
        """Let nothing of the group run: what is idle still sweeps boards and sends signs of life."""
        self._frozen = True
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Let the worker leave in order; what has not ended soon is ended."""
        assert self._process.stdin is not None
        self.thaw()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def open_worker(script: str, *arguments: str | Path) -> Iterator[Worker]:
    """Run a script of this directory as a worker until the block ends; it is ready when the block begins."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A group of its own, in our session: should we be killed, the kernel wakes and ends what is frozen.
        process_group=0,
    )
    worker = Worker(process)
    with process:
        try:
            worker.answer()
            yield worker
        finally:
            worker.close()


@contextlib.contextmanager
def running(
    *command: str | Path, wait: str, extra: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a server until the block ends; it has printed a line with `wait` when the block begins."""
    with subprocess.Popen(
        list(map(str, command)),
        env=environment() | dict(extra or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            seen: list[str] = []
            while not seen or wait not in seen[-1]:
                seen.append(process.stdout.readline())
                if not seen[-1]:
                    raise RuntimeError(f"{command!r} has ended: {''.join(seen)[-2000:]}")
            # A server that logs must never wait for a reader.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}"}


# -- as the one who takes them --------------------------------------------------------------------------------


def next_order() -> dict[str, Any] | None:
    """Wait for an order; None when there will be no more."""
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def reply(**values: object) -> None:
    """Answer an order, or, before the first one, say that all is ready."""
    print(json.dumps(values), flush=True)


# -- the machine ----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Return a directory on a disk, not in memory: boards in files are measured with their fsync."""
    with tempfile.TemporaryDirectory(
        prefix="templemeads-benchmark-", dir=_on_disk(), ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def _on_disk() -> str | None:
    """Return a directory that is not in memory, where the usual one for temporary files is."""
    usual = tempfile.gettempdir()
    return "/var/tmp" if file_system(Path(usual)) == "tmpfs" else None


def file_system(place: Path) -> str:
    """Return the kind of file system that a directory is on, from /proc; empty where that cannot be told."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    above = [(point, kind) for point, kind in mounts if place.resolve().is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]), default=("", ""))[1]


def _processes() -> Iterator[tuple[int, float]]:
    """Return the process group and the processor seconds of every process, from /proc; nothing where there is none."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield _group_and_seconds(path.read_text())


def _group_and_seconds(line: str) -> tuple[int, float]:
    # The name, in brackets, may hold anything.
    fields = line.rsplit(")", 1)[1].split()
    return int(fields[2]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, the system's included, from /proc; 0 where there is none."""
    try:
        return _group_and_seconds(Path(f"/proc/{pid}/stat").read_text())[1]
    except OSError:
        return 0.0


def resident_kib(pid: int | None = None) -> int:
    """Return the memory that a process holds, from /proc; 0 where there is none."""
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
