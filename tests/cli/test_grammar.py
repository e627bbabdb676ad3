"""`templemeads grammar` and `templemeads parse`."""

import json

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from templemeads.cli.main import main
from templemeads.grammar import instructions


def run(*arguments: str, text: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(main, list(arguments), input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_table_is_printed() -> None:
    result = run("grammar")

    assert result.exit_code == 0
    assert all(row.keyword in result.output for row in instructions())


def test_one_instruction_is_explained() -> None:
    result = run("grammar", "add_user")

    assert result.output.startswith("add_user <user>\n")
    assert "UserMapping" in result.output


def test_a_synonym_is_explained_too() -> None:
    assert "also read as" in run("grammar", "create_award").output


def test_the_table_is_data_too() -> None:
    assert [row["keyword"] for row in json.loads(run("grammar", "--json").output)] == [
        row.keyword for row in instructions()
    ]
    assert json.loads(run("grammar", "add_user", "--json").output)["result"] == "UserMapping"


def test_an_unknown_instruction_is_corrected() -> None:
    result = run("grammar", "ad_user")

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        'Error: There is no instruction "ad_user"',
        "  ad_user",
        "  ^",
        "Did you mean add_user?",
        "Expected: the keyword of an instruction",
    ]


def test_a_command_is_taken_apart() -> None:
    result = run("parse", "waldur.brics  set_limit proj.waldur 2 hours")

    lines = [line.split(maxsplit=1) for line in result.output.splitlines()]
    assert ["limit", "7200"] in lines
    assert ["instruction", "set_limit"] in lines
    assert ["canonical", "waldur.brics set_limit proj.waldur 7200"] in lines


def test_the_portal_rule_is_judged() -> None:
    assert "kept" in run("parse", "waldur.brics add_user fred.proj.waldur").output
    assert "refused from outside" in run("parse", "waldur.brics add_user fred.proj.brics").output
    assert "asks nothing" in run("parse", "waldur.brics get_offerings").output


def test_a_command_is_data_too() -> None:
    data = json.loads(run("parse", "--json", "waldur.brics add_user fred.proj.waldur").output)

    assert data["kind"] == "command"
    assert data["destination"] == ["waldur", "brics"]
    assert data["instruction"]["arguments"] == {"user": "fred.proj.waldur"}
    assert data["portal_rule"] == "kept"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("add_user fred.proj.waldur", "instruction"),
        ("a.b user_added fred.proj.waldur", "notification"),
        ("fred.proj.waldur", "user"),
        ("proj.waldur", "project"),
        ("fred.proj.waldur:fred:proj", "user-mapping"),
        ("10 GB", "storage-size"),
        ("100 NHR", "allocation"),
        ("2024-01-01:2024-02-01", "date-range"),
        ("5 hours", "usage"),
        ("a1b2c3d4-e5f6-4890-abcd-ef1234567890", "uuid"),
        ("{}", "award"),
    ],
)
def test_the_kind_of_a_line_is_guessed(text: str, kind: str) -> None:
    assert json.loads(run("parse", "--json", text).output)["kind"] == kind


def test_other_kinds_are_named() -> None:
    assert "It could also be: destination" in run("parse", "proj.waldur").output


def test_the_kind_can_be_named() -> None:
    assert run("parse", "--kind", "volume", "proj.waldur").output.startswith("volume\n")
    assert run("parse", "--kind", "date", "proj.waldur").exit_code == 2
    assert run("parse", "--kind", "nonsense", "x").exit_code == 2


def test_the_caret_stands_under_the_fault() -> None:
    result = run("parse", "waldur.brics add_user fred.pr/oj.waldur")

    assert result.exit_code == 2
    line, caret = result.stderr.splitlines()[1:3]
    assert line[caret.index("^")] == "/"


def test_an_error_is_data_too() -> None:
    result = run("parse", "--json", "a.b ad_user x")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["position"] == 4
    assert json.loads(result.stdout)["error"]["suggestion"] == "add_user"


def test_the_standard_input_is_read() -> None:
    assert run("parse", "-", text="add_user fred.proj.waldur\n").output.startswith("instruction\n")
    assert run("parse", "-", text=b"\xff.b add_user x.y.z").exit_code == 2


def test_the_page_of_documentation_is_printed() -> None:
    assert run("grammar", "--markdown").output.startswith("# The instructions\n")


@given(text=st.one_of(st.text(st.characters(), max_size=30), st.text("ab.: \x1b\n\u202e{}", max_size=30)))
def test_whatever_is_asked_is_answered_in_printable_lines(text: str) -> None:
    result = run("parse", "--", text)

    assert result.exit_code in {0, 2}
    assert all(line.isprintable() for line in result.output.splitlines())
