"""The log: one event, one line, for people on a terminal and as JSON otherwise; exceptions without local variables.

Lines are formatted and written by a thread of their own, from a bounded queue: a terminal that is paused, or a pipe that
nobody reads, must not stop the agent. What finds no room is dropped and counted, and a line says how many were.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, TextIO

import click

from templemeads.logcontext import keep_words, level_word, words_of
from templemeads.text import visible

MAX_MESSAGE_CHARACTERS: Final = 8_000
MAX_TRACEBACK_CHARACTERS: Final = 20_000

MAX_QUEUED_RECORDS: Final = 10_000
"""Records that wait to be written; more are dropped and counted."""

RECORDS_PER_WRITE: Final = 200

PAUSE_SECONDS: Final = 0.02
"""Between two writes: a thread that wakes for each line would take the interpreter from the agent each time."""

FLUSH_SECONDS: Final = 2.0
"""How long the end of the process waits for the last lines to be written."""

SWITCHED_OFF: Final[Mapping[str, object]] = {
    "_srcfile": None,
    "logThreads": False,
    "logProcesses": False,
    "logMultiprocessing": False,
    "logAsyncioTasks": False,
}
"""What the manual of `logging` says may be switched off: parts of a record that no line shows."""

_COLOURS: Final[Mapping[str, str]] = {"ERROR": "red", "WARN": "yellow", "INFO": "green", "DEBUG": "blue"}


def configure_logging(
    level: str | None = None,
    log_format: str | None = None,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> logging.Handler:
    """Send the log to standard error, or another stream; return the handler.

    Args:
        level: `debug`, `info`, `warning` or `error`; None for what `RUST_LOG` says, or else `info`.
        log_format: `human` or `json`; None for JSON if `RUST_LOG_FORMAT` says so or the stream is no terminal.
        stream: Where it goes.
        environment: The environment, in which existing agents find their settings.
    """
    stream = sys.stderr if stream is None else stream
    is_terminal = stream is not None and stream.isatty()
    if log_format is None:
        log_format = "human" if is_terminal and environment.get("RUST_LOG_FORMAT") != "json" else "json"
    coloured = is_terminal and "NO_COLOR" not in environment
    handler = QueuedHandler(_writer(stream))
    handler.setFormatter(JsonFormatter() if log_format == "json" else HumanFormatter(coloured=coloured))
    root = logging.getLogger()
    for older in root.handlers[:]:
        root.removeHandler(older)
    root.addHandler(handler)
    root.setLevel((level or _foreign_level(environment) or "info").upper())
    logging.getLogger("trio_websocket").setLevel(logging.WARNING)
    # No line says where in the source it was written, and looking that up costs more than all the rest of a record.
    for name, value in SWITCHED_OFF.items():
        setattr(logging, name, value)
    return handler


def _foreign_level(environment: Mapping[str, str]) -> str | None:
    """Return the level that `RUST_LOG` sets for everything, if it sets one."""
    words = {"trace": "debug", "debug": "debug", "info": "info", "warn": "warning", "error": "error"}
    for part in environment.get("RUST_LOG", "").lower().split(","):
        if part.strip() in words:
            return words[part.strip()]
    return None


def _writer(stream: TextIO | None) -> Callable[[str], None]:
    if stream is None:
        return lambda _: None
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return lambda text: (stream.write(text), None)[1]
    encoding = stream.encoding or "utf-8"

    def write(text: str) -> None:
        # Not through the stream: a thread that is stuck in it would hold its lock when the interpreter ends.
        data = text.encode(encoding, "backslashreplace")
        while data:
            data = data[os.write(descriptor, data) :]

    return write


class QueuedHandler(logging.Handler):
    """Writes records from a thread of its own, which never keeps the process from ending.

    Args:
        write: Writes text; may block for as long as it likes, and may raise OSError.
        most: How many records may wait.

    Attributes:
        dropped: Records that found no room and have not been reported yet.
    """

    def __init__(self, write: Callable[[str], None], most: int = MAX_QUEUED_RECORDS) -> None:
        super().__init__()
        self._write = write
        self._most = most
        self._records: SimpleQueue[logging.LogRecord | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Queue a record unless a filter rejects it; the queue needs no lock."""
        passed = bool(self.filter(record))
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, or count it as dropped."""
        if self._records.qsize() >= self._most:
            self.dropped += 1
            return
        keep_words(record)
        self._records.put(record)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Wait until everything so far is written, but not for long."""
        if self._thread is not None and self._thread is not threading.current_thread():
            written = threading.Event()
            self._records.put(written)
            written.wait(FLUSH_SECONDS)

    def close(self) -> None:
        """Write what is left, and close."""
        self.flush()
        super().close()

    def _run(self) -> None:
        while True:
            batch = [self._records.get()]
            with suppress(Empty):
                while len(batch) < RECORDS_PER_WRITE:
                    batch.append(self._records.get_nowait())
            lines = [self._line(each) for each in batch if isinstance(each, logging.LogRecord)]
            if self.dropped:
                dropped, self.dropped = self.dropped, 0
                lines.append(self._line(_dropped_record(dropped)))
            # A reader that has gone must not end the agent: it works on without a log.
            with suppress(OSError, ValueError):
                self._write("".join(lines))
            flushed = [each for each in batch if isinstance(each, threading.Event)]
            for event in flushed:
                event.set()
            if not flushed:
                time.sleep(PAUSE_SECONDS)

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception as error:  # noqa: BLE001 - foreign values have a foreign __str__
            return f"a log record of {record.name} cannot be formatted: {type(error).__name__}\n"


def _dropped_record(count: int) -> logging.LogRecord:
    message = "%d log lines were dropped: the log is not read fast enough"
    return logging.LogRecord("templemeads.log", logging.WARNING, "", 0, message, (count,), None)


class _Clock:
    """Formats times; the part down to the second once a second."""

    def __init__(self, form: str, convert: Callable[[float], time.struct_time]) -> None:
        self._form = form
        self._convert = convert
        self._second = -1
        self._text = ""

    def text(self, seconds: float) -> str:
        second = int(seconds)
        if second != self._second:
            self._text = time.strftime(self._form, self._convert(second))
            self._second = second
        return self._text


class JsonFormatter(logging.Formatter):
    """One JSON object a line, ASCII only."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = _Clock("%Y-%m-%dT%H:%M:%S", time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; what it carries as `fields` becomes fields."""
        line = {
            "time": f"{self._clock.text(record.created)}.{int(record.msecs):03}Z",
            "level": level_word(record.levelno),
            "target": record.name,
            "message": record.getMessage()[:MAX_MESSAGE_CHARACTERS],
            **{name: str(word) for name, word in words_of(record).items()},
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[:MAX_TRACEBACK_CHARACTERS]
        return json.dumps(line)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """Return the fields of a record, which may be a function that makes them."""
    fields = record.__dict__.get("fields", {})
    found: Mapping[str, object] = fields() if callable(fields) else fields
    return found


class HumanFormatter(logging.Formatter):
    """One line for people; a traceback follows on lines of its own.

    Args:
        coloured: Whether levels have colours.
    """

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured
        self._clock = _Clock("%H:%M:%S", time.localtime)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        word = level_word(record.levelno)
        level = click.style(f"{word:5}", fg=_COLOURS.get(word)) if self._coloured else f"{word:5}"
        words = words_of(record)
        where = " ".join(
            str(words[name])[:8] if name == "job" else str(words[name])
            for name in ("agent", "peer", "job")
            if name in words
        )
        target = record.name.removeprefix("templemeads.")
        message = visible(record.getMessage()[:MAX_MESSAGE_CHARACTERS])
        line = f"{self._clock.text(record.created)} {level} "
        line += f"[{visible(where)}] {target}: {message}" if where else f"{target}: {message}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)[:MAX_TRACEBACK_CHARACTERS]
            line += "".join(f"\n    {visible(each)}" for each in trace.splitlines())
        return line
