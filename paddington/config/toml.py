"""Reading TOML strictly, with errors for people. `toml_edit` writes it.

Errors name the file, the table and the key, and never repeat a value: the value next to a mistake may be a key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from ..errors import ConfigError
from ..text import quoted

Value = TypeVar("Value")

# TOML values have any of a dozen types; every one is checked where it is used.
Table = Mapping[str, Any]

MAX_ENTRIES = 100_000
"""Most tables in one array."""

_POSITION = re.compile(r"at (?:line (\d+), column (\d+)|end of document)")


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Read TOML text.

    Args:
        text: The text, already bounded in size.
        source: What errors call it, such as the path of the file.

    Raises:
        ConfigError: It is not TOML; the message names only the line.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply") from None
    except ValueError as exc:
        found = _POSITION.search(str(exc)[-200:])
        where = (
            f" (line {found[1]}, column {found[2]})"
            if found and found[1]
            else " (it ends too early)"
            if found
            else ""
        )
        raise ConfigError(f"{source} is not valid TOML{where}") from None


@attrs.frozen
class TableReader:
    """A TOML table being read. It knows where it is, so that errors can name the place.

    Attributes:
        values: The table.
        where: File and table, as errors show it.
    """

    values: Table = attrs.field(repr=False)
    where: str

    def has(self, key: str) -> bool:
        """Whether a key has a value; None does not count."""
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        """Return the string under a required key."""
        value: str = self._typed(key, str, "a string")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return the string under a key, or None if it is missing."""
        return self.text(key) if self.has(key) else None

    def integer(self, key: str, lowest: int, highest: int) -> int:
        """Return the whole number under a required key, within bounds."""
        value: int = self._typed(key, int, "a whole number")
        if not lowest <= value <= highest:
            raise self.error(key, f"must be from {lowest} to {highest}")
        return value

    def boolean(self, key: str) -> bool:
        """Return the boolean under a required key."""
        value: bool = self._typed(key, bool, "true or false")
        return value

    def table(self, key: str) -> TableReader:
        """Return the table under a required key."""
        values: Table = self._typed(key, dict, "a table")
        return TableReader(values, f"{self.where}, {quoted(key)}")

    def optional_table(self, key: str) -> TableReader | None:
        """Return the table under a key, or None if it is missing."""
        return self.table(key) if self.has(key) else None

    def tables(self, key: str, max_entries: int = MAX_ENTRIES) -> list[TableReader]:
        """Return the array of tables under a required key; it may be empty."""
        items: list[object] = self._typed(key, list, "an array of tables")
        if len(items) > max_entries:
            raise self.error(key, f"has more than {max_entries} entries")
        readers = []
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise self.error(key, f"must hold only tables; entry {index + 1} is not one")
            readers.append(TableReader(item, f"{self.where}, {quoted(key)} {index + 1}"))
        return readers

    def entries(self, key: str, read: Callable[[TableReader], Value]) -> tuple[Value, ...]:
        """Read each table of the array under a required key with a function."""
        values = []
        for entry in self.tables(key):
            try:
                values.append(read(entry))
            except ConfigError as exc:
                raise located(exc, entry.where) from None
        return tuple(values)

    def checked(self, key: str, check: Callable[[str], Value]) -> Value:
        """Return the string under a required key after a check, which may change it."""
        self.text(key)
        return self.convert(key, check)

    def convert(self, key: str, convert: Callable[[Any], Value]) -> Value:
        """Convert the value under a required key with a function."""
        if not self.has(key):
            raise self.error(key, "is missing")
        try:
            return convert(self.values[key])
        except ConfigError as exc:
            raise self.error(key, f"is wrong. {exc}") from None

    def error(self, key: str, problem: str) -> ConfigError:
        """Return an error about one key of this table."""
        return ConfigError(f"{self.where}: {quoted(key)} {problem}")

    def _typed(self, key: str, wanted: type, what: str) -> Any:  # Any: each caller asks for its own type
        if not self.has(key):
            raise self.error(key, "is missing")
        value = self.values[key]
        # bool is a subclass of int in Python, not in TOML.
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise self.error(key, f"must be {what}")
        return value


def located(error: ConfigError, where: str) -> ConfigError:
    """Return the error with the place in front, unless it is there already."""
    text = str(error)
    return error if text.startswith(where) else type(error)(f"{where}: {text}")
