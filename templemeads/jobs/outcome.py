"""What an agent's core wants done: values only, for the shell to carry out in this order.

Writes come first: nothing that a peer or a caller is told may be lost afterwards. So the shell hands the writes of an
outcome to the store as one unit, and holds back its sends, and the news that the writes are, until the store has them.
"""

from __future__ import annotations

import enum
from uuid import UUID

import attrs

from paddington import Peer

from ..values import hot_value
from .job import Job


class Kind(enum.Enum):
    """The commands that carry a job."""

    PUT = "put"
    UPDATE = "update"
    DELETE = "delete"


@hot_value
class Write:
    """The job on the board of a peer has changed, or has left it as ``deleted``: keep it, and wake who waits for it."""

    peer: Peer
    job: Job
    deleted: bool = False


@hot_value
class Erase:
    """Forget a job or a tombstone."""

    peer: Peer
    job_id: UUID


@hot_value
class Send:
    """Tell the peer of a job on its board; if it is away, the next ``Sync`` does."""

    peer: Peer
    kind: Kind
    job: Job


@hot_value
class Answer:
    """Send a command, as its text, that is not about a job on a board; if the peer is away, drop it."""

    peer: Peer
    text: str


@hot_value
class Run:
    """Run the handler for a job on the board of a peer."""

    peer: Peer
    job: Job


@hot_value
class Cancel:
    """Stop the handler of a job, if it runs or waits to run."""

    peer: Peer
    job_id: UUID
    reason: str


@hot_value
class Refusal:
    """Something a peer sent was not taken.

    Attributes:
        peer: Who sent it.
        kind: A short word for counting: ``misplaced``, ``full``, ``expired``, ``conflict``, ``unregistered``, ….
        reason: One sentence for the log.

    """

    peer: Peer
    kind: str
    reason: str


@attrs.define(eq=False)
class Outcome:
    """The effects of one step of the core, in the order in which they were decided within each list."""

    writes: list[Write | Erase] = attrs.field(factory=list)
    cancels: list[Cancel] = attrs.field(factory=list)
    runs: list[Run] = attrs.field(factory=list)
    sends: list[Send] = attrs.field(factory=list)
    answers: list[Answer] = attrs.field(factory=list)
    refusals: list[Refusal] = attrs.field(factory=list)
