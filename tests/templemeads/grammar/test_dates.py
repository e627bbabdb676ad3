"""Days and ranges of days."""

import datetime as dt
import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from templemeads.errors import ParseError
from templemeads.grammar import Date, DateRange, Instruction
from templemeads.grammar.dates import MAX_RANGE_DAYS
from templemeads.grammar.whitespace import WS
from templemeads.testing.strategies import date_ranges, dates

days = st.dates(dt.date(1970, 1, 1), dt.date(2200, 12, 31))
inner_days = st.dates(dt.date(1972, 1, 1), dt.date(2198, 12, 31))


@given(day=st.dates(), first=st.sampled_from(["", *WS]), second=st.sampled_from(["", " \t", *WS]))
def test_days_of_the_years_that_are_allowed_are_read(day: dt.date, first: str, second: str) -> None:
    text = f"{first}{day.year:04}-{second}{day.month}-{second}{day.day:02}{first}"

    if 1970 <= day.year <= 2200:
        assert Date.parse(text) == day
        assert str(Date.parse(text)) == day.isoformat()
    else:
        with pytest.raises(ParseError):
            Date.parse(text)


@given(year=st.integers(-5, 2300), month=st.integers(-1, 14), day=st.integers(-1, 33))
def test_days_that_do_not_exist_are_refused(year: int, month: int, day: int) -> None:
    try:
        real = dt.date(year, month, day)
    except ValueError:
        real = None
    if real is None or not 1970 <= year <= 2200:
        with pytest.raises(ParseError):
            Date(year, month, day)
        with pytest.raises(ParseError):
            Date.parse(f"{year}-{month}-{day}")
    else:
        assert Date(year, month, day) == real


@pytest.mark.parametrize(
    "text",
    [
        "2024-W01-1",
        "20240101",
        "2024-001-05",
        "02024-01-05",
        "2024-01 -05",
        "2024 -01-05",
        "\uff12024-01-05",
        "2024-1_0-05",
        "-2024-01-05",
        "+ 2024-01-05",
        "2024-01-05T00:00",
        "2024-13-01",
        "2024-02-30",
        "2201-01-01",
        "1969-12-31",
    ],
)
def test_other_ways_to_write_a_day_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Date.parse(text)


def test_a_sign_allows_a_longer_year() -> None:
    assert Date.parse("+" + "0" * 10_000 + "2024-01-05") == Date(2024, 1, 5)
    with pytest.raises(ParseError):
        Date.parse("+" + "9" * 10_000 + "-01-05")


@given(day=dates())
def test_a_date_is_a_date(day: Date) -> None:
    assert day == dt.date(day.year, day.month, day.day)
    assert hash(day) == hash(dt.date(day.year, day.month, day.day))
    match day:
        case Date(year, month, number):
            assert (year, month, number) == (day.year, day.month, day.day)
    assert Date.of(dt.datetime(day.year, day.month, day.day, 23, 59, tzinfo=dt.UTC)) == day


def test_calculating_never_leaves_the_years_that_are_allowed() -> None:
    with pytest.raises(ParseError):
        Date(2200, 12, 31) + dt.timedelta(days=1)


@given(start=days, end=days)
def test_a_range_is_at_most_1830_days_from_end_to_end(start: dt.date, end: dt.date) -> None:
    text = f"{start}:{end}"

    if abs((end - start).days) <= MAX_RANGE_DAYS:
        value = DateRange.parse(text)
        assert (value.start, value.end) == (start, end)
        assert str(value) == text
    else:
        with pytest.raises(ParseError, match="1830"):
            DateRange.parse(text)
        with pytest.raises(ParseError, match="1830"):
            DateRange(start, end)  # type: ignore[arg-type]


def test_the_longest_range_and_the_next() -> None:
    first = dt.date(2020, 1, 1)

    assert len(DateRange(first, first + dt.timedelta(days=1830)).days) == 1831  # type: ignore[arg-type]
    with pytest.raises(ParseError):
        DateRange(first, first + dt.timedelta(days=1831))  # type: ignore[arg-type]


def test_a_text_keeps_its_order_and_dates_are_put_in_order() -> None:
    backwards = DateRange.parse("2024-02-01:2024-01-01")

    assert str(backwards) == "2024-02-01:2024-01-01"
    assert backwards.days == backwards.weeks == backwards.months == backwards.years == ()
    assert str(DateRange(Date(2024, 2, 1), Date(2024, 1, 1))) == "2024-01-01:2024-02-01"


@given(day=inner_days)
def test_names_count_from_the_day_that_is_given(day: dt.date) -> None:
    def named(name: str) -> tuple[dt.date, dt.date]:
        value = DateRange.parse(f" {name.upper()}\n", today=day)
        return value.start, value.end

    one = dt.timedelta(days=1)
    assert named("today") == named("this_day") == (day, day)
    assert named("yesterday") == (day - one, day - one)
    assert named("tomorrow") == (day + one, day + one)
    for unit, length in (("week", 7), ("month", 28), ("year", 365)):
        first, last = named(f"this_{unit}")
        assert first <= day <= last
        assert (last - first).days + 1 >= length
        before = named(f"last_{unit}")
        assert before[1] == first - one
        assert named(f"this_{unit}")[0] == first
    assert named("this_week")[0].weekday() == 0
    assert named("this_month")[0] == day.replace(day=1)
    assert named("this_year") == (day.replace(month=1, day=1), day.replace(month=12, day=31))


@pytest.mark.parametrize(
    "text", ["next_week", "next_month", "next_year", "today:2024-01-01", "2024-01-01:today", "now", ""]
)
def test_there_are_no_other_names(text: str) -> None:
    with pytest.raises(ParseError):
        DateRange.parse(text, today=dt.date(2024, 1, 1))


def test_a_misspelt_name_is_corrected() -> None:
    with pytest.raises(ParseError) as caught:
        DateRange.parse("thisweek")

    assert caught.value.suggestion == "this_week"


@given(value=date_ranges())
def test_spans_are_whole_and_touch_the_range(value: DateRange) -> None:
    assume(value.start.year > 1970 and value.end.year < 2200)
    for spans in (value.weeks, value.months, value.years):
        if value.start > value.end:
            assert spans == ()
            continue
        assert spans[0].start <= value.start <= spans[0].end
        assert spans[-1].start <= value.end <= spans[-1].end
        for earlier, later in itertools.pairwise(spans):
            assert later.start - earlier.end == dt.timedelta(days=1)
    assert all((week.start.weekday(), week.end.weekday()) == (0, 6) for week in value.weeks)
    assert all((week.end - week.start).days == 6 for week in value.weeks)
    for month in value.months:
        assert month.start.day == (month.end + dt.timedelta(days=1)).day == 1
        assert month.start.month == month.end.month
    for year in value.years:
        assert str(year) == f"{year.start.year}-01-01:{year.start.year}-12-31"


@pytest.mark.parametrize("day", ["1970-01-01", "2200-12-31"])
def test_spans_at_the_ends_of_time_are_clipped(day: str) -> None:
    value = DateRange.parse(day)

    assert len(value.weeks) == len(value.months) == len(value.years) == 1


@given(value=date_ranges(), day=days)
def test_a_range_knows_its_days(value: DateRange, day: dt.date) -> None:
    assert (day in value) == (day in value.days)


def test_the_default_of_a_report_is_filled_in_when_it_is_read() -> None:
    today = dt.date(2024, 5, 15)

    read = Instruction.parse("get_usage_report p.w", today=today)

    assert str(read) == "get_usage_report p.w 2024-05-13:2024-05-19"
    assert (
        str(Instruction.parse("get_storage_report p.w", today=today))
        == "get_storage_report p.w 2024-05-15:2024-05-15"
    )


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("2024-01-01:2024-13-01", 11),
        (" 2024-01-01: 2024-x", 18),
        ("2024-01-01:2024-01-02:2024-01-03", 21),
        ("2024/01/01", 4),
    ],
)
def test_an_error_knows_the_place(text: str, position: int) -> None:
    with pytest.raises(ParseError) as caught:
        DateRange.parse(text)

    assert caught.value.position == position
