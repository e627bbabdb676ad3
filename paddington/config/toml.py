"""TOML at the edge: read strictly with errors for people, edited without losing what people wrote.

Reading goes through tomllib (quick, plain values). Editing goes through tomlkit, which keeps comments, order
and keys that are not ours. Errors name file, table and key, and never repeat a value: the value next to a
mistake may be a key.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from typing import Any, TypeGuard, TypeVar

import attrs
import tomlkit
import tomlkit.exceptions
import tomlkit.items
from tomlkit.items import AoT, Item

from ..errors import ConfigError
from ..text import quoted

Value = TypeVar("Value")

# TOML values have any of a dozen types; every one is checked where it is used.
Table = Mapping[str, Any]

_POSITION = re.compile(r"at (?:line (\d+), column (\d+)|end of document)")


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Read TOML text.

    Args:
        text: The text, already bounded in size.
        source: How errors call it, such as the path of the file.

    Raises:
        ConfigError: It is no TOML; the message names the line only.
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
    """A TOML table being read; it knows where it is, so that errors can say so.

    Attributes:
        values: The table.
        where: File and table, as errors show it.
    """

    values: Table = attrs.field(repr=False)
    where: str

    def has(self, key: str) -> bool:
        """Whether there is something under a key; None counts as nothing."""
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        """The text under a key that must be there."""
        value: str = self._typed(key, str, "a text")
        return value

    def optional_text(self, key: str) -> str | None:
        """The text under a key, or None where it is missing."""
        return self.text(key) if self.has(key) else None

    def integer(self, key: str, lowest: int, highest: int) -> int:
        """The whole number under a key that must be there, within bounds."""
        value: int = self._typed(key, int, "a whole number")
        if not lowest <= value <= highest:
            raise self.error(key, f"must be from {lowest} to {highest}")
        return value

    def boolean(self, key: str) -> bool:
        """The truth value under a key that must be there."""
        value: bool = self._typed(key, bool, "true or false")
        return value

    def table(self, key: str) -> "TableReader":
        """The table under a key that must be there."""
        values: Table = self._typed(key, dict, "a table")
        return TableReader(values, f"{self.where}, {quoted(key)}")

    def optional_table(self, key: str) -> "TableReader | None":
        """The table under a key, or None where it is missing."""
        return self.table(key) if self.has(key) else None

    def tables(self, key: str, most: int = 100_000) -> "list[TableReader]":
        """The array of tables under a key that must be there, perhaps empty."""
        items: list[object] = self._typed(key, list, "an array of tables")
        if len(items) > most:
            raise self.error(key, f"has more than {most} entries")
        readers = []
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise self.error(key, f"must hold tables only (entry {index + 1} is none)")
            readers.append(TableReader(item, f"{self.where}, {quoted(key)} {index + 1}"))
        return readers

    def entries(self, key: str, read: "Callable[[TableReader], Value]") -> tuple[Value, ...]:
        """What a reader of ours makes of each table in the array under a key that must be there."""
        values = []
        for entry in self.tables(key):
            try:
                values.append(read(entry))
            except ConfigError as exc:
                raise located(exc, entry.where) from None
        return tuple(values)

    def checked(self, key: str, check: Callable[[str], Value]) -> Value:
        """What a rule of ours makes of the text under a key that must be there."""
        self.text(key)
        return self.convert(key, check)

    def convert(self, key: str, convert: Callable[[Any], Value]) -> Value:
        """What a reader of ours makes of the value under a key that must be there."""
        if not self.has(key):
            raise self.error(key, "is missing")
        try:
            return convert(self.values[key])
        except ConfigError as exc:
            raise self.error(key, f"is wrong. {exc}") from None

    def error(self, key: str, problem: str) -> ConfigError:
        """An error about one key of this table."""
        return ConfigError(f"{self.where}: {quoted(key)} {problem}")

    def _typed(self, key: str, kind: type, what: str) -> Any:  # Any: each caller asks for its own kind
        if not self.has(key):
            raise self.error(key, "is missing")
        value = self.values[key]
        # bool is a kind of int to Python, not to TOML.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(key, f"must be {what}")
        return value


def located(error: ConfigError, where: str) -> ConfigError:
    """Give the error with the place in front, unless it has it already."""
    text = str(error)
    return error if text.startswith(where) else type(error)(f"{where}: {text}")


def format_toml(values: Table) -> str:
    """TOML text of plain values; what is None is left out."""
    document = tomlkit.document()
    for key, value in _ordered(values):
        document[key] = _item(value)
    return tomlkit.dumps(document)


def edit_toml(text: str, source: str) -> tomlkit.TOMLDocument:
    """Parse TOML text for `update`, keeping its comments and layout.

    Raises:
        ConfigError: It is no TOML.
    """
    parse_toml(text, source)  # bounds and errors as for reading
    try:
        return tomlkit.parse(text)
    except (RecursionError, tomlkit.exceptions.TOMLKitError):
        raise ConfigError(f"{source} cannot be edited in place. Move it away first") from None


def update(
    target: MutableMapping[str, Any],
    values: Table,
    *,
    identity: Sequence[str] = ("name", "zone"),
    whole: Collection[str] = (),
) -> None:
    """Bring a tomlkit table up to date and leave the rest of it alone.

    A value of None removes its key. A key that `values` does not name stays. A value that is equal already
    stays as it is written. Tables are updated in place; entries of an array of tables are recognised by
    `identity`.

    Args:
        target: A tomlkit document or table.
        values: Plain values.
        identity: Keys that together tell which entry of an array is which.
        whole: Keys of tables in which nothing stays that `values` does not name, at any depth.
    """
    for key, value in values.items():
        present = target.get(key)
        if value is None:
            target.pop(key, None)
        elif present is None:
            target[key] = _spaced(_item(value))
        elif _plain(present) == value and type(_plain(present)) is type(value):
            continue
        elif isinstance(value, Mapping) and isinstance(present, MutableMapping):
            for gone in [name for name in present if key in whole and name not in value]:
                del present[gone]
            update(present, value, identity=identity, whole=whole)
        elif _is_tables(value) and isinstance(present, AoT) and _keeps_order(present, value, identity):
            _merge(present, value, identity, whole)
        elif _is_tables(value) or isinstance(present, AoT | Mapping):
            # The one is a header of its own, the other belongs among the keys: not to be put in place.
            del target[key]
            target[key] = _spaced(_item(value))
        else:
            target[key] = _item(value)


def _identity(entry: Table, identity: Sequence[str]) -> tuple[object, ...]:
    return tuple(entry.get(name) for name in identity)


def _keeps_order(present: AoT, values: list[Table], identity: Sequence[str]) -> bool:
    """Whether what stays keeps its order and what is new comes last, so that the array can be merged in place."""
    old = [_identity(_plain(entry), identity) for entry in present]
    new = [_identity(value, identity) for value in values]
    stays = [each for each in old if each in new]
    return new[: len(stays)] == stays


def _merge(present: AoT, values: list[Table], identity: Sequence[str], whole: Collection[str]) -> None:
    wanted = {_identity(value, identity): value for value in values}
    for index in reversed(range(len(present))):
        entry = present[index]
        value = wanted.pop(_identity(_plain(entry), identity), None)
        if value is None:
            del present[index]
        else:
            update(entry, value, identity=identity, whole=whole)
    for value in wanted.values():
        present.append(_spaced(_item(value)))


def _spaced(item: Item) -> Item:
    """A blank line in front of a table that joins a file."""
    first = item[0] if isinstance(item, AoT) else item
    if isinstance(first, tomlkit.items.Table):
        first.trivia.indent = "\n"
    return item


def _item(value: object) -> Item:
    """A new tomlkit item: scalars of a table before its sub-tables, as the reference writes them."""
    if isinstance(value, Mapping):
        table = tomlkit.table()
        for key, each in _ordered(value):
            table[key] = _item(each)
        return table
    if _is_tables(value):
        array = tomlkit.aot()
        for each in value:
            array.append(_item(each))
        return array
    return tomlkit.item(value)


def _ordered(values: Table) -> list[tuple[str, Any]]:
    present = [(key, value) for key, value in values.items() if value is not None]
    return sorted(present, key=lambda entry: isinstance(entry[1], Mapping) or _is_tables(entry[1]))


def _is_tables(value: object) -> TypeGuard[list[Table]]:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _plain(item: Any) -> Any:  # Any: any TOML value
    return item.unwrap() if hasattr(item, "unwrap") else item
