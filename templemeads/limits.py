"""Every limit of an agent, by name, with its default and where the number comes from.

Limits of single connections (frame sizes, handshakes, watchdog) are `paddington.Limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from .errors import ParseError
from .text import quoted

MAX_LIMIT: Final = 2**53
"""No limit is above this: JSON and TOML readers of other languages keep whole numbers exactly up to here."""


MAX_ACCEPTED_VERSION: Final = 2**60
"""A job with a higher version is refused: the room above it is for steps. (*newer-protocol*, section 11.3.)"""


def _check_whole(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int or not 0 < value < MAX_LIMIT:
        raise ParseError(f"The limit {attribute.name} must be a whole number above 0, not {_shown(value)}")


def _check_seconds(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if type(value) is not float or not 0 < value < MAX_LIMIT:
        raise ParseError(
            f"The limit {attribute.name} must be a number of seconds above 0, not {_shown(value)}"
        )


def _shown(value: object) -> str:
    # Python refuses to write whole numbers of thousands of digits.
    if isinstance(value, int | float) and not abs(value) < MAX_LIMIT and value == value:  # noqa: PLR0124 - not a number
        return "one that is too large"
    return quoted(repr(value))


def _seconds_of(value: float) -> float:
    # A whole number that is too large for a float is left for the check.
    return float(value) if type(value) is int and abs(value) < MAX_LIMIT else value


def _whole(default: int, *, most: int = MAX_LIMIT - 1) -> int:
    def check(_: object, attribute: attrs.Attribute[int], value: int) -> None:
        if value > most:
            raise ParseError(f"The limit {attribute.name} must be at most {most}, not {_shown(value)}")

    return attrs.field(default=default, validator=[_check_whole, check])


def _seconds(default: float) -> float:
    return attrs.field(default=float(default), validator=_check_seconds, converter=_seconds_of)


@attrs.frozen(kw_only=True)
class Limits:
    """How much an agent takes on, keeps and waits for.

    Attributes:
        board_jobs: Jobs on one board, finished ones included. A new job above it is refused with an error result; an
            update of a known one passes. (Existing agents: 10 000.)
        board_characters: Characters of commands and results that one board holds, deleted jobs included. A new job above
            it is refused with an error result; an update of a known one passes.
        boards: Boards, which is peers by name and zone. (Existing agents: 1 000.)
        jobs_in_flight: Unfinished jobs on one board, whichever way they go. A new job above it is refused with an error
            result, so that a peer that never answers cannot fill the board.
        jobs_for_absent: Unfinished jobs on the board of a peer that is away. A new job for it above this is refused with
            an error result. (Existing agents: 1 000 queued commands; what is above is lost.)
        origin_reserve_percent: How much of each limit of a board (jobs, characters, jobs in flight) the jobs of one
            origin leave free for others, in percent, 1 to 99; with several origins each gets a fair share.
        sync_jobs: Jobs in one ``Sync`` that is received; a longer one is refused. (*newer-protocol*, section 10.4.)
        duplicates: Jobs that wait for the result of one original. (*jobs*, section 2.)
        duplicate_age_seconds: How old an original may be for another job to wait for it. (*jobs*, section 2.)
        lifetime_seconds: The longest a job may live. A longer one is shortened where it is put, and counted as
            expired after this time where it arrives. (*newer-protocol*, section 11.3.)
        finished_seconds: How long past its expiry a finished job stays on the board, for whoever asks late.
        tombstones: Deleted jobs that a board remembers until they would have expired, so that no stale copy brings
            them back. At the limit the oldest is forgotten.
        handlers: Handlers that run at once in the agent; further jobs wait on their boards.
        handlers_per_peer: Handlers that run at once for jobs that one agent sends through one peer, so that a busy portal
            leaves room for others. All jobs of a peer together leave half as many places free.
        stall_seconds: How long the event loop may be blocked before the log names the handler that blocks it.
        handler_threads: Worker threads for plain `def` handlers at once; further ones wait.
        handler_starts: How often the handler of one job is started if the process dies while it runs; then the job ends
            with an error. Needs a store.
        handler_cleanup_seconds: What a cancelled handler gets for shielded clean-up before it is reported by name.
        shutdown_seconds: What running handlers get to finish when the agent is asked to stop.
        flush_seconds: What links get to send what is queued when the agent stops.
        updates_queued: Control commands (not jobs) that wait for one slow peer; more are dropped, with a warning.
        queued_characters: Characters of control commands and of deleted jobs that wait for one slow peer; more are dropped.
        store_backlog: Changes that may wait for the store before links stop reading until it has caught up.
        store_patience_seconds: How long a commit is tried again while the store is locked by another process, full, or
            away; answers are late then. After that the agent stops.
        lease_seconds: How long the leader of a pair may write nothing to the database before another process takes over.
        refusal_log_seconds: One peer's refusals of one kind are logged at most once in this time.
        portal_routes: Portal routes that one peer may tell in a zone; further ones are skipped.
        visited_names: Names in a ``HealthCheck``; a longer list is refused.
        control_callers: Callers of the control socket that are served at once; further ones are refused.
        control_seconds: What such a caller gets to take each line of an answer; then the agent hangs up.
        http_connections: Connections to the health endpoint at once; further ones are closed.
        http_seconds: What a caller of the health endpoint gets to send a request, and to take an answer.

    """

    board_jobs: int = _whole(100_000)
    board_characters: int = _whole(256 * 2**20)
    boards: int = _whole(1_000)
    jobs_in_flight: int = _whole(20_000)
    jobs_for_absent: int = _whole(10_000)
    origin_reserve_percent: int = _whole(10, most=99)
    sync_jobs: int = _whole(10_000)
    duplicates: int = _whole(100)
    duplicate_age_seconds: float = _seconds(600)
    lifetime_seconds: float = _seconds(3600)
    finished_seconds: float = _seconds(120)
    tombstones: int = _whole(10_000)
    handlers: int = _whole(100)
    handlers_per_peer: int = _whole(50)
    stall_seconds: float = _seconds(1)
    handler_threads: int = _whole(40)
    handler_starts: int = _whole(3)
    handler_cleanup_seconds: float = _seconds(10)
    shutdown_seconds: float = _seconds(30)
    flush_seconds: float = _seconds(5)
    updates_queued: int = _whole(1_000)
    queued_characters: int = _whole(8 * 2**20)
    store_backlog: int = _whole(10_000)
    store_patience_seconds: float = _seconds(60)
    lease_seconds: float = _seconds(1.25)
    refusal_log_seconds: float = _seconds(60)
    portal_routes: int = _whole(256)
    visited_names: int = _whole(1_000)
    control_callers: int = _whole(64)
    control_seconds: float = _seconds(30)
    http_connections: int = _whole(64)
    http_seconds: float = _seconds(10)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Self:
        """Read limits from a ``[limits]`` table; what is absent has its default.

        Raises:
            ParseError: A name is not that of a limit, or a value is not a positive number.

        """
        names = [field.name for field in attrs.fields(cls)]
        for name in table:
            if name not in names:
                raise ParseError(
                    f"There is no limit {name[:80]!a}: the limits are {', '.join(names)}", text=name
                )
        return cls(**table)

    def to_table(self) -> dict[str, int | float]:
        """Return those limits that differ from their defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in attrs.fields(type(self))
            if getattr(self, field.name) != field.default
        }
