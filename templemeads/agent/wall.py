"""The wall around handlers: whatever a handler raises or returns ends as the result of its job, and goes no further.

Three things pass the wall: the agent's own cancellation, a real Ctrl-C, and nothing else. What is asked of a handler's
result is asked here, so that boards, store and connections can rely on it.

The text of a `JobError` or of a grammar error is meant for the job's sender. The text of any other exception may hold paths,
passwords or queries: it goes to the log only, and the sender is told where to look.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import trio

from ..errors import JobError, ParseError, StateError
from ..jobs.error_info import ErrorInfo
from ..jobs.job import Job, Status
from ..operations.notifications import NotificationEnvelope, NotificationHandler
from ..values import hot_value
from .envelope import Envelope

_log = logging.getLogger("templemeads.runner")

MAX_SHOWN_ERRORS: Final = 10
"""Errors of a group whose messages are sent."""

MAX_COUNTED_ERRORS: Final = 1_000
"""Errors of a group that are looked at."""

MAX_NAME_CHARACTERS: Final = 100
"""Characters of an exception's class name that are shown."""

_Value = TypeVar("_Value")


class WrongResultError(JobError):
    """A handler returned what cannot be the result of its job; a fault of the handler, which its author must see."""


async def call_handler(
    handler: Callable[[Envelope], Awaitable[object]], envelope: Envelope, scope: trio.CancelScope
) -> Job | None:
    """Run a handler in a cancel scope.

    Args:
        handler: Called with the envelope.
        envelope: The job.
        scope: Cancelled by the runner to stop the handler, and by nobody else.

    Returns:
        The finished job, or None if the handler was cancelled and gave no answer.

    Raises:
        trio.Cancelled: Something outside of the scope is cancelled.
        KeyboardInterrupt: The process was interrupted while the handler ran.

    """
    job = envelope.job
    what = _Shown(job)

    async def call() -> Job:
        return checked_result(job, await handler(envelope))

    result, failure = await contain(call, scope, what)
    if failure is None:
        return result
    found = _leaves(failure)
    is_cancelled = scope.cancel_called or trio.current_effective_deadline() == -math.inf
    if is_cancelled and not all(isinstance(leaf, JobError) for leaf in found):
        if not all(isinstance(leaf, trio.Cancelled) for leaf in found):
            _log_failure("%s failed while it was being cancelled", what, failure)
        return None
    return failed(job, failure, envelope.recipient)


async def call_notified(handler: NotificationHandler, envelope: NotificationEnvelope) -> None:
    """Run the handler of a notification; what it raises is logged, since nobody waits for an answer.

    Raises:
        trio.Cancelled, KeyboardInterrupt: As for `call_handler`.

    """
    what = f"the handler of a notification from {envelope.sender}"
    _, failure = await contain(partial(handler, envelope), trio.CancelScope(), what)
    if failure is not None:
        _log_failure("%s failed", what, failure)


async def contain(
    call: Callable[[], Awaitable[_Value]], scope: trio.CancelScope, what: object
) -> tuple[_Value | None, BaseException | None]:
    """Run other people's code in a cancel scope, and return what it returned and what it raised.

    Args:
        call: The code.
        scope: Where it runs.
        what: What to call it in the log.

    Raises:
        trio.Cancelled: Something outside of the scope is cancelled, and nothing else was raised.
        KeyboardInterrupt: The process was interrupted.

    """
    value: _Value | None = None
    failure: BaseException | None = None
    is_done = False
    try:
        with scope:
            try:
                value = await call()
                is_done = True
            except BaseException as error:  # noqa: BLE001, ASYNC103 - the wall; cancellation is looked at below
                failure = error
            if abandoned := trio.lowlevel.current_task().child_nurseries:
                await _close_nurseries(abandoned)
    except BaseException as error:  # noqa: BLE001, ASYNC103 - it has left a nursery or a cancel scope open
        _log_failure("%s has left a nursery or a cancel scope open", what, error)
        if not is_done and failure is None:
            failure = error
    if failure is not None:
        found = _leaves(failure)
        if interrupt := next(filter(_is_ctrl_c, found), None):
            raise interrupt
        if all(isinstance(leaf, trio.Cancelled) for leaf in found):
            await trio.lowlevel.checkpoint_if_cancelled()
    return value, failure


def checked_result(job: Job, returned: object) -> Job:
    """Return what a handler returned as a finished job: a value completes the job that the handler was given.

    Raises:
        WrongResultError: It is another job, or one that is not finished, or a field of it is not of its type.
        TypeError: There is no result type for the value.

    """
    if not isinstance(returned, Job):
        # A handler is other people's code: a plain value is what they mean, whatever the types say.
        return job.completed(returned)
    result = returned
    if not result.is_finished or result.id != job.id or result.instruction != job.instruction:
        raise WrongResultError(
            "The handler returned a job that is not finished, or another one than it was given: "
            "it should return envelope.job.completed(…) or envelope.job.errored(…)"
        )
    error: object = result.error
    status: object = result.status
    texts: list[object] = [result.result_text, result.result_type]
    if isinstance(error, ErrorInfo):
        texts += [error.kind, error.message, error.origin]
    if (
        type(result) is not Job
        or type(status) is not Status
        or not isinstance(error, ErrorInfo | None)
        or not all(text is None or type(text) is str for text in texts)
    ):
        raise WrongResultError("The handler returned a job with a field that is not of its type")
    return result


def failed(job: Job, error: BaseException, agent: str) -> Job:
    """Return the job with the error that its handler raised.

    Args:
        job: As it was given to the handler.
        error: What the handler raised.
        agent: Name of the agent that has the details in its log.

    """
    found = _leaves(error)
    message: str | None = None
    kind, origin = "run", None
    if any(isinstance(leaf, WrongResultError) for leaf in found):
        _log_failure("%s returned a wrong result", _Shown(job), error)
    if all(isinstance(leaf, JobError | ParseError) for leaf in found):
        message = "; ".join(dict.fromkeys(_text(leaf) for leaf in found[:MAX_SHOWN_ERRORS]))
        first = found[0]
        if isinstance(first, JobError):
            kind, origin = _word(first, "kind") or "run", _word(first, "origin")
    else:
        _log_failure("%s failed", _Shown(job), error)
        names = dict.fromkeys(_class_name(leaf) for leaf in found[:MAX_SHOWN_ERRORS])
        message = f"The handler failed ({', '.join(names)}); see the log of {agent}, job {job.id}"
    return job.errored(message, kind=kind, origin=origin)


async def _close_nurseries(abandoned: list[trio.Nursery]) -> None:
    """Cancel and close nurseries that a handler left open in an async generator.

    A task that ends with an open nursery takes its parent down with it. Trio has no public way to close one from outside
    of the generator, so this does what leaving its ``async with`` block would do.
    """
    for nursery in reversed(abandoned):
        nursery.cancel_scope.cancel(reason="the handler has ended and left this nursery open")
        with trio.CancelScope(shield=True):
            await nursery._nested_child_finished(None)  # noqa: SLF001 - as said above
    raise StateError("a nursery was still open when the handler ended; its tasks were cancelled")


def _leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions of a group at any depth; a group of groups may be deeper than Python can recurse."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting and len(found) < MAX_COUNTED_ERRORS:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(reversed(one.exceptions))
        else:
            found.append(one)
    return found


def _is_ctrl_c(error: BaseException) -> bool:
    """Whether the signal raised it, and not the handler: then trio's own signal handler is where it comes from."""
    if not isinstance(error, KeyboardInterrupt) or error.__traceback__ is None:
        return False
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__") == "trio._core._ki"


def _text(error: BaseException) -> str:
    try:
        return str(error) or _class_name(error)
    except BaseException:  # noqa: BLE001, ASYNC103 - an exception whose text cannot be made still ends its job only
        return f"{_class_name(error)} (its message cannot be shown)"  # noqa: ASYNC104 - nothing is cancelled here


def _word(error: BaseException, name: str) -> str | None:
    value: object = getattr(error, name, None)
    return value if type(value) is str else None


def _class_name(error: BaseException) -> str:
    return type(error).__name__[:MAX_NAME_CHARACTERS]


def _log_failure(message: str, what: object, error: BaseException) -> None:
    try:
        _log.error(message, what, exc_info=error)
    except Exception as problem:  # noqa: BLE001 - a traceback that is too deep to format, for instance
        _log.error("%s (the traceback cannot be shown: %s)", message % what, type(problem).__name__)


@hot_value
class _Shown:
    """A handler by its job, for the log."""

    job: Job

    def __str__(self) -> str:
        return f"the handler of {str(self.job.instruction)[:80]!a}"
