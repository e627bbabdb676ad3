"""Notifications: one-way messages along a path.

Protocol page *grammar*, section 13, and *json-types*, section 8. Unlike a command, a notification is split at
its first spaces, and only the pieces are trimmed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from ..errors import ParseError
from .destinations import Destination
from .events import Event, is_event, single_entry
from .strictjson import refuse_repeated
from .text import json_name, json_text
from .uuids import parse_uuid
from .whitespace import indent, refuse_surrogates, trim

MAX_FORWARDS: Final = 8
"""Maximum nesting of notifications."""

_FIELDS = ("id", "destination", "event", "domain", "domain_version")


def _domain(text: str | None) -> str | None:
    if text is not None:
        if not isinstance(text, str):
            raise TypeError(f"A domain is a str or None, not {type(text).__name__}")
        refuse_surrogates(text)
    return text


@attrs.frozen
class Forward:
    """A notification nested in another. Its text form cannot be parsed.

    Attributes:
        notification: The inner one.
    """

    notification: Notification

    def __attrs_post_init__(self) -> None:
        """Check the type and the depth, so that no value overflows the stack."""
        if not isinstance(self.notification, Notification):
            raise TypeError(f"A Forward holds a Notification, not {type(self.notification).__name__}")
        inner: object = self.notification
        for _ in range(MAX_FORWARDS):
            event = inner.event if isinstance(inner, Notification) else None
            if not isinstance(event, Forward):
                return
            inner = event.notification
        raise ParseError(f"No more than {MAX_FORWARDS} notifications may be inside of each other")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: an object with one key."""
        return {"Forward": self.notification.to_json()}

    def __str__(self) -> str:
        """The text for people."""
        return f"forward [{self.notification}]"


@attrs.frozen
class Notification:
    """An event on its way along a path: `portal.clusters.shared user_added fred.proj.waldur`.

    Attributes:
        destination: The path that it travels.
        event: What happened, or a `Forward`.
        id: Identifies repeats.
        domain: The family of instructions and events, or None.
        domain_version: The version of that family, or None.
    """

    destination: Destination = attrs.field(validator=attrs.validators.instance_of(Destination))
    event: Event | Forward = attrs.field(validator=attrs.validators.instance_of((Event, Forward)))
    id: uuid.UUID = attrs.field(
        factory=uuid.uuid4, validator=attrs.validators.instance_of(uuid.UUID), kw_only=True
    )
    domain: str | None = attrs.field(default=None, converter=_domain, kw_only=True)
    domain_version: str | None = attrs.field(default=None, converter=_domain, kw_only=True)

    @classmethod
    def parse(cls, text: str, *, id: uuid.UUID | None = None) -> Self:  # noqa: A002 - the protocol's name for it
        """Read `<destination> <event> <argument>`.

        Args:
            text: What to read.
            id: The id of the notification; random if not given.

        Raises:
            ParseError: The text is not a notification.
        """
        path, space, rest = text.partition(" ")
        try:
            destination = Destination.parse(trim(path))
        except ParseError as error:
            raise error.inside(text, indent(path) if trim(path) else 0) from None
        body = trim(rest)
        start = len(path) + len(space) + (indent(rest) if body else 0)
        keyword, space, argument = body.partition(" ")
        if keyword == "forward":
            message = "A forward cannot be written as text to be read"
            raise ParseError(message, text=text, position=start, expected="an event such as user_added")
        try:
            event = Event.parse(keyword, argument)
        except ParseError as error:
            offset = len(keyword) + len(space) if is_event(keyword) else 0
            raise error.inside(text, start + offset) from None
        return cls(destination, event) if id is None else cls(destination, event, id=id)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a notification from a JSON object; unknown fields are ignored.

        Raises:
            ParseError: A field is missing, duplicate or invalid.
        """
        return cls._from_json(value, MAX_FORWARDS)

    @classmethod
    def _from_json(cls, value: object, depth: int) -> Self:
        if not isinstance(value, Mapping):
            raise ParseError(f"A notification is a JSON object, not {json_name(value)}", expected="an object")
        refuse_repeated(value, _FIELDS)
        for name in _FIELDS[:3]:
            if name not in value:
                raise ParseError(f'A notification needs the field "{name}"', expected=f'"{name}"')
        optional = {name: value.get(name) for name in _FIELDS[3:]}
        return cls(
            Destination.from_json(value["destination"]),
            cls._event_from_json(value["event"], depth),
            id=parse_uuid(json_text(value["id"], "The id of a notification")),
            **{name: None if text is None else json_text(text, name) for name, text in optional.items()},
        )

    @classmethod
    def _event_from_json(cls, value: object, depth: int) -> Event | Forward:
        name, inner = single_entry(value)
        if name != "Forward":
            return Event.from_json(value)
        if depth == 0:
            raise ParseError(f"No more than {MAX_FORWARDS} notifications may be inside of each other")
        return Forward(cls._from_json(inner, depth - 1))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; the domain and its version are omitted if unknown."""
        fields: dict[str, Any] = {
            "id": str(self.id),
            "destination": self.destination.to_json(),
            "event": self.event.to_json(),
        }
        if self.domain is not None:
            fields["domain"] = self.domain
        if self.domain_version is not None:
            fields["domain_version"] = self.domain_version
        return fields

    def __str__(self) -> str:
        """The canonical text; for a forward, a description for people."""
        return f"{self.destination} {self.event}"
