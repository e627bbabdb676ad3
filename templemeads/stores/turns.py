"""Waits until it is this process's turn to lead, among several that share one store."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final, Protocol

import trio

from ..errors import StoreError
from .group_commit import StoreBusyError

_log = logging.getLogger("templemeads.store")

PAUSE_SECONDS: Final = 0.25
"""Pause before a database that cannot be reached is tried again."""


class Candidate(Protocol):
    """An engine that may lead later."""

    title: str

    def try_to_lead(self) -> str | None:
        """Wait for a moment; return who leads, or None if it is this process. Called in a worker thread.

        Raises:
            StoreBusyError: It cannot be found out at the moment.
            StoreError: It never will be.
        """

    def interrupt(self) -> None:
        """Make a call that hangs in the worker thread end with an error."""


async def wait_to_lead(
    candidate: Candidate, *, patience: float, on_waiting: Callable[[str], None] | None = None
) -> None:
    """Wait until this process leads.

    Args:
        candidate: The open engine.
        patience: Seconds for which a database that cannot be reached is tried again.
        on_waiting: Called with the name of the leader, at first and when it changes.

    Raises:
        StoreError: The database cannot be reached, or not be used.
    """
    turn = _Turn(candidate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn.watch, patience)
        failure = await turn.wait(patience, on_waiting)
        nursery.cancel_scope.cancel(reason="the waiting is over")
    if failure is not None:
        raise failure


class _Turn:
    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self._busy_since = math.inf

    async def watch(self, patience: float) -> None:
        """Interrupt a call that hangs."""
        while True:
            await trio.sleep(patience / 4)
            if trio.current_time() - self._busy_since > patience:
                self._candidate.interrupt()

    async def wait(self, patience: float, on_waiting: Callable[[str], None] | None) -> StoreError | None:
        """Wait for the turn; return why it will never come, or None."""
        leader, answered = None, trio.current_time()
        while True:
            self._busy_since = trio.current_time()
            try:
                with trio.CancelScope(shield=True):  # a lead that was taken must not be dropped
                    found = await trio.to_thread.run_sync(self._candidate.try_to_lead)
            except StoreBusyError as error:
                waited = trio.current_time() - answered
                if waited > patience:
                    return StoreError(f"{error} (tried for {waited:.0f} s)")
                _log.debug("%s: %s", self._candidate.title, error)
                await trio.sleep(PAUSE_SECONDS)
                continue
            except StoreError as error:
                return error
            finally:
                self._busy_since = math.inf
            answered = trio.current_time()
            if found is None:
                if leader is not None:
                    _log.warning("%s: this process takes over from %s", self._candidate.title, leader)
                return None
            if found != leader:
                leader = found
                _log.info("%s: %s leads; this process waits for its turn", self._candidate.title, leader)
                if on_waiting is not None:
                    on_waiting(leader)
            await trio.lowlevel.checkpoint()
