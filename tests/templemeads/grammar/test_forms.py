import copy
import json
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import AwardDetails, Link, Node, Usage, UserUsageReport
from templemeads.grammar.forms import U32, FieldError, Record, member, whole_number
from templemeads.grammar.frozenmap import FrozenMap, freeze, thaw
from templemeads.testing.strategies import nodes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

# --- frozen maps --------------------------------------------------------------------------------


@given(st.dictionaries(st.integers(), st.text()))
def test_a_frozen_map_is_the_mapping_it_was_made_of(entries: dict[int, str]) -> None:
    frozen = FrozenMap(entries)
    assert frozen == entries
    assert dict(frozen) == entries
    assert len(frozen) == len(entries)
    assert list(frozen) == list(entries)
    assert repr(frozen) == repr(entries)
    assert all(key in frozen and frozen[key] == value for key, value in entries.items())
    backwards = FrozenMap(reversed(entries.items()))
    assert frozen == backwards
    assert hash(frozen) == hash(backwards)
    assert pickle.loads(pickle.dumps(frozen)) == copy.deepcopy(frozen) == frozen


def test_a_frozen_map_cannot_change() -> None:
    entries = {"a": 1}
    frozen = FrozenMap(entries)
    entries["a"] = 2
    assert frozen == {"a": 1}
    for change in (lambda: setattr(frozen, "x", 1), lambda: delattr(frozen, "_entries")):
        with pytest.raises(AttributeError):
            change()
    with pytest.raises(TypeError):
        frozen["a"] = 2  # type: ignore[index]


@given(json_values)
def test_freezing_and_thawing_give_the_same_value_back(value: Any) -> None:
    assert thaw(freeze(value)) == value
    hash(freeze(value))


def test_only_json_thaws() -> None:
    with pytest.raises(TypeError):
        thaw(object())


# --- records ------------------------------------------------------------------------------------


@given(nodes())
def test_a_node_survives_writing(node: Node) -> None:
    assert Node.parse(str(node)) == node
    assert node.cores == node.cpus * node.cores_per_cpu
    assert node.memory_gb * 1024 == node.memory_mb


@pytest.mark.parametrize("value", [-1, 2**32, 1.0, "1", True, None])
def test_a_node_counts_in_whole_numbers_of_32_bits(value: object) -> None:
    fields: dict[str, Any] = dict.fromkeys(("cpus", "cores_per_cpu", "gpus", "memory_mb", "billing"), 1)
    with pytest.raises(ParseError):
        Node.from_json(fields | {"gpus": value})
    with pytest.raises((TypeError, ParseError)):
        Node(**fields | {"gpus": value})
    assert Node(**fields | {"gpus": 2**32 - 1}).gpus == 2**32 - 1


@pytest.mark.parametrize("missing", ["cpus", "cores_per_cpu", "gpus", "memory_mb", "billing"])
def test_a_required_field_that_is_missing_is_named(missing: str) -> None:
    fields = dict.fromkeys(("cpus", "cores_per_cpu", "gpus", "memory_mb", "billing"), 1)
    del fields[missing]
    with pytest.raises(ParseError, match=missing):
        Node.from_json(fields)


@pytest.mark.parametrize("value", [None, [], "x", 5, True, 1.5])
def test_a_record_is_an_object(value: object) -> None:
    with pytest.raises(ParseError, match="an object"):
        Node.from_json(value)


def test_null_is_taken_only_where_a_field_may_be_unset() -> None:
    assert Link.from_json({"id": None}) == Link()
    with pytest.raises(ParseError):
        AwardDetails.from_json({"notes": None})


def test_an_error_in_a_field_tells_the_way_and_the_reason() -> None:
    with pytest.raises(FieldError) as caught:
        UserUsageReport.parse('{"user":"a.b.c","usage":{"seconds":1.5}}')
    assert caught.value.path == ("usage", "seconds")
    assert str(caught.value).startswith('In "usage"."seconds": Expected a whole number from 0 to')
    assert "1.5" in str(caught.value)


def test_an_error_shows_foreign_text_only_in_part_and_harmless() -> None:
    for text in (
        '{"seconds":"' + "x" * 10_000 + '"}',
        '{"seconds":"\\u001b[31m"}',
        '{"' + "y" * 10_000 + '\\u202e":1}',
    ):
        with pytest.raises(ParseError) as caught:
            Usage.from_json(json.loads(text))
        assert len(str(caught.value)) < 300
        assert str(caught.value).isprintable()


def test_a_form_without_upper_limit_is_judged_on_both_sides() -> None:
    form = whole_number(3)
    assert [form.read(number) for number in (0, 3)] == [0, 3]
    for number in (-1, 4, True, 1.0):
        with pytest.raises(ParseError):
            form.read(number)
    with pytest.raises(TypeError):
        U32.check(True)


def test_a_record_of_ones_own_needs_only_its_fields() -> None:
    @attrs.frozen
    class Pair(Record):
        first: int = attrs.field(metadata=member(U32))
        second: int | None = attrs.field(default=None, metadata=member(U32, always=False))

    assert Pair.parse('{"first":1,"more":[]}') == Pair(1)
    assert str(Pair(1)) == '{"first":1}'
    assert str(Pair(1, 2)) == '{"first":1,"second":2}'
    with pytest.raises(TypeError, match=r"Pair\.first"):
        Pair("1")  # type: ignore[arg-type]
