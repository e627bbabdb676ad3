"""Health: the figures of one agent, and the tree of figures of the agents behind it.

An agent that is asked collects its own figures, asks the peers behind it, waits briefly, and answers with all of it.
Source: the protocol page *operations*, section 1. Ours differs where existing agents do badly, and stays compatible:

- The time is divided among the levels (`patience`), so that one silent agent far away does not make every level above it
  run out of time.
- Answers are matched to the peers that were asked, not to the names in them, and an answer that nobody asked for is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

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
"""How long each level waits for answers. Existing agents that ask us wait 500 ms, whatever is behind us."""

LAST_LEVEL_SECONDS: Final = 0.1

MAX_LEVELS: Final = 32
"""Levels of a tree that is accepted."""

MAX_AGENTS: Final = 10_000
"""Agents in a tree that is accepted."""

UNKNOWN: Final = "unknown"
"""Engine and version of an agent that has never answered."""

CONNECTED: Final = "connected"
NO_ANSWER: Final = "no answer"
AWAY: Final = "away"

FRESH_SECONDS: Final = 1.0
"""Figures that are older than this are shown as old."""

_MAX_CHARACTERS: Final = 200
_MAX_NUMBER: Final = 2**63
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


@attrs.frozen(kw_only=True)
class JobCounts:
    """Jobs on the boards of an agent, by state (*operations*, section 1.3); one that is on two boards counts once."""

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
    seen: set[UUID] = set()
    for board in boards.values():
        for job in board:
            if job.id in seen:
                continue  # an agent in the middle of a path has a job on the boards of both sides
            seen.add(job.id)
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
    if not isinstance(value, str) or len(value) > _MAX_CHARACTERS:
        raise ParseError(
            f"The field {attribute.name!r} of a health report is a string of at most {_MAX_CHARACTERS} characters"
        )


def _time(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ParseError(
            f"The field {attribute.name!r} of a health report is a time such as 2026-01-31T12:00:00Z"
        )


def _count(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    least = -_MAX_NUMBER if attribute.name == "uptime_seconds" else 0
    if type(value) is not int or not least <= value < _MAX_NUMBER:
        raise ParseError(f"The field {attribute.name!r} of a health report is a whole number")


def _number(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ParseError(f"The field {attribute.name!r} of a health report is a number")


def _flag(_: object, attribute: attrs.Attribute[bool], value: object) -> None:
    if type(value) is not bool:
        raise ParseError(f"The field {attribute.name!r} of a health report is true or false")


def _counted() -> int:
    return attrs.field(default=0, validator=_count)


def _measured() -> float:
    return attrs.field(default=0.0, validator=_number)


@attrs.frozen(kw_only=True)
class HealthInfo:
    """The figures of one agent and of those behind it. The fields are those of *operations*, section 1.3."""

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
        return cls._read(value, MAX_LEVELS, [MAX_AGENTS])

    @classmethod
    def _read(cls, value: object, levels: int, left: list[int]) -> HealthInfo:
        if not isinstance(value, Mapping):
            raise ParseError("A health report is a JSON object")
        left[0] -= 1
        if not levels or left[0] < 0:
            raise ParseError(
                f"A tree of health reports has at most {MAX_LEVELS} levels and {MAX_AGENTS} agents"
            )
        for name in _NAMES:
            if name not in value:
                raise ParseError(f"A health report needs the field {name!r}")
        peers = value.get("peers")
        if not isinstance(peers, Mapping | None):
            raise ParseError("The field 'peers' of a health report is a JSON object")
        read = {
            str(name)[:_MAX_CHARACTERS]: cls._read(peer, levels - 1, left)
            for name, peer in (peers or {}).items()
        }
        return cls(**{name: value[name] for name in _NAMES}, peers=read)


_NAMES: Final = tuple(field.name for field in attrs.fields(HealthInfo) if field.name != "peers")


def never_answered(peer: Peer, agent_type: AgentType | None, now: float) -> HealthInfo:
    """Return the health of a peer that has never answered: all counts 0, engine and version unknown."""
    moment = timestamp(now)
    return HealthInfo(
        name=peer.name,
        agent_type=(agent_type or AgentType.VIRTUAL).value,
        start_time=moment,
        current_time=moment,
        last_updated=moment,
        engine=UNKNOWN,
        version=UNKNOWN,
    )


def not_connected(health: HealthInfo) -> HealthInfo:
    """Return the health of an agent that is not connected: so is nobody behind it, as far as we know."""
    peers = {name: not_connected(peer) for name, peer in health.peers.items()}
    return attrs.evolve(health, connected=False, peers=peers)


@attrs.frozen
class Reading:
    """How far the health of one agent in a tree can be trusted.

    Attributes:
        state: ``connected``; ``no answer``: connected, but it or an agent on the way there did not answer in time;
            ``away``: it or an agent on the way is not connected.
        age: Seconds since the figures were received from it, or None if they never were.
    """

    state: str
    age: float | None


def read_state(health: HealthInfo, parent: HealthInfo | None, above: Reading | None) -> Reading:
    """Return how far the health of one agent can be trusted.

    Ages are differences of two times of the same clock: an agent stamps what it receives, and its own figures. They add up
    along the path.

    Args:
        health: The health.
        parent: The health of the agent that asked it, or None for the root of the tree.
        above: The reading of that agent.
    """
    if parent is None or above is None:
        return Reading(CONNECTED if health.connected else AWAY, 0.0)
    is_known = (health.engine, health.version) != (UNKNOWN, UNKNOWN) and above.age is not None
    age = None
    if is_known and above.age is not None:
        age = above.age + max(0.0, _seconds_between(health.last_updated, parent.current_time))
    if not health.connected or above.state == AWAY:
        return Reading(AWAY, age)
    if age is None or age >= FRESH_SECONDS:
        return Reading(NO_ANSWER, age)
    return Reading(CONNECTED, age)


def _seconds_between(earlier: str, later: str) -> float:
    try:
        return (_parse_time(later) - _parse_time(earlier)).total_seconds()
    except ValueError:  # it looks like a time and is none, such as the 31st of February
        return 0.0


def _parse_time(text: str) -> datetime:
    # Nanoseconds are more digits than Python reads.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def patience(visited: Collection[str]) -> float:
    """Return how many seconds to wait for answers, by the number of agents that the question has passed."""
    return LEVEL_SECONDS[len(visited)] if len(visited) < len(LEVEL_SECONDS) else LAST_LEVEL_SECONDS


def whom_to_ask(
    me: AgentType,
    known: Iterable[tuple[Peer, AgentType | None]],
    asker: str | None,
    visited: Collection[str],
) -> list[Peer]:
    """Choose the peers to ask: those behind us that the question has not passed yet.

    Args:
        me: What we are.
        known: All peers that are known, with what they registered as.
        asker: Name of the agent that asked us, or None if the question begins here.
        visited: Names of the agents that the question has passed.

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
