"""Where a command goes next, and who may send it.

The path in a job's destination names every agent from the one that made the job to the one that runs it. An agent
compares its own place with that of the peer that a command came from. Only *immediate* neighbours count: a ``Put`` or
``Delete`` comes from the agent just before us, an ``Update`` from the agent just after us. Source: the protocol pages
*jobs*, sections 3 and 4.2, and *newer-protocol*, section 11.3.
"""

from __future__ import annotations

import enum
from functools import lru_cache

from ..errors import RefusedError
from ..grammar import Destination
from ..values import hot_value
from .job import Job


class Flow(enum.Enum):
    """Which way along its path a command moves."""

    DOWNSTREAM = "downstream"
    """Towards the agent that runs the job."""

    UPSTREAM = "upstream"
    """Towards the agent that made the job."""


@hot_value
class Place:
    """Our place in a path: the names of our two neighbours there, None at either end."""

    before: str | None
    after: str | None

    @property
    def is_first(self) -> bool:
        """Whether the job was made here."""
        return self.before is None

    @property
    def is_last(self) -> bool:
        """Whether the job is to be run here."""
        return self.after is None

    def flow_to(self, neighbour: str) -> Flow | None:
        """Return which way a job moves that goes to this neighbour, or None if it is none of ours in the path."""
        if neighbour == self.after:
            return Flow.DOWNSTREAM
        return Flow.UPSTREAM if neighbour == self.before else None


# What it returns follows from what it is given alone, so remembering it shows in nothing but time; the names are short,
# and an agent's jobs go along few paths.
@lru_cache(maxsize=1024)
def place_of(name: str, destination: Destination) -> Place | None:
    """Return the place of an agent in a path, or None if it is not in it; of a repeated name the first counts."""
    names = destination.agents
    try:
        index = names.index(name)
    except ValueError:
        return None
    before = names[index - 1] if index > 0 else None
    after = names[index + 1] if index + 1 < len(names) else None
    # Neighbours are looked up by name, and a name stands for its first occurrence: a path that comes back to an
    # agent has no way on from the occurrence before it.
    if after is not None and names.index(after) != index + 1:
        after = _DEAD_END
    return Place(before, after)


_DEAD_END = "."  # no agent has this name: the path names an agent twice and cannot be followed further


def flow_of(me: str, neighbour: str, job: Job) -> Flow | None:
    """Return which way a job moves that goes from us to a neighbour, or None if it does not."""
    place = place_of(me, job.destination)
    return None if place is None else place.flow_to(neighbour)


def require_from_before(me: str, sender: str, destination: Destination) -> Place:
    """Check that a command which moves downstream comes from the agent just before us.

    Raises:
        RefusedError: It does not.

    """
    place = place_of(me, destination)
    if place is None or place.before != sender:
        raise RefusedError(_misplaced(me, sender, destination, "before"))
    if place.after == _DEAD_END:
        raise RefusedError(
            f"The path {ascii(str(destination))[:200]} comes back to an agent: it cannot be followed"
        )
    return place


def require_from_after(me: str, sender: str, destination: Destination) -> Place:
    """Check that a command which moves upstream comes from the agent just after us.

    Raises:
        RefusedError: It does not.

    """
    place = place_of(me, destination)
    if place is None or place.after != sender:
        raise RefusedError(_misplaced(me, sender, destination, "after"))
    return place


def _misplaced(me: str, sender: str, destination: Destination, where: str) -> str:
    return (
        f"Job has got into an errored position: {ascii(sender)[1:65]} is not the agent just {where} "
        f"{me!r} in the path {ascii(str(destination))[:200]}"
    )
