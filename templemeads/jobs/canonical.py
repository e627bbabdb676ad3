"""Reads a `Put` or an `Update` in the spelling in which agents of ours write it, with one regular expression.

Nearly all commands are these. Whatever is spelt in another way, or has anything wrong with it, is left to the strict reader
(`commands.decode`), which finds the same in what this reads: a property test holds the two together.
"""

from __future__ import annotations

import re
import sys
import uuid
from typing import Final

from ..errors import ParseError
from ..grammar import Command
from .job import Job, JobKeeper, JobLookup, make_job, remember_command
from .transitions import Status

MAX_CHARACTERS: Final = 65_536
"""Longer texts are left to the strict reader: there a job's fields are not what takes the time."""

# No control character, escape or quote: what stands between the quotes is the string itself.
_STRING: Final = r'"([^"\\\x00-\x1f]*+)"'
_OPTIONAL: Final = rf"(?:null|{_STRING})"
# A result is a JSON text itself, so it is full of escaped quotes.
_OPTIONAL_RESULT: Final = r'(?:null|"((?:[^"\\\x00-\x1f]|\\["\\])*+)")'
# At most 12 digits for a time and 18 for a version: every such number is in range.
_TIME: Final = "(0|[1-9][0-9]{0,11})"
_VERSION: Final = "(0|[1-9][0-9]{0,17})"
_ID: Final = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_unescape: Final = re.compile(r"\\(.)").sub
_STATES: Final = {status.value: status for status in Status}

_match: Final = re.compile(
    rf'\{{"(Put|Update)":\{{"job":\{{"id":"{_ID}","created":{_TIME},"changed":{_TIME},"expires":{_TIME},'
    rf'"version":{_VERSION},"command":{_STRING},"state":"({"|".join(_STATES)})","result":{_OPTIONAL_RESULT},'
    rf'"result_type":{_OPTIONAL},"forwarded_for":null,"domain":{_OPTIONAL},"domain_version":{_OPTIONAL}\}}\}}\}}'
).fullmatch


def read(text: str, lookup: JobLookup, keeper: JobKeeper | None) -> tuple[str, Job] | None:
    """Return the name of the command and its job, or None if the strict reader is to read it.

    Args:
        text: The payload.
        lookup: Returns the job that is here already under an id, as a number.
        keeper: Who will hold the job.

    """
    if len(text) > MAX_CHARACTERS or not text.isascii() or (match := _match(text)) is None:
        return None
    (
        name,
        job_id,
        created,
        changed,
        expires,
        version,
        command,
        state,
        result,
        result_type,
        domain,
        domain_version,
    ) = match.groups()
    number = int(job_id.replace("-", ""), 16)
    there = lookup(number)
    if there is not None and there.command == command:
        identity, destination, instruction = there.id, there.destination, there.instruction
    else:
        try:
            parsed = Command.parse(command)
        except ParseError:
            return None
        there = None
        identity, destination, instruction = uuid.UUID(int=number), parsed.destination, parsed.instruction
    job = make_job(
        identity,
        int(created),
        int(changed),
        int(expires),
        int(version),
        destination,
        instruction,
        _STATES[state],
        result if result is None or "\\" not in result else _unescape(r"\1", result),
        # There are few different ones, and a million jobs on a board share them.
        None if result_type is None else sys.intern(result_type),
        None,
        None,
        None if domain is None else sys.intern(domain),
        None if domain_version is None else sys.intern(domain_version),
        keeper,
    )
    if there is not None:
        remember_command(job, there.command)
    return name, job
