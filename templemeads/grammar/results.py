"""Results of jobs: which Python value corresponds to which type name and JSON text on the wire.

Source: the protocol page *json-types*, section 3.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import functools
import importlib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import ParseError
from ..text import quoted
from .allocation import Allocation
from .awards import DATE, AwardDetails
from .dates import Date, DateRange
from .destinations import Destination, Destinations
from .forms import BOOLEAN, TEXT, Form, list_of, map_of, value_of
from .identifiers import PortalIdentifier, ProjectIdentifier, UserIdentifier
from .mappings import ProjectMapping, UserMapping
from .node import Node
from .patterns import DomainPattern, ProjectTemplate
from .storage import Quota, QuotaLimit, StorageSize, Volume
from .strictjson import JSON, dump_json, parse_json
from .usage import Usage

if TYPE_CHECKING:
    from .table import Instruction

NONE = "None"
"""The type name of a result without a value."""

QUOTAS_BY_VOLUME = "HashMap<Volume, Quota>"
"""The type name of a mapping of volumes to quotas."""

_REPORTS: Mapping[str, str] = {
    "DailyProjectUsageReport": "usage_reports",
    "ProjectStorageReport": "storage_reports",
    "ProjectUsageReport": "usage_reports",
    "StorageReport": "storage_reports",
    "UsageReport": "usage_reports",
    "UserUsageReport": "usage_reports",
}
"""Results that few agents see, with their modules, which are loaded on first use."""

_CLASSES: Mapping[str, type[Any]] = {
    "bool": bool,
    "String": str,
    "ProjectDetails": AwardDetails,
    # Another name for StorageSize, accepted but never written.
    "StorageUsage": StorageSize,
} | {
    kind.__name__: kind
    for kind in (
        *(Allocation, Date, DateRange, Destination, Destinations, DomainPattern, Node, PortalIdentifier),
        *(ProjectIdentifier, ProjectMapping, ProjectTemplate, Quota, QuotaLimit, StorageSize, Usage),
        *(UserIdentifier, UserMapping, Volume),
    )
}
_NAMES: Mapping[type[Any], str] = {kind: name for name, kind in _CLASSES.items() if name != "StorageUsage"}

_PLAIN: Mapping[type[Any], Form[Any]] = {bool: BOOLEAN, str: TEXT, Date: DATE}


def _class(name: str) -> type[Any] | None:
    """Return the class for this type name, or None if it is unknown."""
    if (home := _REPORTS.get(name)) is None:
        return _CLASSES.get(name)
    kind: type[Any] = getattr(importlib.import_module(f"templemeads.grammar.{home}"), name)
    return kind


def _name(kind: type[Any]) -> str | None:
    """Return the type name for a class, or None if it is unknown."""
    name = kind.__name__
    return name if name in _REPORTS and _class(name) is kind else _NAMES.get(kind)


def _is_list(type_name: str) -> bool:
    inner = _inner(type_name)
    return type_name == f"Vec<{inner}>" and inner != "bool" and (inner in _CLASSES or inner in _REPORTS)


# Only known names are looked up, so the cache is bounded.
@functools.cache
def _form(type_name: str) -> Form[Any]:
    if type_name == QUOTAS_BY_VOLUME:
        return map_of(value_of(Volume), value_of(Quota))
    if _is_list(type_name):
        return list_of(_form(_inner(type_name)))
    kind = _class(type_name)
    assert kind is not None
    return _PLAIN.get(kind) or value_of(kind)


def _is_known(type_name: str) -> bool:
    return (
        type_name in _CLASSES or type_name in _REPORTS or type_name == QUOTAS_BY_VOLUME or _is_list(type_name)
    )


@attrs.frozen
class RawResult:
    """A result of an unknown type.

    Attributes:
        type_name: Name of the type.
        text: Its JSON text, unchanged.
    """

    type_name: str
    text: str

    @property
    def value(self) -> JSON:
        """The parsed text.

        Raises:
            ParseError: It is not JSON.
        """
        return parse_json(self.text)


def encode_result(value: object, instruction: Instruction | None = None) -> tuple[str | None, str]:
    """Write the result of a job: its JSON text, or None if there is no value, and the name of its type.

    Args:
        value: A value of the grammar, a str, a bool, a list (or tuple) of values of one type, a mapping of
            `Volume` to `Quota`, a `RawResult`, or None.
        instruction: The job's instruction, which determines the type of an empty list.

    Raises:
        TypeError: There is no result type for such a value.
        ParseError: The value contains invalid Unicode.
    """
    if value is None:
        return None, NONE
    if isinstance(value, RawResult):
        return value.text, value.type_name
    name = _type_name(value, instruction)
    form = _form(name)
    # Unknown fields of newer agents must survive when a report is passed on.
    return dump_json(form.write(form.check(value), True)), name


def decode_result(text: str | None, type_name: str | None) -> Any:
    """Read the result of a completed job.

    Args:
        text: Its JSON text.
        type_name: Name of its type; None means the type without a value.

    Returns:
        A value of the class of that name, a list or a dict of such values, None for the type without a
        value; a `RawResult` if the name is unknown.

    Raises:
        ParseError: There is no text, or it is not of this type.
    """
    if type_name is None or type_name == NONE:
        return None
    if text is None:
        raise ParseError(f"The result should be of type {quoted(type_name)}, but there is none")
    if not _is_known(type_name):
        return RawResult(type_name, text)
    value = _form(type_name).read(parse_json(text))
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if type_name == QUOTAS_BY_VOLUME else value


def result_class(type_name: str) -> Any:
    """Return the Python type for a result type's name, such as `list[UserMapping]`; None for unknown names."""
    if type_name == NONE:
        return types.NoneType
    if type_name == QUOTAS_BY_VOLUME:
        return dict[Volume, Quota]
    if _is_list(type_name):
        return types.GenericAlias(list, (_class(_inner(type_name)),))
    return _class(type_name)


def result_matches(annotation: Any, instruction: type[Instruction], *, also: tuple[Any, ...] = ()) -> bool:
    """Return whether a handler's return annotation matches its instruction.

    Every member of a union must match. `Any` matches everything, and every annotation matches an
    instruction that carries another.

    Args:
        annotation: The return annotation, evaluated.
        instruction: The class of the instruction.
        also: Other types to accept.
    """
    promised = instruction.result
    if promised is None or annotation in also or annotation in {Any, object, typing.NoReturn, typing.Never}:
        return True
    if isinstance(annotation, typing.NewType):
        return result_matches(annotation.__supertype__, instruction, also=also)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return all(result_matches(each, instruction, also=also) for each in arguments)
    if origin is typing.Annotated:
        return result_matches(arguments[0], instruction, also=also)
    if annotation is None or annotation is types.NoneType:
        return promised == NONE
    if promised == QUOTAS_BY_VOLUME:
        return origin in {dict, collections.abc.Mapping} and arguments == (Volume, Quota)
    if _is_list(promised):
        entry = _class(_inner(promised))
        if origin is tuple:
            return arguments == (entry, ...)
        return origin in {list, collections.abc.Sequence} and arguments == (entry,)
    return annotation is _class(promised) or (promised == "Date" and annotation is dt.date)


def is_result_of(value: object, type_name: str | None, expected: Any) -> bool:
    """Whether a decoded result is of a type, such as ``UserMapping`` or ``list[UserMapping]``."""
    if typing.get_origin(expected) is None:
        return isinstance(value, expected)
    return type_name is not None and bool(result_class(type_name) == expected)


def type_text(kind: object) -> str:
    """Return a type as users write it: ``UserMapping``, ``list[UserMapping]``."""
    if typing.get_args(kind):
        arguments = ", ".join(type_text(each) for each in typing.get_args(kind))
        return f"{type_text(typing.get_origin(kind))}[{arguments}]"
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _inner(vec: str) -> str:
    return vec.removeprefix("Vec<").removesuffix(">")


def _type_name(value: object, instruction: Instruction | None) -> str:
    if (name := _name(type(value))) is not None:
        return name
    if isinstance(value, Mapping):
        if all(isinstance(key, Volume) and isinstance(quota, Quota) for key, quota in value.items()):
            return QUOTAS_BY_VOLUME
        raise TypeError("A mapping is a result only from Volume to Quota")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _name_of_list(value, instruction)
    return _name_of_one(value)


def _name_of_one(value: object) -> str:
    for kind in type(value).__mro__:
        if (name := _name(kind)) is not None:
            return name
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return "Date"
    raise TypeError(
        f"There is no result type for a {type(value).__name__}: {value!r:.60}. Return a value of the grammar,"
        " a str, a bool, a list of one kind of them, or None"
    )


def _name_of_list(values: Sequence[object], instruction: Instruction | None) -> str:
    if not values:
        promised = instruction.result_type() if instruction is not None else ""
        return promised if _is_list(promised) else "Vec<String>"
    names = {_name_of_one(value) for value in values}
    if len(names) > 1:
        raise TypeError(f"The entries of a list must be of one kind, not of {', '.join(sorted(names))}")
    (name,) = names
    if not _is_list(f"Vec<{name}>"):
        raise TypeError(f"There is no result type for a list of {name}")
    return f"Vec<{name}>"
