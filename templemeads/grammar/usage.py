"""Computing time that was used, or may be used.

Protocol page *grammar*, section 7.
"""

from __future__ import annotations

import math
import re
from typing import Final, Self

import attrs

from ..errors import ParseError
from ..text import quoted
from .forms import U64, Record, member
from .text import slot_setter
from .whitespace import word_starts, words

MAX_USAGE_SECONDS: Final = 2**64 - 1
"""Maximum usage; larger sums are reduced to this."""

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
MONTH: Final = 2_628_000
YEAR: Final = 12 * MONTH

_UNITS: Final = {
    name: seconds
    for names, seconds in (
        ("s second seconds", 1),
        ("m minute minutes", MINUTE),
        ("h hour hours", HOUR),
        ("d day days", DAY),
    )
    for name in names.split()
}

_FOR_PEOPLE: Final = (
    (HOUR, MINUTE, "minute"),
    (DAY, HOUR, "hour"),
    (WEEK, DAY, "day"),
    (WEEK * 9 // 2, WEEK, "week"),
    (YEAR, MONTH, "month"),
)
"""The unit for people, by the number of seconds below which it applies."""

_NUMBER = re.compile(r"\+?([0-9]+)").fullmatch
_MAX_NUMBER_DIGITS: Final = 20
_EXPECTED = "a whole number of seconds; or one and a unit: seconds, minutes, hours, days"


@attrs.frozen(repr=False, order=True)
class Usage(Record):
    """An amount of computing time. Its text is the number of seconds; `describe` is for people.

    Attributes:
        seconds: From 0 to 2**64 - 1.
    """

    seconds: int = attrs.field(metadata=member(U64))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a whole number and an optional unit; further words are ignored.

        Raises:
            ParseError: The text does not begin with these, or the number exceeds 2**64 - 1.
        """
        if len(text) < _MAX_NUMBER_DIGITS and text.isascii() and text.isdigit():
            made = object.__new__(cls)
            _set_seconds(made, int(text))
            return made
        pieces = words(text)
        if not pieces:
            raise ParseError("The amount of time is missing", text=text, position=0, expected=_EXPECTED)
        match = _NUMBER(pieces[0])
        if match is None:
            message = f"{quoted(pieces[0])} is not a whole number"
            raise ParseError(message, text=text, position=word_starts(text)[0], expected=_EXPECTED)
        digits = match[1].lstrip("0") or "0"
        if len(digits) > _MAX_NUMBER_DIGITS or int(digits) > MAX_USAGE_SECONDS:
            message = "The number of an amount of time is below 2**64"
            raise ParseError(message, text=text, position=word_starts(text)[0], expected=_EXPECTED)
        factor = 1
        if len(pieces) > 1:
            unit = pieces[1]
            known = _UNITS.get(unit.lower()) if unit.isascii() else None
            if known is None:
                message = f"{quoted(unit)} is not a unit of time"
                raise ParseError(message, text=text, position=word_starts(text)[1], expected=_EXPECTED)
            factor = known
        return cls(min(int(digits) * factor, MAX_USAGE_SECONDS))

    @classmethod
    def of(cls, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> Self:
        """Make an amount; a negative sum becomes 0, and fractions of a second are cut off."""
        return cls(_clamped(days * DAY + hours * HOUR + minutes * MINUTE + seconds))

    @property
    def minutes(self) -> float:
        """The amount in minutes."""
        return float(self.seconds) / MINUTE

    @property
    def hours(self) -> float:
        """The amount in hours."""
        return float(self.seconds) / HOUR

    @property
    def days(self) -> float:
        """The amount in days."""
        return float(self.seconds) / DAY

    def describe(self) -> str:
        """Return the text for people, in a suitable unit: `1.500 hours`."""
        if self.seconds < MINUTE:
            return f"{self.seconds} second{'' if self.seconds == 1 else 's'}"
        divisor, unit = next(
            ((divisor, unit) for below, divisor, unit in _FOR_PEOPLE if self.seconds < below), (YEAR, "year")
        )
        amount = float(self.seconds) / divisor  # rounded twice, as existing agents do
        return f"{amount:.3f} {unit}{'' if abs(amount - 1) < 0.0005 else 's'}"

    def describe_hours(self) -> str:
        """Return the text for people in hours."""
        return f"{self.hours:.3f} hours"

    def __add__(self, other: object) -> Usage:
        """Add, up to 2**64 - 1 seconds."""
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(min(self.seconds + other.seconds, MAX_USAGE_SECONDS))

    def __sub__(self, other: object) -> Usage:
        """Subtract, down to 0."""
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(max(self.seconds - other.seconds, 0))

    def __mul__(self, factor: object) -> Usage:
        """Multiply as floats; the fraction of a second is cut off."""
        if not isinstance(factor, int | float):
            return NotImplemented
        return Usage(_clamped(self.seconds * float(factor)))

    __rmul__ = __mul__

    def __truediv__(self, divisor: object) -> Usage:
        """Divide; the fraction of a second is cut off, and dividing by 0 returns 0."""
        if not isinstance(divisor, int | float):
            return NotImplemented
        return Usage(_clamped(self.seconds / divisor) if divisor else 0)

    def __str__(self) -> str:
        """The canonical text: the number of seconds."""
        return str(self.seconds)

    def __repr__(self) -> str:
        """Name the number of seconds."""
        return f"Usage({self.seconds})"


# Short numbers are within the limits that the constructor checks, so the slot is filled directly.
_set_seconds = slot_setter(Usage, "seconds")


def _clamped(seconds: float) -> int:
    if math.isnan(seconds) or seconds <= 0:
        return 0
    return MAX_USAGE_SECONDS if seconds >= MAX_USAGE_SECONDS else int(seconds)
