"""A table of handlers, one for each class of instruction; itself a handler."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from ..errors import UnknownInstruction
from ..grammar import Instruction
from ..grammar.results import result_matches
from ..jobs.job import Job
from .envelope import Envelope
from .lifespan import LifespanFunction, as_context_manager

if TYPE_CHECKING:
    from .agent import Agent

Handler = Callable[[Envelope], Awaitable[Job]]
"""What an agent runs for a job that has arrived."""

Function = Callable[..., Awaitable[Any]]

_Lifespan = TypeVar("_Lifespan", bound=LifespanFunction)


@attrs.frozen
class Handlers:
    """Handlers by instruction class.

    >>> handlers = Handlers()
    >>> from templemeads.grammar import AddUser, UserIdentifier
    >>> @handlers.add(AddUser)
    ... async def add_user(envelope: Envelope, user: UserIdentifier) -> Job:
    ...     return envelope.job.completed(f"{user.username} is here")

    A handler gets the envelope and the fields of the instruction. It returns a job, or a plain value that completes it.

    Attributes:
        strict: Whether the annotation of a handler's return type must be `Job` or the type that the instruction promises.

    """

    strict: bool = True
    _table: dict[type[Instruction], Function] = attrs.field(factory=dict, init=False, repr=False)
    _lifespans: list[LifespanFunction] = attrs.field(factory=list, init=False, repr=False)

    def add(self, *instructions: type[Instruction]) -> Callable[[Function], Function]:
        """Return a decorator that enters a function for these classes of instructions.

        Raises:
            TypeError: (from the decorator) The function is not async, does not take the envelope and the instruction's
                fields, or declares another result than the instruction promises.
            ValueError: (from the decorator) There is a handler for one of the classes already.

        """

        def enter(function: Function) -> Function:
            for instruction in instructions:
                self._enter(instruction, function)
            return function

        return enter

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

    async def __call__(self, envelope: Envelope) -> Job:
        """Run the handler for the job's instruction.

        Raises:
            UnknownInstruction: There is none.

        """
        instruction = envelope.job.instruction
        function = self._table.get(type(instruction))
        if function is None:
            raise UnknownInstruction(instruction)
        fields = (getattr(instruction, name) for name in type(instruction).__match_args__)
        result = await function(envelope, *fields)
        return result if isinstance(result, Job) else envelope.job.completed(result)

    def _enter(self, instruction: type[Instruction], function: Function) -> None:
        name = getattr(function, "__qualname__", repr(function))
        keyword = instruction.keyword
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"The handler {name} for {keyword} must be an 'async def' function")
        if instruction in self._table:
            raise ValueError(
                f"There is a handler for {keyword} already: {self._table[instruction].__qualname__}"
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
        self._table[instruction] = function


def _name(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
