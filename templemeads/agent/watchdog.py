"""Notices when something blocks the event loop, and names the handler that does.

A thread asks the loop for a sign of life several times a second. If none comes for `stall_seconds`, the log gets one line
with the handler, the job and the stack of the loop's thread, and another one when the loop goes on. That costs the loop one
callback each time, and no more: a trio instrument would be called at every step of every task.

Limits: a call that holds Python's global lock (some C libraries) also stops this thread, so it is reported only afterwards.
The package *perpetuo* watches from a process of its own and would see that as well; but it reads the memory of another
process, which hardened machines forbid, and it knows no jobs.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import trio

from .envelope import Envelope
from .runner import Runner

_log = logging.getLogger("templemeads.watchdog")

MAX_STACK_FRAMES: Final = 12
"""Innermost frames of the stack that are logged."""

SIGNS_PER_LIMIT: Final = 4
"""Signs of life that are asked for within the time after which the loop counts as stalled."""


class LoopWatchdog:
    """Watches the loop of one agent.

    Args:
        limit: Seconds without a sign of life after which the loop counts as stalled (`Limits.stall_seconds`).

    Attributes:
        stalls: How often the loop has stalled since the start.
        longest: The longest stall in seconds.

    """

    def __init__(self, limit: float) -> None:
        self.stalls = 0
        self.longest = 0.0
        self._limit: Final = limit
        self._over: Final = threading.Event()
        self._sign: Final = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the loop that runs this for the time of a ``with`` block."""
        token = trio.lowlevel.current_trio_token()
        thread = threading.Thread(
            target=self._watch, args=(token, threading.get_ident()), name="loop watchdog", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._sign.set()

    def _watch(self, token: trio.lowlevel.TrioToken, loop_thread: int) -> None:
        while not self._over.wait(self._limit / SIGNS_PER_LIMIT):
            self._sign.clear()
            asked = time.monotonic()
            try:
                token.run_sync_soon(self._sign.set, idempotent=True)
            except trio.RunFinishedError:
                return
            if self._over.is_set() or self._sign.wait(self._limit):
                continue
            self.stalls += 1
            _log_stall(sys._current_frames().get(loop_thread), self._limit)  # noqa: SLF001 - its documented use
            self._sign.wait()
            seconds = time.monotonic() - asked
            self.longest = max(self.longest, seconds)
            if not self._over.is_set():
                _log.warning("the event loop goes on after %.1f s", seconds)


def _log_stall(frame: FrameType | None, seconds: float) -> None:
    stack = traceback.extract_stack(frame)[-MAX_STACK_FRAMES:] if frame is not None else []
    _log.error(
        "the event loop has been blocked for %g s by %s: %s",
        seconds,
        _blamed(frame),
        " > ".join(f"{each.filename}:{each.lineno} {each.name}" for each in stack),
    )


def _blamed(frame: FrameType | None) -> str:
    while frame is not None:
        if frame.f_code is Runner._run.__code__:  # noqa: SLF001 - the frame in which a handler is called
            envelope = frame.f_locals.get("envelope")
            if isinstance(envelope, Envelope):
                return f"the handler of {str(envelope.job.instruction)[:80]!a}, job {envelope.job.id}"
        frame = frame.f_back
    return "something that is not a handler"
