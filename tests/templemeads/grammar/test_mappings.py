"""Local users and groups."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import ProjectIdentifier, ProjectMapping, UserIdentifier, UserMapping
from templemeads.testing.strategies import user_mappings

PROJECT = ProjectIdentifier("proj", "waldur")
USER = UserIdentifier("fred", "proj", "waldur")
ALLOWED = string.ascii_letters + string.digits + "_.-"


def is_local_name(name: str) -> bool:
    """The rule of the page, said another way."""
    return (
        0 < len(name) <= 64
        and set(name) <= set(ALLOWED)
        and name[0] not in "-."
        and name[-1] != "."
        and ".." not in name
    )


@given(name=st.one_of(st.text(st.sampled_from(ALLOWED + "/:$ \n\u212a"), max_size=6), st.text(max_size=3)))
def test_a_group_is_a_local_name_however_the_mapping_is_made(name: str) -> None:
    if is_local_name(name):
        mapping = ProjectMapping(PROJECT, name)
        assert mapping == ProjectMapping.parse(f"proj.waldur:{name}")
        assert UserMapping(USER, name, name) == UserMapping.parse(f"fred.proj.waldur:{name}:{name}")
        return
    with pytest.raises(ParseError):
        ProjectMapping(PROJECT, name)
    with pytest.raises(ParseError):
        UserMapping(USER, "fred", name)
    if "@" not in name:
        with pytest.raises(ParseError):
            UserMapping(USER, name, "proj")


def test_a_local_name_may_be_64_characters_long_and_no_longer() -> None:
    ProjectMapping.parse(f"proj.waldur:{'g' * 64}")
    UserMapping.parse(f"fred.proj.waldur:{'u' * 64}:{'g' * 64}")

    with pytest.raises(ParseError, match="65 characters long"):
        ProjectMapping.parse(f"proj.waldur:{'g' * 65}")
    with pytest.raises(ParseError, match="65 characters long"):
        UserMapping.parse(f"fred.proj.waldur:{'u' * 65}:g")


@pytest.mark.parametrize("text", ["proj.waldur:grp 999999999", "proj.waldur:grp\t9", "proj.waldur:g:9"])
def test_a_group_cannot_smuggle_in_another_argument(text: str) -> None:
    with pytest.raises(ParseError):
        ProjectMapping.parse(text)


@pytest.mark.parametrize(
    "name", ["u:v", "u,v", "u?v", "u%2fv", "u=v", "../u", "u\nv", "-rf", "u/../v", "`u`", "$u"]
)
def test_a_local_user_cannot_be_taken_for_anything_else(name: str) -> None:
    with pytest.raises(ParseError):
        UserMapping(USER, name, "proj")


def test_an_address_may_stand_for_a_user_but_not_for_a_group() -> None:
    assert UserMapping.parse("a.b.c:jane.doe+x@example.ac.uk:g").local_user == "jane.doe+x@example.ac.uk"

    with pytest.raises(ParseError):
        UserMapping.parse("a.b.c:u:g@example.ac.uk")
    with pytest.raises(ParseError):
        ProjectMapping.parse("b.c:g@example.ac.uk")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("u@" + ".".join(["d" * 49] * 5) + "." + "d" * 3, "255 characters; 254"),
        ("u" * 65 + "@d.com", "64 characters before"),
        ("u@" + "d" * 64 + ".com", "63 characters between"),
        ("u@d", "needs a dot"),
        ("u@@d.com", 'two "@"'),
    ],
)
def test_an_address_keeps_to_its_limits(address: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        UserMapping(USER, address, "g")


@pytest.mark.parametrize(
    "address",
    ["u@" + ".".join(["d" * 49] * 5) + "." + "d" * 2, "u" * 64 + "@d.com", "u@" + "d" * 63 + ".com", "u@1.2"],
)
def test_an_address_at_its_limits_is_taken(address: str) -> None:
    assert UserMapping(USER, address, "g").local_user == address


@given(mapping=user_mappings())
def test_a_user_mapping_gives_its_project_mapping(mapping: UserMapping) -> None:
    assert mapping.project_mapping == ProjectMapping(mapping.user.project_identifier, mapping.local_group)
    assert mapping.portal == mapping.project_mapping.portal == mapping.user.portal


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a.b.c", 5),
        ("a.b.c:u", 7),
        ("a.b.c:u:g:h", 9),
        ("a.b:u:g", 3),
        ("a.b/x.c:u:g", 3),
        ("a.b.c:u/v:g", 7),
        ("a.b.c: u/v:g", 8),
        ("a.b.c:u:g/h", 9),
        ("a.b.c:u@d_e.com:g", 9),
        ("a.b.c::g", 6),
    ],
)
def test_an_error_knows_the_place(text: str, position: int) -> None:
    with pytest.raises(ParseError) as caught:
        UserMapping.parse(text)

    assert (caught.value.text, caught.value.position) == (text, position)


def test_parts_of_another_type_are_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match="project of ProjectMapping must be a ProjectIdentifier, not str"):
        ProjectMapping("proj.waldur", "g")  # type: ignore[arg-type]
