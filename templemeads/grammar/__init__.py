"""The words that agents exchange, as values: identifiers, paths, dates, sizes, instructions, commands."""

from templemeads.errors import ParseError

from .command import Command
from .dates import Date, DateRange
from .destinations import Destination, Destinations, Position
from .identifiers import PortalIdentifier, ProjectIdentifier, UserIdentifier
from .instructions import AddUser, RemoveUser
from .portal_rule import check_portal
from .table import Instruction, find_instruction, instructions

__all__ = [
    "AddUser",
    "Command",
    "Date",
    "DateRange",
    "Destination",
    "Destinations",
    "Instruction",
    "ParseError",
    "PortalIdentifier",
    "Position",
    "ProjectIdentifier",
    "RemoveUser",
    "UserIdentifier",
    "check_portal",
    "find_instruction",
    "instructions",
]
