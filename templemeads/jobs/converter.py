"""The one converter between the values that agents send each other and their JSON.

cattrs turns ``"5"`` into 5 and ``"false"`` into true unless it is told otherwise. On the wire nothing is turned into
anything: each scalar has its own JSON type, a list is a list, and what does not fit is refused. Unknown fields pass, since
newer agents send more of them; a field that is null counts as left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import BaseValidationError

from ..agent_type import AgentType
from ..errors import ParseError
from ..grammar import Notification
from .job import Job

T = TypeVar("T")

_NAMES: Final = {str: "a text", bool: "true or false", int: "a whole number"}
_AGENT_TYPES: Final = {agent_type.value: agent_type for agent_type in AgentType}


def make_wire_converter() -> cattrs.Converter:
    """Make the converter for commands; scalars are read strictly."""
    converter = cattrs.Converter(detailed_validation=False, unstruct_collection_overrides={tuple: list})
    for scalar in _NAMES:
        converter.register_structure_hook(scalar, _only(scalar))
    converter.register_structure_hook(AgentType, _agent_type)
    converter.register_structure_hook(Job, lambda value, _: Job.from_json(value))
    converter.register_unstructure_hook(Job, Job.to_json)
    converter.register_structure_hook(Notification, lambda value, _: Notification.from_json(value))
    converter.register_unstructure_hook(Notification, Notification.to_json)
    converter.register_structure_hook_func(partial(_is_a, tuple), _list_of(converter))
    converter.register_structure_hook_func(partial(_is_a, Mapping), _object)
    converter.register_unstructure_hook_func(partial(_is_a, Mapping), lambda value: value)
    return converter


def structure(converter: cattrs.Converter, fields: Mapping[str, Any], kind: type[T]) -> T:
    """Read a value of an attrs class from the fields of a JSON object.

    Raises:
        ParseError: A field is missing or has another type.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return converter.structure(given, kind)
    except ParseError:
        raise
    except (BaseValidationError, KeyError, TypeError, ValueError):
        names = ", ".join(field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING)  # type: ignore[arg-type]
        raise ParseError(f"The fields of {kind.__name__} are not complete: it needs {names}") from None


def _is_a(origin: object, kind: object) -> bool:
    return get_origin(kind) == origin


def _only(scalar: type) -> Callable[[object, object], Any]:
    def structure_scalar(value: object, _: object) -> object:
        if type(value) is not scalar:
            raise ParseError(f"A field must be {_NAMES[scalar]}, not {ascii(value)[:80]}")
        return value

    return structure_scalar


def _agent_type(value: object, _: object) -> AgentType:
    agent_type = _AGENT_TYPES.get(value) if isinstance(value, str) else None
    if agent_type is None:
        raise ParseError(f"There is no agent type {ascii(value)[:40]}")
    return agent_type


def _list_of(converter: cattrs.Converter) -> Callable[[object, Any], tuple[Any, ...]]:
    def structure_list(value: object, kind: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ParseError(f"A field must be a list, not {ascii(value)[:80]}")
        (inner, _) = get_args(kind)
        return tuple(converter.structure(item, inner) for item in value)

    return structure_list


def _object(value: object, _: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ParseError(f"A field must be a JSON object, not {ascii(value)[:80]}")
    return value
