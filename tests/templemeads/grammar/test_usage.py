"""Computing time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import Usage
from templemeads.grammar.usage import MAX_USAGE_SECONDS, YEAR

amounts = st.integers(0, MAX_USAGE_SECONDS)
SECONDS = {
    "": 1,
    "s": 1,
    "Second": 1,
    "SECONDS": 1,
    "m": 60,
    "minutes": 60,
    "H": 3600,
    "hours": 3600,
    "d": 86400,
}


@given(
    number=amounts,
    unit=st.sampled_from(sorted(SECONDS)),
    surplus=st.sampled_from(["", " please", "\t3 minutes"]),
)
def test_an_amount_is_a_number_and_perhaps_a_unit(number: int, unit: str, surplus: str) -> None:
    text = f"\u00a0+0{number} \t{unit}{surplus if unit else ''} "

    assert Usage.parse(text).seconds == min(number * SECONDS[unit], MAX_USAGE_SECONDS)
    assert Usage.parse(str(number)) == Usage(number)


@pytest.mark.parametrize(
    "text",
    ["18446744073709551616", "9" * 100_000, "1_000", "1\u0660", "5\u017f", "5 \u017f", "5 wk", "+", ""],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Usage.parse(text)


@pytest.mark.parametrize(("text", "position"), [(" five hours", 1), ("5 weeks", 2), ("", 0), ("5h", 0)])
def test_an_error_knows_the_place(text: str, position: int) -> None:
    with pytest.raises(ParseError) as caught:
        Usage.parse(text)

    assert caught.value.position == position


@given(first=amounts, second=amounts)
def test_sums_and_differences_stay_within_the_limits(first: int, second: int) -> None:
    assert (Usage(first) + Usage(second)).seconds == min(first + second, MAX_USAGE_SECONDS)
    assert (Usage(first) - Usage(second)).seconds == max(first - second, 0)
    assert (Usage(first) < Usage(second)) == (first < second)


@given(amount=amounts, factor=st.floats(allow_nan=False))
def test_products_are_cut_to_whole_seconds_within_the_limits(amount: int, factor: float) -> None:
    exact = amount * factor

    product = Usage(amount) * factor

    assert product == factor * Usage(amount)
    if math.isnan(exact) or exact <= 0:  # infinity times nothing is not a number
        assert product == Usage(0)
    else:
        assert product.seconds == (MAX_USAGE_SECONDS if exact >= MAX_USAGE_SECONDS else int(exact))


@given(amount=amounts, divisor=st.floats(allow_nan=False, min_value=1e-300))
def test_quotients_are_cut_to_whole_seconds_within_the_limits(amount: int, divisor: float) -> None:
    exact = amount / divisor

    assert (Usage(amount) / divisor).seconds == (
        MAX_USAGE_SECONDS if exact >= MAX_USAGE_SECONDS else int(exact)
    )


def test_dividing_by_nothing_gives_nothing() -> None:
    assert Usage(5) / 0 == Usage(0)


@pytest.mark.parametrize(
    "operate", [lambda: Usage(1) + 1, lambda: Usage(1) - 1, lambda: Usage(1) * "2", lambda: Usage(1) / "2"]
)
def test_amounts_do_not_mix_with_other_things(operate: object) -> None:
    with pytest.raises(TypeError):
        operate()  # type: ignore[operator]


def test_amounts_are_made_from_units() -> None:
    assert Usage.of(days=1, hours=1, minutes=1, seconds=1.9) == Usage(86400 + 3600 + 60 + 1)
    assert Usage.of(hours=-1) == Usage(0)
    assert Usage.of(days=1e30) == Usage(MAX_USAGE_SECONDS)
    assert (Usage(5400).minutes, Usage(5400).hours, Usage(86400).days) == (90, 1.5, 1)


@given(seconds=amounts)
def test_the_text_for_people_is_right_to_three_decimals(seconds: int) -> None:
    number, unit = Usage(seconds).describe().split(" ")
    length = {
        "second": 1,
        "minute": 60,
        "hour": 3600,
        "day": 86400,
        "week": 604800,
        "month": 2628000,
        "year": YEAR,
    }

    assert (
        abs(float(number) * length[unit.removesuffix("s")] - seconds)
        <= length[unit.removesuffix("s")] * 0.000501 + seconds * 1e-12
    )
    hours, word = Usage(seconds).describe_hours().split(" ")
    assert word == "hours"
    assert abs(float(hours) - seconds / 3600) <= 0.000501 + seconds * 1e-12


@pytest.mark.parametrize(
    "value",
    [{"seconds": -1}, {"seconds": 2**64}, {"seconds": 5.0}, {"seconds": "5"}, {"seconds": True}, {}, 5],
)
def test_json_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(ParseError):
        Usage.from_json(value)


def test_json_holds_the_seconds() -> None:
    assert Usage(5).to_json() == {"seconds": 5}
    assert Usage.from_json({"seconds": 5, "unknown": None}) == Usage(5)
