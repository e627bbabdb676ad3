"""Writing TOML: new files, and edits of existing ones that keep comments, order and unknown keys.

tomlkit makes the edits, since it keeps the layout. It does not handle every layout that TOML allows: it can drop a
change, or write text that no parser accepts. So each edit is made twice, once in the layout and once in plain values,
and the text is used only if it reads back as those values. If it does not, other ways are tried: new tables in braces,
tables moved together, and, if there are no comments to lose, a fresh layout. If none does, the edit is refused.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, MutableMapping
from typing import Any, Final, TypeAlias, TypeGuard

import attrs
import tomlkit
import tomlkit.exceptions
import tomlkit.items
from tomlkit.items import AoT, Item

from ..errors import ConfigError
from .toml import Table, parse_toml

Identity: TypeAlias = Callable[[Table], Hashable]

_HEADER: Final = re.compile(r"[ \t]*\[{1,2}([^\[\]=#]+)\]{1,2}\s*(?:#.*)?$")


def peer_identity(entry: Table) -> Hashable:
    """Return what identifies an entry of an array of peers: its name and zone."""
    zone = entry.get("zone")
    return entry.get("name"), "default" if zone is None else zone


def format_toml(values: Table) -> str:
    """Format plain values as TOML; keys whose value is None are left out."""
    document = tomlkit.document()
    for key, value in _ordered(values):
        document[key] = _item(value)
    return tomlkit.dumps(document)


def edited_toml(
    text: str,
    values: Table,
    source: str,
    *,
    identity: Identity = peer_identity,
    whole: Collection[str] = (),
) -> str:
    """Change values in a TOML file, keeping its comments, order and other keys.

    A value of None removes its key. A key that `values` does not name stays. Tables are updated in place; entries of an
    array of tables are recognised by `identity`.

    Args:
        text: The file.
        values: The values to set.
        source: What errors call the file.
        identity: Returns what identifies an entry of an array of tables.
        whole: Keys of tables that are set exactly, at any depth: what `values` does not name there is removed.

    Returns:
        The new text, which has been parsed and compared with what was meant.

    Raises:
        ConfigError: The text is not TOML, or its layout does not allow the edit.
    """
    present = parse_toml(text, source)
    wanted = _merged(present, values, identity, whole)
    for edited in _attempts(text, present, wanted, values, identity, whole):
        if edited is not None and _reads_as(edited, wanted):
            return edited
    raise ConfigError(
        f"{source} has a layout that cannot be edited without losing something, so nothing was changed. Write its "
        "tables in the ordinary form, [service] with every [[service.clients]] and [[service.servers]] directly "
        "below it, and try again"
    )


def _attempts(
    text: str,
    present: Table,
    wanted: Table,
    values: Table,
    identity: Identity,
    whole: Collection[str],
) -> Iterator[str | None]:
    """Try the ways to edit a text, the one that changes the layout least first."""
    yield _edited_in_place(text, values, _Edit(identity, whole, inline=False))
    yield _edited_in_place(text, values, _Edit(identity, whole, inline=True))
    gathered = _gathered(text)
    if _reads_as(gathered, present):
        yield _edited_in_place(gathered, values, _Edit(identity, whole, inline=False))
    if "#" not in text:
        yield format_toml(wanted)


def _edited_in_place(text: str, values: Table, edit: _Edit) -> str | None:
    try:
        document = tomlkit.parse(text)
        edit.update(document, values)
        return tomlkit.dumps(document)
    except (
        RecursionError,
        tomlkit.exceptions.TOMLKitError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):
        # Layouts that tomlkit cannot edit fail in any of these ways; another attempt follows.
        return None


def _gathered(text: str) -> str:
    """Move the tables of a text together that lie apart, each with the comments above it.

    Headers are recognised by their look, so the result must be compared with the text.
    """
    blocks: list[tuple[tuple[str, ...], list[str]]] = [((), [])]
    above: list[str] = []
    for line in text.splitlines(keepends=True):
        header = _HEADER.match(line)
        if header is not None:
            blocks.append((tuple(header[1].replace(" ", "").split(".")), [*above, line]))
            above = []
        elif not line.strip() or line.lstrip().startswith("#"):
            above.append(line)
        else:
            blocks[-1][1].extend([*above, line])
            above = []
    blocks[-1][1].extend(above)
    if not "".join(blocks[-1][1]).endswith("\n"):
        blocks[-1][1].append("\n")
    first: dict[tuple[str, ...], int] = {}
    for index, (path, _) in enumerate(blocks):
        for length in (1, 2):
            first.setdefault(path[:length], index)
    # By first key, then its own header, then by second key, each in the order of first appearance.
    blocks.sort(key=lambda block: (first[block[0][:1]], len(block[0]) > 1, first[block[0][:2]]))
    return "".join("".join(lines) for _, lines in blocks)


def _reads_as(text: str, wanted: Table) -> bool:
    try:
        return _same(parse_toml(text, "the edited file"), wanted)
    except ConfigError:
        return False


def _same(left: Any, right: Any) -> bool:  # Any: TOML values
    """Compare with types (true is not 1), and with NaN equal to itself."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return type(left) is type(right) and (
        left == right or repr(left) == repr(right)
    )  # NaN is not equal to itself


# -- the edit in plain values ----------------------------------------------------------------------------------------


def _merged(present: Table, values: Table, identity: Identity, whole: Collection[str]) -> dict[str, Any]:
    result = dict(present)
    for key, value in values.items():
        old = present.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            base = old if isinstance(old, Mapping) else {}
            if key in whole:
                base = {name: each for name, each in base.items() if name in value}
            result[key] = _merged(base, value, identity, whole)
        elif _is_tables(value) and _is_tables(old):
            result[key] = _merged_entries(old, value, identity, whole)
        elif _is_tables(value):
            result[key] = [_merged({}, each, identity, whole) for each in value]
        else:
            result[key] = copy.deepcopy(value)
    return result


def _merged_entries(
    present: list[Table], values: list[Table], identity: Identity, whole: Collection[str]
) -> list[dict[str, Any]]:
    there = {identity(entry): entry for entry in present}
    return [_merged(there.get(identity(value), {}), value, identity, whole) for value in values]


def _keeps_order(present: list[Table], values: list[Table], identity: Identity) -> bool:
    """Whether the values are the entries that are there, in their order, some left out perhaps, and then new ones."""
    there = [identity(entry) for entry in present]
    wanted = [identity(value) for value in values]
    kept = [each for each in there if each in wanted]
    return wanted[: len(kept)] == kept and len(set(wanted)) == len(wanted)


# -- the edit in the layout ------------------------------------------------------------------------------------------


@attrs.frozen
class _Edit:
    """One way to edit a tomlkit document.

    Attributes:
        identity: Returns what identifies an entry of an array of tables.
        whole: Keys of tables that are set exactly.
        inline: Whether new tables are written among the keys, in braces, rather than below a header.
    """

    identity: Identity
    whole: Collection[str]
    inline: bool

    def update(self, target: MutableMapping[str, Any], values: Table) -> None:
        """Set values in a document or table."""
        for key, value in values.items():
            present = target.get(key)
            if value is None:
                target.pop(key, None)
            elif present is None:
                target[key] = self._item(value)
            elif _same(_plain(present), value):
                continue
            elif isinstance(value, Mapping) and isinstance(present, MutableMapping):
                for gone in [name for name in present if key in self.whole and name not in value]:
                    del present[gone]
                self.update(present, value)
            elif (
                _is_tables(value)
                and isinstance(present, AoT)
                and _keeps_order(_plain(present), value, self.identity)
            ):
                self._update_entries(present, value)
            elif _is_tables(value) and isinstance(present, AoT):
                entries = _merged_entries(_plain(present), value, self.identity, self.whole)
                del target[key]
                target[key] = self._item(entries)
            elif _is_tables(value) and _is_tables(_plain(present)):
                # An array of inline tables stays one.
                target[key] = _inline(_merged_entries(_plain(present), value, self.identity, self.whole))
            elif (_is_tables(value) and not self.inline) or isinstance(present, AoT | Mapping):
                # One has a header of its own and the other belongs among the keys: it cannot stay in its place.
                del target[key]
                target[key] = self._item(value)
            else:
                target[key] = self._item(value)

    def _update_entries(self, present: AoT, values: list[Table]) -> None:
        wanted = {self.identity(value): value for value in values}
        for index in reversed(range(len(present))):
            entry = present[index]
            value = wanted.pop(self.identity(_plain(entry)), None)
            if value is None:
                del present[index]
            else:
                self.update(entry, value)
        for value in wanted.values():
            present.append(_spaced(_item(value)))

    def _item(self, value: object) -> Item:
        return _inline(value) if self.inline else _spaced(_item(value))


def _spaced(item: Item) -> Item:
    """Put a blank line in front of a table that joins a file."""
    first = item[0] if isinstance(item, AoT) else item
    if isinstance(first, tomlkit.items.Table):
        first.trivia.indent = "\n"
    return item


def _inline(value: object) -> Item:
    """Make a tomlkit item that stands among the keys, in braces and brackets."""
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        for key, each in value.items():
            if each is not None:
                table[key] = _inline(each)
        return table
    if _is_tables(value):
        array = tomlkit.array()
        for each in value:
            array.append(_inline(each))
        return array
    return tomlkit.item(value)


def _item(value: object) -> Item:
    """Make a tomlkit item; in a table, scalars come before sub-tables, as existing agents write them."""
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
