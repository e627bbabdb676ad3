import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import Timestamp
from templemeads.grammar.timestamps import (
    EARLIEST_SECOND,
    LATEST_SECOND,
    NANOSECONDS,
    civil_from_days,
    days_from_civil,
)
from templemeads.testing import near_misses
from templemeads.testing.strategies import timestamps

leap_seconds = st.builds(
    lambda minute, nanoseconds: Timestamp(minute * 60 + 59, NANOSECONDS + nanoseconds),
    st.integers(-(10**9), 10**9),
    st.integers(0, NANOSECONDS - 1),
)
anywhen = leap_seconds | st.builds(
    Timestamp, st.integers(EARLIEST_SECOND, LATEST_SECOND), st.integers(0, NANOSECONDS - 1)
)


@given(anywhen)
def test_a_moment_survives_writing(moment: Timestamp) -> None:
    assert Timestamp.parse(str(moment)) == moment
    assert Timestamp.from_json(moment.to_json()) == moment


@given(st.dates())
def test_the_calendar_agrees_with_the_standard_library(day: dt.date) -> None:
    days = day.toordinal() - dt.date(1970, 1, 1).toordinal()
    assert days_from_civil(day.year, day.month, day.day) == days
    assert civil_from_days(days) == (day.year, day.month, day.day)


@given(st.integers(EARLIEST_SECOND // 86_400, LATEST_SECOND // 86_400))
def test_the_calendar_counts_every_day_once(days: int) -> None:
    assert days_from_civil(*civil_from_days(days)) == days
    assert civil_from_days(days + 1) > civil_from_days(days)


@given(st.datetimes(timezones=st.timezones()))
def test_a_datetime_keeps_its_moment(moment: dt.datetime) -> None:
    try:
        utc = moment.astimezone(dt.UTC)
    except OverflowError:
        return
    assert Timestamp.from_datetime(moment).to_datetime() == utc


@given(
    st.datetimes(
        min_value=dt.datetime(2, 1, 1)  # noqa: DTZ001 - Hypothesis wants it naive
    ),
    st.integers(-1439, 1439),
)
def test_offsets_are_converted_to_utc(local: dt.datetime, minutes: int) -> None:
    moment = local.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    assert Timestamp.parse(moment.isoformat()) == Timestamp.from_datetime(moment)


@given(timestamps(), timestamps())
def test_moments_are_in_the_order_of_their_texts(one: Timestamp, other: Timestamp) -> None:
    if 0 <= one.civil_day[0] <= 9999 and 0 <= other.civil_day[0] <= 9999:
        seconds = [str(one)[:19], str(other)[:19]]
        if seconds[0] != seconds[1]:
            assert (one < other) == (seconds[0] < seconds[1])


@given(near_misses(Timestamp))
def test_near_misses_are_refused_with_a_place_or_none(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        Timestamp.parse(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2024-06-30T23:59:60Z", "2024-06-30T23:59:60Z"),
        ("2024-06-30T23:59:60.5+01:00", "2024-06-30T22:59:60.500Z"),
        ("2024-01-01T01:01:01.1234567899Z", "2024-01-01T01:01:01.123456789Z"),
        ("0-1-1T0:0:0Z", "0000-01-01T00:00:00Z"),
        ("-1-1-1T0:0:0Z", "-0001-01-01T00:00:00Z"),
        ("+10000-01-15T10:30:00Z", "+10000-01-15T10:30:00Z"),
        ("+262142-12-31T23:59:59Z", "+262142-12-31T23:59:59Z"),
        ("-262143-01-01T00:00:00Z", "-262143-01-01T00:00:00Z"),
        ("\u30002024- 1- 1 \t1 : 1:\u20031 +01\u2009:: 00", "2024-01-01T00:01:01Z"),
        ("2024-01-01T01:01:01\u221201:00", "2024-01-01T02:01:01Z"),
        ("+" + "0" * 1000 + "2024-01-01T01:01:01uTc", "2024-01-01T01:01:01Z"),
    ],
)
def test_the_slack_of_existing_agents_is_taken(text: str, canonical: str) -> None:
    assert str(Timestamp.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("+262143-01-01T00:00:00Z", "-262144-01-01T00:00:00Z", "+262142-12-31T23:59:59-01:00"),
        *(
            "2024-01-01 T01:01:01Z",
            "2024-01-01\t01:01:01Z",
            "2024-01-01T01:01:01 .5Z",
            "2024-001-01T01:01:01Z",
        ),
        *(
            "\u0662024-01-01T01:01:01Z",
            "2024-01-01T01:01:01.\u0665Z",
            "+ 2024-01-01T01:01:01Z",
            "2024-01-01T01:01:01UT",
        ),
        *("2024-00-01T00:00:00Z", "2024-01-00T00:00:00Z", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z"),
        *("2024-01-01T01:01:01\x1cZ", "9" * 100_000, "+" + "9" * 100_000 + "-01-01T00:00:00Z"),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Timestamp.parse(text)


@pytest.mark.parametrize(
    ("seconds", "nanoseconds"),
    [(EARLIEST_SECOND - 1, 0), (LATEST_SECOND + 1, 0), (0, -1), (0, NANOSECONDS), (59, 2 * NANOSECONDS)],
)
def test_a_moment_beyond_the_limits_cannot_be_made(seconds: int, nanoseconds: int) -> None:
    with pytest.raises(ParseError):
        Timestamp(seconds, nanoseconds)


@pytest.mark.parametrize("part", [1.0, "1", True, None])
def test_a_moment_counts_in_whole_numbers(part: object) -> None:
    with pytest.raises(TypeError):
        Timestamp(part)  # type: ignore[arg-type]


def test_a_datetime_without_time_zone_is_no_moment() -> None:
    with pytest.raises(TypeError, match="time zone"):
        Timestamp.from_datetime(dt.datetime(2024, 1, 1))  # noqa: DTZ001 - that is the point
