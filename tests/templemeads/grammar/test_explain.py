"""What is drawn from the table, and guesses at what a line is."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import Instruction, find_instruction, instructions
from templemeads.grammar.explain import as_data, example, explain, markdown, overview
from templemeads.grammar.glossary import GLOSSARY
from templemeads.grammar.kinds import KINDS, guess_kind

ROOT = Path(__file__).parents[3]


def test_the_page_of_documentation_is_in_step_with_the_table() -> None:
    assert (ROOT / "docs" / "grammar.md").read_text() == markdown(), (
        "draw it again: templemeads grammar --markdown > docs/grammar.md"
    )


@pytest.mark.parametrize("row", instructions(), ids=lambda row: row.keyword)
def test_each_instruction_is_explained(row: type[Instruction]) -> None:
    text = "\n".join(explain(row))

    assert str(row.__doc__) in text
    assert example(row) in text
    assert (row.result or "that of the instruction inside") in text
    assert all(f"{each.name} (" in text for each in row.parameters)
    assert as_data(row)["class"] == row.__name__


def test_the_overview_names_every_instruction_once() -> None:
    words = [line.split()[0] for line in overview() if line.startswith("  ")]

    assert words == [row.keyword for row in instructions()]


def test_the_glossary_holds_examples_that_can_be_read() -> None:
    for kind, entry in GLOSSARY.items():
        if kind is not str:
            assert kind.parse(entry.example)  # type: ignore[attr-defined]


def test_explaining_names_synonyms_and_what_is_new() -> None:
    assert "create_award" in "\n".join(explain(find_instruction("create_project")))
    assert "newer generation" in "\n".join(explain(find_instruction("is_user_added")))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("waldur.brics add_user fred.proj.waldur", "command"),
        ("add_user fred.proj.waldur", "instruction"),
        ("ad_user fred.proj.waldur", "instruction"),
        ("a.b user_added x.y.z", "notification"),
        ("a.b user_aded x.y.z", "notification"),
        ("proj.waldur", "project"),
        ("fred.proj.waldur", "user"),
        ("a.b.c.d", "destination"),
        ("proj.waldur:g", "project-mapping"),
        ("fred.proj.waldur:u:g", "user-mapping"),
        ("{}", "award"),
        ("", "command"),
    ],
)
def test_what_a_line_is_meant_to_be(text: str, kind: str) -> None:
    assert guess_kind(text)[0] == kind


@given(text=st.text(max_size=20))
def test_every_line_is_guessed_to_be_something(text: str) -> None:
    kind, _ = guess_kind(text)

    with contextlib.suppress(ParseError):
        KINDS[kind](text, None)
