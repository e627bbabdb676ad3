"""Parts of an award: its template, who may join, who may change its members.

Protocol page *grammar*, sections 8.2 to 8.4.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Self

import attrs

from ..errors import ParseError
from ..text import quoted
from .alphabetic import is_alphanumeric
from .text import TextValue, json_text, require_text
from .whitespace import indent, trim

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEMPLATE_EXPECTED = "letters, digits, _ and -"
_PLAIN_TEMPLATE = re.compile("[A-Za-z0-9_-]+").fullmatch


@attrs.frozen(repr=False, order=True)
class ProjectTemplate(TextValue):
    """The name of a type of project: `cpu-cluster`.

    Attributes:
        name: Letters and digits of any script, `_` and `-`.
    """

    name: str

    def __attrs_post_init__(self) -> None:
        """Check the name, also of a value that was not parsed."""
        name = require_text(self.name, "The name of a template")
        if _PLAIN_TEMPLATE(name):
            return
        if not name:
            raise ParseError(
                "The name of a template is empty", text=name, position=0, expected=_TEMPLATE_EXPECTED
            )
        for position, character in enumerate(name):
            if character not in "_-" and not is_alphanumeric(character):
                raise ParseError(
                    f"The name of a template cannot hold {quoted(character)}",
                    text=name,
                    position=position,
                    expected=_TEMPLATE_EXPECTED,
                )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name; white space around it is trimmed.

        Raises:
            ParseError: It is empty, or contains anything but letters, digits, `_` and `-`.
        """
        name = trim(text)
        try:
            return cls(name)
        except ParseError as error:
            raise error.inside(text, indent(text) if name else 0) from None

    def __str__(self) -> str:
        """The canonical text."""
        return self.name


_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NOT_IN_LABEL = re.compile("[^A-Za-z0-9-]").search
_NOT_IN_ADDRESS_NAME = re.compile("[^A-Za-z0-9._%+-]").search
_PATTERN_EXPECTED = "a domain such as example.com; *. and a domain; or an e-mail address"


def _domain_fault(text: str, start: int) -> ParseError | None:
    """Return the error for the domain that begins at `start` of `text`, or None."""

    def error(message: str, position: int) -> ParseError:
        return ParseError(message, text=text, position=position, expected=_PATTERN_EXPECTED)

    for label in text[start:].split("."):
        if not label:
            return error("A part of the domain is empty", start)
        if strange := _NOT_IN_LABEL(label):
            return error(f"A domain cannot hold {quoted(strange.group())} here", start + strange.start())
        if label[0] == "-" or label[-1] == "-":
            position = start if label[0] == "-" else start + len(label) - 1
            return error('A part of a domain neither begins nor ends with "-"', position)
        start += len(label) + 1
    return None


def _address_fault(text: str) -> ParseError | None:
    """Return the error for an e-mail address, or None."""
    name, _, domain = text.partition("@")

    def error(message: str, position: int) -> ParseError:
        return ParseError(message, text=text, position=position, expected=_PATTERN_EXPECTED)

    if "@" in domain:
        return error('An address holds one "@"', len(name) + 1 + domain.index("@"))
    if not name:
        return error('An address has a name before its "@"', 0)
    if strange := _NOT_IN_ADDRESS_NAME(name):
        return error(f'An address cannot hold {quoted(strange.group())} before its "@"', strange.start())
    return _domain_fault(text, len(name) + 1)


def check_address(text: str) -> str:
    """Return a valid e-mail address of a member of an award unchanged.

    Raises:
        ParseError: It is not valid.
    """
    if "@" not in text:
        raise ParseError(f'{quoted(text)} is not an e-mail address: it has no "@"', expected="name@domain")
    if error := _address_fault(text):
        raise error
    return text


@attrs.frozen(repr=False, order=True)
class DomainPattern(TextValue):
    """Which addresses may join: `example.com`, `*.ac.uk`, `jane@example.com`. It is never trimmed.

    Attributes:
        pattern: The text. Equality respects case; matching ignores it.
    """

    pattern: str

    def __attrs_post_init__(self) -> None:
        """Check the pattern, also of a value that was not parsed."""
        pattern = require_text(self.pattern, "A pattern")
        start = 2 if pattern.startswith("*.") else 0
        if error := _address_fault(pattern) if "@" in pattern else _domain_fault(pattern, start):
            raise error

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a domain, `*.` and a domain, or an e-mail address.

        Raises:
            ParseError: The text is none of these.
        """
        return cls(text)

    @property
    def is_address(self) -> bool:
        """Whether the pattern is an e-mail address, which matches only itself."""
        return "@" in self.pattern

    def matches(self, domain: str) -> bool:
        """Return whether the pattern matches a domain, ignoring case. An e-mail address matches no domain."""
        pattern, domain = self.pattern.lower(), domain.lower()
        if pattern.startswith("*."):
            return domain.endswith(pattern[1:])
        return domain == pattern and not self.is_address

    def allows(self, address: str) -> bool:
        """Return whether the pattern matches an e-mail address or its domain, ignoring case."""
        if self.is_address:
            return address.lower() == self.pattern.lower()
        _, at, domain = address.partition("@")
        return bool(at) and "@" not in domain and self.matches(domain)

    def __str__(self) -> str:
        """The canonical text."""
        return self.pattern


def is_address_allowed(address: str, patterns: Iterable[DomainPattern] | None) -> bool:
    """Return whether a list of patterns allows an address. None allows everybody, an empty list nobody."""
    return patterns is None or any(pattern.allows(address) for pattern in patterns)


class MembershipControl(TextValue, enum.Enum):
    """What the portal that receives an award may change about its members."""

    OPEN = "open"
    MEMBERS_ONLY = "members_only"
    ROLES_ONLY = "roles_only"
    LOCKED = "locked"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one of the four words, exactly.

        Raises:
            ParseError: It is none of them.
        """
        for control in cls:
            if control.value == text:
                return control
        words = [control.value for control in cls]
        raise ParseError(
            f"{quoted(text)} does not say who may change members",
            text=text,
            position=0,
            expected=", ".join(words),
            misspelt=text.lower(),
            known=words,
        )

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a JSON string.

        Raises:
            ParseError: It is none of the four words.
        """
        return cls.parse(json_text(value, cls.__name__))

    @property
    def can_change_members(self) -> bool:
        """Whether members may be added and removed."""
        return self in {MembershipControl.OPEN, MembershipControl.MEMBERS_ONLY}

    @property
    def can_change_roles(self) -> bool:
        """Whether members may be given other roles."""
        return self in {MembershipControl.OPEN, MembershipControl.ROLES_ONLY}

    def __str__(self) -> str:
        """The canonical text."""
        return str(self.value)

    def __repr__(self) -> str:
        """Name the member."""
        return f"MembershipControl.{self.name}"
