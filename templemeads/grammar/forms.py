"""How the fields of JSON objects are read, checked and written: one small value per kind of field.

A `Form` knows one kind of value in three directions: from JSON, from Python (the check of the constructor),
and to JSON. A `Record` is an attrs class whose fields name their forms; it reads and writes itself from
that table alone:

- a field without a default is required; a default of None also admits `null`; any other default refuses it;
- a field given twice is an error, an unknown one is ignored (or kept, where the class has a place for it);
- `always=False` leaves a field out while it has its default.

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

U64_MAX = 2**64 - 1


@attrs.frozen
class Form(Generic[T]):
    """One kind of value.

    Attributes:
        name: What it is, in words, for messages.
        read: From what a JSON reader returned; raises ParseError.
        check: From what a caller passed to a constructor; gives back the value, immutable; raises TypeError
            or ParseError.
        write: To JSON. The second argument says whether unknown fields that were kept are written again.
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
        """Give the JSON form."""


class FieldError(ParseError):
    """A ParseError inside a JSON object, whose message begins with the way to the field."""

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
        """Say that `error` happened inside the field or entry called `name`."""
        return cls((name, *error.path) if isinstance(error, FieldError) else (name,), error)


def refused(value: object, expected: str) -> ParseError:
    """Make the error for a JSON value of the wrong kind."""
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
        # Exactly the type: for Python True is an int, and 1.0 equals 1.
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
    """Make the form of integers from 0 to `maximum`, both included."""
    name = f"a whole number from 0 to {maximum}"

    def judge(value: int) -> None:
        if not 0 <= value <= maximum:
            raise refused(value, name)

    return _plain(name, int, judge)


TEXT: Form[str] = _plain("a string", str, refuse_surrogates)
BOOLEAN: Form[bool] = _plain("true or false", bool, lambda _value: None)
U32: Form[int] = whole_number(2**32 - 1)
U64: Form[int] = whole_number(U64_MAX)


# --- values of other classes, lists, maps ---------------------------------------------------------


def value_of(kind: type[Any]) -> Form[Any]:
    """Make the form of a class with `from_json` and `to_json`."""

    def check(value: object) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"expected a {kind.__name__}, not a {type(value).__name__}: {value!r:.60}")
        return value

    def write(value: Any, unknown: bool) -> JSON:
        return cast("JSON", value.to_json(unknown=unknown) if isinstance(value, Record) else value.to_json())

    return Form(kind.__name__, kind.from_json, check, write)


def list_of(entry: Form[T]) -> Form[tuple[T, ...]]:
    """Make the form of arrays; in Python a tuple."""
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
    """Make the form of maps: objects whose keys are values too; in Python a `FrozenMap`.

    Of two equal keys the last wins, equal *after* reading. Written sorted by the text of the key: the
    protocol has no order for most maps, but the same value should always give the same text.
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
    """Make the `metadata` of an attrs field that is a field of the JSON object too, of the same name.

    Args:
        form: What it holds.
        always: Write it also while it has its default.
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
        """Check what no field can check alone. Raises ParseError."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read JSON text.

        Raises:
            ParseError: It is not JSON, or not of this kind.
        """
        return cls.from_json(parse_json(text))

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what a JSON reader returned.

        Raises:
            ParseError: A field is missing, given twice, or not what it should be.
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
        """Give the JSON form, as a dict with the fields in the order of the protocol.

        Args:
            unknown: Write fields again that were read without being understood, where the class keeps them.
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
        """Give the canonical JSON text, without fields that are not known."""
        return dump_json(self.to_json())


@attrs.frozen(kw_only=True)
class KeepsUnknown(Record):
    """A record that remembers fields it does not know, so that what a newer agent reports survives us.

    Attributes:
        unknown: The JSON values of those fields, by name. Written again only where `Record.to_json` is
            asked to.
    """

    unknown: Mapping[str, JSON] = attrs.field(default=FrozenMap(), repr=False)


def _can_be_written(value: JSON) -> bool:
    # Text and numbers that no reader may use pass where nobody looks (1e999, half a surrogate pair); they
    # end here.
    try:
        dump_json(value)
    except ParseError:
        return False
    return True
