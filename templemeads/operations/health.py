"""Health: the figures of one agent, and the tree of figures that a sweep through the network collects.

An agent that is asked collects its own figures, asks the peers behind it, waits a moment, and answers with all of it.
Source: the protocol page *operations*, section 1. Ours differs where existing agents do badly, and stays compatible:

- The time is divided among the levels (`patience`), so that one silent agent far away does not make every level above it
  run out of time.
- Answers are matched to the peers that were asked, not to the names in them, and an answer that nobody asked for is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import attrs

from paddington import Peer

from ..agent_type import AgentType
from ..errors import ParseError
from ..jobs.board import Board
from ..jobs.job import Status
from ..jobs.route import place_of
from ..text import timestamp
from .paths import may_ask

LEVEL_SECONDS: Final = (0.5, 0.4, 0.3, 0.2)
"""How long a sweep waits at each level. Whoever asked an existing agent waits 500 ms, whatever is behind it."""

LAST_LEVEL_SECONDS: Final = 0.1

DEEPEST: Final = 32
"""Levels of a tree that is read."""

MOST_AGENTS: Final = 10_000
"""Agents in a tree that is read."""

_LONGEST_TEXT: Final = 200
_LARGEST: Final = 2**63
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


@attrs.frozen(kw_only=True)
class JobCounts:
    """How many jobs of which kind the boards hold (*operations*, section 1.3)."""

    active_jobs: int = 0
    pending_jobs: int = 0
    running_jobs: int = 0
    completed_jobs: int = 0
    duplicate_jobs: int = 0
    successful_jobs: int = 0
    expired_jobs: int = 0
    errored_jobs: int = 0
    inflight_jobs: int = 0


def count_jobs(name: str, boards: Mapping[Peer, Board], now: float) -> JobCounts:
    """Count the jobs on the boards of an agent.

    Args:
        name: The agent's name.
        boards: Its boards.
        now: Seconds since 1970 UTC.

    """
    counts = dict.fromkeys(attrs.fields_dict(JobCounts), 0)
    for board in boards.values():
        for job in board:
            counts["active_jobs"] += 1
            place = place_of(name, job.destination)
            if place is None or not (place.is_first or place.is_last):
                counts["inflight_jobs"] += 1
                continue
            match job.status:
                case Status.PENDING | Status.CREATED:
                    counts["pending_jobs"] += 1
                case Status.RUNNING:
                    counts["running_jobs"] += 1
                case Status.DUPLICATE:
                    counts["duplicate_jobs"] += 1
                case Status.COMPLETE | Status.ERROR:
                    counts["completed_jobs"] += 1
                    if job.is_expired(now):
                        counts["expired_jobs"] += 1
                    elif job.status is Status.ERROR:
                        counts["errored_jobs"] += 1
                    else:
                        counts["successful_jobs"] += 1
    return JobCounts(**counts)


def _text(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ParseError(
            f"The field {attribute.name!r} of a health is a text of at most {_LONGEST_TEXT} characters"
        )


def _time(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ParseError(f"The field {attribute.name!r} of a health is a time such as 2026-01-31T12:00:00Z")


def _count(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    least = -_LARGEST if attribute.name == "uptime_seconds" else 0
    if type(value) is not int or not least <= value < _LARGEST:
        raise ParseError(f"The field {attribute.name!r} of a health is a whole number")


def _number(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ParseError(f"The field {attribute.name!r} of a health is a number")


def _flag(_: object, attribute: attrs.Attribute[bool], value: object) -> None:
    if type(value) is not bool:
        raise ParseError(f"The field {attribute.name!r} of a health is true or false")


def _counted() -> int:
    return attrs.field(default=0, validator=_count)


def _measured() -> float:
    return attrs.field(default=0.0, validator=_number)


@attrs.frozen(kw_only=True)
class HealthInfo:
    """How one agent is, and those behind it. The fields are those of *operations*, section 1.3."""

    name: str = attrs.field(validator=_text)
    agent_type: str = attrs.field(validator=_text)
    connected: bool = attrs.field(default=True, validator=_flag)
    active_jobs: int = _counted()
    pending_jobs: int = _counted()
    running_jobs: int = _counted()
    completed_jobs: int = _counted()
    duplicate_jobs: int = _counted()
    successful_jobs: int = _counted()
    expired_jobs: int = _counted()
    errored_jobs: int = _counted()
    inflight_jobs: int = _counted()
    queued_jobs: int = _counted()
    worker_count: int = _counted()
    memory_bytes: int = _counted()
    cpu_percent: float = _measured()
    system_memory_total: int = _counted()
    system_cpus: int = _counted()
    job_time_min_ms: float = _measured()
    job_time_max_ms: float = _measured()
    job_time_mean_ms: float = _measured()
    job_time_median_ms: float = _measured()
    job_time_count: int = _counted()
    total_completed: int = _counted()
    total_failed: int = _counted()
    total_expired: int = _counted()
    total_slow: int = _counted()
    start_time: str = attrs.field(validator=_time)
    current_time: str = attrs.field(validator=_time)
    uptime_seconds: int = _counted()
    engine: str = attrs.field(validator=_text)
    version: str = attrs.field(validator=_text)
    last_updated: str = attrs.field(validator=_time)
    peers: Mapping[str, HealthInfo] = attrs.field(factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        value = {name: getattr(self, name) for name in _NAMES}
        value["peers"] = {name: peer.to_json() for name, peer in self.peers.items()}
        return value

    @classmethod
    def from_json(cls, value: object) -> HealthInfo:
        """Read the JSON form; unknown fields are ignored, only ``peers`` may be missing.

        Raises:
            ParseError: A field is missing or not what it must be, or the tree is too deep or too large.

        """
        return cls._read(value, DEEPEST, [MOST_AGENTS])

    @classmethod
    def _read(cls, value: object, levels: int, left: list[int]) -> HealthInfo:
        if not isinstance(value, Mapping):
            raise ParseError("A health is a JSON object")
        left[0] -= 1
        if not levels or left[0] < 0:
            raise ParseError(f"A tree of healths has at most {DEEPEST} levels and {MOST_AGENTS} agents")
        for name in _NAMES:
            if name not in value:
                raise ParseError(f"A health needs the field {name!r}")
        peers = value.get("peers")
        if not isinstance(peers, Mapping | None):
            raise ParseError("The field 'peers' of a health is a JSON object")
        read = {
            str(name)[:_LONGEST_TEXT]: cls._read(peer, levels - 1, left)
            for name, peer in (peers or {}).items()
        }
        return cls(**{name: value[name] for name in _NAMES}, peers=read)


_NAMES: Final = tuple(field.name for field in attrs.fields(HealthInfo) if field.name != "peers")


def unheard_of(peer: Peer, agent_type: AgentType | None, now: float) -> HealthInfo:
    """Return what is said of a peer that is away and has never answered."""
    moment = timestamp(now)
    return HealthInfo(
        name=peer.name,
        agent_type=(agent_type or AgentType.VIRTUAL).value,
        connected=False,
        start_time=moment,
        current_time=moment,
        last_updated=moment,
        engine="unknown",
        version="unknown",
    )


def patience(visited: Collection[str]) -> float:
    """Return how many seconds a sweep waits for answers, by the number of agents it has passed already."""
    return LEVEL_SECONDS[len(visited)] if len(visited) < len(LEVEL_SECONDS) else LAST_LEVEL_SECONDS


def whom_to_ask(
    me: AgentType,
    known: Iterable[tuple[Peer, AgentType | None]],
    asker: str | None,
    visited: Collection[str],
) -> list[Peer]:
    """Choose the peers that a sweep goes on to: those behind us that it has not passed yet.

    Args:
        me: What we are.
        known: All peers that are known, with what they registered as.
        asker: Name of the agent that asked us, or None if the sweep begins here.
        visited: Names of the agents that it has passed.

    """
    if me.is_leaf:
        return []
    passed = {*visited, asker}
    return [
        peer
        for peer, agent_type in known
        if agent_type is not None
        and agent_type is not AgentType.VIRTUAL
        and peer.name not in passed
        and may_ask(me, agent_type)
    ]
