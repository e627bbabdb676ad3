"""Descriptions of the arguments of instructions, for people.

There is one entry for each type in the table of instructions; a test checks that none is missing.
"""

from __future__ import annotations

from typing import Final

import attrs

from .awards import AwardDetails
from .dates import MAX_RANGE_DAYS, DateRange
from .destinations import Destination, Destinations
from .identifiers import MAX_COMPONENT_CHARACTERS, PortalIdentifier, ProjectIdentifier, UserIdentifier
from .mappings import MAX_LOCAL_NAME_CHARACTERS, ProjectMapping, UserMapping
from .storage import QuotaLimit, Volume
from .table import MAX_DEPTH, Instruction
from .usage import Usage

_COMPONENT = f"up to {MAX_COMPONENT_CHARACTERS} of A-Z a-z 0-9 _ -, not beginning with -"


@attrs.frozen
class Entry:
    """One type of argument.

    Attributes:
        name: Its name.
        form: Its syntax.
        rule: What is allowed, in a sentence.
        example: A string of this type, without spaces if possible.

    """

    name: str
    form: str
    rule: str
    example: str


GLOSSARY: Final[dict[type, Entry]] = {
    PortalIdentifier: Entry("PortalIdentifier", "portal", f"A portal: {_COMPONENT}.", "waldur"),
    ProjectIdentifier: Entry(
        "ProjectIdentifier",
        "project.portal",
        f"A project of a portal; each part {_COMPONENT}.",
        "proj.waldur",
    ),
    UserIdentifier: Entry(
        "UserIdentifier",
        "username.project.portal",
        f"A user in a project of a portal; each part {_COMPONENT}.",
        "fred.proj.waldur",
    ),
    ProjectMapping: Entry(
        "ProjectMapping",
        "project.portal:local_group",
        f"A project and its local group, which is up to {MAX_LOCAL_NAME_CHARACTERS} of A-Z a-z 0-9 _ - . and "
        "neither begins with - or . nor ends with . nor holds two dots in a row.",
        "proj.waldur:proj",
    ),
    UserMapping: Entry(
        "UserMapping",
        "username.project.portal:local_user:local_group",
        "A user, the local user and the local group; the local user may be an e-mail address.",
        "fred.proj.waldur:fred_proj:proj",
    ),
    Destination: Entry(
        "Destination",
        "agent.agent…",
        "A path of two or more agents, without white space.",
        "waldur.brics.notebook",
    ),
    Destinations: Entry(
        "Destinations",
        "[path, path, …]",
        "Paths, in brackets unless there is exactly one; an empty string is the empty list.",
        "[waldur.a, waldur.b]",
    ),
    DateRange: Entry(
        "DateRange",
        "YYYY-MM-DD:YYYY-MM-DD",
        f"Two dates at most {MAX_RANGE_DAYS} days apart, or one, or a name: yesterday, today, tomorrow; this_ "
        "or last_ with week, month or year.",
        "2024-01-01:2024-01-31",
    ),
    Volume: Entry("Volume", "name", "A place to store things; anything without spaces.", "home"),
    QuotaLimit: Entry(
        "QuotaLimit",
        "size or unlimited",
        "A number and one of B, KB, MB, GB, TB, PB; or unlimited.",
        "10.00 GB",
    ),
    Usage: Entry(
        "Usage",
        "seconds",
        "A whole number of seconds; or a number and a unit: seconds, minutes, hours, days.",
        "7200",
    ),
    AwardDetails: Entry(
        "AwardDetails", "JSON object", "The details of an award; all fields may be left out.", "{}"
    ),
    Instruction: Entry(
        "Instruction",
        "instruction",
        f"Another instruction, with its arguments; up to {MAX_DEPTH} nested.",
        "add_user fred.proj.waldur",
    ),
    str: Entry(
        "path",
        "path",
        "Anything without spaces. It is not checked: it may be relative or hold `..`.",
        "/home/fred",
    ),
}
