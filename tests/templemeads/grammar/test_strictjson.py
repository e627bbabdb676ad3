import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar.strictjson import (
    DEFAULT_MAX_DEPTH,
    RepeatedKeys,
    dump_json,
    pairs_of,
    parse_json,
    refuse_repeated,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(values)
def test_what_is_written_is_read_again(value: object) -> None:
    assert parse_json(dump_json(value)) == value


@given(values)
def test_writing_is_compact_json(value: object) -> None:
    assert dump_json(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(values, st.text(" \t\r\n", max_size=3), st.text(" \t\r\n", max_size=3))
def test_only_the_four_blanks_may_stand_around_a_value(value: object, before: str, after: str) -> None:
    assert parse_json(before + dump_json(value) + after) == value
    for stranger in "\x0b\x0c\xa0\u2028\ufeff\0":
        with pytest.raises(ParseError):
            parse_json(stranger + dump_json(value))


@given(texts)
def test_any_text_is_read_or_refused_with_a_parse_error(text: str) -> None:
    with contextlib.suppress(ParseError):
        parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "NaN",
            "Infinity",
            "-Infinity",
            '{"x":NaN}',
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "0x1",
            "1_0",
            "--1",
        ),
        *(
            "{'a':1}",
            "{a:1}",
            "[1,]",
            '{"a":1,}',
            "[1 2]",
            "{} {}",
            "// c\n{}",
            "/**/1",
            "True",
            "nul",
            "tru",
        ),
        *(
            '"raw\ttab"',
            '"\x00"',
            '"\\x41"',
            '"\\u12"',
            '"\\uZZZZ"',
            '"open',
            "[",
            "{",
            "]",
            '{"a"}',
            '{"a":}',
        ),
        *("\ufeff{}", "\xa0{}", "1\x0b", "\ud800", '"\udc00"', "٣"),
    ],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_json(text)


def test_an_error_points_at_the_place() -> None:
    with pytest.raises(ParseError) as caught:
        parse_json('{"a": 1, "b": x}')
    assert caught.value.position == 14


@pytest.mark.parametrize("text", ["-0", "9" * 21, "-" + "9" * 30, "1.0", "5e0", "1e400", "9" * 100_000])
def test_what_no_integer_field_may_take_does_not_become_an_int(text: str) -> None:
    assert type(parse_json(text)) is float


@pytest.mark.parametrize("text", ["0", "-1", str(2**64 - 1), str(-(2**63))])
def test_integers_of_sixty_four_bits_stay_exact(text: str) -> None:
    assert parse_json(text) == int(text)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_is_accepted_to_the_limit_and_refused_beyond(opening: str, closing: str) -> None:
    levels = len(opening) // 4 + 1 if opening.startswith("[{") else 1
    times = DEFAULT_MAX_DEPTH // levels
    parse_json(opening * times + "1" + closing * times)
    with pytest.raises(ParseError, match="levels"):
        parse_json(opening * (times + 1) + "1" + closing * (times + 1))


def test_brackets_inside_of_strings_do_not_count_as_nesting() -> None:
    assert parse_json(dump_json(["[" * 1000, '\\"{' * 1000])) == ["[" * 1000, '\\"{' * 1000]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, '"\\"' * 100_000]
)
def test_hostile_nesting_is_a_parse_error(text: str) -> None:
    with pytest.raises(ParseError):
        parse_json(text)


def test_hostile_texts_cost_linear_time() -> None:
    def seconds(text: str) -> float:
        started = time.perf_counter()
        with pytest.raises(ParseError):
            parse_json(text)
        return time.perf_counter() - started

    for pattern in ('"\\', '["', "[" * 200 + '"', '{"a":1,', "9", '"\\u0061'):
        assert seconds("[" * 200 + pattern * (1_000_000 // len(pattern))) < 2.0, pattern


def test_a_text_is_accepted_to_its_length_limit() -> None:
    assert parse_json('"aaaaaa"', max_length=8) == "aaaaaa"
    with pytest.raises(ParseError, match="at most 8"):
        parse_json('"aaaaaaa"', max_length=8)


def test_repeated_keys_keep_all_pairs_in_order() -> None:
    value = parse_json('{"a":1,"b":2,"a":3}')
    assert isinstance(value, RepeatedKeys)
    assert value == {"a": 3, "b": 2}
    assert list(pairs_of(value)) == [("a", 1), ("b", 2), ("a", 3)]


def test_only_known_fields_may_not_be_repeated() -> None:
    value = parse_json('{"a":1,"b":2,"a":3}')
    assert isinstance(value, dict)
    refuse_repeated(value, {"b", "c"})
    with pytest.raises(ParseError, match='"a" is given twice'):
        refuse_repeated(value, {"a"})


def test_half_of_a_surrogate_pair_is_no_key() -> None:
    value = parse_json('{"\\ud800":1}')
    assert isinstance(value, dict)
    with pytest.raises(ParseError):
        refuse_repeated(value, set())


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "\ud800", {"\udfff": 1}, b"x", object(), {1, 2}]
)
def test_what_json_cannot_say_is_not_written(value: object) -> None:
    with pytest.raises(ParseError):
        dump_json(value)  # type: ignore[arg-type]
