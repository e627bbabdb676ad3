"""A row of real processes on loopback, and the books of every job that goes through them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import trio

from paddington import Limits as LineLimits
from paddington import ServiceConfig
from templemeads import AgentConfig, AgentType, Job, Limits

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
LIFETIME = 900.0


def free_ports(count: int) -> list[int]:
    """Ports that are free now; taken together, so that no two are the same."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@attrs.define(eq=False)
class Entry:
    """The book of one job."""

    job: Job
    accepted: bool = False
    told: list[tuple[str, str | None]] = attrs.field(factory=list)
    refused: list[str] = attrs.field(factory=list)


class Estate:
    """Agents in a row, each a process; jobs go from the first to the last."""

    def __init__(self, nursery: trio.Nursery, directory: Path, names: Sequence[str], limits: Limits) -> None:
        self.names = names
        self.nursery = nursery
        self.directory = directory
        self.entries: dict[UUID, Entry] = {}
        self.processes: dict[str, trio.Process] = {}
        self.problems: list[str] = []
        self.changed = trio.Event()
        self._ordering = trio.Lock()
        self._up: dict[str, trio.Event] = {}
        configs = {}
        for index, (name, port) in enumerate(zip(names, free_ports(len(names)), strict=True)):
            agent_type = AgentType.PORTAL if index == 0 else AgentType.PROVIDER
            service = ServiceConfig.create(name, url=f"ws://127.0.0.1:{port}", ip="127.0.0.1", port=port)
            service.limits = LineLimits(dial_longest_seconds=0.5)
            configs[name] = AgentConfig(
                service, agent_type, store=f"sqlite:///{directory}/{name}.db", limits=limits
            )
        for name, after in pairwise(names):
            configs[after].service.add_server(configs[name].service.add_client(after, "127.0.0.1"))
        for name, config in configs.items():
            config.save(directory / f"{name}.toml")

    # -- processes ----------------------------------------------------------------------------------------------------

    async def start(self, name: str) -> None:
        """Start a process and wait until its agent is up; jobs of the first that are not told yet are put again."""
        command = [
            sys.executable, "-m", "tests.processes.child",
            str(self.directory / f"{name}.toml"), str(self.directory / "ledger"),
        ]  # fmt: skip
        with (self.directory / f"{name}.log").open("ab") as log:
            process = await trio.lowlevel.open_process(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self.processes[name] = process
        up = self._up[name] = trio.Event()
        self.nursery.start_soon(self._listen, name, process, up)
        with trio.fail_after(PATIENCE):
            await up.wait()
        if process.poll() is not None:
            raise AssertionError(
                f"{name} did not come up: {(self.directory / f'{name}.log').read_text()[-2000:]}"
            )
        if name == self.names[0]:
            for entry in self.entries.values():
                if not entry.told:
                    await self._order(entry.job)

    async def start_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for name in self.names:
                nursery.start_soon(self.start, name)

    async def kill(self, name: str) -> None:
        """End a process as the kernel does when memory runs out."""
        self.processes[name].send_signal(signal.SIGKILL)
        await self.processes[name].wait()

    async def terminate(self, name: str, times: int = 1, pause: float = 0.0) -> int:
        """Ask a process to stop; return its exit status."""
        process = self.processes[name]
        for _ in range(times):
            process.send_signal(signal.SIGTERM)
            await trio.sleep(pause)
        with trio.fail_after(PATIENCE):
            return await process.wait()

    async def _listen(self, name: str, process: trio.Process, up: trio.Event) -> None:
        assert process.stdout is not None
        buffer = b""
        try:
            async for data in process.stdout:
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line), up)
        finally:
            up.set()

    def _take(self, line: dict[str, Any], up: trio.Event) -> None:
        match line:
            case {"up": _}:
                up.set()
            case {"accepted": number}:
                self.entries[UUID(number)].accepted = True
            case {"told": number, "state": state, "result": result}:
                self.entries[UUID(number)].told.append((state, result))
            case {"refused": number, "reason": reason}:
                self.entries[UUID(number)].refused.append(reason)
        self.changed.set()
        self.changed = trio.Event()

    # -- jobs -----------------------------------------------------------------------------------------------------------

    async def put(self, milliseconds: int, *, shielded: bool = False, deadly: bool = False) -> Entry:
        """Put a job whose handler works for a while."""
        kind, number = "s" if shielded else "x" if deadly else "w", len(self.entries)
        path = ".".join(self.names)
        job = Job.parse(
            f"{path} add_user {kind}{milliseconds}n{number}.proj.{self.names[0]}", lifetime=LIFETIME
        )
        entry = self.entries[job.id] = Entry(job)
        await self._order(job)
        return entry

    async def _order(self, job: Job) -> None:
        stdin = self.processes[self.names[0]].stdin
        assert stdin is not None
        try:
            async with self._ordering:
                await stdin.send_all((json.dumps(job.to_json()) + "\n").encode())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # it was killed just now: the next life gets the order again

    async def wait_until(self, condition: Any) -> None:
        """Wait until something holds; looked at whenever a process has said something."""
        with trio.fail_after(PATIENCE):
            while not condition():
                await self.changed.wait()

    async def wait_begun(self, entry: Entry) -> None:
        """Wait until a handler has begun to work on a job."""
        # Handlers speak to the ledger only, so that what they say outlives them.
        with trio.fail_after(PATIENCE):
            while True:
                if any(line.get("begun") == str(entry.job.id) for line in self.ledger()):
                    return
                await trio.sleep(0.02)

    async def wait_all_told(self) -> None:
        try:
            await self.wait_until(lambda: all(entry.told for entry in self.entries.values()))
        except trio.TooSlowError:
            missing = [entry for entry in self.entries.values() if not entry.told]
            raise AssertionError(f"{len(missing)} jobs have no end, the first: {missing[0]}") from None

    def ledger(self) -> list[dict[str, Any]]:
        file = self.directory / "ledger"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def account(self) -> dict[str, int]:
        """Check the books: each job has one end, given by a handler; no handler was called after the answer was told."""
        begun, ended = defaultdict(list), defaultdict(list)
        for line in self.ledger():
            if "begun" in line:
                begun[UUID(line["begun"])].append(line["time"])
            else:
                ended[UUID(line["ended"])].append((line["time"], json.dumps(line["result"])))
        for number, entry in self.entries.items():
            assert len(set(entry.told)) == 1, f"job {number} was told {entry.told}"
            state, result = entry.told[0]
            assert state == "Complete", f"job {number} ended as {entry.told[0]}"
            assert result in {text for _, text in ended[number]}, (
                f"no handler gave job {number} the result {result}"
            )
            assert not entry.refused, entry
            # Only a handler that had not answered may be called again: the last call gave the answer that counts.
            assert result == max(ended[number])[1], f"job {number} was run again after it had been answered"
        return {
            "jobs": len(self.entries),
            "calls": sum(map(len, begun.values())),
            "called again": sum(len(calls) > 1 for calls in begun.values()),
        }


@asynccontextmanager
async def open_estate(directory: Path, *names: str, limits: Limits | None = None) -> AsyncIterator[Estate]:
    """Run a row of processes; they are killed when the block is left."""
    async with trio.open_nursery() as nursery:
        estate = Estate(nursery, directory, names, limits or Limits(shutdown_seconds=10, flush_seconds=2))
        try:
            await estate.start_all()
            yield estate
        finally:
            for process in estate.processes.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
            with trio.CancelScope(shield=True):
                for process in estate.processes.values():
                    await process.wait()
            nursery.cancel_scope.cancel()
