"""How the fields of JSON objects are read, checked and written: one small value per type of field.

A `Form` handles one type of value in three directions: from JSON, from Python (the check of the constructor),
and to JSON. A `Record` is an attrs class whose fields name their forms; that table is all it needs to read and
write itself:

- a field without a default is required; a default of None also admits `null`; any other default refuses it;
- a duplicate field is an error, an unknown one is ignored (or stored, if the class is a `KeepsUnknown`);
- `always=False` omits a field that has its default.

Source: the protocol page *json-types*, section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast

import attrs

from ..errors import ParseError
from ..text import quoted
from .frozenmap import FrozenMap, freeze, thaw
from .strictjson import JSON, dump_json, pairs_of, parse_json, refuse_repeated
from .text import json_name
from .whitespace import refuse_surrogates

T = TypeVar("T")
K = TypeVar("K")

MAX_U64 = 2**64 - 1


@attrs.frozen
class Form(Generic[T]):
    """One type of value.

    Attributes:
        name: A description for error messages.
        read: Converts what a JSON reader returned; raises ParseError.
        check: Converts an argument of a constructor into an immutable value; raises TypeError or
            ParseError.
        write: Converts to JSON. The second argument says whether stored unknown fields are written.
    """

    name: str
    read: Callable[[object], T]
    check: Callable[[object], T]
    write: Callable[[T, bool], JSON]


class JSONValue(Protocol):
    """What a class must have for `value_of`."""

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a value from what a JSON reader returned."""

    def to_json(self) -> JSON:
        """Return the JSON form."""


class FieldError(ParseError):
    """A ParseError inside a JSON object; its message begins with the path to the field."""

    def __init__(self, path: tuple[str, ...], error: ParseError) -> None:
        self.path = path
        self.reason: ParseError = error.reason if isinstance(error, FieldError) else error
        super().__init__(
            f"In {'.'.join(map(quoted, path))}: {self.reason}",
            text=self.reason.text,
            expected=self.reason.expected,
        )

    @classmethod
    def within(cls, name: str, error: ParseError) -> FieldError:
        """Prefix the path of `error` with the field or entry called `name`."""
        return cls((name, *error.path) if isinstance(error, FieldError) else (name,), error)


def refused(value: object, expected: str) -> ParseError:
    """Return the error for a JSON value of the wrong type."""
    shown = (
        quoted(value)
        if isinstance(value, str)
        else repr(value)[:40]
        if isinstance(value, int | float)
        else ""
    )
    return ParseError(
        f"Expected {expected}, found {json_name(value)}{' ' if shown else ''}{shown}",
        text=value if isinstance(value, str) else "",
        expected=expected,
    )


# --- plain values ---------------------------------------------------------------------------------


def _plain(name: str, python: type[T], judge: Callable[[T], None]) -> Form[T]:
    def read(value: object) -> T:
        # Compare types exactly: in Python True is an int, and 1.0 equals 1.
        if type(value) is not python:
            raise refused(value, name)
        judge(value)
        return value

    def check(value: object) -> T:
        if not isinstance(value, python) or (isinstance(value, bool) and python is not bool):
            raise TypeError(f"expected {name} as a {python.__name__}, not a {type(value).__name__}")
        judge(value)
        return value

    return Form(name, read, check, lambda value, _unknown: cast("JSON", value))


def whole_number(maximum: int) -> Form[int]:
    """Return the form of integers from 0 to `maximum`, both included."""
    name = f"a whole number from 0 to {maximum}"

    def judge(value: int) -> None:
        if not 0 <= value <= maximum:
            raise refused(value, name)

    return _plain(name, int, judge)


TEXT: Form[str] = _plain("a string", str, refuse_surrogates)
BOOLEAN: Form[bool] = _plain("true or false", bool, lambda _value: None)
U32: Form[int] = whole_number(2**32 - 1)
U64: Form[int] = whole_number(MAX_U64)


# --- values of other classes, lists, maps ---------------------------------------------------------


def value_of(kind: type[Any]) -> Form[Any]:
    """Return the form of a class with `from_json` and `to_json`."""

    def check(value: object) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"expected a {kind.__name__}, not a {type(value).__name__}: {value!r:.60}")
        return value

    def write(value: Any, unknown: bool) -> JSON:
        return cast("JSON", value.to_json(unknown=unknown) if isinstance(value, Record) else value.to_json())

    return Form(kind.__name__, kind.from_json, check, write)


def list_of(entry: Form[T]) -> Form[tuple[T, ...]]:
    """Return the form of arrays; in Python a tuple."""
    name = f"an array, each entry {entry.name}"

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise refused(value, name)
        entries = []
        for index, item in enumerate(value):
            try:
                entries.append(entry.read(item))
            except ParseError as error:
                raise FieldError.within(str(index), error) from None
        return tuple(entries)

    def check(value: object) -> tuple[T, ...]:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            raise TypeError(f"expected {name}, not a {type(value).__name__}")
        return tuple(map(entry.check, value))

    return Form(name, read, check, lambda value, unknown: [entry.write(item, unknown) for item in value])


def map_of(key: Form[K], entry: Form[T]) -> Form[FrozenMap[K, T]]:
    """Return the form of maps: objects whose keys are values too; in Python a `FrozenMap`.

    If two keys are equal *after* reading, the last wins. Keys are written in alphabetical order: the protocol
    defines no order for most maps, but the same value should always be written the same way.
    """
    name = f"an object, each entry {entry.name}"

    def read(value: object) -> FrozenMap[K, T]:
        if not isinstance(value, Mapping):
            raise refused(value, name)
        entries: dict[K, T] = {}
        for text, item in pairs_of(value):
            try:
                entries[key.read(text)] = entry.read(item)
            except ParseError as error:
                raise FieldError.within(text, error) from None
        return FrozenMap(entries)

    def check(value: object) -> FrozenMap[K, T]:
        if not isinstance(value, Mapping):
            raise TypeError(f"expected {name}, not a {type(value).__name__}")
        return FrozenMap((key.check(name), entry.check(item)) for name, item in value.items())

    def write(value: FrozenMap[K, T], unknown: bool) -> JSON:
        texts = {str(key.write(name, unknown)): item for name, item in value.items()}
        return {text: entry.write(texts[text], unknown) for text in sorted(texts)}

    return Form(name, read, check, write)


# --- objects with fixed fields --------------------------------------------------------------------

_FORM = "templemeads.form"
_ALWAYS = "templemeads.always"


def member(form: Form[Any], *, always: bool = True) -> dict[str, Any]:
    """Return the `metadata` of an attrs field that is also a field of the JSON object, with the same name.

    Args:
        form: The form of its values.
        always: Write it even if it has its default.
    """
    return {_FORM: form, _ALWAYS: always}


@attrs.frozen
class JSONField:
    """A field of a record, as reading and writing need it."""

    name: str
    form: Form[Any]
    always: bool
    required: bool
    nullable: bool
    default: Any


def _json_fields(kind: type[attrs.AttrsInstance]) -> tuple[JSONField, ...]:
    return tuple(
        JSONField(
            field.name,
            field.metadata[_FORM],
            field.metadata[_ALWAYS],
            required=field.default is attrs.NOTHING,
            nullable=field.default is None,
            default=field.default,
        )
        for field in attrs.fields(kind)
        if _FORM in field.metadata
    )


class Record:
    """A JSON object with fixed fields. Subclasses are attrs frozen classes whose fields carry `member`."""

    __slots__ = ()

    json_fields: ClassVar[tuple[JSONField, ...]] = ()
    """The fields, in the order in which they are written."""

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        cls.json_fields = _json_fields(cast("type[attrs.AttrsInstance]", cls))
        # attrs generates a function for cached properties that belongs to no module, at which pydoc of Python 3.13 fails.
        if (generated := vars(cls).get("__getattr__")) is not None and generated.__module__ is None:
            generated.__module__ = cls.__module__

    def __attrs_post_init__(self) -> None:
        for each in self.json_fields:
            value = getattr(self, each.name)
            if value is None and each.nullable:
                continue
            try:
                checked = each.form.check(value)
            except TypeError as error:
                raise TypeError(f"{type(self).__name__}.{each.name}: {error}") from None
            except ParseError as error:
                raise FieldError.within(each.name, error) from None
            if checked is not value:
                object.__setattr__(self, each.name, checked)
        if isinstance(self, KeepsUnknown):
            object.__setattr__(self, "unknown", freeze(self.unknown))
        self._check()

    def _check(self) -> None:
        """Check what involves several fields. Raises ParseError."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read JSON text.

        Raises:
            ParseError: It is not JSON, or not of this type.
        """
        return cls.from_json(parse_json(text))

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what a JSON reader returned.

        Raises:
            ParseError: A field is missing, duplicate or invalid.
        """
        if not isinstance(value, Mapping):
            raise refused(value, f"an object ({cls.__name__})")
        known = {each.name for each in cls.json_fields}
        refuse_repeated(value, known)
        given: dict[str, Any] = {}
        for each in cls.json_fields:
            if each.name not in value:
                if each.required:
                    raise ParseError(
                        f'A {cls.__name__} needs the field "{each.name}"', expected=f'"{each.name}"'
                    )
                continue
            item = value[each.name]
            if item is None and each.nullable:
                continue
            try:
                given[each.name] = each.form.read(item)
            except ParseError as error:
                raise FieldError.within(each.name, error) from None
        if issubclass(cls, KeepsUnknown):
            given["unknown"] = {
                name: item for name, item in value.items() if name not in known and _can_be_written(item)
            }
        return cls(**given)

    def to_json(self, *, unknown: bool = False) -> dict[str, JSON]:
        """Return the JSON form, as a dict with the fields in the order of the protocol.

        Args:
            unknown: Write stored unknown fields too, if the class is a `KeepsUnknown`.
        """
        fields: dict[str, JSON] = {}
        for each in self.json_fields:
            value = getattr(self, each.name)
            if each.always or value != each.default:
                fields[each.name] = None if value is None else each.form.write(value, unknown)
        if unknown and isinstance(self, KeepsUnknown):
            fields.update(thaw(self.unknown))
        return fields

    def __str__(self) -> str:
        """Return the canonical JSON text, without unknown fields."""
        return dump_json(self.to_json())


@attrs.frozen(kw_only=True)
class KeepsUnknown(Record):
    """A record that stores unknown fields, so that we pass on what a newer agent reports.

    Attributes:
        unknown: The JSON values of those fields, by name. `Record.to_json` writes them on request only.
    """

    unknown: Mapping[str, JSON] = attrs.field(default=FrozenMap(), repr=False)


def _can_be_written(value: JSON) -> bool:
    # Values that cannot be written (1e999, half a surrogate pair) are accepted in unknown fields, but not stored.
    try:
        dump_json(value)
    except ParseError:
        return False
    return True
