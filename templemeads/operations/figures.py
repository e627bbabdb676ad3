"""The figures of one agent: its own health and its own diagnostics report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs
import trio

from paddington import Peer

from ..agent_type import AgentType
from ..jobs.board import Board
from ..jobs.commands import ENGINE
from ..limits import Limits
from ..logcontext import RecentLogs
from ..text import timestamp
from ..version import __version__
from .diagnostics import Recorder, RunningHandler
from .health import HealthInfo, JobCounts, count_jobs
from .process import ProcessMeter

COUNTS_SECONDS: Final = 1.0
"""Counts of jobs are returned again for this long, so that asking often costs nothing."""


class Site(Protocol):
    """What the operations need of the agent that they belong to."""

    @property
    def name(self) -> str:
        """The agent's name."""

    @property
    def agent_type(self) -> AgentType:
        """The agent's type."""

    @property
    def limits(self) -> Limits:
        """Its limits."""

    @property
    def boards(self) -> Mapping[Peer, Board]:
        """Its boards by peer."""

    def now(self) -> float:
        """Seconds since 1970 UTC."""

    def queued(self) -> int:
        """Return how many commands wait to be sent."""

    def running_handlers(self) -> list[RunningHandler]:
        """Return the handlers that run now."""

    def refuse(self, peer: Peer, reason: str, message: str) -> None:
        """Count and log that something a peer sent was not accepted."""

    async def soft_restart(self) -> None:
        """Start again without ending the process."""


class Figures:
    """The figures of one agent.

    Args:
        site: The agent.

    Attributes:
        recorder: Remembers how the jobs that ran here ended.
        recent_logs: The log for diagnostics, if the process keeps one.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.recorder = Recorder()
        self.recent_logs: RecentLogs | None = None
        self._meter = ProcessMeter()
        self._started = site.now()
        self._counts = JobCounts()
        self._counted = -COUNTS_SECONDS

    def health(self) -> HealthInfo:
        """Return the health of this agent alone."""
        agent, now = self._site, self._site.now()
        if trio.current_time() - self._counted >= COUNTS_SECONDS:
            self._counts = count_jobs(agent.name, agent.boards, now)
            self._counted = trio.current_time()
        process, times = self._meter.read(trio.current_time()), self.recorder.times()
        totals = self.recorder.totals
        return HealthInfo(
            name=agent.name,
            agent_type=agent.agent_type.value,
            **attrs.asdict(self._counts),
            queued_jobs=agent.queued(),
            worker_count=len(agent.running_handlers()),
            **attrs.asdict(process),
            job_time_min_ms=times.least,
            job_time_max_ms=times.most,
            job_time_mean_ms=times.mean,
            job_time_median_ms=times.median,
            job_time_count=times.count,
            total_completed=totals["completed"],
            total_failed=totals["failed"],
            total_expired=totals["expired"],
            total_slow=totals["slow"],
            start_time=timestamp(self._started),
            current_time=timestamp(now),
            uptime_seconds=int(now - self._started),
            engine=ENGINE,
            version=__version__,
            last_updated=timestamp(now),
        )

    def report(self, asker: Peer | None = None) -> dict[str, Any]:
        """Return the diagnostics report of this agent, as far as an asker may know it; all of it for None."""
        agent, logs = self._site, self.recent_logs
        return self.recorder.report(
            agent.name,
            agent.now(),
            agent.running_handlers(),
            () if logs is None else logs.newest(agent.name, asker=None if asker is None else str(asker)),
            asker=None if asker is None else asker.name,
        )
