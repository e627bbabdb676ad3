"""Foreign text inside messages."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.text import MAX_QUOTE_CHARACTERS, pointed, quoted, visible

texts = st.text(st.characters(), max_size=200)


@given(text=texts)
def test_a_quote_is_short_and_harmless(text: str) -> None:
    quote = quoted(text)

    assert quote.isprintable()
    assert len(quote) <= MAX_QUOTE_CHARACTERS * len("\\U00000000") + 3
    assert quote.startswith('"')
    assert quote.endswith('"…' if len(text) > MAX_QUOTE_CHARACTERS else '"')


@given(text=st.text("ab\n", min_size=1, max_size=300), data=st.data())
def test_a_quote_around_a_place_shows_it(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text) - 1))
    marked = f"{text[:place]}#{text[place + 1 :]}"

    assert "#" in quoted(marked, around=place)


@given(text=texts, data=st.data())
def test_the_caret_stands_under_the_place(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))

    line, caret = pointed(text, place)

    assert line.isprintable()
    assert caret.strip() == "^"
    before = visible(text[:place])
    if len(text) <= MAX_QUOTE_CHARACTERS and before.isascii():
        assert line[len(caret) - 1 :] == visible(text[place:])


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    line, caret = pointed("名e\u0301x", 3)

    assert (line, caret) == ("名e\u0301x", "   ^")
    assert unicodedata.east_asian_width("名") == "W"


def test_what_could_act_on_a_terminal_is_escaped() -> None:
    assert (
        quoted("\x1b[31m\n\u202e\u200b\ud800\U000e0001") == '"\\x1b[31m\\x0a\\u202e\\u200b\\ud800\\U000e0001"'
    )
    assert quoted('say "\\"') == '"say \\"\\\\\\""'


def test_an_error_is_one_line_with_the_place_and_the_suggestion() -> None:
    error = ParseError("No such word", text="a\nbx", position=2, misspelt="add_usr", known=("add_user",))

    assert str(error) == 'No such word, at character 3 of "a\\x0abx"; did you mean "add_user"?'
    assert str(ParseError("Too short", text="ab", position=2)) == 'Too short, at the end of "ab"'
    assert str(ParseError("Nothing there", text="", position=0)) == "Nothing there (the text is empty)"
    assert str(ParseError("Plain")) == "Plain"


def test_an_error_of_a_part_is_seen_from_the_whole() -> None:
    part = ParseError("Bad", text="xy", position=1, expected="z", misspelt="add_usr", known=["add_user"])

    whole = part.inside("a b xy", 4)

    assert (whole.text, whole.position, whole.expected, whole.suggestion) == ("a b xy", 5, "z", "add_user")
