"""Greps everything that the tests log for every key that they use.

Each key that is made is remembered; after each test, what was logged while it ran is searched for a piece of any of them,
as hexadecimal digits or as the escapes of a bytes literal. Installed for the whole suite by `tests/conftest.py`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from paddington.protocol.crypto import Key

PIECE = 8
"""Bytes of a key that must not be seen in a row."""

MIN_DISTINCT_BYTES = 12
"""Different bytes that a key must have to be searched for: tests also use keys such as 32 zeros."""

_DIGITS = re.compile(rf"[0-9a-fA-F]{{{2 * PIECE},}}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([tnr'\"\\]))")
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r"}


class Keys:
    """Every key that was made since `install`."""

    def __init__(self) -> None:
        self._pieces: set[bytes] = set()

    def install(self) -> None:
        """Remember every key from now on."""
        original = Key.__init__
        remember = self.remember

        def init(key: Key, raw: bytes) -> None:
            original(key, raw)
            remember(raw)

        Key.__init__ = init  # type: ignore[method-assign]

    def remember(self, raw: bytes) -> None:
        if len(set(raw)) >= MIN_DISTINCT_BYTES:
            self._pieces.update((raw[:PIECE], raw[-PIECE:], raw[PIECE : 2 * PIECE]))

    def found_in(self, text: str) -> bool:
        """Whether a piece of a key stands in a text."""
        return any(
            run[start : start + PIECE] in self._pieces
            for run in _raw_runs(text)
            for start in range(len(run) - PIECE + 1)
        )


def _raw_runs(text: str) -> Iterator[bytes]:
    for match in _DIGITS.finditer(text):
        digits = match.group()
        for shift in (0, 1):
            whole = digits[shift:]
            yield bytes.fromhex(whole[: len(whole) // 2 * 2])
    if "\\x" in text:
        yield _ESCAPE.sub(_unescaped, text).encode("latin-1", "replace")


def _unescaped(match: re.Match[str]) -> str:
    digits, letter = match.groups()
    return chr(int(digits, 16)) if digits else _CONTROLS.get(letter, letter)


class Recorder(logging.Handler):
    """Keeps what is logged, as a file handler would write it."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.args!r} {extras(record)}")


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What a structured log would show besides."""
    usual = vars(logging.makeLogRecord({}))
    return {name: value for name, value in vars(record).items() if name not in usual}
