"""Timestamps of JSON objects: RFC 3339 in UTC, to the nanosecond.

`datetime` would lose the last three digits that existing agents write, ends at the year 9999, and cannot
represent a leap second; so this module does its own arithmetic on the proleptic Gregorian calendar.

Source: the protocol page *grammar*, section 5.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Self

import attrs

from ..errors import ParseError
from ..text import quoted
from .text import TextValue
from .whitespace import WS, trim

EARLIEST_SECOND = -8_334_601_228_800
"""Seconds since 1970: the first of the year -262143, the earliest time that existing agents support."""

LATEST_SECOND = 8_210_266_876_799
"""Seconds since 1970: the last of the year 262142, the latest time that existing agents support."""

NANOSECONDS = 1_000_000_000
"""In a second."""

_EXPECTED = "a moment such as 2024-01-15T10:30:00Z, with seconds and an offset from UTC"
_MAX_YEAR_DIGITS = 6
_DAY = 86_400
_DAYS_IN_400_YEARS = 146_097
_EPOCH = 719_468  # days from 1 March of the year 0 to 1 January 1970

_BLANKS = f"[{WS}]*"  # blanks inside a class count even in a verbose pattern
# `re` compiles and caches this on first use: compiling takes longer than importing this module.
_MOMENT = rf"""
    (?P<year> [0-9]{{1,4}} | [+-][0-9]+ )   {_BLANKS} -
    {_BLANKS} (?P<month> [0-9]{{1,2}} )     {_BLANKS} -
    {_BLANKS} (?P<day> [0-9]{{1,2}} )
    [Tt\x20]
    {_BLANKS} (?P<hour> [0-9]{{1,2}} )      {_BLANKS} :
    {_BLANKS} (?P<minute> [0-9]{{1,2}} )    {_BLANKS} :
    {_BLANKS} (?P<second> [0-9]{{1,2}} )    (?: \. (?P<fraction> [0-9]+ ) )?
    {_BLANKS} (?: [Zz] | [Uu][Tt][Cc]
                | (?P<sign> [+\-\u2212] ) (?P<hours> [0-9]{{2}} ) [:{WS}]* (?P<minutes> [0-9]{{2}} ) )
    """


def days_from_civil(year: int, month: int, day: int) -> int:
    """Count the days from 1 January 1970 to a day of the proleptic Gregorian calendar.

    Years are counted from March, so that the leap day is the last of its year.
    """
    year -= month < 3
    day_of_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - _EPOCH


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Return the year, month and day of the date `days` after 1 January 1970."""
    era, day = divmod(days + _EPOCH, _DAYS_IN_400_YEARS)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= year * 365 + year // 4 - year // 100
    march_month = (5 * day + 2) // 153
    month = (march_month + 2) % 12 + 1
    return era * 400 + year + (month < 3), month, day - (153 * march_month + 2) // 5 + 1


@attrs.frozen(order=True, repr=False)
class Timestamp(TextValue):
    """A point in time.

    Attributes:
        seconds: Whole seconds since 1970-01-01T00:00:00Z, from the year -262143 to 262142.
        nanoseconds: Within the second. In the last second of a minute they may reach 1,999,999,999: values from
            1,000,000,000 are in the leap second that follows.
    """

    seconds: int
    nanoseconds: int = 0

    def __attrs_post_init__(self) -> None:
        for part in (self.seconds, self.nanoseconds):
            if type(part) is not int:
                raise TypeError(f"a Timestamp counts in int, not in {type(part).__name__}")
        if not EARLIEST_SECOND <= self.seconds <= LATEST_SECOND:
            raise ParseError(f"{self.seconds} seconds since 1970 is outside of the years -262143 to 262142")
        last_of_minute = self.seconds % 60 == 59
        if not 0 <= self.nanoseconds < (2 * NANOSECONDS if last_of_minute else NANOSECONDS):
            raise ParseError(f"{self.nanoseconds} nanoseconds are not within one second")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read RFC 3339 with any offset, as leniently as existing agents.

        Raises:
            ParseError: The text is not a timestamp, or outside the years -262143 to 262142.
        """
        trimmed = trim(text)
        found = re.fullmatch(_MOMENT, trimmed, re.VERBOSE)
        if found is None:
            raise cls._refused(text, f"Expected {_EXPECTED}, found {quoted(text)}")
        year_digits = found["year"].lstrip("+-").lstrip("0") or "0"
        if len(year_digits) > _MAX_YEAR_DIGITS:
            raise cls._refused(text, f"The year of {quoted(text)} is outside of -262143 to 262142")
        year = -int(year_digits) if found["year"].startswith("-") else int(year_digits)
        month, day = int(found["month"]), int(found["day"])
        hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
        days = days_from_civil(year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None
        if days is None or civil_from_days(days) != (year, month, day):
            raise cls._refused(text, f"There is no such day as the one in {quoted(text)}")
        if hour > 23 or minute > 59 or second > 60:
            raise cls._refused(text, f"There is no such time of day as the one in {quoted(text)}")
        offset = 0
        if found["sign"] is not None:
            hours, minutes = int(found["hours"]), int(found["minutes"])
            if hours > 23 or minutes > 59:
                raise cls._refused(text, f"The offset of {quoted(text)} is beyond 23:59")
            offset = (hours * 60 + minutes) * (60 if found["sign"] == "+" else -60)
        leap = second == 60
        nanoseconds = int((found["fraction"] or "")[:9].ljust(9, "0")) + leap * NANOSECONDS
        return cls(days * _DAY + hour * 3600 + minute * 60 + second - leap - offset, nanoseconds)

    @classmethod
    def from_datetime(cls, moment: dt.datetime) -> Self:
        """Make a timestamp from an aware `datetime`.

        Raises:
            TypeError: It has no time zone.
        """
        if moment.utcoffset() is None:
            raise TypeError(f"a Timestamp needs an aware datetime; {moment!r} has no time zone")
        since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return cls(since.days * _DAY + since.seconds, since.microseconds * 1000)

    def to_datetime(self) -> dt.datetime:
        """Return an aware `datetime` in UTC, cut to microseconds; a leap second becomes the last
        microsecond before it.

        Raises:
            OverflowError: The year is not between 1 and 9999.
        """
        microseconds = min(self.nanoseconds, NANOSECONDS - 1) // 1000
        since = dt.timedelta(seconds=self.seconds, microseconds=microseconds)
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + since

    @property
    def civil_day(self) -> tuple[int, int, int]:
        """Year, month and day in UTC."""
        return civil_from_days(self.seconds // _DAY)

    def __str__(self) -> str:
        year, month, day = self.civil_day
        second_of_day = self.seconds % _DAY
        leap, nanoseconds = divmod(self.nanoseconds, NANOSECONDS)
        shown = f"{year:04}" if 0 <= year <= 9999 else f"{year:+05}"
        time = f"{second_of_day // 3600:02}:{second_of_day // 60 % 60:02}:{second_of_day % 60 + leap:02}"
        return f"{shown}-{month:02}-{day:02}T{time}{_fraction(nanoseconds)}Z"

    @staticmethod
    def _refused(text: str, message: str) -> ParseError:
        return ParseError(message, text=text, expected=_EXPECTED)


def _fraction(nanoseconds: int) -> str:
    if nanoseconds == 0:
        return ""
    if nanoseconds % 1_000_000 == 0:
        return f".{nanoseconds // 1_000_000:03}"
    return f".{nanoseconds // 1000:06}" if nanoseconds % 1000 == 0 else f".{nanoseconds:09}"
