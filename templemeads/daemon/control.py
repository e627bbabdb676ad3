"""The control socket: how the command line talks to the running agent on the same machine.

A Unix socket of mode 0600. A caller sends one line of JSON, ``{"do": "status", …}``, and gets lines back: any number of
``{"item": …}``, then ``{"end": …}`` or ``{"error": …}``, after which the connection closes. Who may open the socket may do
all that the agent can; so the kernel is asked who calls, and only the agent's own user and root are heard.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import trio

from paddington import ConfigError, PaddingtonError, Peer

from ..agent.agent import Agent
from ..agent.observer import Observer
from ..errors import JobError, ParseError, RefusedError, TemplemeadsError
from ..jobs.job import DEFAULT_LIFETIME, Job, Status
from ..jobs.outcome import Write
from ..jobs.route import place_of
from ..version import __version__

_log = logging.getLogger("templemeads.control")

LONGEST_REQUEST: Final = 1024 * 1024
"""Bytes of a request."""

REQUEST_SECONDS: Final = 10.0
"""How long a caller has for its request."""

MOST_CALLERS: Final = 64
"""Callers at once; further ones are hung up on."""

NEWS_QUEUED: Final = 1_000
"""Changes of jobs that wait for a follower; a slower one misses some, and is told how many."""

MOST_JOBS: Final = 100_000
"""Jobs in one answer."""

LONGEST_PATH: Final = 100
"""Bytes of a socket's path; the kernel takes 107."""

Send = Callable[[Any], Awaitable[None]]
Request = Mapping[str, Any]


async def serve_control(
    agent: Agent, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the control socket of an agent until cancelled.

    Args:
        agent: The agent.
        path: Where the socket shall be; one that nobody serves any more is replaced.
        task_status: Told when callers can come.

    Raises:
        ConfigError: It cannot be there, or another process serves it.

    """
    listener = trio.SocketListener(await _listen(path))
    gate = trio.CapacityLimiter(MOST_CALLERS)
    control = _Control(agent)

    async def talk(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                gate.acquire_nowait()
            except trio.WouldBlock:
                return
            try:
                await control.talk(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the caller has gone
            finally:
                gate.release()

    try:
        task_status.started()
        await trio.serve_listeners(talk, [listener])
    finally:
        _remove(path)


async def _listen(path: Path) -> trio.socket.SocketType:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigError(
            f"The path of the control socket {str(path)!r} is longer than {LONGEST_PATH} bytes: "
            'name a shorter one with --socket, or control = "…" in the configuration'
        )
    await _make_room(path)
    listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The mode is right from the first moment, not only after a chmod.
        umask = os.umask(0o177)
        try:
            await listening.bind(str(path))
        finally:
            os.umask(umask)
        listening.listen(MOST_CALLERS)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"The control socket {str(path)!r} cannot be made: {(error.strerror or str(error)).lower()}. "
            'Name another place with --socket, or control = "…" in the configuration'
        ) from None
    return listening


async def _make_room(path: Path) -> None:
    mode = _mode(path)
    if mode is None:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{str(path)!r} is in the place of the control socket and is none: move it away")
    try:
        stream = await trio.open_unix_socket(str(path))
    except OSError:
        _remove(path)  # left behind by a process that was killed
        return
    await stream.aclose()
    raise ConfigError(f"Another process serves the control socket {str(path)!r}: this agent runs already")


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:
        return None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


class _Control:
    """Answers the callers of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._started = trio.current_time()
        self._verbs: Mapping[str, Callable[[Request, Send], Awaitable[Any]]] = {
            "status": self._status,
            "jobs": self._jobs,
            "follow": self._follow,
            "job": self._job,
            "put": self._put,
            "delete": self._delete,
            "notify": self._notify,
            "health": self._health,
            "diagnostics": self._diagnostics,
            "restart": self._restart,
            "watch": self._watch,
        }

    async def talk(self, stream: trio.SocketStream) -> None:
        """Serve one caller."""
        if not _is_ours(stream.socket):
            _log.warning("a caller of the control socket is another user, and is not heard")
            return
        with trio.move_on_after(REQUEST_SECONDS) as patience:
            line = await _read_line(stream)
        if patience.cancelled_caught or line is None:
            return

        async def send(value: Any) -> None:
            await stream.send_all(json.dumps(value).encode() + b"\n")

        async def send_item(value: Any) -> None:
            await send({"item": value})

        try:
            request = json.loads(line)
            verb = self._verbs.get(request["do"])
            if verb is None:
                raise RefusedError("this agent does not know that command: is it of another version?")
            end = await self._until_hang_up(stream, verb, request, send_item)
        except (TemplemeadsError, PaddingtonError) as error:
            await send({"error": str(error), "kind": type(error).__name__})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            await send(
                {"error": f"the request cannot be read ({type(error).__name__})", "kind": "ValueError"}
            )
        else:
            await send({"end": end})

    async def _until_hang_up(
        self,
        stream: trio.SocketStream,
        verb: Callable[[Request, Send], Awaitable[Any]],
        request: Request,
        send: Send,
    ) -> Any:
        """Run a command, but not for longer than its caller stays."""
        end: Any = None
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while await stream.receive_some(1024):
                    pass
                nursery.cancel_scope.cancel(reason="the caller has gone")

            nursery.start_soon(watch)
            failure: Exception | None = None
            try:
                end = await verb(request, send)
            except Exception as error:  # noqa: BLE001 - raised again below, out of the nursery and so bare
                failure = error
            nursery.cancel_scope.cancel(reason="answered")
        if failure is not None:
            raise failure
        return end

    # -- the agent --------------------------------------------------------------------------------------------------

    async def _status(self, request: Request, send: Send) -> Any:
        agent = self._agent
        figures = agent.statistics()
        store = agent.store_statistics()
        own = agent.operations.own_health()
        return {
            "agent": agent.name,
            "type": agent.agent_type.value,
            "version": __version__,
            "pid": os.getpid(),
            "port": agent.port,
            "url": agent.config.service.url,
            "up_seconds": own.uptime_seconds,
            "memory_bytes": own.memory_bytes,
            "cpu_percent": own.cpu_percent,
            "stopping": agent.is_stopping,
            "handlers_running": figures.running,
            "handlers_waiting": figures.waiting,
            "jobs": figures.jobs,
            "totals": {
                "completed": own.total_completed,
                "failed": own.total_failed,
                "expired": own.total_expired,
                "slow": own.total_slow,
            },
            "job_ms": {
                "median": own.job_time_median_ms,
                "max": own.job_time_max_ms,
                "count": own.job_time_count,
            },
            "refused": figures.refused,
            "store": {"waiting": store.waiting, "commits": store.commits, "changes": store.changes},
            "peers": [self._peer(peer) for peer in (known.peer for known in agent.peers.states)],
        }

    def _peer(self, peer: Peer) -> dict[str, Any]:
        agent = self._agent
        known = agent.peers[peer]
        board = agent.exchange.boards.get(peer, ())
        service = agent.service_statistics()
        line = None if service is None else service.connections.get(peer)
        return {
            "name": peer.name,
            "zone": peer.zone,
            "type": None if known.register is None else known.register.agent.value,
            "connected": known.is_ready,
            "connected_seconds": trio.current_time() - known.since if known.is_connected else None,
            "connections": known.connections,
            "failure": "" if known.is_connected else known.failure,
            "engine": None if known.register is None else known.register.engine[:40],
            "version": None if known.register is None else known.register.version[:40],
            "board": len(board),
            "unfinished": sum(not job.is_finished for job in board),
            "queued": known.queued,
            "received_bytes": 0 if line is None else line.received_bytes,
            "sent_bytes": 0 if line is None else line.sent_bytes,
            "received": 0 if line is None else line.received,
            "sent": 0 if line is None else line.sent,
        }

    async def _watch(self, request: Request, send: Send) -> Any:
        seconds = max(0.1, min(60.0, float(request.get("seconds", 1.0))))
        while True:
            await send(
                await self._status(request, send)
                | {"latest": [self._told(peer, job) for peer, job in self._selected({"limit": 20})]}
            )
            await trio.sleep(seconds)

    # -- jobs -------------------------------------------------------------------------------------------------------

    async def _jobs(self, request: Request, send: Send) -> Any:
        return [self._told(peer, job) for peer, job in self._selected(request)]

    async def _follow(self, request: Request, send: Send) -> Any:
        wanted = _filter(request)
        sender, receiver = trio.open_memory_channel[Write](NEWS_QUEUED)
        follower = _Follower(sender)
        with self._agent.observers.observing(follower):
            async for news in receiver:
                if wanted(news.peer, news.job):
                    missed, follower.missed = follower.missed, 0
                    await send(self._told(news.peer, news.job) | {"removed": news.deleted, "missed": missed})

    async def _job(self, request: Request, send: Send) -> Any:
        found = self._found(request["id"])
        if request.get("wait"):
            # The board nearest to whoever put it is the one that hears of its end.
            peer, job = next(((peer, job) for peer, job in found if self._is_first(job)), found[0])
            async for change in self._agent.peers.handle(peer).job_updates(job):
                await send([self._told(peer, change)])
            return [self._told(peer, change)]
        return [self._told(peer, job) for peer, job in found]

    async def _put(self, request: Request, send: Send) -> Any:
        job = await self._agent.submit(
            request["command"], zone=request.get("zone"), lifetime=request.get("lifetime", DEFAULT_LIFETIME)
        )
        after = job.destination.agents[1]
        peer = self._agent.peer(after, request.get("zone")).peer
        if not request.get("wait"):
            return self._told(peer, job)
        async for change in job.updates():
            job = change
            await send(self._told(peer, job))
        return self._told(peer, job)

    async def _delete(self, request: Request, send: Send) -> Any:
        found = self._found(request["id"])
        for peer, job in found:
            if self._is_first(job):
                await self._agent.peers.handle(peer).delete_job(job)
                return self._told(peer, job)
        raise RefusedError(
            f"The job {found[0][1].id} was put at {found[0][1].destination.agents[0]!r}: delete it there"
        )

    def _is_first(self, job: Job) -> bool:
        place = place_of(self._agent.name, job.destination)
        return place is not None and place.is_first

    def _selected(self, request: Request) -> list[tuple[Peer, Job]]:
        wanted = _filter(request)
        found = [
            (peer, job)
            for peer, board in self._agent.exchange.boards.items()
            for job in board
            if wanted(peer, job)
        ]
        found.sort(key=lambda each: (each[1].changed, each[1].created), reverse=True)
        return found[: max(0, min(MOST_JOBS, int(request.get("limit", MOST_JOBS))))]

    def _found(self, job_id: object) -> list[tuple[Peer, Job]]:
        text = str(job_id).lower()
        found = [
            (peer, job)
            for peer, board in self._agent.exchange.boards.items()
            for job in board
            if len(text) >= 4 and str(job.id).startswith(text)
        ]
        if len({job.id for _, job in found}) != 1:
            problem = "Several jobs have ids that begin with" if found else "No board holds a job with the id"
            raise RefusedError(f"{problem} {ascii(text)[:60]}")
        return found

    def _told(self, peer: Peer, job: Job) -> dict[str, Any]:
        value: str | None = None
        if job.status is Status.COMPLETE:
            try:
                result = job.result()
                value = None if result is None else str(result)
            except (JobError, ParseError):
                value = job.result_text
        elif job.status is not Status.DUPLICATE:
            value = job.result_text
        return job.to_json() | {
            "board": str(peer),
            "expired": job.is_expired(self._agent.now()),
            "value": value,
            "error_kind": None if job.error_info is None else job.error_info.kind,
        }

    # -- operations -------------------------------------------------------------------------------------------------

    async def _notify(self, request: Request, send: Send) -> Any:
        self._agent.operations.notify(request["text"])

    async def _health(self, request: Request, send: Send) -> Any:
        operations = self._agent.operations
        health = await operations.health() if request.get("tree") else operations.own_health()
        return health.to_json()

    async def _diagnostics(self, request: Request, send: Send) -> Any:
        return await self._agent.operations.diagnostics(request.get("path", ""))

    async def _restart(self, request: Request, send: Send) -> Any:
        await self._agent.operations.restart(request.get("path", ""), request.get("type", "soft"))


class _Follower(Observer):
    """Passes changed jobs to a caller, as many as it takes."""

    def __init__(self, sender: trio.MemorySendChannel[Write]) -> None:
        self._sender = sender
        self.missed = 0

    def job_changed(self, write: Write) -> None:
        """Pass a change on, or count it as missed."""
        try:
            self._sender.send_nowait(write)
        except trio.WouldBlock:
            self.missed += 1


def _filter(request: Request) -> Callable[[Peer, Job], bool]:
    states = [str(state).lower() for state in request.get("states", ())]
    peer_name = request.get("peer")
    text = str(request.get("text") or "")

    def wanted(peer: Peer, job: Job) -> bool:
        return (
            (not states or job.status.value.lower() in states)
            and (peer_name is None or peer_name in (peer.name, str(peer)))
            and (not text or text in job.command)
        )

    return wanted


async def _read_line(stream: trio.SocketStream) -> bytes | None:
    data = b""
    while b"\n" not in data:
        more = await stream.receive_some(65_536)
        data += more
        if not more or len(data) > LONGEST_REQUEST:
            return None
    return data.partition(b"\n")[0]


def _is_ours(connected: trio.socket.SocketType) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # elsewhere the mode of the socket has to do
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (0, os.geteuid())
