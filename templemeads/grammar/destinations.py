"""Paths of commands, and lists of paths.

Protocol page *grammar*, section 4. A destination is not trimmed, unlike nearly everything else, and its
agent names may contain any characters but white space: only a network knows which names are real.
"""

from __future__ import annotations

import enum
import functools
import re
from collections import Counter
from typing import TYPE_CHECKING, Final, Self, TypeVar

import attrs

from ..errors import ParseError, RefusedError
from ..text import quoted
from .text import TextValue, json_name, json_text, require_text, slot_setter
from .whitespace import WS, find_blank, refuse_surrogates, trim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_CACHED_PATH_CHARACTERS: Final = 256
"""Maximum length of a path that is cached. Longer paths are parsed every time."""

MAX_CACHED_PATHS: Final = 1024
"""Maximum number of cached paths, least recently used dropped first: 10 MB with the worst that a stranger can send."""

D = TypeVar("D", bound="Destination")

_EXPECTED = "two or more agent names, separated by dots, without white space"


class Position(enum.Enum):
    """Where an agent is on a path, relative to the sender of a message."""

    DESTINATION = "destination"
    """The last agent of the path: this agent runs the job."""
    DOWNSTREAM = "downstream"
    """Further along the path than the sender: the job is passed on."""
    UPSTREAM = "upstream"
    """Nearer to the beginning than the sender: a result is passed back."""


def _agent_names(agents: Iterable[str]) -> tuple[str, ...]:
    if isinstance(agents, str):
        raise TypeError(f"agents are names, one by one: Destination.parse({agents!r}) reads a text")
    return tuple(agents)


@attrs.frozen(repr=False, order=True)
class Destination(TextValue):
    """A path of agents: `waldur.brics.notebook`.

    Iterating gives the names in order; `in` and `len` work on them. A name may occur twice.

    Attributes:
        agents: The names, two or more.
    """

    agents: tuple[str, ...] = attrs.field(converter=_agent_names)

    def __attrs_post_init__(self) -> None:
        """Check the names, also of a value that was not parsed."""
        for agent in self.agents:
            if not require_text(agent, "The name of an agent") or "." in agent:
                raise ParseError(
                    "The name of an agent is neither empty nor holds a dot",
                    text=agent,
                    position=agent.find(".") if agent else 0,
                )
        _check(".".join(self.agents), len(self.agents))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read names separated by dots; empty names are dropped, nothing is trimmed.

        Raises:
            ParseError: There are fewer than two names, or there is white space.
        """
        if len(text) > MAX_CACHED_PATH_CHARACTERS:
            return _read(cls, text)
        path: Self = _cached_path(cls, text)  # type: ignore[arg-type]  # a class is hashable, whatever its values are
        return path

    @property
    def first(self) -> str:
        """The first agent of the path: the portal whose users and projects a command may name."""
        return self.agents[0]

    @property
    def second(self) -> str:
        """The agent after the first."""
        return self.agents[1]

    @property
    def last(self) -> str:
        """The agent that runs the job."""
        return self.agents[-1]

    def reverse(self) -> Self:
        """Return the reversed path."""
        return type(self)(self.agents[::-1])

    def next(self, agent: str) -> str | None:
        """Return the agent after the first occurrence of `agent`; None if it is last or absent."""
        if agent not in self.agents:
            return None
        index = self.agents.index(agent) + 1
        return self.agents[index] if index < len(self.agents) else None

    def previous(self, agent: str) -> str | None:
        """Return the agent before the first occurrence of `agent`; None if it is first or absent."""
        if agent not in self.agents:
            return None
        index = self.agents.index(agent)
        return self.agents[index - 1] if index else None

    def position(self, agent: str, sender: str) -> Position:
        """Return the position of `agent` relative to `sender`.

        Raises:
            RefusedError: The sender or the agent is not on the path, or they are the same.
        """
        if sender not in self.agents:
            raise RefusedError(f"The sender {quoted(sender)} is not on the path {quoted(str(self))}")
        if agent == self.last:
            return Position.DESTINATION
        if agent not in self.agents:
            raise RefusedError(f"The agent {quoted(agent)} is not on the path {quoted(str(self))}")
        if agent == sender:
            raise RefusedError(f"The agent {quoted(agent)} cannot be its own sender")
        ahead = self.agents.index(agent) > self.agents.index(sender)
        return Position.DOWNSTREAM if ahead else Position.UPSTREAM

    def __iter__(self) -> Iterator[str]:
        """Return the names in order."""
        return iter(self.agents)

    def __len__(self) -> int:
        """Number of names."""
        return len(self.agents)

    def __contains__(self, agent: object) -> bool:
        """Whether an agent of this name is on the path."""
        return agent in self.agents

    def __str__(self) -> str:
        """The canonical text."""
        return ".".join(self.agents)


# Parsing has done the checks of the constructor, so the slot is filled directly.
_set_agents = slot_setter(Destination, "agents")

_STRANGE = re.compile(f"[{WS}\ud800-\udfff]").search


def _read(kind: type[D], text: str) -> D:
    agents = tuple(filter(None, text.split(".")))
    _check(text, len(agents))
    made = object.__new__(kind)
    _set_agents(made, agents)
    return made


# The jobs of an agent share a handful of paths, so caching them saves time and, on a board, memory. The cache is
# invisible: equal paths are equal values whether or not they are one object, and errors are not cached.
_cached_path = functools.lru_cache(MAX_CACHED_PATHS)(_read)


def _check(text: str, count: int) -> None:
    if _STRANGE(text):
        if (blank := find_blank(text)) is not None:
            message = "A destination has no white space in it"
            raise ParseError(message, text=text, position=blank, expected=_EXPECTED)
        refuse_surrogates(text)
    if count < 2:
        found = "nobody" if count == 0 else "one agent"
        raise ParseError(
            f"A destination is a path of two or more agents; this names {found}",
            text=text,
            position=len(text),
            expected=_EXPECTED,
        )


def _paths(destinations: Iterable[Destination] | str) -> tuple[Destination, ...]:
    if isinstance(destinations, str):
        raise TypeError(
            f"destinations are values, not text: Destinations.parse({destinations!r}) reads a text"
        )
    return tuple(destinations)


@attrs.frozen(repr=False)
class Destinations(TextValue):
    """A list of destinations: `[a.b, c.d]`; as JSON an array.

    Attributes:
        destinations: The paths, in order. Text is read without duplicates; JSON is read with them.
    """

    destinations: tuple[Destination, ...] = attrs.field(converter=_paths, default=())

    def __attrs_post_init__(self) -> None:
        """Check the types."""
        for destination in self.destinations:
            if not isinstance(destination, Destination):
                raise TypeError(f"Destinations hold Destination values, not {type(destination).__name__}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read paths separated by commas, perhaps in brackets; empty pieces and duplicates are dropped.

        Raises:
            ParseError: A piece is not a destination.
        """
        inner = trim(text)
        if inner.endswith("]"):
            inner = inner[inner.startswith("[") and len(inner) > 1 : -1]
        found: dict[Destination, None] = {}
        offset = text.find(inner)
        for piece in inner.split(","):
            if path := trim(piece):
                try:
                    found[Destination.parse(path)] = None
                except ParseError as error:
                    raise error.inside(text, offset + piece.find(path)) from None
            offset += len(piece) + 1
        return cls(tuple(found))

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read an array of destination strings; duplicates stay.

        Raises:
            ParseError: It is something else.
        """
        if not isinstance(value, list):
            raise ParseError(
                f"Destinations are written as a JSON array, not {json_name(value)}", expected="a JSON array"
            )
        return cls(tuple(Destination.parse(json_text(item, "Destination")) for item in value))

    def to_json(self) -> list[str]:  # type: ignore[override]  # the one text type whose JSON is no string
        """Return the JSON form: always an array."""
        return [str(destination) for destination in self.destinations]

    def add(self, other: Destinations) -> Self:
        """Append the paths of `other` that are not in this list yet."""
        return type(self)(tuple(dict.fromkeys((*self.destinations, *other.destinations))))

    def remove(self, other: Destinations) -> Self:
        """Remove the first entry equal to each of `other`."""
        unwanted = Counter(other.destinations)
        left = []
        for destination in self.destinations:
            if unwanted[destination]:
                unwanted[destination] -= 1
            else:
                left.append(destination)
        return type(self)(tuple(left))

    def __iter__(self) -> Iterator[Destination]:
        """Return the paths in order."""
        return iter(self.destinations)

    def __len__(self) -> int:
        """Number of paths."""
        return len(self.destinations)

    def __contains__(self, destination: object) -> bool:
        """Whether this path is in the list."""
        return destination in self.destinations

    def __str__(self) -> str:
        """The canonical text; brackets unless there is exactly one path."""
        if len(self.destinations) == 1:
            return str(self.destinations[0])
        return f"[{', '.join(map(str, self.destinations))}]"
