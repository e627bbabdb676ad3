"""The log: one event, one line, for people on a terminal and as JSON otherwise; exceptions without local variables."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Final, TextIO

import click

from templemeads.logcontext import bound_words, level_word
from templemeads.text import visible

LONGEST_MESSAGE: Final = 8_000
LONGEST_TRACEBACK: Final = 20_000

_COLOURS: Final[Mapping[str, str]] = {"ERROR": "red", "WARN": "yellow", "INFO": "green", "DEBUG": "blue"}


def configure_logging(
    level: str | None = None,
    log_format: str | None = None,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> logging.Handler:
    """Send the log to standard error, or another stream; return what was put in place.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; None for what ``RUST_LOG`` says, or else ``info``.
        log_format: ``human`` or ``json``; None for JSON if ``RUST_LOG_FORMAT`` says so or nobody watches.
        stream: Where it goes.
        environment: The environment, in which existing agents find their settings.

    """
    stream = sys.stderr if stream is None else stream
    if log_format is None:
        watched = stream.isatty() and environment.get("RUST_LOG_FORMAT") != "json"
        log_format = "human" if watched else "json"
    handler = logging.StreamHandler(stream)
    coloured = stream.isatty() and "NO_COLOR" not in environment
    handler.setFormatter(JsonFormatter() if log_format == "json" else HumanFormatter(coloured=coloured))
    root = logging.getLogger()
    for older in root.handlers[:]:
        root.removeHandler(older)
    root.addHandler(handler)
    root.setLevel((level or _foreign_level(environment) or "info").upper())
    # What the server of the health endpoint says about where it runs says no more than our own line.
    for chatty in ("trio_websocket", "templemeads.endpoint"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return handler


def _foreign_level(environment: Mapping[str, str]) -> str | None:
    """Read the level that ``RUST_LOG`` gives to everything, where it gives one."""
    words = {"trace": "debug", "debug": "debug", "info": "info", "warn": "warning", "error": "error"}
    for part in environment.get("RUST_LOG", "").lower().split(","):
        if part.strip() in words:
            return words[part.strip()]
    return None


class JsonFormatter(logging.Formatter):
    """One JSON object a line, ASCII only."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": level_word(record.levelno),
            "target": record.name,
            "message": record.getMessage()[:LONGEST_MESSAGE],
            **bound_words(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[:LONGEST_TRACEBACK]
        return json.dumps(line)


class HumanFormatter(logging.Formatter):
    """One line for people; a traceback follows on lines of its own.

    Args:
        coloured: Whether levels have colours.

    """

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        word = level_word(record.levelno)
        level = click.style(f"{word:5}", fg=_COLOURS.get(word)) if self._coloured else f"{word:5}"
        words = bound_words()
        where = " ".join(
            words[name][:8] if name == "job" else words[name]
            for name in ("agent", "peer", "job")
            if name in words
        )
        target = record.name.removeprefix("templemeads.")
        message = visible(record.getMessage()[:LONGEST_MESSAGE])
        line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {level} "
        line += f"[{visible(where)}] {target}: {message}" if where else f"{target}: {message}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)[:LONGEST_TRACEBACK]
            line += "".join(f"\n    {visible(each)}" for each in trace.splitlines())
        return line
