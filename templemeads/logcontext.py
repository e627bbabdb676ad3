"""What every log line says about where it comes from: agent, peer, job.

The words are bound to the running task and inherited by the tasks that it starts; nothing is passed around. A handler of
``logging`` that wants them asks `bound_words` when it handles a record.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

from .text import printable, timestamp

_NOTHING: Final[Mapping[str, object]] = {}
_words: Final[ContextVar[Mapping[str, object]]] = ContextVar("templemeads_log_words", default=_NOTHING)

LONGEST_MESSAGE: Final = 2_000
"""Characters of a message that are kept for diagnostics."""


class bound:  # noqa: N801 - used like the functions of contextlib; a class, since each job is bound several times
    """Bind words to everything that is logged inside the ``with`` block, and in tasks started there.

    Args:
        words: What to say, as anything whose ``str`` says it: it is asked for only where something is logged.

    """

    __slots__ = ("_before", "_more")

    def __init__(self, **words: object) -> None:
        self._more = words
        self._before = _NOTHING

    def __enter__(self) -> None:
        self._before = _words.get()
        _words.set({**self._before, **self._more})

    def __exit__(self, *_: object) -> None:
        # Not by token: a task that is thrown away unfinished is cleaned up in another context.
        _words.set(self._before)


def bound_words() -> dict[str, str]:
    """Return the words that are bound here and now: ``agent``, ``peer``, ``job``."""
    return {name: str(word) for name, word in _words.get().items()}


_LEVELS: Final = (
    (logging.ERROR, "ERROR"),
    (logging.WARNING, "WARN"),
    (logging.INFO, "INFO"),
    (logging.DEBUG, "DEBUG"),
)


def level_word(level: int) -> str:
    """Return the word that the protocol has for a level."""
    return next((word for least, word in _LEVELS if level >= least), "TRACE")


class RecentLogs(logging.Handler):
    """Keeps the last records for diagnostics.

    Args:
        most: How many.

    """

    def __init__(self, most: int = 500) -> None:
        super().__init__()
        self._kept: deque[tuple[str | None, str | None, dict[str, str]]] = deque(maxlen=most)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, as one harmless line."""
        words = bound_words()
        entry = {
            "timestamp": timestamp(record.created),
            "level": level_word(record.levelno),
            "target": record.name,
            "message": printable(record.getMessage(), LONGEST_MESSAGE),
        }
        self._kept.append((words.get("agent"), words.get("peer"), entry))

    def newest(self, agent: str, *, asker: str | None = None) -> list[dict[str, str]]:
        """Return the records of an agent, newest first.

        Args:
            agent: Its name; records of no agent in particular are among them.
            asker: ``name@zone`` of a peer, which sees nothing of what concerns other peers; None sees everything.

        """
        return [
            entry
            for logged_by, peer, entry in reversed(self._kept)
            if logged_by in (None, agent) and (asker is None or peer in (None, asker))
        ]
