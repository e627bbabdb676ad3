"""The bridge's HTTP interface for the published clients: paths, bodies, statuses.

Source: the protocol page *bridge*, sections 1 and 4. Where existing bridges answer 500 to a mistake of the caller, this one
answers 400 with one line that names the offending text: the published clients look at the status only, and only for
whether it is 2xx or 429.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

import attrs
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ...errors import JobError, ParseError, PeerNotFoundError, RefusedError, StateError
from ...grammar.strictjson import parse_json
from ...jobs.job import Job
from ...text import quoted
from .authentication import ApiKey, RejectedError, Scope
from .calls import Calls, NotThereError, UnavailableError
from .door import MAX_BODY_BYTES, Door

_log = logging.getLogger("templemeads.bridge")

MAX_UUID_CHARACTERS: Final = 45
"""Longest spelling of an id: ``urn:uuid:`` and hyphens included."""

STATUS_SECONDS: Final = 0.1
"""How long a question about an unfinished job waits for its end: the published clients ask every 100 ms, so that a quick job
would take 100 ms however quick it was. Not longer: a call of theirs stops all threads of their process."""

Endpoint = Callable[[Calls, Any], Awaitable[object]]

_STRANGERS: Final[Mapping[int, str]] = {400: "Bad request", 401: "Unauthorized", 429: "Too many requests"}


def answer(value: object, status: int = 200) -> Response:
    """Return a JSON response."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, status, media_type="application/json")


def problem(status: int, text: str) -> Response:
    """Return the response that tells a caller what was wrong, in one line."""
    return answer({"message": f"Something went wrong: {text}"}, status)


@attrs.frozen
class _Page:
    method: str
    scope: Scope
    call: Endpoint
    soft: bool = False
    """Whether a failure of the call is told with status 200, as existing clients expect it of this endpoint."""


async def _health(calls: Calls, _: object) -> object:
    return {"status": "ok", "health": await calls.health()}


async def _get_portal(calls: Calls, _: object) -> object:
    return (await calls.portal()).name


async def _get_offerings(calls: Calls, _: object) -> object:
    return await calls.offerings("get_offerings")


async def _fetch_jobs(calls: Calls, _: object) -> object:
    return [job.to_json() for job in calls.waiting()]


async def _run(calls: Calls, body: object) -> object:
    return (await calls.run(_field(body, "command"))).to_json()


async def _status(calls: Calls, body: object) -> object:
    job_id = _id(_field(body, "job"))
    job = await calls.status(job_id)
    if not job.is_finished:
        with trio.move_on_after(STATUS_SECONDS):
            await calls.wait(job)
        job = await calls.status(job_id)
    return job.to_json()


async def _fetch_job(calls: Calls, body: object) -> object:
    return calls.fetch(_id(body)).to_json()


async def _fetch_notification(calls: Calls, body: object) -> object:
    notification_id = _id(body)
    found = calls.notices.find(notification_id)
    if found is None:
        raise NotThereError(f"Notification not found: {notification_id}")
    return found.to_json()


async def _send_result(calls: Calls, body: object) -> object:
    if not isinstance(body, dict):
        raise ParseError("The body must be a job, as a JSON object")
    await calls.answer(Job.from_json(body))
    return {"status": "ok"}


def _offerings(keyword: str) -> Endpoint:
    async def change(calls: Calls, body: object) -> object:
        if not isinstance(body, list) or not all(isinstance(entry, str) for entry in body):
            raise ParseError("The body must be an array of destinations, each a string")
        return await calls.offerings(keyword, body)

    return change


async def _restart(calls: Calls, body: object) -> object:
    await calls.restart(_field(body, "destination"), _field(body, "restart_type"))
    return {"status": "ok", "message": "Restart command sent successfully"}


async def _diagnostics(calls: Calls, body: object) -> object:
    return {"status": "ok", "report": await calls.diagnostics(_field(body, "destination"))}


async def _notify(calls: Calls, body: object) -> object:
    await calls.notify(_field(body, "command"))
    return {"status": "ok"}


PAGES: Final[Mapping[str, _Page]] = {
    "health": _Page("GET", Scope.READ, _health, soft=True),
    "get_portal": _Page("GET", Scope.READ, _get_portal),
    "get_offerings": _Page("GET", Scope.READ, _get_offerings),
    "fetch_jobs": _Page("GET", Scope.ANSWER, _fetch_jobs),
    "run": _Page("POST", Scope.SUBMIT, _run),
    "status": _Page("POST", Scope.READ, _status),
    "fetch_job": _Page("POST", Scope.ANSWER, _fetch_job),
    "fetch_notification": _Page("POST", Scope.ANSWER, _fetch_notification),
    "send_result": _Page("POST", Scope.ANSWER, _send_result),
    "sync_offerings": _Page("POST", Scope.ANSWER, _offerings("sync_offerings")),
    "add_offerings": _Page("POST", Scope.ANSWER, _offerings("add_offerings")),
    "remove_offerings": _Page("POST", Scope.ANSWER, _offerings("remove_offerings")),
    "restart": _Page("POST", Scope.SUBMIT, _restart, soft=True),
    "diagnostics": _Page("POST", Scope.READ, _diagnostics, soft=True),
    "notify": _Page("POST", Scope.SUBMIT, _notify),
}
"""The endpoints by name."""


def make_app(calls: Calls, door: Door) -> Starlette:
    """Make the ASGI application that serves the published clients."""

    def route(name: str, page: _Page) -> Route:
        async def endpoint(request: Request) -> Response:
            return await _serve(calls, door, name, page, request)

        return Route(f"/{name}", endpoint, methods=[page.method])

    async def root(_: Request) -> Response:
        return answer(None)

    async def refused(_: Request, error: Exception) -> Response:
        # Unknown paths and wrong methods say nothing, to nobody.
        assert isinstance(error, HTTPException)
        headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
        return Response(b"", error.status_code, headers)

    routes = [Route("/", root), *(route(name, page) for name, page in PAGES.items())]
    app = Starlette(routes=routes, exception_handlers={HTTPException: refused})
    app.router.redirect_slashes = False
    return app


async def _serve(calls: Calls, door: Door, name: str, page: _Page, request: Request) -> Response:
    if b"%" in request.scope.get("raw_path", b""):
        raise HTTPException(404)
    body = await _body(request)
    if body is None:
        return PlainTextResponse(f"The body is longer than {MAX_BODY_BYTES} bytes\n", 413)
    headers = [(key.decode("latin-1").lower(), _header(value)) for key, value in request.scope["headers"]]
    peer = request.client.host if request.client is not None else ""
    try:
        key = door.admit(page.method.lower(), name, headers, body, peer)
    except RejectedError as rejected:
        return problem(rejected.status, _STRANGERS[rejected.status])
    if page.scope not in key.scopes:
        return problem(403, f"The key {key.name!r} does not allow {page.scope.value}")
    try:
        value = parse_json(body.decode()) if page.method == "POST" else None
        return answer(await page.call(calls, value))
    except NotThereError as error:
        return problem(404, str(error))
    except (ParseError, StateError) as error:
        return problem(400, _line(error))
    except (UnavailableError, RefusedError, PeerNotFoundError, JobError) as error:
        if page.soft:
            return answer({"status": "error", "message": _line(error)})
        status = 503 if isinstance(error, UnavailableError) else 502 if isinstance(error, JobError) else 400
        return problem(status, _line(error))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


async def _body(request: Request) -> bytes | None:
    """Return the body, or None if it is too long; what is too long is not collected."""
    body = bytearray()
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return None
    except ClientDisconnect:
        return bytes(body)
    return bytes(body)


def _header(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _field(body: object, name: str) -> str:
    if not isinstance(body, dict):
        raise ParseError(f'The body must be a JSON object with the key "{name}"')
    value = body.get(name)
    if not isinstance(value, str):
        raise ParseError(f'The body must have the key "{name}", with a string')
    return value


def _id(value: object) -> uuid.UUID:
    if not isinstance(value, str):
        raise ParseError("An id must be a JSON string")
    try:
        if len(value) > MAX_UUID_CHARACTERS:
            raise ValueError
        return uuid.UUID(value)
    except ValueError:
        raise ParseError(f"{quoted(value)} is not an id") from None


__all__ = ["PAGES", "ApiKey", "answer", "make_app", "problem"]
