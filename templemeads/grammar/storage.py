"""Storage: sizes, limits, quotas and volumes.

Protocol page *grammar*, section 6. The text of a size has two decimals, and the text is what is sent: the size
that the receiver reads may be up to half a percent off. Compare quotas by bytes only within one agent.
"""

from __future__ import annotations

import re
from typing import Final, Self

import attrs

from ..errors import ParseError
from ..text import quoted
from .forms import Record, member, value_of
from .text import TextValue, json_text, require_text
from .whitespace import indent, refuse_surrogates, squeeze, trim, unsqueezed, word_starts, words

MAX_SIZE_BYTES: Final = 2**64 - 1
"""Maximum size; larger ones are reduced to this when parsed."""

UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")
"""The units, each 1024 times the one before."""

_FACTORS: Final[dict[str, int]] = {
    name: 1 << 10 * power
    for power, names in enumerate(
        ("B BYTES", "KB KILOBYTES", "MB MEGABYTES", "GB GIGABYTES", "TB TERABYTES", "PB PETABYTES")
    )
    for name in names.split()
}

_DIGITS = re.compile("[0-9.]+")
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+").fullmatch
_EXPECTED = f"a number and one of {', '.join(UNITS)}"


def _size(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"A size is an int, in bytes, not {type(value).__name__}")
    if not 0 <= value <= MAX_SIZE_BYTES:
        raise ParseError("A size is from 0 to 2**64 - 1 bytes", expected=_EXPECTED)
    return value


@attrs.frozen(repr=False, order=True)
class StorageSize(TextValue):
    """A number of bytes: `10.00 GB`. Its text is rounded, see this module's docstring.

    Attributes:
        bytes: From 0 to 2**64 - 1.
    """

    bytes: int = attrs.field(converter=_size)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a decimal number and a unit, which is a power of 1024.

        All digits and dots, wherever they are, make up the number; everything else is the unit.

        Raises:
            ParseError: The number or the unit is missing, or the unit is unknown.
        """
        upper = text.upper()
        number = "".join(_DIGITS.findall(upper))
        if not _NUMBER(number):
            message = f"{quoted(number)} is not a number" if number else "A size begins with a number"
            raise ParseError(message, text=text, position=_start(text), expected=_EXPECTED)
        unit = trim(_DIGITS.sub("", upper))
        if unit not in _FACTORS:
            message = f"{quoted(unit)} is not a unit of size" if unit else "The unit of the size is missing"
            raise ParseError(message, text=text, position=_unit_start(text), expected=_EXPECTED)
        value = float(number) * _FACTORS[unit]
        return cls(MAX_SIZE_BYTES if value >= MAX_SIZE_BYTES else int(value))

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a string, or a whole number of bytes.

        Raises:
            ParseError: It is neither.
        """
        if type(value) is int:
            if 0 <= value <= MAX_SIZE_BYTES:
                return cls(value)
            raise ParseError("A size in bytes is a whole number from 0 to 2**64 - 1", expected=_EXPECTED)
        return cls.parse(json_text(value, cls.__name__))

    @classmethod
    def of(cls, number: float, unit: str) -> Self:
        """Make a size from a number of kilobytes, gigabytes, …

        Args:
            number: Zero or more; a fraction of a byte is cut off.
            unit: One of `UNITS`.

        Raises:
            ParseError: The unit is unknown, or the number is negative or not a number.
        """
        if unit not in UNITS:
            raise ParseError(f"{quoted(unit)} is not a unit of size", expected=", ".join(UNITS))
        if not number >= 0:
            raise ParseError("A size is never negative", expected=_EXPECTED)
        value = number * _FACTORS[unit]
        return cls(MAX_SIZE_BYTES if value >= MAX_SIZE_BYTES else int(value))

    def to(self, unit: str) -> float:
        """Return the size in a unit, one of `UNITS`."""
        return self.bytes / _FACTORS[unit]

    def __str__(self) -> str:
        """The canonical text; two decimals, or whole bytes below 1024."""
        if self.bytes <= 1024:
            return f"{self.bytes} B"
        for unit in UNITS[1:-1]:
            if self.bytes <= 1024 * _FACTORS[unit]:
                break
        else:
            unit = UNITS[-1]
        return f"{self.to(unit):.2f} {unit}"


StorageUsage = StorageSize
"""How much is stored: a StorageSize under the protocol's name for usage."""


def _start(text: str) -> int:
    return indent(text) if trim(text) else 0


def _unit_start(text: str) -> int:
    """Return the index of the unit: the first character after the first number that is not part of a number."""
    start = _start(text)
    match = re.compile("[^0-9.]").search(text, start)
    return match.start() + _start(text[match.start() :]) if match else len(text)


@attrs.frozen(repr=False, order=True)
class QuotaLimit(TextValue):
    """A storage limit: a size, or `unlimited`, which is larger than any size.

    Attributes:
        size: The size, or None if unlimited.
    """

    size: StorageSize | None = attrs.field(
        default=None, order=lambda size: float("inf") if size is None else size.bytes
    )

    def __attrs_post_init__(self) -> None:
        """Check the type."""
        if self.size is not None and not isinstance(self.size, StorageSize):
            raise TypeError(f"The size of a limit is a StorageSize, not {type(self.size).__name__}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `unlimited` or a size; white space in it is ignored.

        Raises:
            ParseError: The text is neither.
        """
        inner = trim(text)
        if inner.isascii() and inner.lower() == "unlimited":
            return cls()
        try:
            return cls(StorageSize.parse(squeeze(inner)))
        except ParseError as error:
            raise ParseError(
                error.message,
                text=text,
                position=unsqueezed(text, error.position or 0),
                expected=f"{_EXPECTED}, or unlimited",
                misspelt=inner.lower(),
                known=("unlimited",),
            ) from None

    @property
    def is_unlimited(self) -> bool:
        """Whether there is no limit."""
        return self.size is None

    def __str__(self) -> str:
        """The canonical text."""
        return "unlimited" if self.size is None else str(self.size)


@attrs.frozen(repr=False)
class Quota(Record):
    """A limit and, optionally, the usage.

    The text is for people: it cannot be parsed if it includes the usage. JSON can.

    Attributes:
        limit: The limit.
        usage: How much is stored, or None if unknown.
    """

    limit: QuotaLimit = attrs.field(metadata=member(value_of(QuotaLimit)))
    usage: StorageSize | None = attrs.field(
        default=None, metadata=member(value_of(StorageSize), always=False)
    )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `unlimited`, a size, or a limit and a usage as in `10 GB used 5 GB`.

        Raises:
            ParseError: The text is none of these.
        """
        pieces = words(text)
        used = next(
            (index for index, word in enumerate(pieces) if word.isascii() and word.lower() == "used"), None
        )
        if used is None:
            return cls(QuotaLimit.parse(text))
        sizes = []
        starts = [*word_starts(text), len(text)]
        for first, last in ((0, used), (used + 1, len(pieces))):
            start, end = starts[first], starts[last]
            try:
                sizes.append(StorageSize.parse("".join(pieces[first:last])))
            except ParseError as error:
                position = start + unsqueezed(text[start:end], error.position or 0)
                expected = "<size> used <size>"
                raise ParseError(error.message, text=text, position=position, expected=expected) from None
        limit, usage = sizes
        return cls(QuotaLimit(limit), usage)

    @property
    def is_over(self) -> bool:
        """Whether more is used than the limit allows."""
        return self.usage is not None and self.limit.size is not None and self.usage > self.limit.size

    @property
    def percentage(self) -> float | None:
        """How much of the limit is used, in percent; None if unknown or undefined."""
        if self.usage is None or self.limit.size is None or not self.limit.size.bytes:
            return None
        return self.usage.bytes / self.limit.size.bytes * 100

    def __str__(self) -> str:
        """The text for people."""
        if self.usage is None:
            return str(self.limit)
        percentage = self.percentage
        share = "" if percentage is None else f" | {percentage:.1f}%"
        return f"{self.usage} / {self.limit}{share}"

    def __repr__(self) -> str:
        """Name the parts."""
        usage = "" if self.usage is None else f", {self.usage!r}"
        return f"Quota({self.limit!r}{usage})"


@attrs.frozen(repr=False, order=True)
class Volume(TextValue):
    """The name of a place for files: `home`, `scratch`.

    It may contain anything but spaces, including slashes and `..`: check it before you build a path from it.

    Attributes:
        name: The name.
    """

    name: str

    def __attrs_post_init__(self) -> None:
        """Check the name, also of a value that was not parsed."""
        if trim(require_text(self.name, "The name of a volume")) != self.name:
            raise ParseError("The name of a volume has no white space around it", text=self.name, position=0)
        _check_volume(self.name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name; white space around it is trimmed.

        Raises:
            ParseError: It is empty or contains a space.
        """
        name = trim(text)
        try:
            return cls(name)
        except ParseError as error:
            raise error.inside(text, _start(text)) from None

    def __str__(self) -> str:
        """The canonical text."""
        return self.name


def _check_volume(name: str) -> None:
    if not name:
        raise ParseError(
            "The name of a volume is empty", text=name, position=0, expected="a name without spaces"
        )
    if " " in name:
        raise ParseError(
            "The name of a volume holds no space",
            text=name,
            position=name.index(" "),
            expected="a name without spaces",
        )
    refuse_surrogates(name)
