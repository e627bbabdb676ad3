"""What can be asked of a running agent over its control socket, one method per command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import trio

from paddington import Peer

from ..agent.agent import Agent
from ..agent.observer import Observer
from ..errors import RefusedError
from ..jobs.job import DEFAULT_LIFETIME, Job
from ..jobs.outcome import Write
from .control_socket import ControlLimits, Request, Send, serve_socket
from .counts import PutCounts
from .reload import Reloader
from .views import JobFilter, agent_view, board_jobs, is_own, job_view, latest_jobs

NEWS_QUEUED: Final = 1_000
"""Changes of jobs that wait for a follower; a slower one misses some, and learns how many."""

MAX_JOBS: Final = 100_000
"""Jobs in one answer."""

JOBS_PER_LOOK: Final = 20
"""Jobs in each look of `top`."""

MIN_ID_CHARACTERS: Final = 4
"""A job is found by the beginning of its id, from this length on."""

PROTOCOL: Final = 1
"""Version of the protocol; a request may name the version that it is written for."""

MAX_LIFETIME: Final = 1e12


async def serve_control(
    agent: Agent,
    path: Path,
    *,
    counts: PutCounts | None = None,
    reloader: Reloader | None = None,
    limits: ControlLimits | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the control socket of an agent until cancelled.

    Args:
        agent: The agent.
        path: Where the socket is to be; one that nobody serves any more is replaced.
        counts: Counts the jobs that are put at the agent; by default from now on.
        reloader: Reads the configuration again, if there is a file.
        limits: Limits of the socket.
        task_status: Reports when callers can connect.

    Raises:
        ConfigError: The socket cannot be made there, or another process serves it.
    """
    await serve_socket(
        path,
        Control(agent, counts or PutCounts(agent), reloader).answer,
        limits=limits,
        task_status=task_status,
    )


class Control:
    """The commands that an agent takes from its operator.

    Args:
        agent: The agent.
        counts: Counts the jobs that are put at it.
        reloader: Reads its configuration again, if there is a file.
    """

    def __init__(self, agent: Agent, counts: PutCounts, reloader: Reloader | None = None) -> None:
        self._agent = agent
        self._reloader = reloader
        self._counts = counts
        self._commands: Mapping[str, Callable[[Request, Send], Awaitable[Any]]] = {
            "status": self._status,
            "watch": self._watch,
            "jobs": self._jobs,
            "follow": self._follow,
            "job": self._job,
            "put": self._put,
            "delete": self._delete,
            "notify": self._notify,
            "health": self._health,
            "diagnostics": self._diagnostics,
            "restart": self._restart,
            "reload": self._reload,
        }

    async def answer(self, request: Request, send: Send) -> Any:
        """Carry out a request.

        Args:
            request: The request; its field `do` names the command.
            send: Sends an item before the final answer.

        Raises:
            RefusedError: There is no such command, or the request does not fit it.
            TemplemeadsError, paddington.PaddingtonError: The command cannot be carried out.
        """
        if (version := request.number("protocol", PROTOCOL, 0, 1e6)) != PROTOCOL:
            raise RefusedError(
                f"this agent speaks version {PROTOCOL} of the control protocol, not {version:g}"
            )
        command = self._commands.get(request.text("do"))
        if command is None:
            raise RefusedError("this agent does not know that command: is it of another version?")
        return await command(request, send)

    # -- the agent --------------------------------------------------------------------------------------------------

    async def _status(self, request: Request, send: Send) -> Any:
        is_stale = self._reloader is not None and self._reloader.is_stale
        return agent_view(self._agent, self._counts).to_json() | {
            "config_changed": is_stale,
            "protocol": PROTOCOL,
        }

    async def _reload(self, request: Request, send: Send) -> Any:
        if self._reloader is None:
            raise RefusedError("this agent has no configuration file that it could read again")
        return (await self._reloader.reload()).to_json()

    async def _watch(self, request: Request, send: Send) -> Any:
        seconds = request.number("seconds", 1.0, 0.1, 60.0)
        while True:
            latest = latest_jobs(self._agent, JobFilter(), JOBS_PER_LOOK)
            rows = [self._job_view(peer, job) for peer, job in latest]
            await send(agent_view(self._agent, self._counts).to_json() | {"latest": rows})
            await trio.sleep(seconds)

    # -- jobs -------------------------------------------------------------------------------------------------------

    async def _jobs(self, request: Request, send: Send) -> Any:
        limit = int(request.number("limit", MAX_JOBS, 0, MAX_JOBS))
        return [
            self._job_view(peer, job) for peer, job in latest_jobs(self._agent, _job_filter(request), limit)
        ]

    async def _follow(self, request: Request, send: Send) -> Any:
        wanted = _job_filter(request)
        sender, receiver = trio.open_memory_channel[Write](NEWS_QUEUED)
        follower = _Follower(sender)
        with self._agent.observers.observing(follower):
            async for news in receiver:
                if wanted.matches(news.peer, news.job):
                    missed, follower.missed = follower.missed, 0
                    row = self._job_view(news.peer, news.job)
                    await send(row | {"removed": news.deleted, "missed": missed})

    async def _job(self, request: Request, send: Send) -> Any:
        found = self._find(request.text("id"))
        if not request.flag("wait"):
            return [self._job_view(peer, job) for peer, job in found]
        # The board nearest to where the job was put is the one that receives its final result.
        peer, job = next(((peer, job) for peer, job in found if is_own(self._agent, job)), found[0])
        async for change in self._agent.peers.handle(peer).job_updates(job):
            await send([self._job_view(peer, change)])
        return [self._job_view(peer, change)]

    async def _put(self, request: Request, send: Send) -> Any:
        zone = request.optional_text("zone")
        lifetime = request.number("lifetime", DEFAULT_LIFETIME, 0, MAX_LIFETIME)
        is_waiting = request.flag("wait")
        longest = self._agent.limits.lifetime_seconds
        if lifetime > longest:
            raise RefusedError(
                f"a job lives at most {longest:g} s here: ask for less, or raise lifetime_seconds under [limits] in the "
                "configuration of every agent on its path"
            )
        job = await self._agent.submit(request.text("command"), zone=zone, lifetime=lifetime)
        peer = self._agent.peer(job.destination.agents[1], zone).peer
        if is_waiting:
            async for change in job.updates():
                job = change
                await send(self._job_view(peer, job))
        return self._job_view(peer, job)

    async def _delete(self, request: Request, send: Send) -> Any:
        found = self._find(request.text("id"))
        for peer, job in found:
            if is_own(self._agent, job):
                await self._agent.peers.handle(peer).delete_job(job)
                return self._job_view(peer, job)
        raise RefusedError(
            f"The job {found[0][1].id} was put at {found[0][1].destination.agents[0]!r}: delete it there"
        )

    def _find(self, beginning: str) -> list[tuple[Peer, Job]]:
        beginning = beginning.lower()
        found: list[tuple[Peer, Job]] = []
        if len(beginning) >= MIN_ID_CHARACTERS:
            found = board_jobs(self._agent, lambda _, job: str(job.id).startswith(beginning))
        if len({job.id for _, job in found}) != 1:
            problem = "Several jobs have ids that begin with" if found else "No board holds a job with the id"
            raise RefusedError(f"{problem} {ascii(beginning)[:60]}")
        return found

    def _job_view(self, peer: Peer, job: Job) -> dict[str, Any]:
        return job_view(peer, job, self._agent.now())

    # -- operations -------------------------------------------------------------------------------------------------

    async def _notify(self, request: Request, send: Send) -> Any:
        self._agent.operations.notify(request.text("text"))

    async def _health(self, request: Request, send: Send) -> Any:
        operations = self._agent.operations
        health = await operations.health() if request.flag("tree") else operations.own_health()
        return health.to_json()

    async def _diagnostics(self, request: Request, send: Send) -> Any:
        return await self._agent.operations.diagnostics(request.text("path", ""))

    async def _restart(self, request: Request, send: Send) -> Any:
        await self._agent.operations.restart(request.text("path", ""), request.text("type", "soft"))


class _Follower(Observer):
    """Passes changed jobs on to a caller, as many as it takes."""

    def __init__(self, sender: trio.MemorySendChannel[Write]) -> None:
        self._sender = sender
        self.missed = 0

    def job_changed(self, write: Write) -> None:
        """Pass a change on, or count it as missed."""
        try:
            self._sender.send_nowait(write)
        except trio.WouldBlock:
            self.missed += 1


def _job_filter(request: Request) -> JobFilter:
    states = frozenset(state.lower() for state in request.texts("states"))
    return JobFilter(states, request.optional_text("peer"), request.text("text", ""))
