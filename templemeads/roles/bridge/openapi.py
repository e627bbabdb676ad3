"""The OpenAPI 3.1 document of the interface below `/v1/`, made from the table of its operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...jobs.job import Status
from ...version import __version__
from .v1 import MAX_KEY_CHARACTERS, Operation

_ID: Final = {"type": "string", "format": "uuid"}
_SECONDS: Final = {"type": "integer", "description": "Seconds since 1970 UTC"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}


def _object(
    required: Mapping[str, Any], optional: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        **more,
    }


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


SCHEMAS: Final[Mapping[str, Any]] = {
    "About": _object({"bridge": {"type": "string"}, "portal": {"type": "string"}}),
    "Command": _object(
        {"command": {"type": "string", "examples": ["waldur.cluster add_user fred.proj.waldur"]}}
    ),
    "Job": _object(
        {
            "id": _ID,
            "created": _SECONDS,
            "changed": _SECONDS,
            "expires": _SECONDS,
            "version": {"type": "integer", "minimum": 0},
            "command": {"type": "string"},
            "state": {"type": "string", "enum": [status.value for status in Status]},
            "result": {
                "type": ["string", "null"],
                "description": "JSON in a string; an error or progress is plain text",
            },
            "result_type": _TEXT_OR_NULL,
            "forwarded_for": _TEXT_OR_NULL,
        }
    ),
    "Jobs": _object({"jobs": _list("Job"), "next": _TEXT_OR_NULL}),
    "Answer": {
        "oneOf": [
            _object({"result": {}}, {"type": {"type": "string"}}),
            _object({"error": {"type": "string"}}),
            _object({"progress": {"type": "string"}}),
        ]
    },
    "Notification": _object({"id": _ID, "destination": {"type": "string"}, "event": {"type": "object"}}),
    "Notifications": _object({"notifications": _list("Notification")}),
    "Offerings": _object({"offerings": {"type": "array", "items": {"type": "string"}}}),
    "Restart": _object(
        {"path": {"type": "string"}, "type": {"type": "string", "examples": ["soft", "hard"]}}
    ),
    "Health": {"type": "object"},
    "Report": {"type": "object"},
    "Problem": _object({"status": {"type": "integer"}, "title": {"type": "string"}}),
}

_PROBLEMS: Final[Mapping[int, str]] = {
    400: "The request is not what it must be",
    401: "The request has no key that counts",
    403: "The key does not allow this",
    404: "There is nothing with this id",
    409: "The Idempotency-Key stands for another command",
    413: "The body is too long",
    502: "An agent answered with an error",
    503: "No portal agent is connected, or a limit is reached: try again later",
}


def make_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document that describes these operations.

    Args:
        operations: The interface.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    paths["/v1/events"] = {"get": _EVENTS}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bridge of a network of agents",
            "version": __version__,
            "description": "Puts jobs, follows them, and answers those that wait for the web portal.",
        },
        "paths": paths,
        "security": [{"key": []}],
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A named key: 64 hexadecimal digits",
                }
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    statuses = {400, 401, 403, *operation.problems, *({413} if operation.body else ())}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs a key with the scope {operation.scope.value}.",
        "responses": {
            str(operation.status): _success(operation),
            **{str(status): _failure(status) for status in sorted(statuses)},
        },
    }
    if operation.name == "putJob":
        described["responses"]["200"] = {**_success(operation), "description": "The job was put before"}
    parameters = [
        *(
            {"name": name, "in": "path", "required": True, "schema": _ID}
            for name in ("id",)
            if f"{{{name}}}" in operation.path
        ),
        *(
            {"name": name, "in": "query", "description": meaning, "schema": _query_schema(name)}
            for name, meaning in operation.query.items()
        ),
        *(
            {
                "name": name,
                "in": "header",
                "description": meaning,
                "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS},
            }
            for name, meaning in operation.headers.items()
        ),
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content("application/json", operation.body)}
    return described


def _query_schema(name: str) -> dict[str, Any]:
    match name:
        case "state":
            return {"type": "string", "enum": [status.value for status in Status]}
        case "limit":
            return {"type": "integer", "minimum": 0, "maximum": 1000}
        case "wait":
            return {"type": "number", "minimum": 0, "maximum": 30}
        case _:
            return {"type": "string"}


def _success(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"description": operation.summary}
    return {"description": operation.summary, "content": _content("application/json", operation.answer)}


def _failure(status: int) -> dict[str, Any]:
    return {"description": _PROBLEMS[status], "content": _content("application/problem+json", "Problem")}


def _content(media_type: str, schema: str) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


_EVENTS: Final[Mapping[str, Any]] = {
    "operationId": "followEvents",
    "summary": "What happens, as server-sent events: job, inbox-job, notification, reset",
    "description": (
        "Needs a key with the scope read. A client that comes back sends the id that it saw last as Last-Event-ID. "
        "After reset it asks for the lists again."
    ),
    "parameters": [{"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}],
    "responses": {
        "200": {
            "description": "The stream",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        "401": _failure(401),
        "403": _failure(403),
        "503": _failure(503),
    },
}
