"""Handlers that block: a plain `def` handler runs in a worker thread, so that the agent goes on meanwhile.

A thread cannot be cancelled. When the job is deleted or expires, the wait for the thread is abandoned: the job has ended,
the thread goes on and what it returns is dropped. Until then it holds its place among `handler_threads`, and it is reported
in the log if it is left behind. It can look at `envelope.is_cancelled`; its calls of the envelope raise `JobError` then.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from ..errors import JobError
from ..jobs.job import Job
from .envelope import Envelope

if TYPE_CHECKING:
    from ..config import AgentConfig

_log = logging.getLogger("templemeads.runner")

_Value = TypeVar("_Value")


@attrs.define(eq=False)
class BlockingEnvelope:
    """What a plain `def` handler receives: an `Envelope` whose methods block instead of being awaited.

    Attributes:
        is_cancelled: Whether the job was deleted or has expired, so that nobody waits for the handler any more.

    """

    _envelope: Envelope
    is_cancelled: bool = attrs.field(default=False, init=False)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    @property
    def job(self) -> Job:
        """The job; see `Envelope.job`."""
        return self._envelope.job

    @property
    def sender(self) -> str:
        """Name of the neighbour that the job came from."""
        return self._envelope.sender

    @property
    def recipient(self) -> str:
        """Name of the agent that runs the job."""
        return self._envelope.recipient

    @property
    def zone(self) -> str:
        """The zone in which the job came."""
        return self._envelope.zone

    @property
    def config(self) -> AgentConfig:
        """The configuration of the agent; see `Envelope.config`."""
        return self._envelope.config

    def progress(self, message: str | None = None) -> None:
        """Report to the job's sender how far the work is; see `Envelope.progress`.

        Raises:
            JobError: The job was deleted or has expired.

        """
        self._from_thread(partial(self._envelope.progress, message))

    def ask(
        self,
        command: str,
        *,
        zone: str | None = None,
        lifetime: float | None = None,
        expected: type[Any] | None = None,
    ) -> Any:
        """Put a job to another agent, wait for it and return its value; see `Agent.ask`.

        Raises:
            JobError: The job that was asked failed, or the handler's own job was deleted or has expired.

        """
        return self._from_thread(
            partial(self._envelope.agent.ask, command, zone=zone, lifetime=lifetime, expected=expected)
        )

    def cancel(self) -> None:
        """End what the thread waits for in the agent; called when the wait for the thread is abandoned."""
        self.is_cancelled = True
        self._scope.cancel(reason="the job of a handler in a thread was cancelled")

    def _from_thread(self, call: Callable[[], Awaitable[_Value]]) -> _Value:
        return trio.from_thread.run(self._call_unless_cancelled, call)

    async def _call_unless_cancelled(self, call: Callable[[], Awaitable[_Value]]) -> _Value:
        if not self.is_cancelled:
            # One call at a time: a thread waits for each.
            self._scope = trio.CancelScope()
            with self._scope:
                return await call()
        raise JobError("The job was deleted or has expired", kind="run", origin=self.recipient)


async def call_in_thread(function: Callable[..., Any], envelope: Envelope, *fields: object) -> Any:
    """Call a plain function as the handler of a job, in a worker thread.

    Args:
        function: Gets a `BlockingEnvelope` and the fields.
        envelope: The job.
        fields: The fields of its instruction.

    """
    blocking = BlockingEnvelope(envelope)
    limiter = envelope.thread_limiter
    is_done = False

    def call() -> Any:
        nonlocal is_done
        try:
            return function(blocking, *fields)
        finally:
            is_done = True
            if blocking.is_cancelled:
                _log.info("the thread of %s has ended", _shown(envelope.job))

    try:
        return await trio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
    except trio.Cancelled:
        blocking.cancel()
        if not is_done:
            _log.warning(
                "the handler of %s was cancelled; its thread cannot be, and goes on until it returns",
                _shown(envelope.job),
            )
        raise


def _shown(job: Job) -> str:
    return ascii(str(job.instruction)[:80])
