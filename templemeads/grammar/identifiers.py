"""Portals, projects and users, by their global names.

One pattern per type checks all components (protocol page *grammar*, section 2), whether a value is made from
parts, from text or from JSON. Only if it does not match is the text analysed to find the error. Equality and
order compare the parts, case included.
"""

from __future__ import annotations

import re
from sys import intern
from typing import TYPE_CHECKING, Final, Self

import attrs

from ..errors import ParseError
from ..text import quoted
from .text import TextValue, require_text, slot_setter
from .whitespace import indent, trim

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_COMPONENT_CHARACTERS: Final = 64
"""Maximum length of a user name, a project name or a portal name."""

_COMPONENT = f"([A-Za-z0-9_][A-Za-z0-9_-]{{0,{MAX_COMPONENT_CHARACTERS - 1}}})"
_PORTAL = re.compile(_COMPONENT).fullmatch
_PROJECT = re.compile(rf"{_COMPONENT}\.{_COMPONENT}").fullmatch
_USER = re.compile(rf"{_COMPONENT}\.{_COMPONENT}\.{_COMPONENT}").fullmatch
_STRANGE = re.compile("[^A-Za-z0-9_-]")

_EXPECTED = f"1 to {MAX_COMPONENT_CHARACTERS} of A-Z a-z 0-9 _ -, not beginning with -"


def _fault(component: str, what: str) -> ParseError | None:
    """Return the error for one trimmed component, or None."""

    def error(message: str, position: int) -> ParseError:
        return ParseError(message, text=component, position=position, expected=_EXPECTED)

    if not component:
        return error(f"The {what} is empty", 0)
    if strange := _STRANGE.search(component):
        found = quoted(strange.group())
        return error(f"The {what} cannot hold {found}: only A-Z a-z 0-9 _ - may stand here", strange.start())
    if component.startswith("-"):
        return error(f'The {what} cannot begin with "-"', 0)
    if len(component) > MAX_COMPONENT_CHARACTERS:
        length = len(component)
        return error(
            f"The {what} is {length} characters long; {MAX_COMPONENT_CHARACTERS} are allowed",
            MAX_COMPONENT_CHARACTERS,
        )
    return None


def _refusal(kind: str, text: str, names: tuple[str, ...]) -> ParseError:
    """Return the error, with its position, for a text that is not `names` joined by dots."""
    pieces = text.split(".", len(names))
    offset = 0
    for name, piece in zip(names, pieces, strict=False):
        if error := _fault(trim(piece), name):
            return error.inside(text, offset + (indent(piece) if trim(piece) else 0))
        offset += len(piece) + 1
    form = ".".join(names)
    if len(pieces) > len(names):
        return ParseError(
            f"{kind} has {len(names)} parts ({form}), and here begins another",
            text=text,
            position=offset,
            expected=form,
        )
    missing = names[len(pieces)]
    return ParseError(
        f"{kind} is {form}: the {missing} is missing", text=text, position=len(text), expected=form
    )


def _check(match: Callable[[str], object], kind: str, **parts: object) -> None:
    """Check the arguments of a constructor; raise the error for the first invalid one."""
    texts = [require_text(part, f"{name} of a {kind}") for name, part in parts.items()]
    if match(".".join(texts)):
        return
    for name, text in zip(parts, texts, strict=True):
        if error := _fault(text, f"{name} of a {kind}"):
            raise error


@attrs.frozen(repr=False, order=True)
class PortalIdentifier(TextValue):
    """A portal, which owns projects and users: `portal`.

    Attributes:
        portal: Its name: up to 64 of `A-Z a-z 0-9 _ -`, not beginning with `-`.
    """

    portal: str

    def __attrs_post_init__(self) -> None:
        """Check the part, also of a value that was not parsed."""
        _check(_PORTAL, "PortalIdentifier", portal=self.portal)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `portal`; white space around it is trimmed.

        Raises:
            ParseError: The text is not a portal's name.
        """
        match = _PORTAL(text) or _PORTAL(trim(text))
        if match is None:
            raise _refusal("A portal identifier", text, ("portal",))
        made = object.__new__(cls)
        _set_portal(made, intern(match[1]))
        return made

    def __str__(self) -> str:
        """The canonical text."""
        return self.portal


@attrs.frozen(repr=False, order=True)
class ProjectIdentifier(TextValue):
    """A project of a portal: `project.portal`.

    Attributes:
        project: Name of the project.
        portal: Name of the portal that it belongs to.
    """

    project: str
    portal: str

    def __attrs_post_init__(self) -> None:
        """Check the parts, also of a value that was not parsed."""
        _check(_PROJECT, "ProjectIdentifier", project=self.project, portal=self.portal)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `project.portal`; white space around each part is trimmed.

        Raises:
            ParseError: The text is not a project identifier.
        """
        match = _PROJECT(text) or _PROJECT(".".join(map(trim, text.split(".", 2))))
        if match is None:
            raise _refusal("A project identifier", text, ("project", "portal"))
        made = object.__new__(cls)
        project, portal = match.groups()
        _set_project(made, intern(project))
        _set_project_portal(made, intern(portal))
        return made

    @property
    def portal_identifier(self) -> PortalIdentifier:
        """The portal that the project belongs to."""
        return PortalIdentifier(self.portal)

    def __str__(self) -> str:
        """The canonical text."""
        return f"{self.project}.{self.portal}"


@attrs.frozen(repr=False, order=True)
class UserIdentifier(TextValue):
    """A user in a project of a portal: `username.project.portal`.

    Attributes:
        username: Name of the user.
        project: Name of the project.
        portal: Name of the portal that the project belongs to.
    """

    username: str
    project: str
    portal: str

    def __attrs_post_init__(self) -> None:
        """Check the parts, also of a value that was not parsed."""
        _check(_USER, "UserIdentifier", username=self.username, project=self.project, portal=self.portal)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `username.project.portal`; white space around each part is trimmed.

        Raises:
            ParseError: The text is not a user identifier.
        """
        match = _USER(text) or _USER(".".join(map(trim, text.split(".", 3))))
        if match is None:
            raise _refusal("A user identifier", text, ("username", "project", "portal"))
        made = object.__new__(cls)
        username, project, portal = match.groups()
        _set_username(made, username)
        _set_user_project(made, intern(project))
        _set_user_portal(made, intern(portal))
        return made

    @property
    def project_identifier(self) -> ProjectIdentifier:
        """The project that the user belongs to."""
        return ProjectIdentifier(self.project, self.portal)

    @property
    def portal_identifier(self) -> PortalIdentifier:
        """The portal that the user's project belongs to."""
        return PortalIdentifier(self.portal)

    def __str__(self) -> str:
        """The canonical text."""
        return f"{self.username}.{self.project}.{self.portal}"


# A million users of one project share the strings of its name and its portal's. An interned string is freed with the last
# value that uses it, so names sent by strangers do not accumulate.
# Parsed text has matched the pattern that the constructors check, so the slots are filled directly.
_set_portal = slot_setter(PortalIdentifier, "portal")
_set_project = slot_setter(ProjectIdentifier, "project")
_set_project_portal = slot_setter(ProjectIdentifier, "portal")
_set_username = slot_setter(UserIdentifier, "username")
_set_user_project = slot_setter(UserIdentifier, "project")
_set_user_portal = slot_setter(UserIdentifier, "portal")
