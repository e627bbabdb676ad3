"""Long texts: reading takes a time in proportion to the length, whatever they hold."""

import contextlib
import time

import pytest

from templemeads.errors import ParseError
from templemeads.grammar.kinds import KINDS

LENGTH = 200_000
LONGEST = 1.0  # seconds of the processor; it takes a twentieth of that, and hours if it were quadratic
PIECES = ("a.", "-", "\u3000", "1:", ",a.b")
PREFIXES = ("", "a.b sync_offerings ", "add_user ", 'create_project p.w {"name":"', "submit a.b ")


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_read_or_refused_quickly(kind: str) -> None:
    for prefix in PREFIXES:
        for piece in PIECES:
            text = (prefix + piece * LENGTH)[:LENGTH]
            started = time.process_time()
            with contextlib.suppress(ParseError):
                KINDS[kind](text, None)
            assert time.process_time() - started < LONGEST, f"{text[:40]!r} took too long"


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_for_a_long_text_is_short(kind: str) -> None:
    with pytest.raises(ParseError) as caught:
        KINDS[kind]("\u3000- " * LENGTH, None)

    assert len(str(caught.value)) < 2000
