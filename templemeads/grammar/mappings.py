"""The local user or group that belongs to a global name on one system.

Protocol page *grammar*, section 3. Local names end up in commands, in paths and in the databases of operating
systems, so the rule is narrow: anything that could be mistaken for an option, a path or a separator is
refused.
"""

from __future__ import annotations

import re
from typing import Final, Self

import attrs

from ..errors import ParseError
from ..text import quoted
from .identifiers import PortalIdentifier, ProjectIdentifier, UserIdentifier
from .text import TextValue, require_text, slot_setter
from .whitespace import indent, trim

MAX_LOCAL_NAME_CHARACTERS: Final = 64
"""Maximum length of the name of a local user or group, unless it is an e-mail address."""

MAX_ADDRESS_CHARACTERS: Final = 254
"""Maximum length of an e-mail address used as a local user name."""

MAX_ADDRESS_NAME_CHARACTERS: Final = 64
"""Maximum number of characters before the `@` of an address."""

MAX_LABEL_CHARACTERS: Final = 63
"""Maximum number of characters between two dots of an address's domain."""

_NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*"
_NAME = re.compile(_NAME_PATTERN).fullmatch
_TIDY_USER_MAPPING = re.compile(rf"([^:]+):({_NAME_PATTERN}):({_NAME_PATTERN})").fullmatch
_NOT_IN_NAME = re.compile("[^A-Za-z0-9_.-]").search
_NOT_IN_ADDRESS_NAME = re.compile("[^A-Za-z0-9._+-]").search
_NOT_IN_LABEL = re.compile("[^A-Za-z0-9-]").search

_GROUP_EXPECTED = (
    f"1 to {MAX_LOCAL_NAME_CHARACTERS} of A-Z a-z 0-9 _ - ., not beginning with - or ., not ending with ., "
    "no two dots in a row"
)
_USER_EXPECTED = f"{_GROUP_EXPECTED}; or an e-mail address"


def _fault(name: str, what: str) -> ParseError | None:
    """Return the error for one trimmed local name, or None."""
    if len(name) <= MAX_LOCAL_NAME_CHARACTERS and _NAME(name):
        return None

    def error(message: str, position: int) -> ParseError:
        return ParseError(f"The {what} {message}", text=name, position=position, expected=_GROUP_EXPECTED)

    if not name:
        return error("is empty", 0)
    if strange := _NOT_IN_NAME(name):
        return error(
            f"cannot hold {quoted(strange.group())}: only A-Z a-z 0-9 _ - . may stand here", strange.start()
        )
    if name[0] in "-.":
        return error(f'cannot begin with "{name[0]}"', 0)
    if ".." in name:
        return error("cannot hold two dots in a row", name.index(".."))
    if name.endswith("."):
        return error('cannot end with "."', len(name) - 1)
    return error(
        f"is {len(name)} characters long; {MAX_LOCAL_NAME_CHARACTERS} are allowed",
        min(len(name), MAX_LOCAL_NAME_CHARACTERS),
    )


def _address_fault(address: str, what: str) -> ParseError | None:
    """Return the error for an e-mail address used as a local user name, or None."""

    def error(message: str, position: int) -> ParseError:
        return ParseError(f"The {what} {message}", text=address, position=position, expected=_USER_EXPECTED)

    if len(address) > MAX_ADDRESS_CHARACTERS:
        return error(
            f"is an address of {len(address)} characters; {MAX_ADDRESS_CHARACTERS} are allowed",
            MAX_ADDRESS_CHARACTERS,
        )
    name, _, domain = address.partition("@")
    at = len(name)
    if "@" in domain:
        return error('holds two "@"', domain.index("@") + at + 1)
    if not name:
        return error('has nothing before its "@"', 0)
    if strange := _NOT_IN_ADDRESS_NAME(name):
        return error(f'cannot hold {quoted(strange.group())} before its "@"', strange.start())
    if name[0] in "-.":
        return error(f'cannot begin with "{name[0]}"', 0)
    if ".." in name:
        return error("cannot hold two dots in a row", name.index(".."))
    if name.endswith("."):
        return error('cannot have a dot before its "@"', at - 1)
    if len(name) > MAX_ADDRESS_NAME_CHARACTERS:
        return error(
            f'has more than {MAX_ADDRESS_NAME_CHARACTERS} characters before its "@"',
            MAX_ADDRESS_NAME_CHARACTERS,
        )
    start = at + 1
    labels = domain.split(".")
    for label in labels:
        if not label:
            return error("has an empty part in its domain", start)
        if strange := _NOT_IN_LABEL(label):
            return error(f"cannot hold {quoted(strange.group())} in its domain", start + strange.start())
        if label[0] == "-" or label[-1] == "-":
            return error('cannot have a "-" beside a dot in its domain', start)
        if len(label) > MAX_LABEL_CHARACTERS:
            return error(
                f"has more than {MAX_LABEL_CHARACTERS} characters between two dots",
                start + MAX_LABEL_CHARACTERS,
            )
        start += len(label) + 1
    if len(labels) < 2:
        return error("needs a dot in its domain", len(address))
    return None


def _check_group(name: object, what: str) -> None:
    if error := _fault(require_text(name, what), what):
        raise error


def _check_user(name: object, what: str) -> None:
    text = require_text(name, what)
    if error := _address_fault(text, what) if "@" in text else _fault(text, what):
        raise error


def _require(value: object, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{what} must be a {kind.__name__}, not {type(value).__name__}")


def _cut(text: str, form: str, count: int) -> list[str]:
    pieces = text.split(":", count)
    if len(pieces) > count:
        position = sum(map(len, pieces[:count])) + count - 1
        raise ParseError(f'Here is a ":" too many for {form}', text=text, position=position, expected=form)
    if len(pieces) < count:
        raise ParseError(f'Here a ":" is missing for {form}', text=text, position=len(text), expected=form)
    return pieces


@attrs.frozen(repr=False, order=True)
class ProjectMapping(TextValue):
    """A project and its local group: `project.portal:local_group`.

    Attributes:
        project: The project.
        local_group: Name of the group on the system: up to 64 of `A-Z a-z 0-9 _ - .`, safe in commands and
            paths.
    """

    project: ProjectIdentifier
    local_group: str

    def __attrs_post_init__(self) -> None:
        """Check the parts, also of a value that was not parsed."""
        _require(self.project, ProjectIdentifier, "project of ProjectMapping")
        _check_group(self.local_group, "local group")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `project.portal:local_group`; white space around each part is trimmed.

        Raises:
            ParseError: The text is not a project mapping.
        """
        project, group = _cut(text, "project.portal:local_group", 2)
        try:
            identifier = ProjectIdentifier.parse(project)
        except ParseError as error:
            raise error.inside(text, 0) from None
        try:
            return cls(identifier, trim(group))
        except ParseError as error:
            raise error.inside(text, len(project) + 1 + _start(group)) from None

    @property
    def portal(self) -> str:
        """Name of the portal that the project belongs to."""
        return self.project.portal

    @property
    def portal_identifier(self) -> PortalIdentifier:
        """The portal that the project belongs to."""
        return self.project.portal_identifier

    def __str__(self) -> str:
        """The canonical text."""
        return f"{self.project}:{self.local_group}"


@attrs.frozen(repr=False, order=True)
class UserMapping(TextValue):
    """A user, the local user and the local group: `username.project.portal:local_user:local_group`.

    Attributes:
        user: The user.
        local_user: Name of the user on the system: as for groups, or an e-mail address.
        local_group: Name of the group on the system.
    """

    user: UserIdentifier
    local_user: str
    local_group: str

    def __attrs_post_init__(self) -> None:
        """Check the parts, also of a value that was not parsed."""
        _require(self.user, UserIdentifier, "user of UserMapping")
        _check_user(self.local_user, "local user")
        _check_group(self.local_group, "local group")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `username.project.portal:local_user:local_group`; white space around each part is trimmed.

        Raises:
            ParseError: The text is not a user mapping.
        """
        tidy = _TIDY_USER_MAPPING(text)
        if tidy and len(tidy[2]) <= MAX_LOCAL_NAME_CHARACTERS and len(tidy[3]) <= MAX_LOCAL_NAME_CHARACTERS:
            try:
                identifier = UserIdentifier.parse(tidy[1])
            except ParseError as error:
                raise error.inside(text, 0) from None
            made = object.__new__(cls)
            _set_user(made, identifier)
            _set_local_user(made, tidy[2])
            _set_local_group(made, tidy[3])
            return made
        user, name, group = _cut(text, "username.project.portal:local_user:local_group", 3)
        try:
            identifier = UserIdentifier.parse(user)
        except ParseError as error:
            raise error.inside(text, 0) from None
        start = len(user) + 1
        try:
            _check_user(trim(name), "local user")
        except ParseError as error:
            raise error.inside(text, start + _start(name)) from None
        try:
            return cls(identifier, trim(name), trim(group))
        except ParseError as error:
            raise error.inside(text, start + len(name) + 1 + _start(group)) from None

    @property
    def portal(self) -> str:
        """Name of the portal that the user's project belongs to."""
        return self.user.portal

    @property
    def portal_identifier(self) -> PortalIdentifier:
        """The portal that the user's project belongs to."""
        return self.user.portal_identifier

    @property
    def project_mapping(self) -> ProjectMapping:
        """The user's project with the same local group."""
        return ProjectMapping(self.user.project_identifier, self.local_group)

    def __str__(self) -> str:
        """The canonical text."""
        return f"{self.user}:{self.local_user}:{self.local_group}"


# Tidy text has matched the patterns that the constructor checks, so the slots are filled directly.
_set_user = slot_setter(UserMapping, "user")
_set_local_user = slot_setter(UserMapping, "local_user")
_set_local_group = slot_setter(UserMapping, "local_group")


def _start(piece: str) -> int:
    return indent(piece) if trim(piece) else 0
