"""Events, which notifications carry: something happened to a user, a project or an award.

Protocol page *grammar*, section 13. Each event is a class, for use in `match`: `case
UserAdded(user)`. Its name is written in two ways: `user_added` in text, `UserAdded` in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import attrs

from ..errors import ParseError
from ..text import quoted
from .identifiers import ProjectIdentifier, UserIdentifier
from .strictjson import pairs_of
from .text import json_name, json_text


def single_entry(value: object) -> tuple[str, object]:
    """Return the key and value of a JSON object with exactly one key.

    Raises:
        ParseError: It is something else.
    """
    if not isinstance(value, Mapping):
        raise ParseError(
            f"An event is a JSON object with one key, not {json_name(value)}", expected="an object"
        )
    pairs = list(pairs_of(value))
    if len(pairs) != 1:
        raise ParseError(f"An event is a JSON object with one key; this has {len(pairs)}", expected="one key")
    return pairs[0]


class Event:
    """Something that happened.

    Attributes:
        keyword: The word in the text form.
        subject: The type of the argument.
    """

    __slots__ = ()

    keyword: ClassVar[str]
    subject: ClassVar[type[UserIdentifier | ProjectIdentifier]]

    def argument(self) -> UserIdentifier | ProjectIdentifier:
        """Return the user or project that it happened to."""
        raise NotImplementedError

    @classmethod
    def parse(cls, keyword: str, argument: str) -> Event:
        """Read an event from its two words.

        Raises:
            ParseError: There is no such event, or its argument has the wrong type.
        """
        kind = _BY_KEYWORD.get(keyword)
        if kind is None:
            raise ParseError(
                f"There is no event {quoted(keyword)}" if keyword else "The event is missing",
                text=keyword,
                position=0,
                expected="an event such as user_added",
                misspelt=keyword,
                known=_BY_KEYWORD,
            )
        return kind(kind.subject.parse(argument))  # type: ignore[call-arg]  # every event below takes its subject

    @classmethod
    def from_json(cls, value: object) -> Event:
        """Read an event from a JSON object with exactly one key.

        Raises:
            ParseError: It is something else, or there is no such event.
        """
        name, argument = single_entry(value)
        kind = _BY_NAME.get(name)
        if kind is None:
            raise ParseError(
                f"There is no event {quoted(name)}",
                text=name,
                position=0,
                expected="an event such as UserAdded",
                misspelt=name,
                known=_BY_NAME,
            )
        subject = kind.subject.parse(json_text(argument, kind.subject.__name__))
        return kind(subject)  # type: ignore[call-arg]  # every event below takes its subject

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: an object with one key."""
        return {type(self).__name__: str(self.argument())}

    def __str__(self) -> str:
        """The canonical text."""
        return f"{self.keyword} {self.argument()}"


@attrs.frozen
class UserEvent(Event):
    """Something that happened to a user.

    Attributes:
        user: The user.
    """

    subject = UserIdentifier
    user: UserIdentifier = attrs.field(validator=attrs.validators.instance_of(UserIdentifier))

    def argument(self) -> UserIdentifier:
        """Return the user."""
        return self.user


@attrs.frozen
class ProjectEvent(Event):
    """Something that happened to a project or to its award.

    Attributes:
        project: The project.
    """

    subject = ProjectIdentifier
    project: ProjectIdentifier = attrs.field(validator=attrs.validators.instance_of(ProjectIdentifier))

    def argument(self) -> ProjectIdentifier:
        """Return the project."""
        return self.project


class UserAdded(UserEvent):
    """A user was added."""

    __slots__ = ()
    keyword = "user_added"


class UserRemoved(UserEvent):
    """A user was removed."""

    __slots__ = ()
    keyword = "user_removed"


class UserChanged(UserEvent):
    """A user was changed."""

    __slots__ = ()
    keyword = "user_changed"


class UserBlocked(UserEvent):
    """A user was blocked."""

    __slots__ = ()
    keyword = "user_blocked"


class UserUnblocked(UserEvent):
    """A user is no longer blocked."""

    __slots__ = ()
    keyword = "user_unblocked"


class ProjectAdded(ProjectEvent):
    """A project was added."""

    __slots__ = ()
    keyword = "project_added"


class ProjectRemoved(ProjectEvent):
    """A project was removed."""

    __slots__ = ()
    keyword = "project_removed"


class ProjectChanged(ProjectEvent):
    """A project was changed."""

    __slots__ = ()
    keyword = "project_changed"


class ProjectBlocked(ProjectEvent):
    """A project was blocked."""

    __slots__ = ()
    keyword = "project_blocked"


class ProjectUnblocked(ProjectEvent):
    """A project is no longer blocked."""

    __slots__ = ()
    keyword = "project_unblocked"


class AwardAdded(ProjectEvent):
    """A project's award was added."""

    __slots__ = ()
    keyword = "award_added"


class AwardRemoved(ProjectEvent):
    """A project's award was removed."""

    __slots__ = ()
    keyword = "award_removed"


class AwardChanged(ProjectEvent):
    """A project's award was changed."""

    __slots__ = ()
    keyword = "award_changed"


class AwardAccepted(ProjectEvent):
    """A project's award was accepted."""

    __slots__ = ()
    keyword = "award_accepted"


class AwardRejected(ProjectEvent):
    """A project's award was rejected."""

    __slots__ = ()
    keyword = "award_rejected"


EVENTS: Final[tuple[type[Event], ...]] = (*UserEvent.__subclasses__(), *ProjectEvent.__subclasses__())
"""All events, in the order of the page."""

_BY_KEYWORD: Final[Mapping[str, type[Event]]] = {event.keyword: event for event in EVENTS}
_BY_NAME: Final[Mapping[str, type[Event]]] = {event.__name__: event for event in EVENTS}


def is_event(keyword: str) -> bool:
    """Whether there is an event of this name in the text form."""
    return keyword in _BY_KEYWORD
