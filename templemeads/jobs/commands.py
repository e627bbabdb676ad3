"""The commands that agents send each other, and their JSON.

A command travels as a JSON object with exactly one key, its name. Who sent it, to whom and in which zone is not part of
it: that follows from the connection. Source: the protocol page *wire*, section 5, and *newer-protocol*, section 10.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, get_args

import attrs

from ..agent_type import AgentType
from ..errors import ParseError
from ..grammar import Notification
from ..grammar.strictjson import parse_json, refuse_repeated
from ..grammar.whitespace import refuse_surrogates
from ..values import hot_value
from .converter import make_wire_converter, structure
from .job import Job, JobKeeper, JobLookup, no_job
from .job_json import FIELDS

_NEWER_FIELDS: Final = frozenset({"error", "domain", "domain_version"})
"""Fields of a job that older agents do not know: an answer to an unreadable job leaves them out."""

ENGINE: Final = "templemeads"


@hot_value
class Put:
    """A job on its way to the agent that runs it."""

    job: Job


@hot_value
class Update:
    """Progress or the result of a job, on its way back."""

    job: Job


@attrs.frozen
class Delete:
    """A job that is no longer wanted."""

    job: Job


@attrs.frozen
class Register:
    """What the sender is.

    Attributes:
        agent: Its type.
        engine: Name of its software.
        version: Version of that.
        domain: Family of instructions that it speaks, or None.
        domain_version: Version of that.
        supports_portal_routes: Whether ``PortalRoutes`` may be sent to it.
        supports_structured_errors: Whether it reads the ``error`` of a job.

    """

    agent: AgentType
    engine: str
    version: str
    domain: str | None = None
    domain_version: str | None = None
    supports_portal_routes: bool = False
    supports_structured_errors: bool = False


@attrs.frozen
class BadJob:
    """A job in a command that cannot be read, with as much of it as an answer needs.

    Attributes:
        reason: What is wrong with it.
        fields: The fields of the job as they came.

    """

    reason: str
    fields: Mapping[str, Any] = attrs.field(hash=False)

    def refusal(self, changed: int, largest_version: int) -> dict[str, Any] | None:
        """Return the JSON of the same job as failed, or None if not even its id and command are there.

        Args:
            changed: Time of the refusal, in seconds since 1970 UTC.
            largest_version: The job is not answered if its version is above this.

        """
        kept: dict[str, Any] = {name: self.fields.get(name) for name in FIELDS if name not in _NEWER_FIELDS}
        texts = ("id", "command")
        numbers = ("created", "expires", "version")
        if not all(type(kept[name]) is str for name in texts) or not all(
            type(kept[name]) is int for name in numbers
        ):
            return None
        if not 0 <= kept["version"] <= largest_version:
            return None
        message = f"The job cannot be read: {self.reason}"
        return kept | {
            "changed": changed,
            "version": kept["version"] + 1000,
            "state": "Error",
            "result": message,
            "result_type": "Error",
            "error": {"kind": "invalid", "message": message},
        }


_FIELDS: Final = frozenset(
    [
        "job",
        "state",
        "agent",
        "engine",
        "version",
        "domain",
        "domain_version",
        "supports_portal_routes",
        "supports_structured_errors",
        "visited",
        "health",
        "restart_type",
        "destination",
        "report",
        "notification",
        "routes",
        "withdrawn",
        "error",
    ]
)


@attrs.frozen
class BadPut:
    """A ``Put`` whose job cannot be read: the peer waits for an answer all the same."""

    job: BadJob


@attrs.frozen
class Sync:
    """The sender's board for this connection, or a part of it.

    Attributes:
        jobs: The jobs that could be read.
        bad_jobs: The others; one unreadable job does not keep the rest from arriving.

    """

    jobs: tuple[Job, ...]
    bad_jobs: tuple[BadJob, ...] = ()


@attrs.frozen
class HealthCheck:
    """A question how the receiver and all behind it are, with the names of the agents already asked."""

    visited: tuple[str, ...] = ()


@attrs.frozen
class HealthResponse:
    """The answer; the fields are those of *operations*, section 1.3."""

    health: Mapping[str, Any] = attrs.field(hash=False)


@attrs.frozen
class Restart:
    """A request to restart the agent at the end of a path."""

    restart_type: str
    destination: str


@attrs.frozen
class DiagnosticsRequest:
    """A request for the report of the agent at the end of a path."""

    destination: str


@attrs.frozen
class DiagnosticsResponse:
    """The report; the fields are those of *operations*, section 2.3."""

    report: Mapping[str, Any] = attrs.field(hash=False)


@attrs.frozen
class Notify:
    """A one-way event on its way along a path."""

    notification: Notification


@attrs.frozen
class PortalRoute:
    """Through which agents a portal's requests properly arrive."""

    portal: str
    route: str


@attrs.frozen
class PortalRoutes:
    """Routes that the sender knows, and portals for which it knows none any more."""

    routes: tuple[PortalRoute, ...]
    withdrawn: tuple[str, ...] = ()


@attrs.frozen
class Error:
    """What went wrong with something the receiver sent, in words."""

    error: str


Command = (
    Put
    | Update
    | Delete
    | Register
    | Sync
    | HealthCheck
    | HealthResponse
    | Restart
    | DiagnosticsRequest
    | DiagnosticsResponse
    | Notify
    | PortalRoutes
    | Error
)


class UnknownCommandError(ParseError):
    """A well-formed command with a name that is not known here: perhaps one of the future."""


# -- writing ----------------------------------------------------------------------------------------------------------


def encode(command: Command) -> str:
    """Return the JSON text of a command."""
    match command:
        case Put(job) | Update(job) | Delete(job):
            return f'{{"{type(command).__name__}":{{"job":{job.canonical()}}}}}'
        case Sync(jobs):
            return f'{{"Sync":{{"state":{{"jobs":[{",".join(job.canonical() for job in jobs)}]}}}}}}'
        case _:
            return _write(to_json(command))


def encode_bad_put_answer(job: Mapping[str, Any]) -> str:
    """Return the text of the ``Update`` that answers an unreadable ``Put`` (`BadJob.refusal`)."""
    return _write({"Update": {"job": job}})


_write: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def to_json(command: Command) -> dict[str, Any]:
    """Return the JSON value of a command."""
    if isinstance(command, Sync):
        fields: dict[str, Any] = {"state": {"jobs": [job.to_json() for job in command.jobs]}}
    else:
        fields = _CONVERTER.unstructure(command)
    return {type(command).__name__: fields}


# -- reading ----------------------------------------------------------------------------------------------------------


def decode(text: str, lookup: JobLookup = no_job, keeper: JobKeeper | None = None) -> Command | BadPut:
    """Read a command from the text of a payload.

    Unknown fields are ignored. In a ``Sync``, jobs that cannot be read are set apart.

    Args:
        text: The payload.
        lookup: Returns the jobs that are here already, whose commands need not be read again.
        keeper: Who will hold the jobs in the command.

    Raises:
        UnknownCommandError: The command has a name that is not known here.
        ParseError: It is not a command.

    """
    value = parse_json(text)
    if "\\u" in text:
        # Half a surrogate pair can only come in as an escape, and would fail at the next hop, or in a log.
        refuse_surrogates(json.dumps(value, ensure_ascii=False))
    return from_json(value, lookup, keeper)


def from_json(value: object, lookup: JobLookup = no_job, keeper: JobKeeper | None = None) -> Command | BadPut:
    """Read a command from its JSON value; raises as `decode`."""
    if not isinstance(value, dict) or len(value) != 1:
        raise ParseError("A command is a JSON object with exactly one key, the command's name")
    ((name, fields),) = value.items()
    kind = _KINDS.get(name)
    if kind is None:
        raise UnknownCommandError(f"There is no command {ascii(name)[:80]}")
    if not isinstance(fields, dict):
        raise ParseError(f"The fields of {name} are a JSON object")
    refuse_repeated(value, _KINDS)
    refuse_repeated(fields, _FIELDS)
    if kind is Put:
        job = _read_job(fields.get("job"), lookup, keeper)
        return BadPut(job) if isinstance(job, BadJob) else Put(job)
    if kind is Update or kind is Delete:
        return kind(Job.from_json(fields.get("job"), lookup, keeper))
    if kind is Sync:
        return _read_sync(fields, lookup, keeper)
    return structure(_CONVERTER, fields, kind)


def _read_sync(fields: Mapping[str, Any], lookup: JobLookup, keeper: JobKeeper | None) -> Sync:
    state = fields.get("state")
    if not isinstance(state, dict) or not isinstance(jobs := state.get("jobs"), list):
        raise ParseError("The field 'state' of Sync is a JSON object with a list of jobs")
    read = [_read_job(item, lookup, keeper) for item in jobs]
    return Sync(
        tuple(job for job in read if isinstance(job, Job)),
        tuple(job for job in read if isinstance(job, BadJob)),
    )


def _read_job(value: object, lookup: JobLookup, keeper: JobKeeper | None) -> Job | BadJob:
    try:
        return Job.from_json(value, lookup, keeper)
    except ParseError as error:
        if not isinstance(value, dict):
            raise
        return BadJob(str(error), value)


_CONVERTER: Final = make_wire_converter()
_KINDS: Final[Mapping[str, type[Command]]] = {kind.__name__: kind for kind in get_args(Command)}
