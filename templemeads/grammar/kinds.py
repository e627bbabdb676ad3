"""All types of text by name, and a guess at the type of a line.

For tools that read a line of unknown type. Agents always know what they expect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..errors import ParseError
from .allocation import Allocation
from .awards import AwardDetails
from .command import Command
from .dates import Date, DateRange
from .destinations import Destination, Destinations
from .events import Event, is_event
from .identifiers import PortalIdentifier, ProjectIdentifier, UserIdentifier
from .links import Link, Note
from .mappings import ProjectMapping, UserMapping
from .node import Node
from .notifications import Notification
from .patterns import DomainPattern, MembershipControl, ProjectTemplate
from .storage import Quota, QuotaLimit, StorageSize, Volume
from .storage_reports import ProjectStorageReport, StorageReport
from .strictjson import parse_json
from .table import Instruction, is_instruction
from .timestamps import Timestamp
from .usage import Usage
from .usage_reports import ProjectUsageReport, UsageReport
from .uuids import parse_uuid
from .whitespace import words

if TYPE_CHECKING:
    import datetime as dt

Parser = Callable[[str, "dt.date | None"], Any]
"""Parses a string; names of days count from the second argument, or from today in the local calendar. Returns
Any, since each type has its own class, and only their text and JSON matter here."""


def _plain(kind: Any) -> Parser:
    return lambda text, _today: kind.parse(text)


def _dated(kind: Any) -> Parser:
    return lambda text, today: kind.parse(text, today=today)


KINDS: Final[Mapping[str, Parser]] = {
    "command": _dated(Command),
    "instruction": _dated(Instruction),
    "notification": _plain(Notification),
    "user-mapping": _plain(UserMapping),
    "project-mapping": _plain(ProjectMapping),
    "user": _plain(UserIdentifier),
    "project": _plain(ProjectIdentifier),
    "date-range": _dated(DateRange),
    "date": _plain(Date),
    "timestamp": _plain(Timestamp),
    "uuid": lambda text, _today: parse_uuid(text),
    "usage": _plain(Usage),
    "storage-size": _plain(StorageSize),
    "quota-limit": _plain(QuotaLimit),
    "quota": _plain(Quota),
    "allocation": _plain(Allocation),
    "membership": _plain(MembershipControl),
    "destination": _plain(Destination),
    "portal": _plain(PortalIdentifier),
    "domain": _plain(DomainPattern),
    "template": _plain(ProjectTemplate),
    "volume": _plain(Volume),
    "destinations": _plain(Destinations),
    "award": _plain(AwardDetails),
    "link": _plain(Link),
    "note": _plain(Note),
    "node": _plain(Node),
    "notification-json": lambda text, _today: Notification.from_json(parse_json(text)),
    "usage-report": _plain(UsageReport),
    "project-usage-report": _plain(ProjectUsageReport),
    "storage-report": _plain(StorageReport),
    "project-storage-report": _plain(ProjectStorageReport),
}
"""Every type of text, the most distinctive ones first."""


def guess_kind(text: str) -> tuple[str, bool]:
    """Return the type that a line was probably meant to be, whether or not it parses as that.

    Returns:
        The type, and whether it is the only candidate.
    """
    pieces = words(text[:1000])
    if not pieces:
        return "command", True
    first = pieces[0]
    if first.startswith("{"):
        return "award", False
    if len(pieces) == 1 and first.count(":") in {1, 2} and "." in first:
        return ("user-mapping" if first.count(":") == 2 else "project-mapping"), True
    if len(pieces) == 1 and "." in first:
        return {1: "project", 2: "user"}.get(first.count("."), "destination"), False
    if "." not in first:
        return "instruction", is_instruction(first) or "_" in first
    if len(pieces) == 1 or not first[0].isalpha():
        return "command", False
    second = pieces[1]
    event = is_event(second) or (not is_instruction(second) and _is_nearly_event(second))
    return ("notification" if event else "command"), True


def _is_nearly_event(word: str) -> bool:
    try:
        Event.parse(word, "")
    except ParseError as error:
        return error.suggestion is not None
    return True
