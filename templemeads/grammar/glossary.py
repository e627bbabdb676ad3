"""What the arguments of instructions are, in words, for people.

One entry for each type that stands in the table of instructions; a test holds that none is missing.
"""

from __future__ import annotations

from typing import Final

import attrs

from .awards import AwardDetails
from .dates import LONGEST_RANGE, DateRange
from .destinations import Destination, Destinations
from .identifiers import LONGEST_COMPONENT, PortalIdentifier, ProjectIdentifier, UserIdentifier
from .mappings import LONGEST_LOCAL_NAME, ProjectMapping, UserMapping
from .storage import QuotaLimit, Volume
from .table import MAX_DEPTH, Instruction
from .usage import Usage

_COMPONENT = f"up to {LONGEST_COMPONENT} of A-Z a-z 0-9 _ -, not beginning with -"


@attrs.frozen
class Entry:
    """One type of argument.

    Attributes:
        name: What it is called.
        form: How it is written.
        rule: What is allowed, in a sentence.
        example: A text of this type, without spaces where the type allows that.

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
        f"A project and its local group, which is up to {LONGEST_LOCAL_NAME} of A-Z a-z 0-9 _ - . and "
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
        "Paths, in brackets unless there is exactly one; an empty text is the empty list.",
        "[waldur.a, waldur.b]",
    ),
    DateRange: Entry(
        "DateRange",
        "YYYY-MM-DD:YYYY-MM-DD",
        f"Two dates at most {LONGEST_RANGE} days apart, or one, or a name: yesterday, today, tomorrow; this_ "
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
        "A whole number of seconds; or one and a unit: seconds, minutes, hours, days.",
        "7200",
    ),
    AwardDetails: Entry(
        "AwardDetails", "JSON object", "The details of an award; all fields may be left out.", "{}"
    ),
    Instruction: Entry(
        "Instruction",
        "instruction",
        f"Another instruction, with its arguments; up to {MAX_DEPTH} inside of each other.",
        "add_user fred.proj.waldur",
    ),
    str: Entry(
        "path",
        "path",
        "Anything without spaces. It is not checked: it may be relative or hold `..`.",
        "/home/fred",
    ),
}
