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
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import attrs

from ..errors import JobError, ParseError, StateError
from ..grammar import Command, Destination, Instruction, check_portal
from ..grammar.results import decode_result, encode_result
from ..grammar.strictjson import refuse_repeated
from ..grammar.text import slot_setter
from ..grammar.uuids import parse_uuid_number
from .error_info import KIND_LIMIT, ErrorInfo, cut

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


def _nothing_known(_: int) -> Job | None:
    return None


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


@attrs.frozen(order=False, weakref_slot=False)
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
    # The canonical text of the command once somebody has asked for it; steps hand it on, `attrs.evolve` does not.
    _command: str | None = attrs.field(default=None, init=False, eq=False, repr=False)

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
        text = self._command
        if text is None:
            text = f"{self.destination} {self.instruction}"
            _remember_command(self, text)
        return text

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
        return self._step(1, now, Status.PENDING, self.result_text, self.result_type, self.error)

    def running(self, progress: str | None = None, *, now: float | None = None) -> Job:
        """Return the job with a report of progress.

        Raises:
            StateError: The job is finished, or not yet put, or a duplicate.

        """
        self._require("run", Status.PENDING, Status.RUNNING)
        return self._step(1, now, Status.RUNNING, progress, None, self.error)

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
        return self._step(1000, now, Status.COMPLETE, text, type_name, self.error)

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
        return self._step(1000, now, Status.ERROR, message, "Error", error)

    def duplicate_of(self, original: uuid.UUID, *, now: float | None = None) -> Job:
        """Return the job as a duplicate, which waits for the result of the original.

        Raises:
            StateError: The job is not pending.

        """
        self._require("become a duplicate", Status.PENDING)
        return self._step(1, now, Status.DUPLICATE, str(original), None, self.error)

    def reinstated(self, *, now: float | None = None) -> Job:
        """Return a duplicate as a job of its own, for when its original is no more.

        Raises:
            StateError: The job is not a duplicate.

        """
        self._require("be reinstated", Status.DUPLICATE)
        return self._step(1, now, Status.PENDING, None, None, self.error)

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
            1000, now, original.status, original.result_text, original.result_type, original.error
        )

    def ended_as(self, result: Job, *, origin: str, now: float) -> Job:
        """Return the job with the end that its handler gave to an earlier state of it.

        Args:
            result: The finished job that the handler returned.
            origin: Name of the agent, for an error that says nothing of where it was made.
            now: Seconds since 1970 UTC.

        Raises:
            StateError: The job is finished already, or not yet put.

        """
        self._require("end", Status.PENDING, Status.RUNNING, Status.DUPLICATE)
        error = result.error
        if error is not None and error.origin is None:
            error = ErrorInfo(error.kind, error.message, origin)
        return self._step(1000, now, result.status, result.result_text, result.result_type, error)

    def _require(self, step: str, *allowed: Status) -> None:
        if self.status not in allowed:
            words = " or ".join(status.value for status in allowed)
            raise StateError(f"A job that is {self.status.value} cannot {step}: only one that is {words} can")

    def _step(
        self,
        versions: int,
        now: float | None,
        status: Status,
        result_text: str | None,
        result_type: str | None,
        error: ErrorInfo | None,
    ) -> Job:
        if now is None:
            now = self._keeper.now() if self._keeper is not None else time.time()
        return self._copy(
            # A clock that was set back must not make our own step look older than the one before.
            max(self.changed, int(now)),
            min(self.version + versions, LARGEST_VERSION),
            status,
            result_text,
            result_type,
            error,
            self._keeper,
        )

    def _copy(
        self,
        changed: int,
        version: int,
        status: Status,
        result_text: str | None,
        result_type: str | None,
        error: ErrorInfo | None,
        keeper: JobKeeper | None,
    ) -> Job:
        # `attrs.evolve` asks the class for its fields each time, which a job's ten steps would feel.
        copy = Job(
            self.id,
            self.created,
            changed,
            self.expires,
            version,
            self.destination,
            self.instruction,
            status,
            result_text,
            result_type,
            self.forwarded_for,
            error,
            self.domain,
            self.domain_version,
            keeper,
        )
        if self._command is not None:
            _remember_command(copy, self._command)
        return copy

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

    def kept_by(self, keeper: JobKeeper | None) -> Job:
        """Return the same job, bound to the agent that holds it on a board."""
        if self._keeper is keeper:
            return self
        return self._copy(
            self.changed, self.version, self.status, self.result_text, self.result_type, self.error, keeper
        )

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
    def from_json(
        cls,
        value: object,
        known: Callable[[int], Job | None] = _nothing_known,
        keeper: JobKeeper | None = None,
    ) -> Job:
        """Read a job from its JSON form; unknown fields are ignored.

        Args:
            value: What a JSON reader returned.
            known: Gives the job that is on a board under an id, as a number. Where its command is written as it is
                here, it need not be read a second time.
            keeper: Who will hold the job.

        Raises:
            ParseError: A field is missing or not what it must be, or the command is not in the grammar.

        """
        if not isinstance(value, dict):
            raise ParseError(f"A job is a JSON object, not {_shown(value)}")
        refuse_repeated(value, _FIELDS)
        text = _text(value, "command")
        number = parse_uuid_number(_text(value, "id"))
        there = known(number)
        if there is not None and there.command == text:
            job_id, destination, instruction = there.id, there.destination, there.instruction
        else:
            command = Command.parse(text)
            job_id, destination, instruction = (
                uuid.UUID(int=number),
                command.destination,
                command.instruction,
            )
        forwarded_for = _optional_text(value, "forwarded_for")
        status = _STATUS_BY_WORD.get(_text(value, "state"))
        if status is None:
            words = ", ".join(_STATUS_BY_WORD)
            raise ParseError(f"A job's state is one of {words}, not {_shown(value['state'])}")
        job = cls(
            job_id,
            _whole(value, "created", OLDEST_TIME, NEWEST_TIME),
            _whole(value, "changed", OLDEST_TIME, NEWEST_TIME),
            _whole(value, "expires", OLDEST_TIME, NEWEST_TIME),
            _whole(value, "version", 0, LARGEST_VERSION),
            destination,
            instruction,
            status,
            _optional_text(value, "result"),
            _optional_word(value, "result_type"),
            None if forwarded_for is None else Destination.parse(forwarded_for),
            _read_error(value.get("error")),
            _optional_word(value, "domain"),
            _optional_word(value, "domain_version"),
            keeper,
        )
        if there is not None and there.instruction is instruction:
            _remember_command(job, there.command)
        return job

    def canonical(self) -> str:
        """Return the job's JSON as one compact text: what travels, what is stored, what decides between copies.

        The same as `to_json` through any JSON writer that leaves no blanks and writes letters as they are.
        """
        error = ""
        if self.error is not None:
            origin = "" if self.error.origin is None else f',"origin":{_written(self.error.origin)}'
            kind, message = _written(self.error.kind), _written(self.error.message)
            error = f',"error":{{"kind":{kind},"message":{message}{origin}}}'
        result, result_type = self.result_text, self.result_type
        forwarded_for, domain, domain_version = self.forwarded_for, self.domain, self.domain_version
        return (
            f'{{"id":"{self.id}","created":{self.created},"changed":{self.changed},"expires":{self.expires},'
            f'"version":{self.version},"command":{_written(self.command)},"state":"{self.status.value}",'
            f'"result":{"null" if result is None else _written(result)},'
            f'"result_type":{"null" if result_type is None else _written(result_type)},'
            f'"forwarded_for":{"null" if forwarded_for is None else _written(str(forwarded_for))}{error},'
            f'"domain":{"null" if domain is None else _written(domain)},'
            f'"domain_version":{"null" if domain_version is None else _written(domain_version)}}}'
        )


_written: Final = json.encoder.encode_basestring
_remember_command: Final = slot_setter(Job, "_command")

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


def _optional_word(value: Mapping[str, object], name: str) -> str | None:
    # One of few, which a million jobs on a board share; it goes with the last of them.
    text = _optional_text(value, name)
    return None if text is None else sys.intern(text)


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
