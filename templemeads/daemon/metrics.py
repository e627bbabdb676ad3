"""Metrics of an agent for Prometheus: one registry per agent, read from `views` when it is asked.

Needs the extra `metrics`. Labels are configured peers, instruction keywords and other words of ours, never job ids or
anything that a stranger could invent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from paddington import ConfigError, Peer

from ..agent.observer import Observer
from ..jobs.job import Status
from ..operations.diagnostics import Ended
from .counts import PutCounts
from .views import AgentView, PeerView, agent_view

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from ..agent.agent import Agent

BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of times in seconds; 10 s is where a job counts as slow."""


class AgentMetrics(Observer):
    """The figures of one agent.

    Args:
        agent: The agent.
        counts: Counts the jobs that are put at it; by default from now on.

    Raises:
        ConfigError: The extra is not installed.
    """

    def __init__(self, agent: Agent, counts: PutCounts | None = None) -> None:
        try:
            from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
        except ImportError:
            raise ConfigError(
                "Metrics need the extra 'metrics': pip install 'templemeads[metrics]'"
            ) from None
        self._agent = agent
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._handlers = Histogram(
            "templemeads_handler_seconds",
            "How long handlers ran.",
            ("instruction", "outcome"),
            registry=self.registry,
            buckets=BUCKETS,
        )
        self._puts = Histogram(
            "templemeads_put_seconds",
            "Time from putting a job at this agent to its final result.",
            ("outcome",),
            registry=self.registry,
            buckets=BUCKETS,
        )
        counts = counts or PutCounts(agent)
        counts.on_ended = lambda outcome, seconds: self._puts.labels(outcome).observe(seconds)
        self.registry.register(_Collector(agent, counts))
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

    def __init__(self, agent: Agent, counts: PutCounts) -> None:
        self._agent = agent
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        view = agent_view(self._agent, self._counts)
        yield _gauge(
            "build_info", "Version of the software.", ("version", "type"), [((view.version, view.type), 1)]
        )
        yield from _job_metrics(view)
        yield from _store_metrics(view)
        yield from _peer_metrics(view.peers)
        yield _gauge("memory_bytes", "Resident memory of the process.", (), [((), view.memory_bytes)])
        yield _gauge("up_seconds", "Seconds since the agent was started.", (), [((), view.up_seconds)])


Samples = Sequence[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"templemeads_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"templemeads_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _job_metrics(view: AgentView) -> Iterator[Metric]:
    totals = view.totals
    yield _gauge(
        "board_jobs", "Jobs on the board of a peer.", ("peer",), [((p.label,), p.board) for p in view.peers]
    )
    yield _gauge(
        "jobs", "Jobs on all boards, by state.", ("state",), [((s,), n) for s, n in view.states.items()]
    )
    yield _gauge("handlers_running", "Handlers that run now.", (), [((), view.handlers_running)])
    yield _gauge("handlers_waiting", "Jobs that wait for a handler.", (), [((), view.handlers_waiting)])
    yield _gauge("commands_queued", "Commands that wait for a connection.", (), [((), view.queued)])
    yield _counter("commands_dropped", "Control commands that found no room.", (), [((), view.dropped)])
    outcomes = (("completed", totals.completed), ("failed", totals.failed), ("expired", totals.expired))
    yield _counter(
        "jobs_ended",
        "Jobs that handlers of this agent have ended since the last restart.",
        ("outcome",),
        [((outcome,), count) for outcome, count in outcomes],
    )
    put = view.put
    yield _counter(
        "jobs_put",
        "Jobs that were put at this agent and have ended, by outcome.",
        ("outcome",),
        [
            (("completed",), put.completed),
            (("failed",), put.failed),
            (("expired",), put.expired),
            (("withdrawn",), put.withdrawn),
        ],
    )
    yield _counter(
        "put_failures",
        "Jobs that were put at this agent and ended with an error, by kind of error.",
        ("kind",),
        [((kind,), count) for kind, count in sorted(put.failures.items())],
    )
    yield _gauge("jobs_put_unfinished", "Jobs put here that have not ended.", (), [((), put.unfinished)])
    refused = [((reason,), count) for reason, count in sorted(view.refused.items())]
    yield _counter("refused", "Refused commands and callers, by reason.", ("reason",), refused)


def _store_metrics(view: AgentView) -> Iterator[Metric]:
    store = view.store
    yield _counter("store_commits", "Commits of the store.", (), [((), store.commits)])
    yield _counter("store_commit_seconds", "Time spent in commits.", (), [((), store.seconds)])
    yield _counter("store_changes", "Changes that the store has committed.", (), [((), store.changes)])
    yield _gauge(
        "store_problem", "Whether commits have to wait at the moment.", (), [((), store.problem is not None)]
    )
    if store.fence is not None:
        yield _gauge("store_fence", "How often a process has begun to lead.", (), [((), store.fence)])
    yield _gauge("store_waiting", "Changes that the store has not committed yet.", (), [((), store.waiting)])


def _peer_metrics(peers: Sequence[PeerView]) -> Iterator[Metric]:
    yield _gauge(
        "peer_connected",
        "Whether a peer is connected and registered now.",
        ("peer",),
        [((peer.label,), peer.connected) for peer in peers],
    )
    yield _gauge(
        "peer_connected_seconds",
        "Age of the connection with a peer.",
        ("peer",),
        [((p.label,), p.connected_seconds) for p in peers if p.connected_seconds is not None],
    )
    yield _counter(
        "connections",
        "Connections with a peer so far.",
        ("peer",),
        [((p.label,), p.connections) for p in peers],
    )
    linked = [peer for peer in peers if peer.connected_seconds is not None]
    frames = [((p.label, way), n) for p in linked for way, n in (("in", p.received), ("out", p.sent))]
    octets = [
        ((p.label, way), n) for p in linked for way, n in (("in", p.received_bytes), ("out", p.sent_bytes))
    ]
    yield _counter("frames", "Payloads on the present connection.", ("peer", "direction"), frames)
    yield _counter("bytes", "Bytes on the present connection.", ("peer", "direction"), octets)
