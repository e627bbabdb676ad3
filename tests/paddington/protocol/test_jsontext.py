import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington.errors import JsonError
from paddington.protocol.jsontext import MAX_DEPTH, parse, write, write_text
from tests.paddington.wire import VECTORS, everything_said, json_values


@given(json_values)
def test_what_was_written_parses_back(value: object) -> None:
    text = write(value)
    assert parse(text) == value
    assert parse(text.encode()) == value
    assert parse(f" \t{text}\r\n") == value


@given(json_values)
def test_it_reads_what_the_standard_library_writes(value: object) -> None:
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps(value, indent=2, ensure_ascii=False)) == value


@given(st.text() | st.binary())
def test_any_text_is_read_as_the_standard_library_does_or_refused(text: str | bytes) -> None:
    try:
        value = parse(text)
    except JsonError:
        return
    assert json.loads(text) == value


@given(st.text(st.sampled_from('[]{}",:\\u0dDcC8e1-. \ntfnNaI'), max_size=40))
def test_near_json_is_read_as_the_standard_library_does_or_refused(text: str) -> None:
    try:
        value = parse(text)
    except JsonError:
        return
    assert json.loads(text) == value
    write(value).encode()


@pytest.mark.parametrize("vector", VECTORS["payload"])
def test_payloads_are_written_as_published(vector: dict[str, str]) -> None:
    assert write(vector["text"]) == write_text(vector["text"]) == vector["json"]
    assert parse(vector["json"]) == vector["text"]
    assert vector["text"] == "KEEPALIVE" or isinstance(parse(vector["text"]), dict)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":1,"a":1}', "twice"),
        ('[{"b":{"a":1,"\\u0061":2}}]', "twice"),
        ("NaN", "NaN"),
        ("[Infinity]", "Infinity"),
        ('{"a":-Infinity}', "-Infinity"),
        ("1e400", "double"),
        ("-1e400", "double"),
        (str(2**64), "64 bits"),
        (str(-(2**63) - 1), "64 bits"),
        ("1" * 65, "65 characters"),
        ("0." + "1" * 80, "82 characters"),
        ('"\\ud800"', "surrogate"),
        ('{"\\udfff":1}', "surrogate"),
        ('"\\udc00\\ud800"', "surrogate"),
        ('"\ud800"', "UTF-8"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (b'"\xc0\xaf"', "UTF-8"),
        (b'"\xff"', "UTF-8"),
        (b"\xef\xbb\xbf1", "."),
        ('"1"'.encode("utf-16"), "."),
        ("\ufeff1", "."),
        ('"\x00"', "ontrol"),
        ("\uff11", "."),
        ("\u0661", "."),
        ("[1,]", "."),
        ("{'a':1}", "."),
        ("1 2", "more text"),
        ("01", "more text"),
        ("+1", "."),
        ("1_0", "more text"),
        ("\u00a01", "."),
        ("", "."),
        ("tru", "."),
    ],
)
def test_what_others_may_take_is_refused(text: str | bytes, why: str) -> None:
    with pytest.raises(JsonError, match=why):
        parse(text)


@pytest.mark.parametrize("number", [0, 1, 2**53, 2**53 + 1, 2**63, 2**64 - 1, -(2**63)])
def test_integers_of_64_bits_are_exact(number: int) -> None:
    value = parse(str(number))
    assert value == number
    assert type(value) is int


def test_minus_zero_is_no_integer() -> None:
    assert type(parse("-0")) is float


@pytest.mark.parametrize("text", ["1.0", "1e3", "1E+5", "5e0"])
def test_a_number_with_point_or_exponent_is_a_float(text: str) -> None:
    assert type(parse(text)) is float


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse('"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"[[":', "}]")])
def test_nesting_is_read_up_to_the_limit(opening: str, closing: str) -> None:
    levels = MAX_DEPTH // (2 if len(opening) > 6 else 1)
    assert parse(opening * levels + "1" + closing * levels)
    with pytest.raises(JsonError, match="deeper"):
        parse(opening * (levels + 1) + "1" + closing * (levels + 1))


@pytest.mark.parametrize("text", ["[" * 500_000, '{"a":' * 100_000, "]" + "[" * 100_000, '"' + "[" * 100_000])
def test_endless_nesting_is_refused_quickly(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(JsonError):
        parse(text)
    assert time.process_time() - begun < 2


def test_brackets_in_texts_are_not_nesting() -> None:
    value = ["[[[[{{{{" * 100, '\\"[' * 200]
    assert parse(write(value)) == value


def test_many_values_side_by_side_are_not_nesting() -> None:
    assert parse("[" + "[]," * 1000 + "{}]") == [[]] * 1000 + [{}]


def test_a_million_digits_are_refused_quickly() -> None:
    begun = time.process_time()
    for text in ("1" * 2**20, "0." + "1" * 2**20, "1e" + "9" * 2**20):
        with pytest.raises(JsonError):
            parse(text)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\udfff": 1}, object(), b"", {1}])
def test_what_has_no_json_form_is_not_written(value: object) -> None:
    with pytest.raises(JsonError):
        write(value)


def test_a_list_that_holds_itself_is_not_written() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(JsonError):
        write(value)


@pytest.mark.parametrize(
    "text", ['{"hunter2":1,"hunter2":2}', '["hunter2"', b'"hunter2\xff"', '"hunter2\\ud800"']
)
def test_a_refusal_shows_nothing_of_the_text(text: str | bytes) -> None:
    with pytest.raises(JsonError) as caught:
        parse(text)
    assert "hunter2" not in everything_said(caught.value)
