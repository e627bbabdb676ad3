"""The read model: what a running agent looks like from outside, as frozen values.

The control socket, `top`, the metrics and the dashboard all show these values, so that they never disagree. This is the
only module of the room that reads an agent's insides.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs
import trio

from paddington import Peer

from ..agent.agent import Agent
from ..errors import JobError, ParseError
from ..jobs.job import Job, Status
from ..jobs.route import place_of
from ..operations.health import HealthInfo, Reading, read_state
from ..stores.lease import process_label
from ..version import __version__
from .counts import PutCounts, PutCountsView

MAX_VERSION_CHARACTERS: Final = 40
"""Characters shown of the engine and the version that a peer registers with."""


@attrs.frozen(kw_only=True)
class TotalsView:
    """Jobs that handlers of this agent have ended since the last restart.

    Attributes:
        completed: Jobs that ended with a result.
        failed: Jobs that ended with an error.
        expired: Jobs that expired while their handler ran.
        slow: Finished jobs whose handler took more than ten seconds.
    """

    completed: int
    failed: int
    expired: int
    slow: int


@attrs.frozen(kw_only=True)
class JobTimesView:
    """How long the latest handlers ran, in milliseconds."""

    median: float
    max: float
    count: int


@attrs.frozen(kw_only=True)
class StoreView:
    """What the store has done since the start.

    Attributes:
        waiting: Changes that are not committed yet.
        commits: Commits.
        changes: Committed changes.
        seconds: Time spent in commits.
        problem: Why commits have to wait at the moment, or None.
        fence: How often a process has begun to lead with this store, or None where that is not counted.
    """

    waiting: int
    commits: int
    changes: int
    seconds: float
    problem: str | None
    fence: int | None


@attrs.frozen(kw_only=True)
class PeerView:
    """One configured peer.

    Attributes:
        name: Its name.
        zone: Its zone.
        type: What it registered as, or None if it has not registered yet.
        connected: Whether it is connected and registered.
        connected_seconds: Age of the connection, or None without one.
        connections: Connections so far.
        failure: Why the last attempt to reach it failed, while it is not connected.
        engine: The software that it runs, or None if unstate.
        version: The version of that software, or None if unstate.
        board: Jobs on its board.
        unfinished: Jobs on its board that have not ended.
        queued: Commands that wait for its connection.
        received_bytes: Bytes received on this connection.
        sent_bytes: Bytes sent on this connection.
        received: Payloads received on this connection.
        sent: Payloads sent on this connection.
    """

    name: str
    zone: str
    type: str | None
    connected: bool
    connected_seconds: float | None
    connections: int
    failure: str
    engine: str | None
    version: str | None
    board: int
    unfinished: int
    queued: int
    received_bytes: int
    sent_bytes: int
    received: int
    sent: int

    @property
    def label(self) -> str:
        """`name@zone`."""
        return f"{self.name}@{self.zone}"


@attrs.frozen(kw_only=True)
class AgentView:
    """A running agent.

    Attributes:
        agent: Its name.
        type: Its type.
        version: Version of this software.
        pid: The process.
        port: The port that it listens on, or None if it does not listen.
        url: Where peers call it.
        up_seconds: Seconds since the start.
        memory_bytes: Resident memory of the process.
        cpu_percent: Processor time of the process, as a share of one processor.
        leader: For one of a pair, which process leads, as `host:pid`: this one, since the others have no agent. Otherwise
            None.
        stopping: Whether it takes no more jobs because it is about to stop.
        handlers_running: Handlers that run now.
        handlers_waiting: Jobs that wait for a free handler.
        jobs: Jobs on all boards.
        states: Jobs on all boards, by state in lower case.
        queued: Commands that wait for a connection.
        dropped: Control commands that found no room in the queue to a slow peer.
        stalls: How often the event loop was blocked since the start.
        totals: Jobs that handlers of this agent have ended.
        put: Jobs that were put at this agent, and how they ended.
        job_ms: How long handlers ran.
        refused: Refused commands and callers, by reason.
        store: What the store has done.
        peers: All configured peers.
    """

    agent: str
    type: str
    version: str
    pid: int
    port: int | None
    url: str
    up_seconds: int
    memory_bytes: int
    cpu_percent: float
    leader: str | None
    stopping: bool
    handlers_running: int
    handlers_waiting: int
    jobs: int
    states: Mapping[str, int]
    queued: int
    dropped: int
    stalls: int
    totals: TotalsView
    put: PutCountsView
    job_ms: JobTimesView
    refused: Mapping[str, int]
    store: StoreView
    peers: tuple[PeerView, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return attrs.asdict(self)


def agent_view(agent: Agent, counts: PutCounts) -> AgentView:
    """Return an agent as it is now.

    Args:
        agent: The agent.
        counts: What has watched it since it was started.
    """
    figures, store, own = agent.statistics(), agent.store_statistics(), agent.operations.own_health()
    states = Counter(job.status.value.lower() for board in agent.boards.values() for job in board)
    service = agent.service_statistics()
    refused = Counter(figures.refused)
    if service is not None:
        refused.update(service.refused)
    return AgentView(
        agent=agent.name,
        type=agent.agent_type.value,
        version=__version__,
        pid=os.getpid(),
        port=agent.port,
        url=agent.config.service.url,
        up_seconds=own.uptime_seconds,
        memory_bytes=own.memory_bytes,
        cpu_percent=own.cpu_percent,
        leader=process_label() if agent.config.pair else None,
        stopping=agent.is_stopping,
        handlers_running=figures.running,
        handlers_waiting=figures.waiting,
        jobs=figures.jobs,
        states={status.value.lower(): states[status.value.lower()] for status in Status},
        queued=agent.queued(),
        dropped=figures.dropped,
        stalls=figures.stalls,
        totals=TotalsView(
            completed=own.total_completed,
            failed=own.total_failed,
            expired=own.total_expired,
            slow=own.total_slow,
        ),
        put=counts.view(),
        job_ms=JobTimesView(median=own.job_time_median_ms, max=own.job_time_max_ms, count=own.job_time_count),
        refused=dict(refused),
        store=StoreView(**attrs.asdict(store)),
        peers=tuple(_peer_views(agent)),
    )


def _peer_views(agent: Agent) -> Iterator[PeerView]:
    service = agent.service_statistics()
    for state in agent.peers.states:
        board = agent.boards.get(state.peer, ())
        connection = None if service is None else service.connections.get(state.peer)
        yield PeerView(
            name=state.peer.name,
            zone=state.peer.zone,
            type=None if state.register is None else state.register.agent.value,
            connected=state.is_ready,
            connected_seconds=trio.current_time() - state.since if state.is_connected else None,
            connections=state.connections,
            failure="" if state.is_connected else state.failure,
            engine=None if state.register is None else state.register.engine[:MAX_VERSION_CHARACTERS],
            version=None if state.register is None else state.register.version[:MAX_VERSION_CHARACTERS],
            board=len(board),
            unfinished=sum(not job.is_finished for job in board),
            queued=state.queued,
            received_bytes=0 if connection is None else connection.received_bytes,
            sent_bytes=0 if connection is None else connection.sent_bytes,
            received=0 if connection is None else connection.received,
            sent=0 if connection is None else connection.sent,
        )


def health_view(
    health: HealthInfo, parent: HealthInfo | None = None, above: Reading | None = None
) -> dict[str, Any]:
    """Return the JSON form of a tree of health reports, with how far each can be trusted (`operations.health.Reading`)."""
    reading = read_state(health, parent, above)
    peers = {name: health_view(peer, health, reading) for name, peer in health.peers.items()}
    return health.to_json() | {"state": reading.state, "age_seconds": reading.age, "peers": peers}


@attrs.frozen
class JobFilter:
    """Which jobs somebody wants to see.

    Attributes:
        states: States in lower case; empty for all.
        peer: `name` or `name@zone` of the peer whose board it is, or None for all.
        text: What the command contains.
    """

    states: frozenset[str] = frozenset()
    peer: str | None = None
    text: str = ""

    def matches(self, peer: Peer, job: Job) -> bool:
        """Return whether a job on the board of a peer is wanted."""
        return (
            (not self.states or job.status.value.lower() in self.states)
            and (self.peer is None or self.peer in (peer.name, str(peer)))
            and (not self.text or self.text in job.command)
        )


def board_jobs(agent: Agent, matches: Callable[[Peer, Job], bool]) -> list[tuple[Peer, Job]]:
    """Return jobs on the boards of an agent, each with the peer whose board it is."""
    return [(peer, job) for peer, board in agent.boards.items() for job in board if matches(peer, job)]


def latest_jobs(agent: Agent, wanted: JobFilter, limit: int) -> list[tuple[Peer, Job]]:
    """Return the wanted jobs that changed last, the latest first."""
    found = board_jobs(agent, wanted.matches)
    found.sort(key=lambda each: (each[1].changed, each[1].created), reverse=True)
    return found[:limit]


def is_own(agent: Agent, job: Job) -> bool:
    """Return whether a job was put at this agent, the first of its path."""
    place = place_of(agent.name, job.destination)
    return place is not None and place.is_first


def job_view(peer: Peer, job: Job, now: float) -> dict[str, Any]:
    """Return the JSON form of a job, with what people want to know besides.

    Args:
        peer: The peer whose board it is on.
        job: The job.
        now: Seconds since 1970 UTC.
    """
    return job.to_json() | {
        "board": str(peer),
        "expired": job.is_expired(now),
        "value": _value(job),
        "error_kind": None if job.error_info is None else job.error_info.kind,
    }


def _value(job: Job) -> str | None:
    if job.status is Status.DUPLICATE:
        return None
    if job.status is Status.COMPLETE:
        try:
            result = job.result()
        except (JobError, ParseError):
            return job.result_text
        return None if result is None else str(result)
    return job.result_text
