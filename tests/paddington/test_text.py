from hypothesis import given
from hypothesis import strategies as st

from paddington.text import QUOTED_LENGTH, quoted


@given(st.text())
def test_foreign_text_stays_short_printable_and_on_one_line(text: str) -> None:
    shown = quoted(text)
    assert shown.isprintable()
    assert len(shown) <= 10 * QUOTED_LENGTH + 40


@given(
    st.text(
        st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), max_size=QUOTED_LENGTH
    )
)
def test_ordinary_text_is_only_put_in_quotes(text: str) -> None:
    assert quoted(text) == f'"{text}"'


def test_escape_sequences_cannot_reach_a_terminal() -> None:
    assert quoted("a\x1b[31m\n\u202eb") == '"a\\x1b[31m\\n\\u202eb"'


def test_of_a_long_text_the_length_is_named() -> None:
    assert quoted("x" * 1000, 3) == '"xxx…" (1000 characters)'


def test_a_quote_inside_cannot_end_the_quotation() -> None:
    assert quoted('a" or \\') == '"a\\" or \\\\"'
