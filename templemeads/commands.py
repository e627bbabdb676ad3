"""The commands that agents send each other, and their JSON.

A command travels as a JSON object with exactly one key, its name. Who sent it, to whom and in which zone is not part of
it: that follows from the connection. Source: the protocol page *wire*, section 5, and *newer-protocol*, section 10.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from .agent_type import AgentType
from .errors import ParseError
from .grammar import Notification
from .grammar.strictjson import parse_json, refuse_repeated
from .grammar.whitespace import refuse_surrogates
from .job import Job

ENGINE: Final = "templemeads"


@attrs.frozen
class Put:
    """A job on its way to the agent that runs it."""

    job: Job


@attrs.frozen
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
        kept: dict[str, Any] = {name: self.fields.get(name) for name in _JOB_FIELDS}
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
_JOB_FIELDS: Final = (
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
    return _write(to_json(command))


def encode_bad_put_answer(job: Mapping[str, Any]) -> str:
    """Return the text of the ``Update`` that answers an unreadable ``Put`` (`BadJob.refusal`)."""
    return _write({"Update": {"job": job}})


_write: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def to_json(command: Command) -> dict[str, Any]:
    """Return the JSON value of a command."""
    match command:
        case Put(job) | Update(job) | Delete(job):
            fields: dict[str, Any] = {"job": job.to_json()}
        case Sync():
            fields = {"state": {"jobs": [job.to_json() for job in command.jobs]}}
        case Register():
            fields = {
                "agent": command.agent.value,
                "engine": command.engine,
                "version": command.version,
                "domain": command.domain,
                "domain_version": command.domain_version,
                "supports_portal_routes": command.supports_portal_routes,
                "supports_structured_errors": command.supports_structured_errors,
            }
        case HealthCheck(visited):
            fields = {"visited": list(visited)}
        case HealthResponse(health):
            fields = {"health": health}
        case Restart(restart_type, destination):
            fields = {"restart_type": restart_type, "destination": destination}
        case DiagnosticsRequest(destination):
            fields = {"destination": destination}
        case DiagnosticsResponse(report):
            fields = {"report": report}
        case Notify(notification):
            fields = {"notification": notification.to_json()}
        case PortalRoutes(routes, withdrawn):
            fields = {
                "routes": [{"portal": route.portal, "route": route.route} for route in routes],
                "withdrawn": list(withdrawn),
            }
        case Error(error):
            fields = {"error": error}
    return {type(command).__name__: fields}


# -- reading ----------------------------------------------------------------------------------------------------------


def decode(text: str) -> Command | BadPut:
    """Read a command from the text of a payload.

    Unknown fields are ignored. In a ``Sync``, jobs that cannot be read are set apart.

    Raises:
        UnknownCommandError: The command has a name that is not known here.
        ParseError: It is not a command.

    """
    value = parse_json(text)
    if "\\u" in text:
        # Half a surrogate pair can only come in as an escape, and would fail at the next hop, or in a log.
        refuse_surrogates(json.dumps(value, ensure_ascii=False))
    return from_json(value)


def from_json(value: object) -> Command | BadPut:
    """Read a command from its JSON value; raises as `decode`."""
    if not isinstance(value, dict) or len(value) != 1:
        raise ParseError("A command is a JSON object with exactly one key, the command's name")
    ((name, fields),) = value.items()
    reader = _READERS.get(name)
    if reader is None:
        raise UnknownCommandError(f"There is no command {ascii(name)[:80]}")
    if not isinstance(fields, dict):
        raise ParseError(f"The fields of {name} are a JSON object")
    refuse_repeated(value, _READERS)
    refuse_repeated(fields, _FIELDS)
    return reader(fields)


def _read_put(fields: Mapping[str, Any]) -> Put | BadPut:
    job = _read_job(fields.get("job"))
    return BadPut(job) if isinstance(job, BadJob) else Put(job)


def _read_update(fields: Mapping[str, Any]) -> Update:
    return Update(Job.from_json(fields.get("job")))


def _read_delete(fields: Mapping[str, Any]) -> Delete:
    return Delete(Job.from_json(fields.get("job")))


def _read_sync(fields: Mapping[str, Any]) -> Sync:
    state = fields.get("state")
    if not isinstance(state, dict):
        raise ParseError("The field 'state' of Sync is a JSON object")
    read = [_read_job(item) for item in _list(state, "jobs")]
    return Sync(
        tuple(job for job in read if isinstance(job, Job)),
        tuple(job for job in read if isinstance(job, BadJob)),
    )


def _read_job(value: object) -> Job | BadJob:
    try:
        return Job.from_json(value)
    except ParseError as error:
        if not isinstance(value, dict):
            raise
        return BadJob(str(error), value)


def _read_register(fields: Mapping[str, Any]) -> Register:
    agent = _text(fields, "agent")
    if agent not in _AGENT_WORDS:
        raise ParseError(f"There is no agent type {ascii(agent)[:40]}")
    return Register(
        agent=AgentType(agent),
        engine=_text(fields, "engine"),
        version=_text(fields, "version"),
        domain=_optional_text(fields, "domain"),
        domain_version=_optional_text(fields, "domain_version"),
        supports_portal_routes=_flag(fields, "supports_portal_routes"),
        supports_structured_errors=_flag(fields, "supports_structured_errors"),
    )


_AGENT_WORDS: Final = frozenset(agent_type.value for agent_type in AgentType)


def _read_portal_routes(fields: Mapping[str, Any]) -> PortalRoutes:
    routes = []
    for item in _list(fields, "routes") if "routes" in fields else []:
        if not isinstance(item, dict):
            raise ParseError("A portal route is a JSON object with portal and route")
        routes.append(PortalRoute(_text(item, "portal"), _text(item, "route")))
    return PortalRoutes(tuple(routes), _texts(fields, "withdrawn"))


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Command | BadPut]]] = {
    "Put": _read_put,
    "Update": _read_update,
    "Delete": _read_delete,
    "Register": _read_register,
    "Sync": _read_sync,
    "HealthCheck": lambda fields: HealthCheck(_texts(fields, "visited")),
    "HealthResponse": lambda fields: HealthResponse(_object(fields, "health")),
    "Restart": lambda fields: Restart(_text(fields, "restart_type"), _text(fields, "destination")),
    "DiagnosticsRequest": lambda fields: DiagnosticsRequest(_text(fields, "destination")),
    "DiagnosticsResponse": lambda fields: DiagnosticsResponse(_object(fields, "report")),
    "Notify": lambda fields: Notify(Notification.from_json(fields.get("notification"))),
    "PortalRoutes": _read_portal_routes,
    "Error": lambda fields: Error(_text(fields, "error")),
}


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ParseError(f"The field {name!r} is a text")
    return value


def _optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    return None if fields.get(name) is None else _text(fields, name)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ParseError(f"The field {name!r} is true or false")
    return value


def _list(fields: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise ParseError(f"The field {name!r} is a list")
    return value


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    if fields.get(name) is None:
        return ()
    values = _list(fields, name)
    if not all(isinstance(value, str) for value in values):
        raise ParseError(f"The field {name!r} is a list of texts")
    return tuple(values)


def _object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise ParseError(f"The field {name!r} is a JSON object")
    return value
