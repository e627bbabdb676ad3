"""What the ready-made agents have in common: starting one, options, and what each keeps while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import trio

from paddington import ConfigError

from ..agent.envelope import Envelope
from ..agent.handlers import Handlers
from ..agent_type import AgentType
from ..config import AgentConfig
from ..text import quoted

if TYPE_CHECKING:
    from ..agent.agent import Agent

SUB_JOB_SECONDS: Final = 120.0
"""Lifetime of a job that a role puts to another agent, as long as in existing agents."""

MAX_OPTION_WORDS: Final = 100
"""Words of one option that is a command or a list."""

_T = TypeVar("_T")


class PerAgent(Generic[_T]):
    """One object for each agent that runs a table of handlers, made from its configuration when the agent starts.

    A wrong option stops the agent at its start rather than the first job that needs it.

    Args:
        make: Makes the object, or raises `ConfigError`.
    """

    def __init__(self, make: Callable[[AgentConfig], _T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Agent, _T] = WeakKeyDictionary()

    def of(self, envelope: Envelope) -> _T:
        """Return the object of the agent that runs a job."""
        agent = envelope.agent
        made = self._made.get(agent)
        if made is None:
            made = self._made[agent] = self._make(agent.config)
        return made

    async def lifespan(self, agent: Agent) -> AsyncIterator[None]:
        """Make the object before the first job, for `Handlers.lifespan`."""
        self._made[agent] = self._make(agent.config)
        try:
            yield
        finally:
            self._made.pop(agent, None)


@asynccontextmanager
async def parallel() -> AsyncIterator[trio.Nursery]:
    """Open a nursery for independent steps; an error of one cancels the others, and is raised itself, not in a group."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except ExceptionGroup as group:
        raise _first(group) from None


def _first(group: ExceptionGroup[Exception]) -> Exception:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, ExceptionGroup) else inner


async def ask_sender(envelope: Envelope, instruction: object) -> object:
    """Ask the agent that sent the job, and return the value.

    Raises:
        JobError: It answered with an error, or not in time.
    """
    return await envelope.agent.ask(
        f"{envelope.recipient}.{envelope.sender} {instruction}", zone=envelope.zone, lifetime=SUB_JOB_SECONDS
    )


def require_type(config: AgentConfig, agent_type: AgentType) -> None:
    """Check the type of a configuration.

    Raises:
        ConfigError: It is another one.
    """
    if config.agent_type is not agent_type:
        raise ConfigError(
            f"The configuration of {quoted(config.name)} is of type {config.agent_type.value}, not {agent_type.value}"
        )


async def run_role(
    config: AgentConfig,
    agent_type: AgentType,
    handlers: Handlers,
    check: Callable[[AgentConfig], object] | None = None,
) -> None:
    """Run an agent until it is cancelled or gets SIGINT or SIGTERM.

    Args:
        config: Its configuration.
        agent_type: The type that the configuration must have.
        handlers: What it runs.
        check: Reads the options, before the agent listens.

    Raises:
        ConfigError: The configuration is of another type, or an option is wrong.
    """
    from ..daemon.run import run_agent

    require_type(config, agent_type)
    if check is not None:
        check(config)
    await run_agent(config, handlers)


def command_option(config: AgentConfig, key: str, default: str | None = None) -> tuple[str, ...]:
    """Read an option that is a program with arguments, separated by white space.

    Raises:
        ConfigError: It is empty, or too long.
    """
    words = tuple(config.option(key, default if default is not None else key).split())
    if not words or len(words) > MAX_OPTION_WORDS:
        raise ConfigError(f"The option {quoted(key)} must be a program, perhaps with arguments")
    return words


def list_option(config: AgentConfig, key: str) -> tuple[str, ...]:
    """Read an option that is a list separated by commas; empty entries are left out."""
    return tuple(entry.strip() for entry in config.option(key, "").split(",") if entry.strip())


def number_option(config: AgentConfig, key: str, default: int, *, least: int = 1, most: int = 10_000) -> int:
    """Read an option that is a whole number.

    Raises:
        ConfigError: It is none, or out of range.
    """
    text = config.option(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise ConfigError(f"The option {quoted(key)} must be a whole number from {least} to {most}")
    return int(text)
