"""What holds for all values that are written as text."""

import copy
import itertools
import pickle
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import (
    AddUser,
    Allocation,
    Command,
    Date,
    DateRange,
    Destination,
    Destinations,
    DomainPattern,
    Instruction,
    MembershipControl,
    PortalIdentifier,
    ProjectIdentifier,
    ProjectMapping,
    ProjectTemplate,
    QuotaLimit,
    StorageSize,
    UserIdentifier,
    UserMapping,
    Volume,
)
from templemeads.grammar.kinds import KINDS
from templemeads.grammar.whitespace import WS
from templemeads.testing import commands, instructions, strategy_of

TEXT_TYPES: list[Any] = [
    Allocation,
    Date,
    DateRange,
    Destination,
    DomainPattern,
    PortalIdentifier,
    ProjectIdentifier,
    ProjectMapping,
    ProjectTemplate,
    UserIdentifier,
    UserMapping,
    Volume,
    MembershipControl,
]
ORDERED: list[Any] = [
    Date,
    DateRange,
    Destination,
    DomainPattern,
    PortalIdentifier,
    ProjectIdentifier,
    ProjectMapping,
    ProjectTemplate,
    UserIdentifier,
    UserMapping,
    Volume,
    QuotaLimit,
    StorageSize,
]

fragments = st.sampled_from(
    [
        *WS,
        *string.printable,
        "a.b",
        "a.b.c",
        "fred.proj.waldur",
        ":",
        "::",
        "used",
        "today",
        "2024-01-01",
        "1 GB",
        "{}",
        "\x1c",
        "\u200b",
        "\ufeff",
        "\u0661",
        "\u017f",
        "\u212a",
        "\ufffd",
        "\U0001f600",
        "add_user ",
        "submit a.b ",
    ]
)
hostile = st.one_of(st.text(max_size=30), st.lists(fragments, max_size=12).map("".join))


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_printing_and_reading_again_gives_an_equal_value(kind: Any, data: st.DataObject) -> None:
    value = data.draw(strategy_of(kind))

    again = kind.parse(str(value))

    assert again == value
    assert hash(again) == hash(value)
    assert str(again) == str(value)
    assert kind.from_json(value.to_json()) == value


@given(instruction=instructions())
def test_instructions_survive_printing(instruction: Instruction) -> None:
    # What a text cannot carry (sizes lose digits) is lost the first time, and nothing after that.
    once = Instruction.parse(str(instruction))

    assert type(once) is type(instruction)
    assert Instruction.parse(str(once)) == Instruction.parse(str(Instruction.parse(str(once))))
    assert instruction.keyword == str(instruction).split(" ")[0]
    assert str(instruction) == " ".join([instruction.keyword, *instruction.arguments()])


@given(command=commands())
def test_commands_survive_printing(command: Command) -> None:
    once = Command.parse(str(command))

    assert once.destination == command.destination
    assert type(once.instruction) is type(command.instruction)


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_values_are_copied_and_pickled_unharmed(kind: Any, data: st.DataObject) -> None:
    value = data.draw(strategy_of(kind))

    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize("kind", ORDERED, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_ordered_values_sort(kind: Any, data: st.DataObject) -> None:
    values = data.draw(st.lists(strategy_of(kind), min_size=2, max_size=5))

    ordered = sorted(values)

    assert all(not later < earlier for earlier, later in itertools.pairwise(ordered))


def outcome(kind: str, text: str) -> tuple[Any, ParseError | None]:
    try:
        return KINDS[kind](text, None), None
    except ParseError as error:
        return None, error


@pytest.mark.parametrize("kind", KINDS)
@given(text=hostile)
def test_whatever_is_read_is_read_or_refused(kind: str, text: str) -> None:
    value, error = outcome(kind, text)

    if error is None:
        str(value).encode()  # never a lone surrogate
    else:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
        assert error.position is None or 0 <= error.position <= len(error.text)


@pytest.mark.parametrize("kind", [*TEXT_TYPES, QuotaLimit, StorageSize, Instruction, Command, Destinations])
@pytest.mark.parametrize("value", [None, True, 1.5, {}, ["a", 1], b"a.b"], ids=repr)
def test_json_of_another_shape_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(ParseError):
        kind.from_json(value)


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_values_cannot_be_changed(kind: Any, data: st.DataObject) -> None:
    value = data.draw(strategy_of(kind))

    with pytest.raises((AttributeError, TypeError)):
        setattr(value, kind.__match_args__[0] if hasattr(kind, "__match_args__") else "value", "x")
    assert not hasattr(value, "__dict__") or kind is MembershipControl


def test_a_representation_names_the_type_and_the_text() -> None:
    assert repr(UserIdentifier("fred", "proj", "waldur")) == "UserIdentifier('fred.proj.waldur')"
    assert (
        repr(AddUser(UserIdentifier("fred", "proj", "waldur")))
        == "AddUser(user=UserIdentifier('fred.proj.waldur'))"
    )
    assert repr(Destinations.parse("a.b,c.d")) == "Destinations('[a.b, c.d]')"
