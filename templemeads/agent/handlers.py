"""A table of handlers, one for each class of instruction; itself a handler."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from ..errors import UnknownInstruction
from ..grammar import Instruction, find_instruction
from ..grammar.results import result_matches
from ..jobs.job import Job
from .envelope import Envelope
from .lifespan import LifespanFunction, as_context_manager
from .policies import Policies, Retry
from .threads import call_in_thread
from .wall import WrongResultError

if TYPE_CHECKING:
    from .agent import Agent

Handler = Callable[[Envelope], Awaitable[Job]]
"""What an agent runs for a job that has arrived."""

Function = Callable[..., Any]
"""An async function, or a plain one that is run in a thread."""

Around = Callable[[Envelope], AbstractAsyncContextManager[Any]]
"""Returns what is entered before each call of a handler and left after it."""

_Function = TypeVar("_Function", bound=Function)

_Around = TypeVar("_Around", bound=Around)

_Lifespan = TypeVar("_Lifespan", bound=LifespanFunction)


@attrs.frozen
class _Entry:
    function: Function
    policies: Policies
    is_async: bool

    async def call(self, envelope: Envelope, *fields: object) -> Any:
        """Call the function once."""
        if self.is_async:
            return await self.function(envelope, *fields)
        return await call_in_thread(self.function, envelope, *fields)


@attrs.frozen
class Handlers:
    """Handlers by instruction class.

    >>> handlers = Handlers()
    >>> from templemeads.grammar import AddUser, UserIdentifier
    >>> @handlers.add(AddUser)
    ... async def add_user(envelope: Envelope, user: UserIdentifier) -> Job:
    ...     return envelope.job.completed(f"{user.username} is here")

    A handler gets the envelope and the fields of the instruction. It returns a job, or a plain value that completes it. A
    plain `def` function is run in a worker thread and gets a `BlockingEnvelope`.

    Attributes:
        strict: Whether results must be what the instruction promises: the annotation of the return type is checked when
            a handler is entered, and a plain value when it is returned. A `Job` is taken as it is.

    """

    strict: bool = True
    _table: dict[type[Instruction], _Entry] = attrs.field(factory=dict, init=False, repr=False)
    _lifespans: list[LifespanFunction] = attrs.field(factory=list, init=False, repr=False)
    _arounds: list[Around] = attrs.field(factory=list, init=False, repr=False)

    def add(
        self,
        *instructions: type[Instruction] | str,
        at_once: int | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
    ) -> Callable[[_Function], _Function]:
        """Return a decorator that enters a function for these instructions.

        Args:
            instructions: Their classes or keywords: ``AddUser`` or ``"add_user"``.
            at_once: How many calls of the function run at once; by default, as many as the agent runs.
            timeout: Seconds for one call; after that it is cancelled and the job ends with an error.
            retry: When to call it again after it has raised; each retry shows as progress of the job.

        Raises:
            TypeError: One of the instructions is neither a class nor a keyword. (From the decorator) the function does
                not take the envelope and the instruction's fields, or declares another result than promised.
            ValueError: A policy is not above 0. (From the decorator) there is a handler for one of the classes already.
            ParseError: There is no instruction with this keyword.

        """
        rows = [_instruction(each) for each in instructions]
        if not rows:
            raise TypeError("Name the instructions of the handler: @handlers.add(AddUser)")
        for name, value in (("at_once", at_once), ("timeout", timeout)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value!r}")
        policies = Policies(
            at_once=None if at_once is None else trio.CapacityLimiter(at_once), timeout=timeout, retry=retry
        )

        def enter(function: _Function) -> _Function:
            for instruction in rows:
                self._enter(instruction, function, policies)
            return function

        return enter

    def around(self, function: _Around) -> _Around:
        """Enter an async context manager around each call of a handler: locks, tracing, metrics; a decorator.

        Several nest in the order in which they were entered. A retry is inside.

        >>> handlers = Handlers()
        >>> @handlers.around
        ... @asynccontextmanager
        ... async def one_at_a_time(envelope):
        ...     async with locks[envelope.job.instruction.project]:
        ...         yield

        """
        self._arounds.append(function)
        return function

    def lifespan(self, function: _Lifespan) -> _Lifespan:
        """Enter a function as start-up and shut-down of what the handlers use; a decorator.

        The function gets the running agent. It is an async generator that yields once, or returns an async context
        manager. It begins when the agent is connected, before the first handler starts, and ends after the last one has
        ended. Several nest in the order in which they were entered.

        >>> handlers = Handlers()
        >>> @handlers.lifespan
        ... async def lifespan(agent):
        ...     async with trio.open_nursery() as nursery:
        ...         nursery.start_soon(refresh_directory, agent.config.option("ldap"))
        ...         yield
        ...         nursery.cancel_scope.cancel()

        """
        self._lifespans.append(function)
        return function

    @asynccontextmanager
    async def open_lifespan(self, agent: Agent) -> AsyncIterator[None]:
        """Enter the lifespans of this table for an agent."""
        async with AsyncExitStack() as stack:
            for function in self._lifespans:
                await stack.enter_async_context(as_context_manager(function, agent))
            yield

    def __iter__(self) -> Iterator[type[Instruction]]:
        return iter(self._table)

    def __contains__(self, instruction: object) -> bool:
        return instruction in self._table

    def runs_in_thread(self, instruction: type[Instruction]) -> bool:
        """Whether the handler for an instruction is a plain function, which is run in a thread."""
        entry = self._table.get(instruction)
        return entry is not None and not entry.is_async

    async def __call__(self, envelope: Envelope) -> Job:
        """Run the handler for the job's instruction.

        Raises:
            UnknownInstruction: There is none.

        """
        instruction = envelope.job.instruction
        entry = self._table.get(type(instruction))
        if entry is None:
            raise UnknownInstruction(instruction)
        fields = [getattr(instruction, name) for name in type(instruction).__match_args__]
        call = partial(entry.call, envelope, *fields)
        if self._arounds:
            async with AsyncExitStack() as stack:
                for around in self._arounds:
                    await stack.enter_async_context(around(envelope))
                result = await entry.policies.apply(call, envelope)
        else:
            result = await entry.policies.apply(call, envelope)
        if isinstance(result, Job):
            return result
        job = envelope.job.completed(result)
        if self.strict and job.result_type != (promised := instruction.result_type()):
            raise WrongResultError(
                f"The handler of {instruction.keyword} returned a {job.result_type}, "
                f"but {instruction.keyword} promises {promised}"
            )
        return job

    def _enter(self, instruction: type[Instruction], function: Function, policies: Policies) -> None:
        if not callable(function):
            raise TypeError(f"A handler is a function; {function!r:.80} is not")
        name = _located(function)
        keyword = instruction.keyword
        if instruction in self._table:
            raise ValueError(
                f"There is a handler for {keyword} already: {_located(self._table[instruction].function)}; "
                f"{name} is another one"
            )
        fields = instruction.__match_args__
        try:
            inspect.signature(function).bind(None, *fields)
        except TypeError as error:
            wanted = ", ".join(("envelope", *fields))
            raise TypeError(f"The handler {name} for {keyword} must take ({wanted}): {error}") from None
        if self.strict:
            annotation = typing.get_type_hints(function, include_extras=False).get("return", Job)
            if not result_matches(annotation, instruction, also=(Job,)):
                raise TypeError(
                    f"The handler {name} returns {_name(annotation)}, but {keyword} promises {instruction.result}: "
                    f"return that, or a Job, or make the table with Handlers(strict=False)"
                )
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is async
        )
        self._table[instruction] = _Entry(function, policies, is_async)


def _name(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _instruction(given: object) -> type[Instruction]:
    if isinstance(given, str):
        return find_instruction(given)
    if isinstance(given, type) and issubclass(given, Instruction) and given is not Instruction:
        return given
    raise TypeError(
        f'{given!r:.80} is not an instruction: write @handlers.add(AddUser) or @handlers.add("add_user")'
    )


def _located(function: Function) -> str:
    """Return the name of a function with the place where it was written."""
    name = getattr(function, "__qualname__", repr(function))
    code = getattr(inspect.unwrap(function), "__code__", None)
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"
