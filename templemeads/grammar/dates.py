"""Days, and ranges of days.

Protocol page *grammar*, section 5. A `Date` is a `datetime.date` within the years the protocol
allows, so it compares and calculates like one. Names such as `this_week` are resolved when they are read;
only dates are sent.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final, Self, SupportsIndex

import attrs

from ..errors import ParseError
from ..text import quoted
from .text import TextValue
from .whitespace import WS, indent, trim

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2200
"""First and last year allowed in a date."""

MAX_RANGE_DAYS: Final = 1830
"""Maximum distance between the ends of a range, about five years."""

_DATE = re.compile(rf"([+-]?)([0-9]+)-[{WS}]*([0-9]{{1,2}})-[{WS}]*([0-9]{{1,2}})").fullmatch
_EXPECTED = f"YYYY-MM-DD, from {FIRST_YEAR} to {LAST_YEAR}"


class Date(dt.date, TextValue):
    """A day: `2024-01-31`.

    Raises:
        ParseError: There is no such day, or its year is not within 1970 to 2200.
    """

    __slots__ = ()
    __match_args__ = ("year", "month", "day")

    def __new__(cls, year: SupportsIndex, month: SupportsIndex, day: SupportsIndex) -> Self:
        """Make a date from numbers."""
        if not FIRST_YEAR <= year.__index__() <= LAST_YEAR:
            raise ParseError(f"The year must be from {FIRST_YEAR} to {LAST_YEAR}", expected=_EXPECTED)
        try:
            return super().__new__(cls, year, month, day)
        except ValueError:
            raise ParseError("There is no such day", expected=_EXPECTED) from None

    def __reduce__(self) -> tuple[type[Self], tuple[int, int, int]]:
        """Copy and pickle through the constructor."""
        return type(self), (self.year, self.month, self.day)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read year, month and day; white space is allowed before each number.

        Raises:
            ParseError: The text is not a date, or there is no such day, or not in the years that are allowed.
        """
        match = _DATE(trim(text))
        if match is None:
            raise ParseError(
                "A date is written as YYYY-MM-DD",
                text=text,
                position=_where_no_date(text),
                expected=_EXPECTED,
            )
        sign, year, month, day = match.groups()
        start = indent(text)
        digits = year.lstrip("0")
        if not sign and len(year) > 4:
            message = "The year of a date has at most four digits"
            raise ParseError(message, text=text, position=start, expected=_EXPECTED)
        if sign == "-" or len(digits) > 4:
            message = f"The year must be from {FIRST_YEAR} to {LAST_YEAR}"
            raise ParseError(message, text=text, position=start, expected=_EXPECTED)
        try:
            return cls(int(digits or "0"), int(month), int(day))
        except ParseError as error:
            raise error.inside(text, start) from None

    @classmethod
    def of(cls, day: dt.date) -> Self:
        """Make a date from a `datetime.date`; a `datetime` is cut to its day, in its own time zone.

        Raises:
            ParseError: The year is not within the years that are allowed.
        """
        return day if type(day) is cls else cls(day.year, day.month, day.day)

    __str__ = dt.date.isoformat
    __repr__ = TextValue.__repr__


_DATE_SO_FAR = re.compile(rf"[+-]?[0-9]*(?:-[{WS}]*[0-9]{{0,2}}){{0,2}}")


def _where_no_date(text: str) -> int:
    start = indent(text)
    match = _DATE_SO_FAR.match(text, start)
    return match.end() if match else start


def _as_date(day: dt.date) -> Date:
    return Date.of(day)


@attrs.frozen(repr=False, order=True)
class DateRange(TextValue):
    """A range of days, both ends included: `2024-01-01:2024-01-31`.

    The constructor swaps dates in the wrong order. A string whose end is before its start is accepted
    unchanged; such a range has no days.

    Attributes:
        start: The first day.
        end: The last day.

    Raises:
        ParseError: The ends are more than 1830 days apart.
    """

    start: Date = attrs.field(converter=_as_date)
    end: Date = attrs.field(converter=_as_date)

    def __attrs_post_init__(self) -> None:
        """Put the ends in order and check the distance between them."""
        if self.start > self.end:
            start, end = self.start, self.end
            object.__setattr__(self, "start", end)
            object.__setattr__(self, "end", start)
        _check_length(self.start, self.end)

    @classmethod
    def parse(cls, text: str, *, today: dt.date | None = None) -> Self:
        """Read a date, two dates separated by `:`, or a name such as `last_month`.

        Args:
            text: What to read; case does not matter.
            today: The day that names count from; today in the local calendar if not given.

        Raises:
            ParseError: The text is none of these, or the dates are more than 1830 days apart.
        """
        whole = trim(text).lower()
        if whole in _NAMED:
            return cls.named(whole, today)
        start = indent(text)
        pieces = whole.split(":", 2)
        if len(pieces) > 2:
            position = start + len(pieces[0]) + len(pieces[1]) + 1
            raise ParseError("A range has two ends", text=text, position=position, expected=_RANGE_EXPECTED)
        dates = []
        for piece in pieces:
            try:
                dates.append(Date.parse(piece))
            except ParseError as error:
                raise _refuse_end(error, whole, piece, text, start) from None
            start += len(piece) + 1
        try:
            _check_length(dates[0], dates[-1])
        except ParseError as error:
            raise error.inside(text, indent(text)) from None
        made = object.__new__(cls)
        object.__setattr__(made, "start", dates[0])
        object.__setattr__(made, "end", dates[-1])
        return made

    @classmethod
    def named(cls, name: str, today: dt.date | None = None) -> Self:
        """Return the range that a name means.

        Args:
            name: `yesterday`, `today`, `this_day`, `tomorrow`, or `this_` or `last_` with
                `week`, `month` or `year`.
            today: The day that names count from; today in the local calendar if not given.

        Raises:
            ParseError: There is no such name.
        """
        if name not in _NAMED:
            raise ParseError(
                f"No days are called {quoted(name)}", text=name, position=0, misspelt=name, known=_NAMED
            )
        # The protocol page means the local calendar of the reader.
        start, end = _NAMED[name](_unbounded(today or dt.date.today()))  # noqa: DTZ011
        return cls(Date.of(start), Date.of(end))

    @property
    def days(self) -> tuple[Date, ...]:
        """Each day, in order; empty if the end is before the start."""
        first = self.start.toordinal()
        return tuple(Date.fromordinal(first + index) for index in range((self.end - self.start).days + 1))

    @property
    def weeks(self) -> tuple[DateRange, ...]:
        """Each calendar week, Monday to Sunday, that holds one of the days; whole, not clipped."""
        return self._spans(_week)

    @property
    def months(self) -> tuple[DateRange, ...]:
        """Each calendar month that holds one of the days; whole, not clipped."""
        return self._spans(_month)

    @property
    def years(self) -> tuple[DateRange, ...]:
        """Each calendar year that holds one of the days; whole, not clipped."""
        return self._spans(_year)

    def _spans(self, span: Callable[[dt.date], Ends]) -> tuple[DateRange, ...]:
        found = []
        day = _unbounded(self.start)  # the next span may begin after the last day that a Date can be
        while day <= self.end:
            first, last = span(day)
            found.append(DateRange(max(first, _FIRST_DAY), min(last, _LAST_DAY)))
            day = last + _DAY
        return tuple(found)

    def __contains__(self, day: object) -> bool:
        """Whether a day is one of these."""
        return isinstance(day, dt.date) and self.start <= day <= self.end

    def __str__(self) -> str:
        """The canonical text: always two dates."""
        return f"{self.start}:{self.end}"


Ends = tuple[dt.date, dt.date]

_DAY = dt.timedelta(days=1)
_WEEK = dt.timedelta(days=7)
_FIRST_DAY = dt.date(FIRST_YEAR, 1, 1)
_LAST_DAY = dt.date(LAST_YEAR, 12, 31)


def _unbounded(day: dt.date) -> dt.date:
    return dt.date(day.year, day.month, day.day)


def _week(day: dt.date) -> Ends:
    monday = day - dt.timedelta(days=day.weekday())
    return monday, monday + _WEEK - _DAY


def _month(day: dt.date) -> Ends:
    first = day.replace(day=1)
    return first, (first + dt.timedelta(days=31)).replace(day=1) - _DAY


def _year(day: dt.date) -> Ends:
    return day.replace(month=1, day=1), day.replace(month=12, day=31)


_NAMED: Final[dict[str, Callable[[dt.date], Ends]]] = {
    "yesterday": lambda today: (today - _DAY, today - _DAY),
    "today": lambda today: (today, today),
    "this_day": lambda today: (today, today),
    "tomorrow": lambda today: (today + _DAY, today + _DAY),
    "this_week": _week,
    "last_week": lambda today: _week(today - _WEEK),
    "this_month": _month,
    "last_month": lambda today: _month(_month(today)[0] - _DAY),
    "this_year": _year,
    "last_year": lambda today: _year(_year(today)[0] - _DAY),
}

_RANGE_EXPECTED = f"a date, two dates separated by ':', or one of {', '.join(_NAMED)}"


def _check_length(start: Date, end: Date) -> None:
    distance = abs((end - start).days)
    if distance > MAX_RANGE_DAYS:
        raise ParseError(
            f"The ends of a range may be {MAX_RANGE_DAYS} days apart; these are {distance}",
            text=f"{start}:{end}",
            position=0,
            expected=f"at most {MAX_RANGE_DAYS} days",
        )


def _refuse_end(error: ParseError, whole: str, piece: str, text: str, offset: int) -> ParseError:
    """Decide whether a name or a date is misspelt, and return the error for it."""
    if any(character.isdigit() for character in piece[:10]):
        return error.inside(text, offset)
    if piece != whole and trim(piece) in _NAMED:
        message = f"{quoted(trim(piece))} is a range by itself and cannot be one end of another"
        return ParseError(message, text=text, position=offset, expected="a date")
    message = f"{quoted(trim(piece))} is neither a date nor the name of a range"
    return ParseError(
        message, text=text, position=offset, expected=_RANGE_EXPECTED, misspelt=whole, known=_NAMED
    )
