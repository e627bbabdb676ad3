"""The one way to watch an agent: an object whose methods are called when something has happened.

Metrics, ``--follow``, diagnostics and whatever else wants to know hang on this. An observer is called in the step in which
something happens: it must not block, and what it raises is logged and goes no further.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paddington import Peer

from ..jobs.commands import Register
from ..jobs.job import Job
from ..jobs.outcome import Write
from ..operations.diagnostics import Ended

_log = logging.getLogger("templemeads.observer")


class Observer:
    """Watches an agent. Each method does nothing by default: override those that matter to you."""

    def job_put(self, peer: Peer, job: Job) -> None:
        """Called when this agent has put a job of its own to a peer; its `job_changed` comes as well."""

    def job_changed(self, write: Write) -> None:
        """A job has appeared on the board of a peer, has changed there (perhaps it is finished now), or has left it.

        The store has been asked to commit the change, and may not have committed it yet.
        """

    def handler_started(self, peer: Peer, job: Job) -> None:
        """The handler of a job begins to run."""

    def handler_ended(self, peer: Peer, ended: Ended) -> None:
        """The handler of a job has returned, has raised, or was cancelled."""

    def refused(self, peer: Peer, reason: str, message: str) -> None:
        """Something that a peer sent was not accepted.

        Args:
            peer: Who sent it.
            reason: A short word from a fixed set.
            message: One sentence; it may quote foreign text, and is not made harmless yet.

        """

    def peer_connected(self, peer: Peer) -> None:
        """A connection to a peer has begun."""

    def peer_registered(self, peer: Peer, register: Register) -> None:
        """A peer has registered on its connection; from here on it can be sent jobs."""

    def peer_gone(self, peer: Peer) -> None:
        """The connection to a peer has ended."""


class Observers(Observer):
    """All observers of an agent; what it is told it passes on to each of them."""

    def __init__(self) -> None:
        self._observers: tuple[Observer, ...] = ()
        self._sort()

    def __len__(self) -> int:
        return len(self._observers)

    def add(self, observer: Observer) -> None:
        """Pass everything on to this observer from now on."""
        self._observers = (*self._observers, observer)
        self._sort()

    def remove(self, observer: Observer) -> None:
        """Pass nothing more on to this observer."""
        self._observers = tuple(each for each in self._observers if each is not observer)
        self._sort()

    def _sort(self) -> None:
        # A job calls these four a dozen times, and most observers do not override them.
        self._job_put = self._overriding(Observer.job_put)
        self._job_changed = self._overriding(Observer.job_changed)
        self._handler_started = self._overriding(Observer.handler_started)
        self._handler_ended = self._overriding(Observer.handler_ended)

    def _overriding(self, method: Callable[..., None]) -> tuple[Callable[..., None], ...]:
        """Return this method of every observer that has one of its own."""
        found = (getattr(each, method.__name__) for each in self._observers)
        return tuple(each for each in found if getattr(each, "__func__", each) is not method)

    @contextmanager
    def observing(self, observer: Observer) -> Iterator[None]:
        """Pass everything on to this observer for the time of a ``with`` block."""
        self.add(observer)
        try:
            yield
        finally:
            self.remove(observer)

    def job_put(self, peer: Peer, job: Job) -> None:
        """See `Observer`."""
        for method in self._job_put:
            _call(method, peer, job)

    def job_changed(self, write: Write) -> None:
        """See `Observer`."""
        for method in self._job_changed:
            _call(method, write)

    def handler_started(self, peer: Peer, job: Job) -> None:
        """See `Observer`."""
        for method in self._handler_started:
            _call(method, peer, job)

    def handler_ended(self, peer: Peer, ended: Ended) -> None:
        """See `Observer`."""
        for method in self._handler_ended:
            _call(method, peer, ended)

    def refused(self, peer: Peer, reason: str, message: str) -> None:
        """See `Observer`."""
        for each in self._observers:
            _call(each.refused, peer, reason, message)

    def peer_connected(self, peer: Peer) -> None:
        """See `Observer`."""
        for each in self._observers:
            _call(each.peer_connected, peer)

    def peer_registered(self, peer: Peer, register: Register) -> None:
        """See `Observer`."""
        for each in self._observers:
            _call(each.peer_registered, peer, register)

    def peer_gone(self, peer: Peer) -> None:
        """See `Observer`."""
        for each in self._observers:
            _call(each.peer_gone, peer)


def _call(method: Callable[..., None], *arguments: object) -> None:
    try:
        method(*arguments)
    except Exception:  # noqa: BLE001 - whoever watches must not be able to stop what it watches
        _log.exception("an observer failed: %s", getattr(method, "__qualname__", method))
