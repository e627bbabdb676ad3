"""How much room a board has, and how it is shared out by where jobs come from.

All jobs that a provider passes on to a cluster are on one board, whichever portal they come from. One portal must not fill
it. So room is shared out by a job's origin, the first agent of its path, by one rule:

    An origin gets a place as long as what it holds is less than a fixed multiple of what is free.

With a multiple of 9 one origin alone can take nine tenths, two can take nine nineteenths each, and some is always left for
the next. Places come back as jobs end, and go to those that hold least. The multiple follows from the limit
``origin_reserve_percent``.
"""

from __future__ import annotations

import attrs

from ..errors import RefusedError
from ..limits import Limits


@attrs.define(eq=False)
class Share:
    """What the jobs of one origin take."""

    jobs: int = 0
    unfinished: int = 0
    characters: int = 0


@attrs.define(eq=False)
class Room:
    """What the jobs on a board take, in all and by origin.

    Attributes:
        unfinished: Jobs that are not finished.
        characters: Characters of commands and results, deleted jobs included.

    """

    limits: Limits
    unfinished: int = 0
    characters: int = 0
    _shares: dict[str, Share] = attrs.field(factory=dict, init=False)

    def require(self, origin: str, jobs: int, size: int, finished: bool) -> None:
        """Check that there is room for one more job.

        Args:
            origin: First agent of the job's path.
            jobs: Jobs on the board.
            size: Characters of the job.
            finished: Whether the job is finished.

        Raises:
            RefusedError: There is none, or none for this origin.

        """
        limits = self.limits
        if jobs >= limits.board_jobs:
            raise RefusedError(f"The board is full: it holds {jobs} jobs")
        if self.characters + size > limits.board_characters:
            raise RefusedError(f"The board is full: its jobs hold {self.characters} characters")
        if self.unfinished >= limits.jobs_in_flight and not finished:
            raise RefusedError(
                f"{self.unfinished} jobs are under way with this peer already, which is the limit"
            )
        share = self._shares.get(origin)
        if share is None:
            return
        if not self._allows(share.jobs, limits.board_jobs - jobs):
            raise _share_taken(origin, f"{share.jobs} jobs on this board", "board_jobs")
        if not self._allows(share.characters, limits.board_characters - self.characters):
            raise _share_taken(origin, f"{share.characters} characters on this board", "board_characters")
        if not finished and not self._allows(share.unfinished, limits.jobs_in_flight - self.unfinished):
            raise _share_taken(origin, f"{share.unfinished} jobs under way with this peer", "jobs_in_flight")

    def _allows(self, held: int, free: int) -> bool:
        reserve = self.limits.origin_reserve_percent
        return held * reserve < free * (100 - reserve)

    def add(self, origin: str, size: int, finished: bool) -> None:
        """Count a job that has come."""
        share = self._shares.get(origin)
        if share is None:
            share = self._shares[origin] = Share()
        share.jobs += 1
        share.characters += size
        self.characters += size
        if not finished:
            share.unfinished += 1
            self.unfinished += 1

    def change(self, origin: str, grown: int, has_finished: bool) -> None:
        """Count a job that has grown by a number of characters, and may have finished."""
        share = self._shares[origin]
        share.characters += grown
        self.characters += grown
        if has_finished:
            share.unfinished -= 1
            self.unfinished -= 1

    def remove(self, origin: str, size: int, finished: bool) -> None:
        """Count a job that has gone."""
        share = self._shares[origin]
        share.jobs -= 1
        share.characters -= size
        self.characters -= size
        if not finished:
            share.unfinished -= 1
            self.unfinished -= 1
        if not share.jobs:
            del self._shares[origin]

    def add_deleted(self, size: int) -> None:
        """Count what is remembered of a deleted job; it belongs to no share."""
        self.characters += size

    def forget_deleted(self, size: int) -> None:
        """Count a deleted job that is forgotten."""
        self.characters -= size


def _share_taken(origin: str, what: str, limit: str) -> RefusedError:
    return RefusedError(
        f"{origin[:64]!r} has {what}: the rest of the limit {limit} is reserved for jobs from elsewhere"
    )
