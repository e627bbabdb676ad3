"""Context managers out of which the error of a block comes as it was raised, not in a group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class HeldError:
    """Holds the error of a block back while the context managers around the block end in order.

    As a context manager it takes whatever the block raises, of whatever class; `release` raises it again, bare. A
    cancellation passes: only what is cancelled can tell where it ends.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if error is None or _is_cancellation(error):
            return False
        self.error = error
        return True

    def release(self) -> None:
        """Raise the error again, if there is one."""
        if self.error is not None:
            raise self.error


@asynccontextmanager
async def open_bare_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a nursery for the time of a block; if one error ends it, that error comes out bare.

    So `except ValueError` around a public context manager matches what the block inside it raised, whatever tasks the
    context manager runs beside it. An error of the block cancels the tasks, as in any nursery.

    Raises:
        BaseException: What the block raised, as it was raised, whatever its class: a group stays the group that it was.
        BaseExceptionGroup: More than one error: the block and a task failed, or several tasks.
    """
    held = HeldError()
    failures: BaseExceptionGroup[BaseException] | None = None
    try:
        async with trio.open_nursery() as nursery:
            with held:
                yield nursery
            if held.error is not None:
                nursery.cancel_scope.cancel(reason="the block has failed")
    except BaseExceptionGroup as group:
        failures = group
    if failures is not None:
        _, errors = failures.split(trio.Cancelled)
        if held.error is None:
            raise _only_one(failures if errors is None else errors)
        if errors is not None:
            raise BaseExceptionGroup("The block and its tasks have failed", [held.error, *errors.exceptions])
    held.release()


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[0] is not None
    return isinstance(error, trio.Cancelled)


def _only_one(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the only error of a group; of a group of cancellations, the first; otherwise the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) > 1 and error.split(trio.Cancelled)[1] is not None:
            return group
        error = error.exceptions[0]
    return error
