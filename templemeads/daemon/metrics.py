"""Metrics of an agent for Prometheus: one registry per agent, read from the agent when it is asked.

Needs the extra ``metrics``. Labels are configured peers, instruction keywords and other words of ours, never job ids nor
anything a stranger could invent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import trio

from paddington import ConfigError, Peer

from ..agent.observer import Observer
from ..jobs.job import Status
from ..operations.diagnostics import Ended

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from ..agent.agent import Agent

BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of handler times in seconds; 10 s is where a job counts as slow."""


class AgentMetrics(Observer):
    """The figures of one agent.

    Args:
        agent: The agent.

    Raises:
        ConfigError: The extra is not installed.

    """

    def __init__(self, agent: Agent) -> None:
        try:
            from prometheus_client import CollectorRegistry, Histogram
        except ImportError:
            raise ConfigError(
                "Metrics need the extra 'metrics': pip install 'templemeads[metrics]'"
            ) from None
        self._agent = agent
        self.registry = CollectorRegistry()
        self._handlers = Histogram(
            "templemeads_handler_seconds",
            "How long handlers ran.",
            ("instruction", "outcome"),
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.registry.register(_Collector(agent))
        agent.observers.add(self)

    def exposition(self) -> tuple[bytes, str]:
        """Return the figures as text, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def handler_ended(self, _: Peer, ended: Ended) -> None:
        """Count a handler that has ended."""
        job = ended.job
        outcome = (
            "expired"
            if job.is_expired(ended.at)
            else "cancelled"
            if not job.is_finished
            else "failed"
            if job.status is Status.ERROR
            else "completed"
        )
        self._handlers.labels(job.instruction.keyword, outcome).observe(ended.seconds)


class _Collector:
    """Reads an agent when the registry is asked."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        agent = self._agent
        figures, store, own = agent.statistics(), agent.store_statistics(), agent.operations.own_health()

        def gauge(name: str, text: str, value: float) -> Metric:
            return GaugeMetricFamily(f"templemeads_{name}", text, value=value)

        def counter(name: str, text: str, value: float) -> Metric:
            return CounterMetricFamily(f"templemeads_{name}", text, value=value)

        states: Counter[str] = Counter()
        boards = GaugeMetricFamily("templemeads_board_jobs", "Jobs on the board of a peer.", labels=("peer",))
        for peer, board in agent.exchange.boards.items():
            boards.add_metric((str(peer),), len(board))
            states.update(job.status.value.lower() for job in board)
        yield boards
        jobs = GaugeMetricFamily("templemeads_jobs", "Jobs on all boards, by state.", labels=("state",))
        for status in Status:
            jobs.add_metric((status.value.lower(),), states[status.value.lower()])
        yield jobs
        yield gauge("handlers_running", "Handlers that run now.", figures.running)
        yield gauge("handlers_waiting", "Jobs that wait for a handler.", figures.waiting)
        yield gauge("commands_queued", "Commands that wait for a connection.", agent.queued())
        yield counter("commands_dropped", "Control commands that found no room.", figures.dropped)
        ended = CounterMetricFamily(
            "templemeads_jobs_ended",
            "Jobs that handlers have ended since the last restart.",
            labels=("outcome",),
        )
        for outcome in ("completed", "failed", "expired"):
            ended.add_metric((outcome,), getattr(own, f"total_{outcome}"))
        yield ended
        refused = CounterMetricFamily(
            "templemeads_refused", "What was refused, by reason.", labels=("reason",)
        )
        service = agent.service_statistics()
        reasons: Counter[str] = Counter(figures.refused)
        reasons.update({} if service is None else dict(service.refused))
        for reason, count in sorted(reasons.items()):
            refused.add_metric((reason,), count)
        yield refused
        yield from self._lines()
        yield counter("store_commits", "Commits of the store.", store.commits)
        yield counter("store_commit_seconds", "Time spent in commits.", store.seconds)
        yield counter("store_changes", "Changes that the store has kept.", store.changes)
        yield gauge("store_waiting", "Changes that the store has not kept yet.", store.waiting)
        yield gauge("memory_bytes", "Resident memory of the process.", own.memory_bytes)
        yield gauge("up_seconds", "Since the agent was started.", own.uptime_seconds)

    def _lines(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        agent = self._agent
        service = agent.service_statistics()
        connected = GaugeMetricFamily(
            "templemeads_peer_connected", "Whether a peer is registered now.", labels=("peer",)
        )
        since = GaugeMetricFamily("templemeads_peer_connected_seconds", "For how long.", labels=("peer",))
        times = CounterMetricFamily(
            "templemeads_connections", "Connections with a peer so far.", labels=("peer",)
        )
        frames = CounterMetricFamily(
            "templemeads_frames", "Payloads on the present connection.", labels=("peer", "direction")
        )
        octets = CounterMetricFamily(
            "templemeads_bytes", "Bytes on the present connection.", labels=("peer", "direction")
        )
        for known in agent.peers.states:
            label = str(known.peer)
            connected.add_metric((label,), known.is_ready)
            if known.is_connected:
                since.add_metric((label,), trio.current_time() - known.since)
            times.add_metric((label,), known.connections)
            line = None if service is None else service.connections.get(known.peer)
            if line is not None:
                for direction, count, size in (
                    ("in", line.received, line.received_bytes),
                    ("out", line.sent, line.sent_bytes),
                ):
                    frames.add_metric((label, direction), count)
                    octets.add_metric((label, direction), size)
        yield from (connected, since, times, frames, octets)
