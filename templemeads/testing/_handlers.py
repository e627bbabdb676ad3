"""A property test for handlers of jobs.

What a handler may be asked is known: the grammar says it. What it must do with any of it is known too:

1. It ends, and with an answer: it completes the job, fails it, or raises an error that says that it means to.
2. The answer has the type that the instruction promises, and can be written and read again.
3. It does not block the loop.
4. Asked the same again it gives the same answer: after a crash an agent may be asked twice, and the sender must not see a
   difference.
"""

from __future__ import annotations

import functools
import inspect
import time
from typing import TYPE_CHECKING

import attrs
import trio
import trio.testing
from hypothesis import HealthCheck, Phase, given, settings

from ..agent.handlers import Handlers
from ..agent.wall import WrongResultError
from ..errors import JobError, ParseError, RefusedError
from ..grammar import find_instruction, instructions
from ..jobs.job import Job, Status
from ._jobs import envelopes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..agent.envelope import Envelope
    from ..agent.handlers import Handler
    from ..grammar import Instruction

DEFAULT_EXAMPLES = 100
"""Jobs that a handler is tried with, shared among its instructions."""

MIN_EXAMPLES = 5
"""Jobs of each instruction that a handler is tried with, however many instructions there are."""

DEFAULT_PATIENCE = 3600.0
"""Seconds on the mock clock after which a handler counts as one that never ends."""


MAX_BLOCK_SECONDS = 0.5
"""Real seconds that a handler may go on without a checkpoint."""


class HandlerError(AssertionError):
    """A handler did what no handler may do. The message says what, and on which job."""


def check_handler(
    handler: Handler | None = None,
    *,
    factory: Callable[[], Handler] | None = None,
    only: Collection[type[Instruction] | str] | None = None,
    strict: bool | None = None,
    may_raise: tuple[type[Exception], ...] = (),
    examples: int = DEFAULT_EXAMPLES,
    patience: float = DEFAULT_PATIENCE,
) -> None:
    """Try a handler with every kind of job that it may get, and fail if it does anything with one that it must not.

    A plain function for use in a test. Time is trio's mock clock, so a handler that sleeps costs nothing.

    Args:
        handler: The handler. If it remembers what it was asked, pass `factory` instead.
        factory: Makes a new handler for each job, so that no job is affected by another.
        only: Classes or keywords of the instructions to try. Left out, those of a `Handlers` table, and all for
            any other handler.
        strict: Whether results must have the type that the instruction promises. Left out, as the `Handlers`
            table has it, and True for any other handler.
        may_raise: Exceptions that count as an answer, beside `JobError` and `RefusedError`.
        examples: How many jobs in all; a few of each instruction at least.
        patience: Seconds on the mock clock that a handler may take.

    Raises:
        HandlerError: The handler broke a rule; Hypothesis has shrunk the job to the simplest that shows it.
        TypeError: Neither or both of `handler` and `factory` were given, or the handler is not async.
    """
    make: Callable[[], Handler]
    if factory is None:
        if handler is None:
            raise TypeError("check_handler needs a handler, or factory=")
        make = functools.partial(_same, handler)
    elif handler is None:
        make = factory
    else:
        raise TypeError("check_handler takes a handler or factory=, not both")
    sample = make()
    if isinstance(sample, Handlers):
        only = list(sample) if only is None else only
        strict = sample.strict if strict is None else strict
    elif not inspect.iscoroutinefunction(sample) and not inspect.iscoroutinefunction(type(sample).__call__):
        raise TypeError(f"A handler is an async function; {sample!r} is not")
    rows = (
        instructions()
        if only is None
        else [find_instruction(row) if isinstance(row, str) else row for row in only]
    )
    trial = _Trial(strict is not False, (RefusedError, *may_raise), patience)
    for row in rows:
        # One search for each instruction: a single one would hardly look at some of them.
        _search(trial, make, row, max(examples // len(rows), MIN_EXAMPLES))


def _search(trial: _Trial, make: Callable[[], Handler], row: type[Instruction], examples: int) -> None:
    def try_one(envelope: Envelope) -> None:
        handler = make()
        # The mock clock would jump while a thread works.
        in_thread = isinstance(handler, Handlers) and handler.runs_in_thread(row)
        clock = None if in_thread else trio.testing.MockClock(autojump_threshold=0)
        trio.run(trial.of, handler, envelope, clock=clock)

    # Hypothesis remembers failures by the name of the test.
    try_one.__name__ = f"check_handler_{row.keyword}"
    settings(
        max_examples=examples,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],
        phases=[phase for phase in Phase if phase is not Phase.explain],
    )(given(envelopes(only=[row]))(try_one))()


def _same(handler: Handler) -> Handler:
    return handler


@attrs.frozen
class _Answer:
    status: Status
    text: str | None
    type_name: str | None

    def __str__(self) -> str:
        return f"{self.status.value}: {self.text} ({self.type_name})"


class _StepTimer(trio.abc.Instrument):
    """Measures the longest step of a task, in real seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._since = time.perf_counter()  # the step under way began before

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._since = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.end_step()

    def end_step(self) -> None:
        """Measure the step under way."""
        self.longest = max(self.longest, time.perf_counter() - self._since)


@attrs.frozen
class _Trial:
    """The rules of the module's head, applied to one handler and one job."""

    strict: bool
    answers: tuple[type[Exception], ...]
    patience: float

    async def of(self, handler: Handler, envelope: Envelope) -> None:
        job = envelope.job
        first = await self._ask(handler, envelope)
        promised = job.instruction.result_type()
        if self.strict and first.status is Status.COMPLETE and first.type_name != promised:
            raise HandlerError(
                f"{job.command}\n"
                f"The handler's result is a {first.type_name}, but {job.instruction.keyword} promises {promised}."
            )
        second = await self._ask(handler, envelope)
        if second != first:
            raise HandlerError(
                f"{job.command}\n"
                f"The handler was asked the same twice and gave two answers:\n  {first}\n  {second}\n"
                "After a crash a job may be run again; its answer must be the same."
            )

    async def _ask(self, handler: Handler, envelope: Envelope) -> _Answer:
        job = envelope.job
        steps = _StepTimer()
        trio.lowlevel.add_instrument(steps)
        with trio.move_on_after(self.patience) as scope:
            try:
                returned: object = await handler(envelope)
                result = returned if isinstance(returned, Job) else job.completed(returned)
            except WrongResultError as error:
                raise HandlerError(f"{job.command}\n{error}") from error
            except JobError as error:
                result = job.errored(str(error), kind=error.kind, origin=error.origin)
            except self.answers as error:
                result = job.errored(str(error), kind="run")
            except ParseError as error:
                raise HandlerError(
                    f"{job.command}\nThe handler made a value that the grammar refuses: {error}"
                ) from error
            except Exception as error:
                raise HandlerError(
                    f"{job.command}\nThe handler raised {type(error).__name__}: {error}\n"
                    "If that is an answer, raise JobError instead, or list the class in may_raise."
                ) from error
        trio.lowlevel.remove_instrument(steps)
        steps.end_step()
        if steps.longest > MAX_BLOCK_SECONDS:
            raise HandlerError(
                f"{job.command}\nThe handler blocked the loop for {steps.longest:.1f} seconds: an agent can do nothing else "
                "meanwhile. Await it with trio.run_process or trio.to_thread, or make the handler a plain 'def' function."
            )
        if scope.cancelled_caught:
            raise HandlerError(f"{job.command}\nThe handler had not ended after {self.patience:g} seconds.")
        if result.id != job.id or not result.is_finished:
            raise HandlerError(
                f"{job.command}\nThe handler returned a job that is {result.status.value}: it should return"
                " envelope.job.completed(…) or envelope.job.errored(…)."
            )
        return _Answer(result.status, result.result_text, result.result_type)
