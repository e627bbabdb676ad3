"""Names of users, projects and portals."""

import re
import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import PortalIdentifier, ProjectIdentifier, UserIdentifier
from templemeads.grammar.identifiers import MAX_COMPONENT_CHARACTERS
from templemeads.grammar.whitespace import WS

KINDS: list[tuple[Any, int]] = [(PortalIdentifier, 1), (ProjectIdentifier, 2), (UserIdentifier, 3)]
ALLOWED = string.ascii_letters + string.digits + "_-"

components = st.text(st.sampled_from(ALLOWED + ". \t\x1c\u0660\u212aé"), max_size=4)


def is_component(text: str) -> bool:
    """The rule of the page, said another way."""
    return bool(text) and len(text) <= 64 and set(text) <= set(ALLOWED) and not text.startswith("-")


@pytest.mark.parametrize(("kind", "count"), KINDS)
@given(pieces=st.lists(components, min_size=1, max_size=4))
@example(pieces=["a"])
@example(pieces=["a", "b"])
@example(pieces=["a", "b", "c"])
def test_exactly_the_components_of_the_page_are_read(kind: Any, count: int, pieces: list[str]) -> None:
    text = ".".join(pieces)
    pieces = [piece.strip(WS) for piece in text.split(".")]

    if len(pieces) == count and all(map(is_component, pieces)):
        assert str(kind.parse(text)) == ".".join(pieces)
    else:
        with pytest.raises(ParseError):
            kind.parse(text)


@pytest.mark.parametrize(("kind", "count"), KINDS)
@given(pieces=st.lists(components, min_size=3, max_size=3))
def test_building_from_parts_checks_like_reading(kind: Any, count: int, pieces: list[str]) -> None:
    parts = pieces[:count]

    if all(map(is_component, parts)):
        assert kind(*parts) == kind.parse(".".join(parts))
    else:
        with pytest.raises(ParseError):
            kind(*parts)


@pytest.mark.parametrize(("kind", "count"), KINDS)
def test_a_component_may_be_64_characters_long_and_no_longer(kind: Any, count: int) -> None:
    longest = "x" * MAX_COMPONENT_CHARACTERS
    kind.parse(".".join([longest] * count))

    with pytest.raises(ParseError, match="65 characters long; 64 are allowed"):
        kind.parse(".".join([longest] * (count - 1) + [longest + "x"]))


@pytest.mark.parametrize("character", [*WS, "\x1c", "\x1f", "\u200b", "\u2060", "\ufeff", "\u180e"])
def test_white_space_of_the_protocol_is_trimmed_and_nothing_else(character: str) -> None:
    text = f"{character}a{character}.b.{character}c{character}"

    if character in WS:
        assert UserIdentifier.parse(text) == UserIdentifier("a", "b", "c")
    else:
        with pytest.raises(ParseError):
            UserIdentifier.parse(text)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("fred", 4),
        ("fred.proj", 9),
        ("fred..waldur", 5),
        ("fred.proj.waldur.x", 17),
        ("fred.proj.-waldur", 10),
        ("fr\u00e9d.proj.waldur", 2),
        ("fred. pr/oj.waldur", 8),
        ("fred.proj.wal\ndur", 13),
        (f"fred.{'p' * 70}.waldur", 5 + 64),
    ],
)
def test_an_error_knows_the_place(text: str, position: int) -> None:
    with pytest.raises(ParseError) as caught:
        UserIdentifier.parse(text)

    assert (caught.value.text, caught.value.position) == (text, position)


def test_a_part_of_another_type_is_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match="project of a ProjectIdentifier must be a str, not NoneType"):
        ProjectIdentifier(None, "waldur")  # type: ignore[arg-type]


def test_a_user_knows_its_project_and_portal() -> None:
    user = UserIdentifier.parse("fred.proj.waldur")

    assert user.project_identifier == ProjectIdentifier.parse("proj.waldur")
    assert user.portal_identifier == user.project_identifier.portal_identifier == PortalIdentifier("waldur")


def test_case_distinguishes() -> None:
    assert UserIdentifier.parse("Fred.proj.waldur") != UserIdentifier.parse("fred.proj.waldur")


def test_identifiers_are_matched_by_their_parts() -> None:
    match UserIdentifier.parse("fred.proj.waldur"):
        case UserIdentifier(username, project, "waldur"):
            assert (username, project) == ("fred", "proj")
        case _:
            pytest.fail("did not match")


def test_identifiers_of_different_kinds_are_never_equal() -> None:
    assert len({PortalIdentifier("a"), ProjectIdentifier("a", "a"), UserIdentifier("a", "a", "a")}) == 3


def test_an_error_escapes_what_could_act_on_a_terminal() -> None:
    with pytest.raises(ParseError) as caught:
        PortalIdentifier.parse("a\x1b[31m\u202eb")

    assert re.fullmatch(r"[ -~…]*", str(caught.value))
