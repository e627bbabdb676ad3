"""News on its way."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given

from templemeads.errors import ParseError
from templemeads.grammar import (
    Destination,
    Forward,
    Notification,
    ProjectIdentifier,
    UserAdded,
    UserIdentifier,
    UserRemoved,
)
from templemeads.grammar.events import EVENTS
from templemeads.grammar.notifications import MAX_FORWARDS
from templemeads.grammar.strictjson import parse_json
from templemeads.grammar.uuids import parse_uuid
from templemeads.testing import notifications

ID = uuid.UUID("a1b2c3d4-e5f6-4890-abcd-ef1234567890")
USER = UserIdentifier("fred", "proj", "waldur")


@given(notification=notifications())
def test_json_is_read_as_it_was_written(notification: Notification) -> None:
    text = json.dumps(notification.to_json())

    assert Notification.from_json(parse_json(text)) == notification


@given(notification=notifications(forwards=False))
def test_text_is_read_as_it_was_written(notification: Notification) -> None:
    again = Notification.parse(str(notification), id=notification.id)

    assert (again.destination, again.event, again.id) == (
        notification.destination,
        notification.event,
        notification.id,
    )


def test_there_are_15_events_with_a_name_in_text_and_one_in_json() -> None:
    assert len(EVENTS) == 15
    for event in EVENTS:
        assert event.__name__ == "".join(word.capitalize() for word in event.keyword.split("_"))


def test_events_are_matched_by_class() -> None:
    match Notification.parse("a.b user_added fred.proj.waldur").event:
        case UserAdded(user):
            assert user == USER
        case other:
            pytest.fail(f"read {other!r}")
    assert UserAdded(USER) != UserRemoved(USER)
    assert len({UserAdded(USER), UserAdded(USER), UserRemoved(USER)}) == 2


def test_each_reading_makes_an_identity_of_its_own() -> None:
    first, second = (Notification.parse("a.b user_added fred.proj.waldur") for _ in range(2))

    assert first.id != second.id
    assert first.id.version == 4


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a user_added x.y.z", 1),
        ("a.b user_aded x.y.z", 4),
        ("a.b  user_added  x.y", 20),
        ("a.b user_added x.y/.z", 18),
        ("a.b forward [a.b user_added x.y.z]", 4),
        ("a.b", 3),
    ],
)
def test_an_error_knows_the_place(text: str, position: int) -> None:
    with pytest.raises(ParseError) as caught:
        Notification.parse(text)

    assert (caught.value.text, caught.value.position) == (text, position)


def test_a_misspelt_event_is_corrected() -> None:
    with pytest.raises(ParseError) as caught:
        Notification.parse("a.b user_aded x.y.z")
    assert caught.value.suggestion == "user_added"

    with pytest.raises(ParseError) as caught:
        Notification.from_json({"id": str(ID), "destination": "a.b", "event": {"UserAdd": "x.y.z"}})
    assert caught.value.suggestion == "UserAdded"


def nested(depth: int) -> dict[str, Any]:
    value = {"id": str(ID), "destination": "a.b", "event": {"UserAdded": "x.y.z"}}
    for _ in range(depth):
        value = {"id": str(ID), "destination": "a.b", "event": {"Forward": value}}
    return value


def test_notifications_nest_as_deep_as_the_limit_and_no_deeper() -> None:
    deepest = Notification.from_json(nested(MAX_FORWARDS))
    assert str(deepest).count("forward [") == MAX_FORWARDS

    with pytest.raises(ParseError, match="inside of each other"):
        Notification.from_json(nested(MAX_FORWARDS + 1))
    with pytest.raises(ParseError, match="inside of each other"):
        Forward(deepest)
    with pytest.raises(ParseError):
        Notification.from_json(parse_json(json.dumps(nested(30))))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '{"id": "%s", "destination": "a.b"}',
        '{"id": "%s", "event": {"UserAdded": "x.y.z"}}',
        '{"destination": "a.b", "event": {"UserAdded": "x.y.z"}}',
        '{"id": "%s", "id": "%s", "destination": "a.b", "event": {"UserAdded": "x.y.z"}}',
        '{"id": "%s", "destination": "a.b", "event": {}}',
        '{"id": "%s", "destination": "a.b", "event": "user_added x.y.z"}',
        '{"id": "%s", "destination": "a.b", "event": {"UserAdded": "x.y.z", "UserRemoved": "x.y.z"}}',
        '{"id": "%s", "destination": "a.b", "event": {"UserAdded": "x.y.z", "UserAdded": "x.y.z"}}',
        '{"id": "%s", "destination": "a.b", "event": {"user_added": "x.y.z"}}',
        '{"id": "%s", "destination": "a.b", "event": {"UserEvent": "x.y.z"}}',
        '{"id": "%s", "destination": "a.b", "event": {"UserAdded": null}}',
        '{"id": "%s", "destination": ["a", "b"], "event": {"UserAdded": "x.y.z"}}',
        '{"id": 5, "destination": "a.b", "event": {"UserAdded": "x.y.z"}}',
        '{"id": "%s", "destination": "a.b", "event": {"UserAdded": "x.y.z"}, "domain": 5}',
    ],
)
def test_json_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Notification.from_json(parse_json(text.replace("%s", str(ID))))


def test_the_domain_is_kept_and_unknown_fields_are_ignored() -> None:
    value = {**nested(0), "domain": "greatwestern", "domain_version": "0.94.0"}

    assert Notification.from_json({**value, "unknown": [1]}).to_json() == value
    assert Notification.from_json({**value, "domain": None}).domain is None


def test_parts_of_other_types_are_the_callers_mistake() -> None:
    with pytest.raises(TypeError):
        UserAdded(ProjectIdentifier("a", "b"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Notification("a.b", UserAdded(USER))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Notification(Destination.parse("a.b"), UserAdded(USER), domain=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Forward("a.b user_added x.y.z")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", [str(ID), str(ID).upper(), ID.hex, f"{{{ID}}}", f"urn:uuid:{ID}", f"URN:uuid:{str(ID).upper()}"]
)
def test_identities_are_read_in_every_spelling(text: str) -> None:
    assert parse_uuid(text) == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        f" {ID}",
        f"{ID}\n",
        f"{{{ID.hex}}}",
        f"urn:uuid:{ID.hex}",
        f"urn:{ID}",
        f"{{{ID}",
        f"{ID}}}",
        ID.hex[:-1] + "g",
        ID.hex[:-1] + "\u0661",
        str(ID)[:-1],
        "uuid:" + str(ID),
        str(ID).replace("-", "_"),
        "\u017f" + ID.hex[1:],
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_uuid(text)
