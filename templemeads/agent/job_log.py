"""One line in the log for a job: its end, with all that an operator asks about it. The steps before are at DEBUG."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio

from ..jobs.job import Job, printable
from ..jobs.outcome import Write
from ..jobs.route import place_of
from .observer import Observer

_log = logging.getLogger("templemeads.job")

MAX_ENDED_JOBS: Final = 10_000
"""Jobs remembered as logged, so that one whose final state comes again is not logged again."""

MAX_TEXT_CHARACTERS: Final = 500


class JobLog(Observer):
    """Logs the end of each job once, at every agent of its path.

    Args:
        name: The agent's name.

    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun: dict[int, float] = {}
        self._ended: OrderedDict[int, None] = OrderedDict()

    def job_changed(self, write: Write) -> None:
        """Note when a job begins, and log its end."""
        if not _log.isEnabledFor(logging.INFO):
            return
        job = write.job
        place = place_of(self._name, job.destination)
        # In the middle of its path a job is on two boards: the one towards its origin counts.
        if place is None or write.peer.name != (place.before or place.after):
            return
        key = job.id.int
        if write.deleted:
            if self._begun.pop(key, None) is not None and not job.is_finished:
                _log.info("%s", _Line(job, "withdrawn", None), extra=_extra(job, None, self._origin(job)))
        elif not job.is_finished:
            self._begun.setdefault(key, trio.current_time())
        elif key not in self._ended:
            begun = self._begun.pop(key, None)
            self._ended[key] = None
            if len(self._ended) > MAX_ENDED_JOBS:
                self._ended.popitem(last=False)
            seconds = None if begun is None else trio.current_time() - begun
            line = _Line(job, job.status.value.lower(), seconds)
            _log.info("%s", line, extra=_extra(job, seconds, self._origin(job)))

    @staticmethod
    def _origin(job: Job) -> str:
        return job.destination.agents[0]


class _Line:
    """The message, made by the thread that writes the log."""

    __slots__ = ("_job", "_seconds", "_state")

    def __init__(self, job: Job, state: str, seconds: float | None) -> None:
        self._job = job
        self._state = state
        self._seconds = seconds

    def __str__(self) -> str:
        job = self._job
        error = "" if job.error_info is None else f": {printable(job.result_text or '', MAX_TEXT_CHARACTERS)}"
        duration = "" if self._seconds is None else f" after {self._seconds:.3f} s"
        return f"{printable(job.command, MAX_TEXT_CHARACTERS)}: {self._state}{duration}{error}"


def _extra(job: Job, seconds: float | None, origin: str) -> dict[str, Callable[[], dict[str, Any]]]:
    return {"fields": partial(_fields, job, seconds, origin)}


def _fields(job: Job, seconds: float | None, origin: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "job": str(job.id),
        "path": printable(str(job.destination), MAX_TEXT_CHARACTERS),
        "instruction": printable(str(job.instruction), MAX_TEXT_CHARACTERS),
        "state": job.status.value,
        "from": printable(origin, MAX_TEXT_CHARACTERS),
    }
    if seconds is not None:
        fields["seconds"] = round(seconds, 6)
    if job.error_info is not None:
        fields["kind"] = printable(job.error_info.kind, MAX_TEXT_CHARACTERS)
    return fields
