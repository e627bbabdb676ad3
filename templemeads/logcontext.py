"""What every log line says about where it comes from: agent, peer, job.

The words are bound to the running task and inherited by the tasks that it starts; nothing is passed around. A handler of
`logging` that wants them asks `bound_words` when it handles a record.
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

MAX_MESSAGE_CHARACTERS: Final = 2_000
"""Characters of a message that are kept for diagnostics."""


class bound:  # noqa: N801 - used like the functions of contextlib; a class, since each job is bound several times
    """Bind words to everything that is logged inside the `with` block, and in tasks started there.

    Args:
        words: What to say, as anything whose `str` says it: it is asked for only where something is logged.
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
    """Return the words that are bound here and now: `agent`, `peer`, `job`."""
    return {name: str(word) for name, word in _words.get().items()}


def words_of(record: logging.LogRecord) -> Mapping[str, object]:
    """Return the words of a record: those that `keep_words` has put there, or else those that are bound now."""
    words: Mapping[str, object] = record.__dict__.get(_ATTRIBUTE, _NOTHING)
    return words or _words.get()


def keep_words(record: logging.LogRecord) -> None:
    """Put the words that are bound now into a record, for a handler that formats it later in another thread."""
    record.__dict__[_ATTRIBUTE] = _words.get()


_ATTRIBUTE: Final = "templemeads_words"

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
    """Remembers the latest records for diagnostics, and formats them only when they are asked for.

    Args:
        most: How many.
    """

    def __init__(self, most: int = 500) -> None:
        super().__init__()
        self._latest: deque[tuple[float, int, str, object, object, Mapping[str, object]]] = deque(maxlen=most)

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a record."""
        message, arguments = record.msg, record.args
        if isinstance(arguments, Mapping) or any(isinstance(each, BaseException) for each in arguments or ()):
            # An exception would keep its frames alive, and a mapping may change.
            message, arguments = record.getMessage(), ()
        self._latest.append(
            (record.created, record.levelno, record.name, message, arguments, words_of(record))
        )

    def newest(self, agent: str, *, asker: str | None = None) -> list[dict[str, str]]:
        """Return the records of an agent, newest first, each as one harmless line.

        Args:
            agent: Its name; records of no agent in particular are among them.
            asker: `name@zone` of a peer, which sees nothing of what concerns other peers; None sees everything.
        """
        found = []
        for created, level, name, message, arguments, words in reversed(self._latest):
            logged_by, peer = _text(words.get("agent")), _text(words.get("peer"))
            if logged_by in (None, agent) and (asker is None or peer in (None, asker)):
                text = str(message) % arguments if arguments else str(message)
                entry = {
                    "timestamp": timestamp(created),
                    "level": level_word(level),
                    "target": name,
                    "message": printable(text, MAX_MESSAGE_CHARACTERS),
                }
                found.append(entry)
        return found


def _text(word: object) -> str | None:
    return None if word is None else str(word)
