import collections.abc
import datetime as dt
import typing
from collections.abc import Sequence
from typing import Any, NewType

import pytest
from hypothesis import given, settings

from templemeads import grammar as g
from templemeads.errors import ParseError
from templemeads.grammar.results import (
    NONE,
    QUOTAS_BY_VOLUME,
    decode_result,
    encode_result,
    result_class,
    result_matches,
)
from templemeads.testing import instructions, results, results_of
from templemeads.testing.strategies import texts

FRED = g.UserMapping.parse("fred.proj.waldur:fred:proj")
PROMISED = sorted({row.result for row in g.instructions() if row.result is not None})
SIZES = ("Quota", QUOTAS_BY_VOLUME, "ProjectStorageReport", "StorageReport")


@pytest.mark.parametrize("type_name", PROMISED)
def test_every_promised_type_has_a_python_class(type_name: str) -> None:
    assert result_class(type_name) is not None


@pytest.mark.parametrize("type_name", PROMISED)
def test_what_a_handler_returns_arrives_in_the_same_class(type_name: str) -> None:
    row = next(row for row in g.instructions() if row.result == type_name)

    @settings(max_examples=15)
    @given(instructions(only=[row]), results_of(row))
    def answer(instruction: g.Instruction, value: Any) -> None:
        text, name = encode_result(value, instruction)
        assert name == type_name
        arrived = decode_result(text, name)
        if type_name not in SIZES:  # sizes are rounded on the wire
            assert arrived == value
            assert encode_result(arrived, instruction) == (text, name)
        assert type(arrived) is type(value)

    answer()


@pytest.mark.parametrize(
    ("value", "text", "type_name"),
    [
        (None, None, NONE),
        (True, "true", "bool"),
        ("account created", '"account created"', "String"),
        (["/a", "/é"], '["/a","/é"]', "Vec<String>"),
        (("/a",), '["/a"]', "Vec<String>"),
        (FRED, '"fred.proj.waldur:fred:proj"', "UserMapping"),
        ([FRED], '["fred.proj.waldur:fred:proj"]', "Vec<UserMapping>"),
        (g.Usage(5), '{"seconds":5}', "Usage"),
        ({g.Volume("home"): g.Quota(g.QuotaLimit())}, '{"home":{"limit":"unlimited"}}', QUOTAS_BY_VOLUME),
        ({}, "{}", QUOTAS_BY_VOLUME),
        (g.Destinations.parse("[a.b, c.d]"), '["a.b","c.d"]', "Destinations"),
        ([g.Destination.parse("a.b")], '["a.b"]', "Vec<Destination>"),
        (dt.date(2024, 1, 5), '"2024-01-05"', "Date"),
        ([g.Date(2024, 1, 5)], '["2024-01-05"]', "Vec<Date>"),
        (g.StorageSize(1024), '"1024 B"', "StorageSize"),
        (g.Node(1, 2, 3, 4, 5), '{"cpus":1,"cores_per_cpu":2,"gpus":3,"memory_mb":4,"billing":5}', "Node"),
    ],
)
def test_each_python_value_has_its_name_and_text(value: object, text: str | None, type_name: str) -> None:
    assert encode_result(value) == (text, type_name)


def test_award_details_travel_as_project_details() -> None:
    assert encode_result(g.AwardDetails())[1] == "ProjectDetails"
    assert encode_result([g.AwardDetails()])[1] == "Vec<ProjectDetails>"
    assert decode_result("{}", "ProjectDetails") == g.AwardDetails()


@pytest.mark.parametrize(
    ("instruction", "type_name"),
    [
        ("get_users p.w", "Vec<UserMapping>"),
        ("get_project_dirs p.w", "Vec<String>"),
        ("submit a.b get_projects w", "Vec<ProjectMapping>"),
        ("add_user u.p.w", "Vec<String>"),
        (None, "Vec<String>"),
    ],
)
def test_an_empty_list_has_the_type_that_the_instruction_promises(
    instruction: str | None, type_name: str
) -> None:
    parsed = None if instruction is None else g.Instruction.parse(instruction)
    assert encode_result([], parsed) == ("[]", type_name)


@pytest.mark.parametrize(
    "value",
    [5, 1.5, b"x", object(), {"a": 1}, {g.Volume("x"): 1}, [1], [True], ["a", FRED], [["a"]], {"a"}, [None]],
)
def test_other_values_have_no_result_type(value: object) -> None:
    with pytest.raises(TypeError):
        encode_result(value)


def test_text_that_is_not_unicode_is_no_result() -> None:
    with pytest.raises(ParseError):
        encode_result("\ud800")


@given(texts(), texts())
def test_an_unknown_type_is_no_error_but_raw(type_name: str, text: str) -> None:
    if result_class(type_name) is None and type_name != NONE:
        raw = decode_result(text, type_name)
        assert raw == g.RawResult(type_name, text)
        assert encode_result(raw) == (text, type_name)


@pytest.mark.parametrize(
    "name", ["Vec<bool>", "Vec<None>", "Vec<Vec<String>>", "Vec<X>", "Vec< String>", "vec<String>", "Error"]
)
def test_names_that_are_nearly_known_are_unknown(name: str) -> None:
    assert decode_result("[1]", name) == g.RawResult(name, "[1]")
    assert g.RawResult(name, "[1]").value == [1]


@pytest.mark.parametrize("type_name", [name for name in PROMISED if name != NONE])
def test_a_typed_result_without_text_is_an_error(type_name: str) -> None:
    with pytest.raises(ParseError, match="there is none"):
        decode_result(None, type_name)


@pytest.mark.parametrize("text", [None, "null", "{}", "not json"])
@pytest.mark.parametrize("type_name", [None, NONE])
def test_a_result_without_value_is_none_whatever_is_there(text: str | None, type_name: str | None) -> None:
    assert decode_result(text, type_name) is None


def test_reports_are_passed_on_with_what_is_not_known_here() -> None:
    text = '{"project":"p.w","reports":{"2024-01-01":{"reports":{},"is_complete":true,"new":1}},"users":{},"more":{"x":[]}}'
    assert encode_result(decode_result(text, "ProjectUsageReport")) == (text, "ProjectUsageReport")


# --- annotations --------------------------------------------------------------------------------

Name = NewType("Name", str)


@pytest.mark.parametrize(
    ("annotation", "keyword"),
    [
        (g.UserMapping, "add_user"),
        (list[g.UserMapping], "get_users"),
        (Sequence[g.UserMapping], "get_users"),
        (tuple[g.UserMapping, ...], "get_users"),
        (list[str], "get_user_dirs"),
        (bool, "is_existing_user"),
        (str, "get_home_dir"),
        (Name, "get_home_dir"),
        (typing.Annotated[str, "a path"], "get_home_dir"),
        (None, "add_local_user"),
        (type(None), "clear_user_quota"),
        (dict[g.Volume, g.Quota], "get_user_quotas"),
        (collections.abc.Mapping[g.Volume, g.Quota], "get_user_quotas"),
        (g.AwardDetails, "get_award"),
        (g.Destinations, "get_offerings"),
        (Any, "add_user"),
        (object, "add_user"),
        (typing.Never, "add_user"),
        (str, "submit"),
    ],
)
def test_annotations_that_keep_the_promise(annotation: Any, keyword: str) -> None:
    assert result_matches(annotation, g.find_instruction(keyword))


@pytest.mark.parametrize(
    ("annotation", "keyword"),
    [
        *(
            (str, "add_user"),
            (g.UserIdentifier, "add_user"),
            (None, "add_user"),
            (g.UserMapping, "get_users"),
        ),
        *(
            (list, "get_users"),
            (list[str], "get_users"),
            (tuple[g.UserMapping], "get_users"),
            (str, "is_existing_user"),
        ),
        *((int, "is_existing_user"), (dict[str, g.Quota], "get_user_quotas"), (dict, "get_user_quotas")),
        *(
            (g.UserMapping | None, "add_user"),
            (g.UserMapping | str, "add_user"),
            (list[g.Destination], "get_offerings"),
        ),
        *((g.Usage, "get_usage_report"), (bool, "add_local_user"), ("UserMapping", "add_user")),
    ],
)
def test_annotations_that_break_the_promise(annotation: Any, keyword: str) -> None:
    assert not result_matches(annotation, g.find_instruction(keyword))


def test_more_types_can_be_accepted_alone_and_in_unions() -> None:
    class Job:
        pass

    row = g.find_instruction("add_user")
    assert not result_matches(Job, row)
    assert result_matches(Job, row, also=(Job,))
    assert result_matches(g.UserMapping | Job, row, also=(Job,))
    assert not result_matches(str | Job, row, also=(Job,))


@pytest.mark.parametrize("type_name", PROMISED)
def test_the_class_of_a_type_keeps_the_promise_of_that_type(type_name: str) -> None:
    row = next(row for row in g.instructions() if row.result == type_name)
    assert result_matches(result_class(type_name), row)


@pytest.mark.parametrize("type_name", PROMISED)
def test_strategies_of_results_draw_the_named_class(type_name: str) -> None:
    @settings(max_examples=5)
    @given(results(type_name))
    def draw(value: Any) -> None:
        assert value == [] or encode_result(value)[1] == type_name

    draw()
