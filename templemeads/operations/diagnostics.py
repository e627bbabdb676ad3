"""Diagnostics: what an agent remembers of the jobs that its handlers ran, and the report made of it.

Only the agent where a handler ran records anything. Everything is bounded: kinds of failures by number, texts by length.
No clock is read. Source: the protocol page *operations*, sections 2.3 and 5.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from ..jobs.job import Job, Status
from ..text import printable, timestamp

KINDS_KEPT: Final = 200
"""Kinds of failed, and of expired, jobs that are remembered; the slowest jobs likewise."""

KINDS_SHOWN: Final = 100
"""Entries of each list in a report."""

TIMES_KEPT: Final = 1_000
"""Durations from which the job times of a health are computed."""

LOGS_SHOWN: Final = 500
"""Log records in a report."""

SLOW_SECONDS: Final = 10.0
STUCK_SECONDS: Final = 300.0
MANY_FAILURES: Final = 10
MANY_EXPIRED: Final = 50

_LONGEST_TEXT: Final = 500


@attrs.frozen
class Ended:
    """A handler has ended, of its own accord or because it was cancelled.

    Attributes:
        job: The job: finished, or as it was given to the handler that was cancelled.
        at: When, in seconds since 1970 UTC.
        seconds: How long the handler ran.

    """

    job: Job
    at: float
    seconds: float


@attrs.frozen
class RunningHandler:
    """A handler that runs now.

    Attributes:
        job: Its job.
        seconds: For how long.

    """

    job: Job
    seconds: float


@attrs.frozen
class JobTimes:
    """Durations of the latest handlers, in milliseconds; all 0 if there were none."""

    least: float = 0.0
    most: float = 0.0
    mean: float = 0.0
    median: float = 0.0
    count: int = 0


@attrs.define
class _Kind:
    """What jobs with the same command have in common."""

    destination: str
    instruction: str
    passed: frozenset[str]
    first: float
    last: float
    count: int = 0
    text: str = ""


@attrs.frozen
class _Slow:
    destination: str
    instruction: str
    passed: frozenset[str]
    seconds: float
    at: float


@attrs.define(eq=False)
class Recorder:
    """What one agent remembers.

    Attributes:
        totals: ``completed``, ``failed``, ``expired`` and ``slow`` since the start or the last soft restart.
        notified: ``received``, ``sent`` and ``failed`` notifications, likewise.

    """

    totals: Counter[str] = attrs.field(factory=Counter, init=False)
    notified: Counter[str] = attrs.field(factory=Counter, init=False)
    _failed: OrderedDict[str, _Kind] = attrs.field(factory=OrderedDict, init=False)
    _expired: OrderedDict[str, _Kind] = attrs.field(factory=OrderedDict, init=False)
    _slow: list[_Slow] = attrs.field(factory=list, init=False)
    _times: deque[float] = attrs.field(factory=lambda: deque(maxlen=TIMES_KEPT), init=False)

    def record(self, ended: Ended) -> None:
        """Remember how a handler ended.

        A job that was deleted while its handler ran counts as nothing: nobody waits for it.
        """
        job = ended.job
        self._times.append(ended.seconds * 1000)
        if job.is_expired(ended.at):
            self.totals["expired"] += 1
            _remember(self._expired, job, ended.at)
            return
        if not job.is_finished:
            return
        if job.status is Status.ERROR:
            self.totals["failed"] += 1
            _remember(self._failed, job, ended.at).text = printable(job.result_text or "", _LONGEST_TEXT)
        else:
            self.totals["completed"] += 1
        if ended.seconds > SLOW_SECONDS:
            self.totals["slow"] += 1
            destination, instruction = _texts(job)
            slow = _Slow(destination, instruction, frozenset(job.destination.agents), ended.seconds, ended.at)
            self._slow = sorted([*self._slow, slow], key=lambda each: -each.seconds)[:KINDS_KEPT]

    def reset(self) -> None:
        """Forget everything but the job times, as a soft restart does."""
        self.totals.clear()
        self.notified.clear()
        self._failed.clear()
        self._expired.clear()
        self._slow.clear()

    def times(self) -> JobTimes:
        """Compute the job times of a health."""
        if not self._times:
            return JobTimes()
        import statistics

        return JobTimes(
            min(self._times),
            max(self._times),
            statistics.fmean(self._times),
            statistics.median(self._times),
            len(self._times),
        )

    def report(
        self,
        name: str,
        now: float,
        running: Iterable[RunningHandler],
        logs: Sequence[Mapping[str, str]] = (),
        *,
        asker: str | None = None,
    ) -> dict[str, Any]:
        """Make the report, in its JSON form.

        Args:
            name: The agent's name.
            now: Seconds since 1970 UTC.
            running: The handlers that run now.
            logs: Log records, newest first, already chosen for the asker.
            asker: Name of the agent that asks, or None for an operator on this machine. An agent learns the arguments
                and errors of those jobs only whose path it is on.

        """

        def shown(kind: _Kind | _Slow) -> dict[str, Any]:
            hidden = asker is not None and asker not in kind.passed
            keyword = kind.instruction.partition(" ")[0]
            return {
                "destination": "" if hidden else kind.destination,
                "instruction": f"{keyword} …" if hidden else kind.instruction,
            }

        def message(kind: _Kind) -> str:
            return "" if asker is not None and asker not in kind.passed else kind.text

        failed = list(reversed(self._failed.values()))[:KINDS_SHOWN]
        expired = list(reversed(self._expired.values()))[:KINDS_SHOWN]
        at_work = _running_kinds(running, now)
        return {
            "agent_name": name,
            "generated_at": timestamp(now),
            "failed_jobs": [
                shown(kind)
                | {
                    "error_message": message(kind),
                    "count": kind.count,
                    "first_seen": timestamp(kind.first),
                    "last_seen": timestamp(kind.last),
                }
                for kind in failed
            ],
            "slowest_jobs": [
                shown(slow) | {"duration_ms": round(slow.seconds * 1000), "completed_at": timestamp(slow.at)}
                for slow in self._slow[:KINDS_SHOWN]
            ],
            "expired_jobs": [
                shown(kind)
                | {
                    "created_at": timestamp(kind.first),
                    "expired_at": timestamp(kind.last),
                    "count": kind.count,
                }
                for kind in expired
            ],
            "running_jobs": [
                shown(kind)
                | {
                    "started_at": timestamp(kind.first),
                    "count": kind.count,
                    "running_for_seconds": max(0, int(now - kind.first)),
                }
                for kind in at_work
            ],
            "warnings": self._warnings(failed, at_work, len(expired), now),
            "recent_logs": list(logs[:LOGS_SHOWN]),
            "notification_statistics": {
                f"total_{word}": self.notified[word] for word in ("received", "sent", "failed")
            },
        }

    def _warnings(self, failed: list[_Kind], at_work: list[_Kind], expired: int, now: float) -> list[str]:
        often = sum(kind.count >= MANY_FAILURES for kind in failed)
        stuck = sum(kind.count for kind in at_work if now - kind.first > STUCK_SECONDS)
        lost = self.notified["failed"]
        found = (
            (often, f"{often} kinds of job have failed {MANY_FAILURES} times or more"),
            (stuck, f"{stuck} jobs have been running for more than {STUCK_SECONDS:g} seconds"),
            (expired > MANY_EXPIRED, f"{expired} kinds of job have expired"),
            (lost, f"{lost} notifications could not be sent"),
        )
        return [text for is_so, text in found if is_so]


def _remember(kinds: OrderedDict[str, _Kind], job: Job, at: float) -> _Kind:
    destination, instruction = _texts(job)
    key = f"{destination} {instruction}"
    kind = kinds.get(key)
    if kind is None:
        first = float(job.created) if job.is_expired(at) else at
        kind = kinds[key] = _Kind(destination, instruction, frozenset(job.destination.agents), first, at)
        if len(kinds) > KINDS_KEPT:
            kinds.popitem(last=False)
    kind.count += 1
    kind.last = float(job.expires) if job.is_expired(at) else at
    return kind


def _running_kinds(running: Iterable[RunningHandler], now: float) -> list[_Kind]:
    kinds: OrderedDict[str, _Kind] = OrderedDict()
    for handler in running:
        destination, instruction = _texts(handler.job)
        started = now - handler.seconds
        kind = kinds.setdefault(
            f"{destination} {instruction}",
            _Kind(destination, instruction, frozenset(handler.job.destination.agents), started, started),
        )
        kind.count += 1
        kind.first = min(kind.first, started)
    return sorted(kinds.values(), key=lambda kind: kind.first)


def _texts(job: Job) -> tuple[str, str]:
    return printable(str(job.destination), _LONGEST_TEXT), printable(str(job.instruction), _LONGEST_TEXT)
