"""A job: a command on its way along a path of agents, and in time its result.

Jobs are values. Each step of a job's life returns a new job with a higher version. The steps are the table in
`transitions`; any other step raises `StateError`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar, cast, overload

import attrs

from ..errors import JobError, StateError
from ..grammar import Command, Destination, Instruction, check_portal
from ..grammar.results import NONE, decode_result, encode_result, is_result_of, type_text
from ..grammar.text import slot_setter
from ..text import printable, well_formed
from . import job_json, transitions
from .error_info import ErrorInfo, cut
from .transitions import Status, Transition

_Result = TypeVar("_Result")

__all__ = ["DEFAULT_LIFETIME", "Job", "JobKeeper", "JobLookup", "JobTaker", "Status", "no_job", "printable"]

DEFAULT_LIFETIME: Final = 120
"""Seconds from creation to expiry, as existing agents have it."""

JobLookup = Callable[[int], "Job | None"]
"""Returns the job that is here already under an id, as a number (`Job.from_json`)."""


def no_job(_: int) -> Job | None:
    """Know no job (`JobLookup`)."""
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
        if not 0 < lifetime < job_json.MAX_TIME:
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

    @overload
    def result(self) -> Any: ...

    @overload
    def result(self, expected: type[_Result]) -> _Result: ...

    def result(self, expected: type[_Result] | None = None) -> _Result | Any:
        """Return the value of a finished job, or None while it is not finished or when it has no value.

        Args:
            expected: The type that the value must have, such as ``UserMapping`` or ``list[UserMapping]``.

        Raises:
            JobError: The job failed; the message is the error's. Or it has no value of the expected type.
            ParseError: The result is not what its type name says.

        """
        if self.status is Status.ERROR:
            info = self.error_info
            assert info is not None
            raise JobError(
                self.result_text or "The job failed without a message", kind=info.kind, origin=info.origin
            )
        value = decode_result(self.result_text, self.result_type) if self.status is Status.COMPLETE else None
        if expected is not None and not is_result_of(value, self.result_type, expected):
            found = f"a {printable(self.result_type or NONE, 60)}" if self.is_finished else "not there yet"
            raise JobError(
                f"The result of {{{printable(self.command, 200)}}} is {found}, not a {type_text(expected)}",
                kind="invalid",
            )
        return value

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
        self._require(transitions.PENDING)
        return self._step(
            transitions.PENDING, now, Status.PENDING, self.result_text, self.result_type, self.error
        )

    def running(self, progress: str | None = None, *, now: float | None = None) -> Job:
        """Return the job with a report of progress.

        Raises:
            StateError: The job is finished, or not yet put, or a duplicate.

        """
        self._require(transitions.RUNNING)
        if progress is not None:
            if not isinstance(progress, str):
                raise TypeError(f"A progress message is a string, not a {type(progress).__name__}")
            progress = cut(progress)
        return self._step(transitions.RUNNING, now, Status.RUNNING, progress, None, self.error)

    def completed(self, value: object = None, *, now: float | None = None) -> Job:
        """Return the finished job.

        Args:
            value: Anything that has a result type: a text, a bool, a mapping, a report, …, or None for no value.
            now: Seconds since 1970 UTC; the clock of the job's agent if left out.

        Raises:
            StateError: The job is finished already, or not yet put, or a duplicate.
            TypeError: There is no result type for such a value.

        Strings that Python read from bytes that are not UTF-8 are made harmless by `text.well_formed`.

        """
        self._require(transitions.COMPLETED)
        text, type_name = encode_result(_well_formed_value(value), self.instruction)
        return self._step(transitions.COMPLETED, now, Status.COMPLETE, text, type_name, self.error)

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
        self._require(transitions.ERRORED)
        message = cut(message)
        error = None if kind is None else ErrorInfo(kind, message, origin)
        return self._step(transitions.ERRORED, now, Status.ERROR, message, "Error", error)

    def duplicate_of(self, original: uuid.UUID, *, now: float | None = None) -> Job:
        """Return the job as a duplicate, which waits for the result of the original.

        Raises:
            StateError: The job is not pending.

        """
        self._require(transitions.DUPLICATE)
        return self._step(transitions.DUPLICATE, now, Status.DUPLICATE, str(original), None, self.error)

    def reinstated(self, *, now: float | None = None) -> Job:
        """Return a duplicate as a job of its own, for when its original is no more.

        Raises:
            StateError: The job is not a duplicate.

        """
        self._require(transitions.REINSTATED)
        return self._step(transitions.REINSTATED, now, Status.PENDING, None, None, self.error)

    def copy_result_of(self, original: Job, *, now: float | None = None) -> Job:
        """Return the job finished with the result of another.

        Raises:
            StateError: The job is finished already or not yet put, or the other one is not finished.

        """
        self._require(transitions.COPIED)
        if not original.is_finished:
            raise StateError(
                f"The job {original.id} is {original.status.value}: it has no result to copy yet"
            )
        return self._step(
            transitions.COPIED,
            now,
            original.status,
            original.result_text,
            original.result_type,
            original.error,
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
        self._require(transitions.ENDED)
        error = result.error
        if error is not None and error.origin is None:
            error = ErrorInfo(error.kind, error.message, origin)
        return self._step(
            transitions.ENDED, now, result.status, result.result_text, result.result_type, error
        )

    def unsendable(self, message: str, *, origin: str, now: float | None = None) -> Job:
        """Return the job failed, in whatever state it is, since a peer on its path cannot receive it.

        Args:
            message: The error.
            origin: Name of the agent that cannot send it.
            now: Seconds since 1970 UTC; the clock of the job's agent if left out.

        """
        error = ErrorInfo("run", message, origin)
        return self._step(transitions.UNSENDABLE, now, Status.ERROR, message, "Error", error)

    def _require(self, step: Transition) -> None:
        if self.status not in step.sources:
            words = " or ".join(status.value for status in step.sources)
            raise StateError(
                f"A job that is {self.status.value} cannot {step.verb}: only one that is {words} can"
            )

    def _step(
        self,
        step: Transition,
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
            min(self.version + step.versions, job_json.MAX_WIRE_VERSION),
            status,
            None if result_text is None else well_formed(result_text),
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
        copy = _make(
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

    # -- as JSON ------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the job's JSON form, the fields in the order in which agents write them."""
        return job_json.to_json(self)

    @classmethod
    def from_json(
        cls,
        value: object,
        lookup: JobLookup = no_job,
        keeper: JobKeeper | None = None,
    ) -> Job:
        """Read a job from its JSON form; unknown fields are ignored.

        Args:
            value: What a JSON reader returned.
            lookup: Returns the job that is on a board under an id, as a number. If it has the same command, the
                command is not read a second time.
            keeper: The agent that will hold the job.

        Raises:
            ParseError: A field is missing or has a wrong value, or the command is not in the grammar.

        """
        job, command = job_json.read(_make if cls is Job else cls, value, lookup, keeper)
        if command is not None:
            _remember_command(job, command)
        return job

    def canonical(self) -> str:
        """Return the job's JSON as one compact string: what is sent, what is stored, what decides between copies."""
        return job_json.canonical(self)


_remember_command: Final = slot_setter(Job, "_command")

_Unfrozen: Final = attrs.make_class(
    "_Unfrozen", [field.name for field in attrs.fields(Job)], eq=False, weakref_slot=False, slots=True
)


def _make(*fields: Any) -> Job:
    """Make a job from its fields in their order, all of them up to its keeper.

    A frozen class of attrs sets each field through `object.__setattr__`: making a job that way takes 1,800 ns, this way
    460, and a job is made seven times on its way. So its fields go into a class of the same slots that is not frozen,
    which then becomes `Job`.
    """
    job = _Unfrozen(*fields, None)
    job.__class__ = Job
    return cast("Job", job)


def _well_formed_value(value: object) -> object:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list | tuple) and any(isinstance(entry, str) for entry in value):
        return [well_formed(entry) if isinstance(entry, str) else entry for entry in value]
    return value


def _shown_time(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds} seconds from 1970"
