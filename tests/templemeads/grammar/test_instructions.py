"""The table of instructions, and what is read and written by it."""

import copy
import pickle
import typing

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads import grammar
from templemeads.errors import ParseError
from templemeads.grammar import (
    AddUser,
    CreateProject,
    Cut,
    Destination,
    GetOfferings,
    Instruction,
    SetLocalLimit,
    Submit,
    SyncOfferings,
    UpdateHomedir,
    UserIdentifier,
    find_instruction,
    instructions,
)
from templemeads.grammar.explain import example
from templemeads.grammar.glossary import GLOSSARY
from templemeads.grammar.results import result_class
from templemeads.grammar.table import MAX_DEPTH, MAX_LENGTH, NOBODY
from templemeads.testing import instructions as some_instructions

ROWS = instructions()
WORDS = {word: row for row in ROWS for word in (row.keyword, *row.synonyms)}


def by_keyword(row: type[Instruction]) -> str:
    return row.keyword


def refusal(text: str) -> ParseError | None:
    try:
        Instruction.parse(text)
    except ParseError as error:
        return error
    return None


def test_there_are_72_instructions_and_8_of_them_are_new() -> None:
    assert len(ROWS) == len({row.keyword for row in ROWS}) == 72
    assert sum(row.new for row in ROWS) == 8
    assert len(WORDS) == 72 + 4


@pytest.mark.parametrize("row", ROWS, ids=by_keyword)
def test_a_row_of_the_table_is_complete(row: type[Instruction]) -> None:
    names = [field.name for field in attrs.fields(row)]  # type: ignore[arg-type]

    assert row.__name__ == "".join(word.capitalize() for word in row.keyword.split("_"))
    assert getattr(grammar, row.__name__) is row
    assert [parameter.name for parameter in row.parameters] == list(row.__match_args__) == names
    assert (row.cut is Cut.NONE) == (not names)
    assert row.cut is not Cut.REST or len(names) == 1
    assert row.result is not None or row is Submit
    assert row.result is None or result_class(row.result) is not None
    assert row.__doc__
    assert row.family()
    assert all(parameter.kind in GLOSSARY for parameter in row.parameters)


@pytest.mark.parametrize("row", ROWS, ids=by_keyword)
def test_a_row_states_whose_portal_it_speaks_of(row: type[Instruction]) -> None:
    speaks_of_nobody = {"submit", "sync_offerings", "add_offerings", "remove_offerings", "get_offerings"}

    if row.owner is NOBODY:
        assert row.keyword in speaks_of_nobody
    else:
        assert row.owner == row.parameters[0].name
        assert Instruction.parse(example(row)).owning_portal() == "waldur"


@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_read_with_an_example(word: str) -> None:
    row = WORDS[word]
    text = example(row).replace(row.keyword, word, 1)

    instruction = Instruction.parse(text)

    assert type(instruction) is row
    assert row.parse(text) == instruction
    assert Instruction.parse(str(instruction)) == instruction
    assert str(instruction).split(" ")[0] == row.keyword
    assert find_instruction(word) is row


@pytest.mark.parametrize("word", WORDS)
def test_every_prefix_of_an_instruction_is_read_or_refused(word: str) -> None:
    text = example(WORDS[word]).replace(WORDS[word].keyword, word, 1)

    for length in range(len(text)):
        for tail in ("", " ", "  ", " \t", "\n", " {", " a.b", "."):
            error = refusal(text[:length] + tail)
            if error is not None:
                assert error.text == text[:length] + tail
                assert error.position is not None


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.parameters and row.parameters[0].name != "offerings"], ids=by_keyword
)
def test_a_missing_argument_is_named(row: type[Instruction]) -> None:
    first = row.parameters[0]

    with pytest.raises(ParseError, match=f"{row.keyword} lacks its {first.name}") as caught:
        Instruction.parse(row.keyword)

    assert caught.value.position == len(row.keyword)


@given(instruction=some_instructions(), word=st.sampled_from(["now", "x y", "\u00e9", "-1"]))
def test_surplus_words_are_ignored_or_fatal_as_the_cut_says(instruction: Instruction, word: str) -> None:
    text = f"{instruction} {word}"

    match instruction.cut:
        case Cut.WORDS | Cut.NONE:
            assert Instruction.parse(text) == Instruction.parse(str(instruction))
        case Cut.REST if not isinstance(
            instruction, grammar.SyncOfferings | grammar.AddOfferings | grammar.RemoveOfferings
        ):
            with pytest.raises(ParseError):
                Instruction.parse(text)
        case _:
            pass  # the last argument decides


@pytest.mark.parametrize(
    "text",
    [
        "",
        " add_user a.b.c",
        "Add_user a.b.c",
        "add_user\ta.b.c",
        "add-user a.b.c",
        "adduser a.b.c",
        "add_user\x00",
    ],
)
def test_keywords_are_exact(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        Instruction.parse(text)

    assert caught.value.position == 0


@pytest.mark.parametrize(
    ("word", "meant"),
    [("ad_user", "add_user"), ("create_awards", "create_award"), ("get_usage_rapport", "get_usage_report")],
)
def test_a_misspelt_keyword_is_corrected(word: str, meant: str) -> None:
    with pytest.raises(ParseError, match=f'did you mean "{meant}"') as caught:
        Instruction.parse(f"{word} fred.proj.waldur")

    assert caught.value.suggestion == meant
    with pytest.raises(ParseError):
        find_instruction(word)


def test_nonsense_is_not_corrected() -> None:
    for word in ("xyzzy", "q" * 100_000):
        with pytest.raises(ParseError) as caught:
            Instruction.parse(word)
        assert caught.value.suggestion is None
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("add_user fred.proj", 18),
        ("add_user fred.pr/oj.waldur", 16),
        ("set_project_quota p.w home 10 XB", 30),
        ("get_usage_report p.w 2024-01-01: 2024-01-02", 32),
        ("get_project_quota p.w  home", 22),
        ("submit a.b  add_user a.b.c", 11),
        ("submit a.b add_user a.b/.c", 23),
        ("submit a.b submit c.d ad_user x", 22),
        ("sync_offerings [a.b, c d.e]", 22),
        ("set_limit p.w 5 weeks", 16),
    ],
)
def test_an_error_knows_the_place(text: str, position: int) -> None:
    with pytest.raises(ParseError) as caught:
        Instruction.parse(text)

    assert (caught.value.text, caught.value.position) == (text, position)


def test_submit_carries_an_instruction() -> None:
    match Instruction.parse("submit a.b add_user fred.proj.waldur"):
        case Submit(destination, AddUser(user)) as submit:
            assert destination == Destination.parse("a.b")
            assert user.username == "fred"
            assert submit.result_type() == "UserMapping"
            assert submit.arguments() == ["a.b", "add_user fred.proj.waldur"]
        case other:
            pytest.fail(f"read {other!r}")


def test_instructions_nest_as_deep_as_the_limit_and_no_deeper() -> None:
    deepest = "submit a.b " * (MAX_DEPTH - 1) + "get_offerings"
    instruction = Instruction.parse(deepest)
    assert str(instruction) == deepest
    assert instruction.result_type() == "Destinations"

    with pytest.raises(ParseError, match="inside of each other"):
        Instruction.parse("submit a.b " + deepest)
    with pytest.raises(ParseError, match="inside of each other"):
        Submit(Destination.parse("a.b"), instruction)
    with pytest.raises(ParseError, match="inside of each other"):
        Instruction.parse("submit a.b " * 100_000 + "get_offerings")
    with pytest.raises(ParseError):
        Instruction.parse("submit a.b get_offerings", max_depth=1)


def test_an_instruction_is_as_long_as_the_limit_and_no_longer() -> None:
    text = "get_offerings " + "x" * (MAX_LENGTH - len("get_offerings "))
    assert Instruction.parse(text) == GetOfferings()

    with pytest.raises(ParseError, match="at most"):
        Instruction.parse(text + "x")


def test_one_class_reads_only_its_own_instruction() -> None:
    with pytest.raises(ParseError, match="This is remove_user, not add_user"):
        AddUser.parse("remove_user a.b.c")


def test_arguments_of_other_types_are_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match="user of AddUser must be a UserIdentifier, not str"):
        AddUser("fred.proj.waldur")  # type: ignore[arg-type]


def test_equality_goes_by_class_and_arguments() -> None:
    user = UserIdentifier.parse("a.b.c")

    assert AddUser(user) == AddUser(UserIdentifier("a", "b", "c"))
    assert AddUser(user) != grammar.RemoveUser(user)
    assert hash(AddUser(user)) != hash(grammar.RemoveUser(user))
    assert len({AddUser(user), AddUser(user), grammar.RemoveUser(user)}) == 2


@pytest.mark.parametrize("row", ROWS, ids=by_keyword)
def test_each_instruction_is_a_frozen_value_with_the_fields_of_its_row(row: type[Instruction]) -> None:
    made = row.parse(example(row))
    names = tuple(each.name for each in row.parameters)

    assert tuple(field.name for field in attrs.fields(row)) == names == row.__match_args__
    assert row(*(getattr(made, name) for name in names)) == made
    assert attrs.evolve(made) == made
    assert type(pickle.loads(pickle.dumps(made))) is row
    assert (pickle.loads(pickle.dumps(made)), copy.copy(made)) == (made, made)
    assert not hasattr(made, "__dict__")
    assert set(typing.get_type_hints(row)) >= set(names)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.anything = 1  # type: ignore[attr-defined]


def test_one_word_is_read_as_a_local_limit() -> None:
    assert str(SetLocalLimit.parse("set_local_limit p.w:g 2 hours")) == "set_local_limit p.w:g 2"
    assert str(Instruction.parse("set_limit p.w 2 hours")) == "set_limit p.w 7200"


def test_no_offerings_are_an_empty_list() -> None:
    assert len(SyncOfferings.parse("sync_offerings").offerings) == 0


@pytest.mark.parametrize("path", ["", " ", "a b", " a", "a\n", "\ud800"])
def test_a_path_that_cannot_be_written_is_refused(path: str) -> None:
    with pytest.raises(ParseError):
        UpdateHomedir(UserIdentifier("a", "b", "c"), path)


@pytest.mark.parametrize("path", ["/home/x", "../x", "~", "\u00e9", "a\tb"])
def test_a_path_is_not_judged(path: str) -> None:
    match Instruction.parse(f"update_homedir a.b.c \t{path}\n ignored"):
        case UpdateHomedir(_, found):
            assert found == path
        case other:
            pytest.fail(f"read {other!r}")


@pytest.mark.parametrize(
    "details",
    ["", " ", "{", "[]", "null", '{"name":1}', '{"name":"a","name":"b"}', "{}{}", "NaN", "[" * 100_000],
)
def test_details_that_are_no_award_are_refused(details: str) -> None:
    with pytest.raises(ParseError):
        CreateProject.parse(f"create_project p.w {details}")


def test_details_are_written_in_full() -> None:
    text = str(Instruction.parse("create_award p.w \t{} "))

    assert text.startswith('create_project p.w {"name":null,"template":null,')
