"""How much of a resource an award grants: `1000 NHR`.

Protocol page *grammar*, section 8.1.
"""

from __future__ import annotations

import decimal
import math
import re
from typing import TYPE_CHECKING, Final, Self

import attrs

from ..errors import ParseError
from ..text import quoted
from .text import TextValue
from .usage import Usage
from .whitespace import indent, refuse_surrogates, trim, word_starts, words

if TYPE_CHECKING:
    from .node import Node

_CANONICAL: Final = {
    name: unit
    for unit, resource in (
        ("NHR", "node"),
        ("GPUHR", "gpu"),
        ("CPUHR", "cpu"),
        ("COREHR", "core"),
        ("GBHR", "gb"),
        ("BHR", "billing"),
    )
    for name in (unit.lower(), f"{resource} hour", f"{resource} hours")
}

UNITS: Final = tuple(dict.fromkeys(_CANONICAL.values()))
"""The units with a meaning of their own, in the order of the page."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_EXPECTED = "a number and a unit, such as 1000 NHR; or: No allocation"


@attrs.frozen(repr=False)
class Allocation(TextValue):
    """A size and a unit, or nothing.

    Attributes:
        size: Zero or more, or None if nothing is allocated.
        units: One of `UNITS`, or any other words in lower case; None if nothing is allocated.
    """

    size: float | None = None
    units: str | None = None

    def __attrs_post_init__(self) -> None:
        """Check the parts and put the unit into its canonical form."""
        if (self.size is None) != (self.units is None):
            raise TypeError("An allocation has both a size and units, or neither")
        if self.size is None or self.units is None:
            return
        object.__setattr__(self, "size", float(self.size))
        if not math.isfinite(self.size) or self.size < 0:
            message = f"The size of an allocation is a finite number, zero or more, not {self.size}"
            raise ParseError(message, expected=_EXPECTED)
        units = " ".join(words(self.units)).lower()
        if not units:
            raise ParseError("The unit of the allocation is missing", expected=_EXPECTED)
        refuse_surrogates(units)
        object.__setattr__(self, "units", _CANONICAL.get(units, units))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a number and a unit, or `none`, or `no allocation`.

        Raises:
            ParseError: The text is neither.
        """
        inner = trim(text)
        if inner.lower() in {"none", "no allocation"}:
            return cls()
        number, *units = words(inner) or [""]
        start = indent(text) if inner else 0
        if not _NUMBER(number):
            message = f"{quoted(number)} is not a number" if number else "The allocation is empty"
            raise ParseError(message, text=text, position=start, expected=_EXPECTED)
        if not units:
            message = "The unit of the allocation is missing"
            raise ParseError(message, text=text, position=len(text), expected=_EXPECTED)
        try:
            return cls(float(number), " ".join(units))
        except ParseError as error:
            where = start if error.position is None else word_starts(text)[1]
            raise ParseError(error.message, text=text, position=where, expected=_EXPECTED) from None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is allocated."""
        return self.size is None

    def node_time(self, node: Node) -> Usage:
        """Return the time of a whole node that the allocation is worth, in whole seconds.

        Args:
            node: What a node has.

        Raises:
            ParseError: Nothing is allocated, or the unit is not one of `UNITS`, or a node has none of that
            resource.
        """
        if self.size is None or self.units not in UNITS:
            raise ParseError(f"{quoted(str(self))} cannot be counted in hours", expected=", ".join(UNITS))
        # CPU hours are divided by cores too: existing agents do so, and amounts must agree.
        divisor = node.cores if self.units == "CPUHR" else _per_hour(node)[self.units]
        if not divisor:
            raise ParseError(f"{quoted(str(self))} cannot be counted in hours: a node has none of that")
        return Usage.of(hours=self.size / divisor)

    def time(self, units: str, node: Node) -> Usage:
        """Return the time of one resource that the allocation is worth, in whole seconds.

        Args:
            units: One of `UNITS`; it names the resource.
            node: What a node has.

        Raises:
            ParseError: As for `node_time`, or the other unit is not one of `UNITS`.
        """
        return self.node_time(node) * _resource(units, node)

    @classmethod
    def of_time(cls, time: Usage, units: str, node: Node) -> Self:
        """Make an allocation from the time of one resource: node hours, or billing hours for billing hours.

        Args:
            time: How much.
            units: One of `UNITS`; it names the resource.
            node: What a node has.

        Raises:
            ParseError: The unit is not one of `UNITS`, or a node has none of that resource.
        """
        divisor = _resource(units, node)
        if not divisor:
            raise ParseError(f"Hours of {units} cannot be counted: a node has none of that")
        return cls(time.hours / divisor, "BHR" if units == "BHR" else "NHR")

    def __str__(self) -> str:
        """The canonical text; the shortest number, never with an exponent."""
        if self.size is None:
            return "No allocation"
        return f"{_plain(self.size)} {self.units}"


def _per_hour(node: Node) -> dict[str, float]:
    """Return how much of each resource an hour of a whole node is."""
    return {
        "NHR": 1,
        "CPUHR": node.cpus,
        "COREHR": node.cores,
        "GPUHR": node.gpus,
        "GBHR": node.memory_gb,
        "BHR": node.billing,
    }


def _resource(units: str, node: Node) -> float:
    if units not in UNITS:
        raise ParseError(f"{quoted(units)} cannot be counted in hours", expected=", ".join(UNITS))
    return _per_hour(node)[units]


def _plain(number: float) -> str:
    shortest = decimal.Decimal(repr(number))
    # When two shortest strings are equally near, Python picks the even one and existing agents the greater.
    *digits, last = decimal.Decimal(number).as_tuple().digits
    if last == 5 and tuple(digits) == shortest.as_tuple().digits:
        greater = shortest + decimal.Decimal((0, (1,), int(shortest.as_tuple().exponent)))
        if float(greater) == number:
            shortest = greater
    return format(shortest, "f").removesuffix(".0")
