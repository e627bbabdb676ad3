"""Commands, and the portal rule."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import Command, Destination, Instruction, Submit, check_portal, instructions
from templemeads.grammar.explain import example
from templemeads.grammar.table import MAX_LENGTH, NOBODY
from templemeads.grammar.whitespace import WS, words
from templemeads.testing import commands

blanks = st.text(st.sampled_from(WS), min_size=1, max_size=3)


@given(blanks=st.lists(blanks, min_size=4, max_size=4))
def test_blanks_of_every_kind_and_number_separate_words(blanks: list[str]) -> None:
    before, first, second, after = blanks

    command = Command.parse(f"{before}a.b{first}set_limit{second}p.w{first}2{second}hours{after}")

    assert str(command) == "a.b set_limit p.w 7200"


@given(text=st.text(st.one_of(st.sampled_from(WS + "\x00\x1c\x1f\u200b\ufeff\u180e\ud800"), st.characters())))
def test_words_are_what_is_between_blanks(text: str) -> None:
    assert words(text) == [word for word in re.split(f"[{WS}]", text) if word]


@given(text=st.text(st.sampled_from("a. é")))
def test_words_of_ordinary_text_are_what_is_between_spaces(text: str) -> None:
    assert words(text) == [word for word in text.split(" ") if word]


@pytest.mark.parametrize("separator", ["\x1c", "\x1f", "\u200b", "\ufeff", "\u180e"])
def test_what_only_looks_like_a_blank_separates_nothing(separator: str) -> None:
    with pytest.raises(ParseError):
        Command.parse(f"a.b{separator}get_offerings")


def test_blanks_are_tidied_inside_json_strings_too() -> None:
    command = Command.parse('a.b create_project p.w {"name":"two  \u3000spaces\\u00a0here"}')

    assert '"name":"two spaces\u00a0here"' in str(command)


@pytest.mark.parametrize(
    "text", ["", " ", "a.b", "a.b ", "a add_user a.b.c", "add_user a.b.c", "a.b nonsense", ". add_user a.b.c"]
)
def test_a_command_is_a_path_and_an_instruction(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        Command.parse(text)

    assert caught.value.text == text
    assert caught.value.position is not None


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a", 1),
        ("  a.b \t ad_user a.b.c", 8),
        ("a.b add_user  \t a.b/.c", 19),
        ("a.b  add_user", 13),
        ("a.b submit \n c.d  ad_user x", 18),
        ("a.b set_limit p.w   5   weeks", 24),
        ("x add_user y", 1),
    ],
)
def test_an_error_points_into_the_untidied_text(text: str, position: int) -> None:
    with pytest.raises(ParseError) as caught:
        Command.parse(text)

    assert (caught.value.text, caught.value.position) == (text, position)


def test_a_command_is_as_long_as_the_limit_and_no_longer() -> None:
    text = "a.b get_offerings " + "x" * (MAX_LENGTH - len("a.b get_offerings "))
    Command.parse(text)

    with pytest.raises(ParseError, match="at most"):
        Command.parse(text + " ")


@given(command=commands())
def test_commands_are_json_strings(command: Command) -> None:
    once = Command.parse(str(command))

    assert Command.from_json(once.to_json()) == Command.parse(str(once))


def test_a_command_is_built_from_values() -> None:
    path, instruction = Destination.parse("a.b"), Instruction.parse("get_offerings")

    assert Command(path, instruction) == Command.parse("a.b get_offerings")
    with pytest.raises(TypeError):
        Command("a.b", instruction)  # type: ignore[arg-type]


@pytest.mark.parametrize("row", instructions(), ids=lambda row: row.keyword)
def test_a_portal_speaks_only_of_its_own(row: type[Instruction]) -> None:
    instruction = Instruction.parse(example(row))
    own, foreign = Destination.parse("waldur.brics"), Destination.parse("Waldur.brics")

    check_portal(own, instruction)
    if row.owner is NOBODY:
        check_portal(foreign, instruction)
    else:
        with pytest.raises(ParseError, match="a portal may only speak of what is its own"):
            check_portal(foreign, instruction)


def test_the_receiver_that_unpacks_an_instruction_checks_it() -> None:
    command = Command.parse("portal.bridge submit waldur.brics add_user fred.proj.elsewhere")
    inner: Any = command.instruction

    check_portal(command.destination, command.instruction)
    assert isinstance(inner, Submit)
    with pytest.raises(ParseError):
        check_portal(inner.destination, inner.instruction)


def test_reading_a_command_does_not_apply_the_portal_rule() -> None:
    assert (
        Command.from_json("waldur.brics add_user fred.proj.elsewhere").instruction.owning_portal()
        == "elsewhere"
    )
