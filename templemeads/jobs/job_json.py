"""A job as JSON: one list of its fields, a strict reader and a writer.

Source: the protocol page *json-types*, section 2.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from ..errors import ParseError
from ..grammar import Command, Destination, Instruction
from ..grammar.strictjson import refuse_repeated
from ..grammar.uuids import parse_uuid_number
from .error_info import KIND_LIMIT, ErrorInfo, cut
from .transitions import Status

MIN_TIME: Final = -8_334_601_228_800
MAX_TIME: Final = 8_210_266_876_799
"""The range of times in a job, in seconds since 1970 UTC (*json-types*, section 2)."""

MAX_WIRE_VERSION: Final = 2**64 - 1
"""The highest version that a job can have on the wire."""

FIELDS: Final = (
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
)
"""Names of the fields, in the order in which agents write them."""

_NAMES: Final = frozenset(FIELDS)
_STATUS_BY_WORD: Final[Mapping[str, Status]] = {status.value: status for status in Status}


class Commanded(Protocol):
    """What a job that is known already saves the reader: its command, read."""

    @property
    def id(self) -> uuid.UUID:
        """The job's id."""

    @property
    def command(self) -> str:
        """The text of the command."""

    @property
    def destination(self) -> Destination:
        """The path."""

    @property
    def instruction(self) -> Instruction:
        """The instruction."""


class JobFields(Commanded, Protocol):
    """The fields of a job (`Job`) that are written."""

    @property
    def created(self) -> int:
        """When it was made."""

    @property
    def changed(self) -> int:
        """When it last changed."""

    @property
    def expires(self) -> int:
        """When it expires."""

    @property
    def version(self) -> int:
        """Its version."""

    @property
    def status(self) -> Status:
        """Its state."""

    @property
    def result_text(self) -> str | None:
        """Its result, error or progress."""

    @property
    def result_type(self) -> str | None:
        """The type of the result."""

    @property
    def forwarded_for(self) -> Destination | None:
        """The path of the job on whose behalf a portal made this one."""

    @property
    def error(self) -> ErrorInfo | None:
        """The error for programs."""

    @property
    def domain(self) -> str | None:
        """The family of instructions."""

    @property
    def domain_version(self) -> str | None:
        """The version of that family."""


T = TypeVar("T")


def read(
    make: Callable[..., T],
    value: object,
    lookup: Callable[[int], Commanded | None],
    keeper: object,
) -> tuple[T, str | None]:
    """Read a job from its JSON form; unknown fields are ignored.

    Args:
        make: The class of jobs, called with the fields in their order.
        value: What a JSON reader returned.
        lookup: Returns the job that is on a board under an id, as a number. If it has the same command, the command
            is not read a second time.
        keeper: Who will hold the job.

    Returns:
        The job, and its command's canonical text if that is known.

    Raises:
        ParseError: A field is missing or has a wrong value, or the command is not in the grammar.

    """
    if not isinstance(value, dict):
        raise ParseError(f"A job is a JSON object, not {_shown(value)}")
    refuse_repeated(value, _NAMES)
    text = _string(value, "command")
    number = parse_uuid_number(_string(value, "id"))
    there = lookup(number)
    if there is not None and there.command == text:
        job_id, destination, instruction = there.id, there.destination, there.instruction
        canonical: str | None = there.command
    else:
        command = Command.parse(text)
        job_id, destination, instruction = uuid.UUID(int=number), command.destination, command.instruction
        canonical = None
    forwarded_for = _optional_string(value, "forwarded_for")
    status = _STATUS_BY_WORD.get(_string(value, "state"))
    if status is None:
        words = ", ".join(_STATUS_BY_WORD)
        raise ParseError(f"A job's state is one of {words}, not {_shown(value['state'])}")
    job = make(
        job_id,
        _integer(value, "created", MIN_TIME, MAX_TIME),
        _integer(value, "changed", MIN_TIME, MAX_TIME),
        _integer(value, "expires", MIN_TIME, MAX_TIME),
        _integer(value, "version", 0, MAX_WIRE_VERSION),
        destination,
        instruction,
        status,
        _optional_string(value, "result"),
        _optional_word(value, "result_type"),
        None if forwarded_for is None else Destination.parse(forwarded_for),
        _read_error(value.get("error")),
        _optional_word(value, "domain"),
        _optional_word(value, "domain_version"),
        keeper,
    )
    return job, canonical


def to_json(job: JobFields) -> dict[str, Any]:
    """Return the job's JSON form, the fields in the order in which agents write them."""
    value: dict[str, Any] = {
        "id": str(job.id),
        "created": job.created,
        "changed": job.changed,
        "expires": job.expires,
        "version": job.version,
        "command": job.command,
        "state": job.status.value,
        "result": job.result_text,
        "result_type": job.result_type,
        "forwarded_for": None if job.forwarded_for is None else str(job.forwarded_for),
    }
    if job.error is not None:
        error = {"kind": job.error.kind, "message": job.error.message}
        if job.error.origin is not None:
            error["origin"] = job.error.origin
        value["error"] = error
    value["domain"] = job.domain
    value["domain_version"] = job.domain_version
    return value


def canonical(job: JobFields) -> str:
    """Return the job's JSON as one compact string, the same as `to_json` through a compact JSON writer."""
    error = ""
    if job.error is not None:
        origin = "" if job.error.origin is None else f',"origin":{_quote(job.error.origin)}'
        kind, message = _quote(job.error.kind), _quote(job.error.message)
        error = f',"error":{{"kind":{kind},"message":{message}{origin}}}'
    result, result_type = job.result_text, job.result_type
    forwarded_for, domain, domain_version = job.forwarded_for, job.domain, job.domain_version
    return (
        f'{{"id":"{job.id}","created":{job.created},"changed":{job.changed},"expires":{job.expires},'
        f'"version":{job.version},"command":{_quote(job.command)},"state":"{job.status.word}",'
        f'"result":{"null" if result is None else _quote(result)},'
        f'"result_type":{"null" if result_type is None else _quote(result_type)},'
        f'"forwarded_for":{"null" if forwarded_for is None else _quote(str(forwarded_for))}{error},'
        f'"domain":{"null" if domain is None else _quote(domain)},'
        f'"domain_version":{"null" if domain_version is None else _quote(domain_version)}}}'
    )


_quote: Final = json.encoder.encode_basestring


def _read_error(value: object) -> ErrorInfo | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ParseError(f"A job's error is a JSON object with kind and message, not {_shown(value)}")
    origin = _optional_string(value, "origin")
    return ErrorInfo(
        cut(_string(value, "kind"), KIND_LIMIT),
        cut(_string(value, "message")),
        None if origin is None else cut(origin, KIND_LIMIT),
    )


def _string(value: Mapping[str, object], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise ParseError(f"A job's field {name!r} is a string, not {_shown(found)}")
    return found


def _optional_string(value: Mapping[str, object], name: str) -> str | None:
    return None if value.get(name) is None else _string(value, name)


def _optional_word(value: Mapping[str, object], name: str) -> str | None:
    # There are few different ones, and a million jobs on a board share them.
    text = _optional_string(value, name)
    return None if text is None else sys.intern(text)


def _integer(value: Mapping[str, object], name: str, least: int, most: int) -> int:
    found = value.get(name)
    if type(found) is not int or not least <= found <= most:
        raise ParseError(
            f"A job's field {name!r} is a whole number from {least} to {most}, not {_shown(found)}"
        )
    return found


def _shown(value: object) -> str:
    return "nothing" if value is None else ascii(value)[:80]
