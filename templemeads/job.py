"""A job: a command on its way along a path of agents, and in time its result.

Jobs are values. Each step of a job's life returns a new job, with a higher version; which steps there are is the table
below, and anything else raises `StateError`. Source: the protocol page *jobs*, section 1, and *json-types*, section 2.

    from                          step            to          version
    Created                       pending         Pending     + 1
    Pending, Running              running         Running     + 1
    Pending, Running              completed       Complete    + 1000
    Pending, Running, Duplicate   errored         Error       + 1000
    Pending                       duplicate_of    Duplicate   + 1
    Duplicate                     reinstated      Pending     + 1      (ours: its original was deleted)
    Duplicate, Pending, Running   copy_result_of  as there    + 1000
"""

from __future__ import annotations

import enum
import json
import operator
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self

import attrs

from .errors import JobError, ParseError, StateError
from .grammar import Command, Destination, Instruction, check_portal
from .grammar.results import decode_result, encode_result
from .grammar.strictjson import refuse_repeated
from .grammar.uuids import parse_uuid
from .job_errors import KIND_LIMIT, ErrorInfo, cut

DEFAULT_LIFETIME: Final = 120
"""Seconds from creation to expiry, as existing agents have it."""

OLDEST_TIME: Final = -8_334_601_228_800
NEWEST_TIME: Final = 8_210_266_876_799
"""The range of times in a job, in seconds since 1970 UTC (*json-types*, section 2)."""

LARGEST_VERSION: Final = 2**64 - 1


class Status(enum.Enum):
    """Where a job stands; the values are the words on the wire."""

    CREATED = "Created"
    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETE = "Complete"
    ERROR = "Error"
    DUPLICATE = "Duplicate"

    @property
    def is_finished(self) -> bool:
        """Whether this is final."""
        return self is Status.COMPLETE or self is Status.ERROR


_STATUS_BY_WORD: Final[Mapping[str, Status]] = {status.value: status for status in Status}


class JobKeeper(Protocol):
    """The agent whose board holds a job: what `Job.wait` and its like turn to."""

    def now(self) -> float:
        """Seconds since 1970 UTC on the agent's clock."""

    async def wait_job(self, job: Job) -> Job:
        """Wait until the job is finished."""

    def job_updates(self, job: Job) -> AsyncIterator[Job]:
        """Iterate over the changes of the job."""

    async def update_job(self, job: Job) -> Job:
        """Return the job as it is now."""

    async def delete_job(self, job: Job) -> None:
        """Remove the job here and at every agent of its path."""


class JobTaker(Protocol):
    """Whom a job can be put to: a peer that knows its agent."""

    async def put_job(self, job: Job) -> Job:
        """Record the job on the peer's board and send it."""


@attrs.frozen(order=False)
class Job:
    """A command for the last agent of its path, with its state and result.

    Times are whole seconds since 1970 UTC, as they are on the wire. Two jobs are equal when all that travels is.

    Attributes:
        id: Random, for life.
        created: When it was made.
        changed: When it last took a step.
        expires: When it is too late for a result.
        version: Rises with every step.
        destination: The path of agents.
        instruction: What the last of them is to do.
        status: Where the job stands.
        result_text: JSON text of the value, or the error message, or the progress message while running.
        result_type: Name of the result's type.
        forwarded_for: The path of the job for whose sake a portal made this one.
        error: The error in a form for programs, where an agent gave one.
        domain: Family of instructions that the command belongs to, as its maker said.
        domain_version: Version of that family.

    """

    id: uuid.UUID
    created: int
    changed: int
    expires: int
    version: int
    destination: Destination
    instruction: Instruction
    status: Status = Status.CREATED
    result_text: str | None = None
    result_type: str | None = None
    forwarded_for: Destination | None = None
    error: ErrorInfo | None = None
    domain: str | None = None
    domain_version: str | None = None
    _keeper: JobKeeper | None = attrs.field(default=None, eq=False, repr=False, alias="keeper")

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        lifetime: float = DEFAULT_LIFETIME,
        check_portal_rule: bool = False,
        now: float | None = None,
    ) -> Job:
        """Make a job from a command.

        Args:
            text: ``<destination> <instruction>``, such as ``portal.cluster add_user fred.proj.org``.
            lifetime: Seconds until it expires.
            check_portal_rule: Whether the identifier must belong to the first agent of the path, as it must in
                commands that come from outside the network (*grammar*, section 12).
            now: Seconds since 1970 UTC; the system's clock if left out.

        Raises:
            ParseError: The text is not a command, or the portal rule forbids it.

        """
        command = Command.parse(text)
        if check_portal_rule:
            check_portal(command.destination, command.instruction)
        return cls.create(command.destination, command.instruction, lifetime=lifetime, now=now)

    @classmethod
    def create(
        cls,
        destination: Destination,
        instruction: Instruction,
        *,
        lifetime: float = DEFAULT_LIFETIME,
        now: float | None = None,
    ) -> Job:
        """Make a job from its parsed parts; arguments as for `parse`."""
        if not 0 < lifetime < NEWEST_TIME:
            raise ValueError(f"A job's lifetime is a positive number of seconds, not {lifetime!r}")
        moment = int(time.time() if now is None else now)
        return cls(
            id=uuid.uuid4(),
            created=moment,
            changed=moment,
            expires=moment + max(1, round(lifetime)),
            version=1,
            destination=destination,
            instruction=instruction,
        )

    # -- reading it ---------------------------------------------------------------------------------------------

    @property
    def command(self) -> str:
        """The canonical text of the command."""
        return f"{self.destination} {self.instruction}"

    @property
    def is_finished(self) -> bool:
        """Whether the job has its final result or error."""
        status = self.status
        return status is Status.COMPLETE or status is Status.ERROR

    @property
    def progress(self) -> str | None:
        """The progress message of a running job, if there is one."""
        return self.result_text if self.status is Status.RUNNING else None

    @property
    def original_id(self) -> uuid.UUID | None:
        """Of a duplicate: the id of the job whose result it waits for."""
        if self.status is not Status.DUPLICATE or self.result_text is None:
            return None
        try:
            return uuid.UUID(self.result_text)
        except ValueError:
            return None

    @property
    def error_info(self) -> ErrorInfo | None:
        """Why the job failed, with the kind inferred where the agents on the way did not give one."""
        if self.status is not Status.ERROR:
            return None
        return self.error or ErrorInfo.from_message(self.result_text or "")

    def is_expired(self, now: float) -> bool:
        """Whether it is too late for a result (``now`` in seconds since 1970 UTC)."""
        return self.expires <= now

    def result(self) -> Any:
        """Return the value of a finished job, or None while it is not finished or when it has no value.

        Raises:
            JobError: The job failed; the message is the error's.
            ParseError: The result is not what its type name says.

        """
        if self.status is Status.ERROR:
            info = self.error_info
            assert info is not None
            raise JobError(
                self.result_text or "The job failed without a message", kind=info.kind, origin=info.origin
            )
        if self.status is not Status.COMPLETE:
            return None
        return decode_result(self.result_text, self.result_type)

    def __str__(self) -> str:
        """The job as a log line shows it: on one line, whatever its path is made of."""
        return (
            f"{{{printable(self.command)}}}: version={self.version}, created={_shown_time(self.created)}, "
            f"changed={_shown_time(self.changed)}, state={self.status.value}"
        )

    # -- its steps ----------------------------------------------------------------------------------------------

    def pending(self, now: float | None = None) -> Job:
        """Return the job as it is when it has been put on a board; a pending one stays as it is.

        Raises:
            StateError: The job is past that.

        """
        if self.status is Status.PENDING:
            return self
        self._require("put", Status.CREATED)
        return self._step(1, now, status=Status.PENDING)

    def running(self, progress: str | None = None, *, now: float | None = None) -> Job:
        """Return the job with a report of progress.

        Raises:
            StateError: The job is finished, or not yet put, or a duplicate.

        """
        self._require("run", Status.PENDING, Status.RUNNING)
        return self._step(1, now, status=Status.RUNNING, result_text=progress, result_type=None)

    def completed(self, value: object = None, *, now: float | None = None) -> Job:
        """Return the finished job.

        Args:
            value: Anything that has a result type: a text, a bool, a mapping, a report, …, or None for no value.
            now: Seconds since 1970 UTC; the clock of the job's agent if left out.

        Raises:
            StateError: The job is finished already, or not yet put, or a duplicate.
            TypeError: There is no result type for such a value.

        """
        self._require("complete", Status.PENDING, Status.RUNNING)
        text, type_name = encode_result(value, self.instruction)
        return self._step(1000, now, status=Status.COMPLETE, result_text=text, result_type=type_name)

    def errored(
        self, message: str, *, kind: str | None = None, origin: str | None = None, now: float | None = None
    ) -> Job:
        """Return the failed job.

        Args:
            message: What was wrong and what to do, for people.
            kind: The kind of error for programs (`ErrorInfo`), or None to leave it to the message.
            origin: Name of the agent where it failed.
            now: Seconds since 1970 UTC; the clock of the job's agent if left out.

        Raises:
            StateError: The job is finished already, or not yet put.

        """
        self._require("fail", Status.PENDING, Status.RUNNING, Status.DUPLICATE)
        message = cut(message)
        error = None if kind is None else ErrorInfo(kind, message, origin)
        return self._step(
            1000, now, status=Status.ERROR, result_text=message, result_type="Error", error=error
        )

    def duplicate_of(self, original: uuid.UUID, *, now: float | None = None) -> Job:
        """Return the job as a duplicate, which waits for the result of the original.

        Raises:
            StateError: The job is not pending.

        """
        self._require("become a duplicate", Status.PENDING)
        return self._step(1, now, status=Status.DUPLICATE, result_text=str(original), result_type=None)

    def reinstated(self, *, now: float | None = None) -> Job:
        """Return a duplicate as a job of its own, for when its original is no more.

        Raises:
            StateError: The job is not a duplicate.

        """
        self._require("be reinstated", Status.DUPLICATE)
        return self._step(1, now, status=Status.PENDING, result_text=None, result_type=None)

    def copy_result_of(self, original: Job, *, now: float | None = None) -> Job:
        """Return the job finished with the result of another.

        Raises:
            StateError: The job is finished already or not yet put, or the other one is not finished.

        """
        self._require("copy a result", Status.DUPLICATE, Status.PENDING, Status.RUNNING)
        if not original.is_finished:
            raise StateError(
                f"The job {original.id} is {original.status.value}: it has no result to copy yet"
            )
        return self._step(
            1000,
            now,
            status=original.status,
            result_text=original.result_text,
            result_type=original.result_type,
            error=original.error,
        )

    def _require(self, step: str, *allowed: Status) -> None:
        if self.status not in allowed:
            words = " or ".join(status.value for status in allowed)
            raise StateError(f"A job that is {self.status.value} cannot {step}: only one that is {words} can")

    def _step(self, versions: int, now: float | None, **changes: Any) -> Job:
        if now is None:
            now = self._keeper.now() if self._keeper is not None else time.time()
        return self._with(
            version=min(self.version + versions, LARGEST_VERSION),
            # A clock that was set back must not make our own step look older than the one before.
            changed=max(self.changed, int(now)),
            **changes,
        )

    def _with(self, **changes: Any) -> Self:
        # What attrs.evolve does, which asks the class for its fields each time: a job takes some ten such steps.
        return type(self)(**dict(zip(_ARGUMENTS, _values(self), strict=True)) | changes)

    # -- with an agent ------------------------------------------------------------------------------------------

    async def put(self, peer: JobTaker) -> Job:
        """Record the job on the board of a peer and send it there; return the job as recorded.

        Raises:
            StateError: The job was put before, or is finished.
            RefusedError: The path does not lead from our agent to that peer, or a limit is reached.
            StoreError: The agent's store cannot keep it.

        """
        return await peer.put_job(self)

    async def wait(self) -> Job:
        """Wait until the job is finished, and return it with its result or error.

        Raises:
            JobError: The job was deleted.
            StateError: The job was never put.

        """
        return await self._kept().wait_job(self)

    def updates(self) -> AsyncIterator[Job]:
        """Iterate over the job's changes: as it is now, each progress that arrives, at last the finished job.

        A consumer that is slower than the changes sees the latest of those that it missed.

        Raises:
            JobError: The job was deleted.
            StateError: The job was never put.

        """
        return self._kept().job_updates(self)

    async def update(self) -> Job:
        """Return the job as it is on the board now.

        Raises:
            JobError: The job was deleted.
            StateError: The job was never put.

        """
        return await self._kept().update_job(self)

    async def delete(self) -> None:
        """Remove the job from every board on its path and stop its handler.

        Raises:
            StateError: The job was never put.

        """
        await self._kept().delete_job(self)

    def kept_by(self, keeper: JobKeeper | None) -> Self:
        """Return the same job, bound to the agent that holds it on a board."""
        return self._with(keeper=keeper)

    def _kept(self) -> JobKeeper:
        if self._keeper is None:
            raise StateError(f"The job {{{self.command}}} was never put to a peer: await job.put(peer) first")
        return self._keeper

    # -- on the wire --------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the job's JSON form, the fields in the order in which agents write them."""
        value: dict[str, Any] = {
            "id": str(self.id),
            "created": self.created,
            "changed": self.changed,
            "expires": self.expires,
            "version": self.version,
            "command": self.command,
            "state": self.status.value,
            "result": self.result_text,
            "result_type": self.result_type,
            "forwarded_for": None if self.forwarded_for is None else str(self.forwarded_for),
        }
        if self.error is not None:
            error = {"kind": self.error.kind, "message": self.error.message}
            if self.error.origin is not None:
                error["origin"] = self.error.origin
            value["error"] = error
        value["domain"] = self.domain
        value["domain_version"] = self.domain_version
        return value

    @classmethod
    def from_json(cls, value: object) -> Job:
        """Read a job from its JSON form; unknown fields are ignored.

        Raises:
            ParseError: A field is missing or not what it must be, or the command is not in the grammar.

        """
        if not isinstance(value, dict):
            raise ParseError(f"A job is a JSON object, not {_shown(value)}")
        refuse_repeated(value, _FIELDS)
        command = Command.parse(_text(value, "command"))
        forwarded_for = _optional_text(value, "forwarded_for")
        status = _STATUS_BY_WORD.get(_text(value, "state"))
        if status is None:
            words = ", ".join(_STATUS_BY_WORD)
            raise ParseError(f"A job's state is one of {words}, not {_shown(value['state'])}")
        return cls(
            id=parse_uuid(_text(value, "id")),
            created=_whole(value, "created", OLDEST_TIME, NEWEST_TIME),
            changed=_whole(value, "changed", OLDEST_TIME, NEWEST_TIME),
            expires=_whole(value, "expires", OLDEST_TIME, NEWEST_TIME),
            version=_whole(value, "version", 0, LARGEST_VERSION),
            destination=command.destination,
            instruction=command.instruction,
            status=status,
            result_text=_optional_text(value, "result"),
            result_type=_optional_text(value, "result_type"),
            forwarded_for=None if forwarded_for is None else Destination.parse(forwarded_for),
            error=_read_error(value.get("error")),
            domain=_optional_text(value, "domain"),
            domain_version=_optional_text(value, "domain_version"),
        )

    def canonical(self) -> str:
        """Return the job's JSON as one compact text: what decides between copies that differ in nothing else."""
        return _write(self.to_json())


_write: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ARGUMENTS: Final = tuple(field.alias or field.name for field in attrs.fields(Job))
_values: Final = operator.attrgetter(*(field.name for field in attrs.fields(Job)))

_FIELDS: Final = frozenset(
    [
        "id",
        "created",
        "changed",
        "expires",
        "version",
        "command",
        "state",
        "result",
        "result_type",
        "forwarded_for",
        "error",
        "domain",
        "domain_version",
    ]
)


def _read_error(value: object) -> ErrorInfo | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ParseError(f"A job's error is a JSON object with kind and message, not {_shown(value)}")
    origin = _optional_text(value, "origin")
    return ErrorInfo(
        cut(_text(value, "kind"), KIND_LIMIT),
        cut(_text(value, "message")),
        None if origin is None else cut(origin, KIND_LIMIT),
    )


def _text(value: Mapping[str, object], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise ParseError(f"A job's field {name!r} is a text, not {_shown(found)}")
    return found


def _optional_text(value: Mapping[str, object], name: str) -> str | None:
    return None if value.get(name) is None else _text(value, name)


def _whole(value: Mapping[str, object], name: str, least: int, most: int) -> int:
    found = value.get(name)
    if type(found) is not int or not least <= found <= most:
        raise ParseError(
            f"A job's field {name!r} is a whole number from {least} to {most}, not {_shown(found)}"
        )
    return found


def _shown(value: object) -> str:
    return "nothing" if value is None else ascii(value)[:80]


def printable(text: str, longest: int = 500) -> str:
    """Return foreign text without anything that would break a line or move a cursor, cut to ``longest`` characters."""
    if len(text) <= longest and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:longest])
    return shown if len(text) <= longest else f"{shown}…"


def _shown_time(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds} seconds from 1970"
