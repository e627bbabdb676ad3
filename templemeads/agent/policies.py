"""What is declared where a handler is entered: how many at once, for how long, and when to try again.

    @handlers.add(AddUser, at_once=4, timeout=60, retry=Retry(times=3, first=1, factor=2, on=(ConnectionError,)))

All of it ends when the job is deleted or expires, because the runner cancels the handler then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

import attrs
import trio

from ..errors import JobError
from .envelope import Envelope

Call = Callable[[], Awaitable[Any]]


def _check_positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"Retry({attribute.name}=…) must be a number above 0, not {value!r}")


@attrs.frozen(kw_only=True)
class Retry:
    """When and how often to call a handler again that has raised.

    Attributes:
        times: How often it is called in all.
        first: Seconds until the second call.
        factor: By how much each pause is longer than the one before.
        on: Exceptions after which it is called again; any other ends the job at once.

    """

    times: int = attrs.field(default=3, validator=[attrs.validators.instance_of(int), _check_positive])
    first: float = attrs.field(default=1.0, validator=_check_positive)
    factor: float = attrs.field(default=2.0, validator=_check_positive)
    on: tuple[type[Exception], ...] = (ConnectionError,)

    def covers(self, error: BaseException) -> bool:
        """Whether a handler that raised this is called again; of a group, every exception must be covered."""
        if isinstance(error, BaseExceptionGroup):
            return error.split(self.on)[1] is None
        return isinstance(error, self.on)


@attrs.frozen(kw_only=True)
class Policies:
    """The policies of one function in a table of handlers.

    Attributes:
        at_once: How many calls of the function run at once, or None for as many as the agent runs.
        timeout: Seconds for one call, or None for as long as the job lives.
        retry: When it is called again, or None for never.

    """

    at_once: trio.CapacityLimiter | None = None
    timeout: float | None = None
    retry: Retry | None = None

    async def apply(self, call: Call, envelope: Envelope) -> Any:
        """Call a handler as the policies say.

        Args:
            call: Calls it once.
            envelope: Its job, which is told of each retry.

        Raises:
            JobError: A call took longer than the timeout.

        """
        times, pause = (1, 0.0) if self.retry is None else (self.retry.times, float(self.retry.first))
        for number in range(1, times + 1):
            try:
                async with nullcontext() if self.at_once is None else self.at_once:
                    return await self._call_in_time(call, envelope)
            except Exception as error:
                if self.retry is None or number == times or not self.retry.covers(error):
                    raise
                # The exception's text may hold what the sender must not see.
                names = type(error).__name__
            await envelope.progress(f"Call {number} of {times} failed ({names}); next call in {pause:g} s")
            await trio.sleep(pause)
            pause *= self.retry.factor
        raise AssertionError("the last call returns or raises")

    async def _call_in_time(self, call: Call, envelope: Envelope) -> Any:
        if self.timeout is None:
            return await call()
        with trio.move_on_after(self.timeout) as scope:
            return await call()
        assert scope.cancelled_caught
        raise JobError(
            f"The handler was cancelled: it took longer than {self.timeout:g} s",
            kind="run",
            origin=envelope.recipient,
        )
