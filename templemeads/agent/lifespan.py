"""Start-up and shut-down of what handlers use: open an LDAP session, start background tasks, close it all.

A handler that has a lifespan is an object with a method `open_lifespan`, as a `Handlers` table is. The lifespan begins when
the agent is connected and before its first handler starts; it ends after the last handler has.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .agent import Agent

LifespanFunction = Callable[["Agent"], "AbstractAsyncContextManager[Any] | AsyncIterator[Any]"]
"""Returns an async context manager for the running agent, or is an async generator function that yields once."""


@runtime_checkable
class HasLifespan(Protocol):
    """A handler with start-up and shut-down."""

    def open_lifespan(self, agent: Agent) -> AbstractAsyncContextManager[Any]:
        """Return what to enter before the first handler starts, and to leave after the last one."""


def lifespan_of(handler: object, agent: Agent) -> AbstractAsyncContextManager[Any]:
    """Return the lifespan of a handler; nothing happens in that of a plain function."""
    return handler.open_lifespan(agent) if isinstance(handler, HasLifespan) else nullcontext()


def as_context_manager(function: LifespanFunction, agent: Agent) -> AbstractAsyncContextManager[Any]:
    """Call a lifespan function; an async generator is taken as `contextlib.asynccontextmanager` would."""
    if inspect.isasyncgenfunction(function):
        return asynccontextmanager(function)(agent)
    opened = function(agent)
    if not isinstance(opened, AbstractAsyncContextManager):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"The lifespan {name} must be an async generator function that yields once, "
            f"or return an async context manager; it returned {type(opened).__name__}"
        )
    return opened
