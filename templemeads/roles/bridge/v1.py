"""The interface for new clients, below `/v1/`: resources, named keys with scopes, lists in pages, event streams.

The table `OPERATIONS` is the interface: the routes and the OpenAPI document (`openapi`) are both made from it. A client
sends one of the named keys as `Authorization: Bearer <64 hex digits>`; the bridge speaks TLS, or stands behind a proxy
that does.
"""

from __future__ import annotations

import hmac
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol

import attrs
import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ...errors import JobError, ParseError, PeerNotFoundError, RefusedError, StateError
from ...grammar.strictjson import dump_json, parse_json
from ...jobs.job import Job, Status
from ...text import quoted
from .api import answer
from .authentication import ApiKey, Scope
from .calls import Calls, ConflictError, NotThereError, UnavailableError
from .door import MAX_BODY_BYTES
from .event_log import RESET, EventLog, LoggedEvent

_log = logging.getLogger("templemeads.bridge")

DEFAULT_PAGE: Final = 100
"""Jobs in one page of a list, unless the client asks for another number."""

MAX_PAGE: Final = 1_000

MAX_WAIT_SECONDS: Final = 30.0
"""How long a client can be kept waiting for a job to change."""

MAX_KEY_CHARACTERS: Final = 200
"""Length of an `Idempotency-Key`."""

HEARTBEAT_SECONDS: Final = 15.0
"""An event stream on which nothing happens carries a comment this often, so that proxies keep it open."""

MAX_STREAMS: Final = 200
"""Event streams that are open at once; a further one is answered with 503."""

IDEMPOTENT_JOBS: Final = uuid.UUID("7c0f8b0e-3f0d-5b6b-9a43-0d2f4c1be3a5")
"""The namespace of the ids of jobs that are put under an `Idempotency-Key`: the same key gives the same id."""


class ProblemError(Exception):
    """A request cannot be served.

    Attributes:
        status: The HTTP status.
        title: One line that says why.
    """

    def __init__(self, status: int, title: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title


class Feed(Protocol):
    """Where an event stream takes its events from."""

    log: EventLog
    is_closing: bool

    async def wait_changed(self) -> None:
        """Wait until an event was added, or no more will be."""


@attrs.frozen
class Ask:
    """A request of a client that was admitted.

    Attributes:
        calls: What the bridge can do.
        key: The key of the client.
        path: The parameters in the path.
        query: The parameters behind the question mark.
        headers: The headers, with names in lower case.
        body: The body, read as JSON; None for a request without.
    """

    calls: Calls
    key: ApiKey
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    def id(self) -> uuid.UUID:
        """Return the id in the path.

        Raises:
            ProblemError: It is none.
        """
        try:
            return uuid.UUID(self.path["id"])
        except ValueError:
            raise ProblemError(400, f"{quoted(self.path['id'])} is not an id") from None

    def field(self, name: str) -> str:
        """Return a text of the body.

        Raises:
            ProblemError: It is not there.
        """
        value = self.body.get(name) if isinstance(self.body, dict) else None
        if not isinstance(value, str):
            raise ProblemError(400, f'The body must be a JSON object with the key "{name}", a string')
        return value

    def number(self, name: str, default: float, most: float) -> float:
        """Return a number of the query, from 0 to a maximum.

        Raises:
            ProblemError: It is none, or out of range.
        """
        text = self.query.get(name)
        if text is None:
            return default
        try:
            number = float(text) if len(text) <= 20 and text.isascii() else -1.0
        except ValueError:
            number = -1.0
        if not 0 <= number <= most:
            raise ProblemError(400, f"{name} must be a number from 0 to {most:g}, not {quoted(text)}")
        return number


@attrs.frozen
class Reply:
    """What a request comes to.

    Attributes:
        value: A JSON value; None for no body.
        status: The HTTP status.
        headers: Further headers.
    """

    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Operation:
    """One operation of the interface.

    Attributes:
        method: The HTTP method.
        path: The path, with parameters in braces.
        name: What the operation is called in the OpenAPI document.
        scope: What a key must allow; None for everybody.
        summary: One line.
        call: Serves a request.
        body: Name of the schema of the body, if there is one.
        answer: Name of the schema of the answer, if there is a body.
        status: The status of success.
        query: The parameters behind the question mark, with their meaning.
        headers: The headers that it looks at, with their meaning.
        problems: The statuses of failure that it has beside those that all have.
    """

    method: str
    path: str
    name: str
    scope: Scope
    summary: str
    call: Callable[[Ask], Awaitable[Reply]]
    body: str | None = None
    answer: str | None = None
    status: int = 200
    query: Mapping[str, str] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    problems: Sequence[int] = ()


# -- jobs ------------------------------------------------------------------------------------------------------------


async def _put_job(ask: Ask) -> Reply:
    key = ask.headers.get("idempotency-key")
    if key is None:
        return _created(await ask.calls.run(ask.field("command")))
    if not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise ProblemError(400, f"Idempotency-Key must have 1 to {MAX_KEY_CHARACTERS} characters")
    job_id = uuid.uuid5(IDEMPOTENT_JOBS, f"{ask.key.name}\n{key}")
    job, is_new = await ask.calls.run_once(ask.field("command"), job_id)
    return _created(job) if is_new else Reply(job.to_json())


def _created(job: Job) -> Reply:
    return Reply(job.to_json(), 201, {"Location": f"/v1/jobs/{job.id}"})


async def _list_jobs(ask: Ask) -> Reply:
    limit = int(ask.number("limit", DEFAULT_PAGE, MAX_PAGE)) or DEFAULT_PAGE
    state = ask.query.get("state")
    words = {status.value for status in Status}
    if state is not None and state not in words:
        raise ProblemError(400, f"state must be one of {', '.join(sorted(words))}, not {quoted(state)}")
    text = ask.query.get("command")
    found = [
        job
        for job in ask.calls.jobs()
        if (state is None or job.status.value == state) and (text is None or text in job.command)
    ]
    found.sort(key=_newest_first)
    if (after := ask.query.get("after")) is not None:
        place = _cursor(after)
        found = [job for job in found if _newest_first(job) > place]
    page = found[:limit]
    following = _cursor_text(page[-1]) if len(found) > limit else None
    return Reply({"jobs": [job.to_json() for job in page], "next": following})


def _newest_first(job: Job) -> tuple[int, str]:
    return -job.created, str(job.id)


def _cursor_text(job: Job) -> str:
    return f"{job.created}.{job.id}"


def _cursor(text: str) -> tuple[int, str]:
    created, dot, job_id = text.partition(".")
    if not dot or not created.isascii() or not created.isdigit() or len(created) > 12:
        raise ProblemError(400, f'after must be what an earlier list gave as "next", not {quoted(text)}')
    return -int(created), job_id


async def _get_job(ask: Ask) -> Reply:
    job_id = ask.id()
    job = await ask.calls.status(job_id)
    seconds = ask.number("wait", 0.0, MAX_WAIT_SECONDS)
    if seconds and not job.is_finished:
        with trio.move_on_after(seconds):
            job = await ask.calls.wait(job)
        job = await ask.calls.status(job_id)
    return Reply(job.to_json())


async def _delete_job(ask: Ask) -> Reply:
    await ask.calls.delete(ask.id())
    return Reply(None, 204)


# -- what waits for the web portal ------------------------------------------------------------------------------------


async def _list_inbox(ask: Ask) -> Reply:
    return Reply({"jobs": [job.to_json() for job in ask.calls.waiting()], "next": None})


async def _get_inbox_job(ask: Ask) -> Reply:
    return Reply(ask.calls.fetch(ask.id()).to_json())


async def _answer_inbox_job(ask: Ask) -> Reply:
    body = ask.body
    if not isinstance(body, dict) or len({"result", "error", "progress"} & body.keys()) != 1:
        raise ProblemError(400, 'The body must have one of the keys "result", "error" and "progress"')
    job = ask.calls.fetch(ask.id())
    now = ask.calls.agent.now()
    if "error" in body:
        answered = job.errored(ask.field("error"), now=now)
    elif "progress" in body:
        answered = job.running(ask.field("progress"), now=now)
    else:
        result_type = body.get("type")
        if result_type is not None and not isinstance(result_type, str):
            raise ProblemError(400, '"type" must be the name of a result type, a string')
        value = body["result"]
        done = job.completed(None, now=now)
        answered = attrs.evolve(
            done, result_text=None if value is None else dump_json(value), result_type=result_type or "None"
        )
    await ask.calls.answer(answered)
    return Reply(answered.to_json())


async def _list_notifications(ask: Ask) -> Reply:
    return Reply({"notifications": [notice.to_json() for notice in ask.calls.notices]})


async def _delete_notification(ask: Ask) -> Reply:
    notification_id = ask.id()
    if ask.calls.notices.find(notification_id) is None:
        raise NotThereError(f"No notification {notification_id} waits")
    ask.calls.notices.settle(notification_id, taken=True)
    return Reply(None, 204)


# -- the network -------------------------------------------------------------------------------------------------------


async def _about(ask: Ask) -> Reply:
    return Reply({"bridge": ask.calls.agent.name, "portal": (await ask.calls.portal()).name})


async def _health(ask: Ask) -> Reply:
    return Reply(await ask.calls.health())


async def _diagnostics(ask: Ask) -> Reply:
    return Reply(await ask.calls.diagnostics(ask.query.get("path", "")))


async def _restart(ask: Ask) -> Reply:
    await ask.calls.restart(ask.field("path"), ask.field("type"))
    return Reply(None, 202)


async def _get_offerings(ask: Ask) -> Reply:
    return Reply({"offerings": await ask.calls.offerings("get_offerings")})


async def _put_offerings(ask: Ask) -> Reply:
    entries = ask.body.get("offerings") if isinstance(ask.body, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ProblemError(
            400, 'The body must be a JSON object with the key "offerings", an array of strings'
        )
    return Reply({"offerings": await ask.calls.offerings("sync_offerings", entries)})


async def _notify(ask: Ask) -> Reply:
    await ask.calls.notify(ask.field("command"))
    return Reply(None, 202)


OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        method="GET", path="/v1/", name="about", scope=Scope.READ, call=_about, answer="About",
        summary="The names of the bridge and of its portal agent", problems=(503,),
    ),
    Operation(
        method="POST", path="/v1/jobs", name="putJob", scope=Scope.SUBMIT, call=_put_job, body="Command", answer="Job",
        status=201, summary="Put a job; with an Idempotency-Key, at most once",
        headers={"Idempotency-Key": "A text of the client's own: while the job lives, the same text gives the same job"},
        problems=(409, 503),
    ),
    Operation(
        method="GET", path="/v1/jobs", name="listJobs", scope=Scope.READ, call=_list_jobs, answer="Jobs",
        summary="The jobs that were put, newest first, in pages",
        query={
            "state": "Only jobs in this state",
            "command": "Only jobs whose command contains this text",
            "limit": f"How many at most, up to {MAX_PAGE}",
            "after": "What the page before gave as next",
        },
    ),
    Operation(
        method="GET", path="/v1/jobs/{id}", name="getJob", scope=Scope.READ, call=_get_job, answer="Job",
        summary="A job as it is now, or as it is when it has changed", problems=(404,),
        query={"wait": f"Seconds to wait for the job's end, up to {MAX_WAIT_SECONDS:g}"},
    ),
    Operation(
        method="DELETE", path="/v1/jobs/{id}", name="deleteJob", scope=Scope.SUBMIT, call=_delete_job, status=204,
        summary="Delete a job along its whole path; a handler that runs is cancelled", problems=(404,),
    ),
    Operation(
        method="GET", path="/v1/inbox/jobs", name="listInboxJobs", scope=Scope.ANSWER, call=_list_inbox, answer="Jobs",
        summary="The jobs that wait for the web portal, oldest first",
    ),
    Operation(
        method="GET", path="/v1/inbox/jobs/{id}", name="getInboxJob", scope=Scope.ANSWER, call=_get_inbox_job,
        answer="Job", summary="A job that waits for the web portal", problems=(404,),
    ),
    Operation(
        method="PUT", path="/v1/inbox/jobs/{id}/answer", name="answerInboxJob", scope=Scope.ANSWER,
        call=_answer_inbox_job, body="Answer", answer="Job",
        summary="Answer a job that waits: with a result, an error, or progress", problems=(404,),
    ),
    Operation(
        method="GET", path="/v1/inbox/notifications", name="listNotifications", scope=Scope.ANSWER,
        call=_list_notifications, answer="Notifications", summary="The notifications that wait, oldest first",
    ),
    Operation(
        method="DELETE", path="/v1/inbox/notifications/{id}", name="deleteNotification", scope=Scope.ANSWER,
        call=_delete_notification, status=204, summary="Take a notification off the list", problems=(404,),
    ),
    Operation(
        method="GET", path="/v1/offerings", name="getOfferings", scope=Scope.READ, call=_get_offerings,
        answer="Offerings", summary="What is offered to other portals", problems=(502, 503),
    ),
    Operation(
        method="PUT", path="/v1/offerings", name="putOfferings", scope=Scope.ANSWER, call=_put_offerings,
        body="Offerings", answer="Offerings", summary="Change what is offered to other portals", problems=(502, 503),
    ),
    Operation(
        method="POST", path="/v1/notifications", name="notify", scope=Scope.SUBMIT, call=_notify, body="Command",
        status=202, summary="Send a notification through the portal agent", problems=(503,),
    ),
    Operation(
        method="GET", path="/v1/health", name="health", scope=Scope.READ, call=_health, answer="Health",
        summary="The health of the bridge and of the agents behind it",
    ),
    Operation(
        method="GET", path="/v1/diagnostics", name="diagnostics", scope=Scope.READ, call=_diagnostics, answer="Report",
        summary="The report of an agent", query={"path": "The names of the agents that lead there, joined by dots"},
        problems=(503,),
    ),
    Operation(
        method="POST", path="/v1/restarts", name="restart", scope=Scope.SUBMIT, call=_restart, body="Restart", status=202,
        summary="Ask an agent to restart", problems=(503,),
    ),
)  # fmt: skip
"""The interface, but for the event stream and the document itself."""


# -- serving ------------------------------------------------------------------------------------------------------------


def make_routes(calls: Calls, keys: Sequence[ApiKey], feed: Feed, document: Mapping[str, Any]) -> list[Route]:
    """Make the routes below `/v1/`.

    Args:
        calls: What the bridge can do.
        keys: The named keys.
        feed: The events.
        document: The OpenAPI document.
    """

    def route(operation: Operation) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                key = _key_of(request, keys, operation.scope)
                return await _serve(calls, operation, key, request)
            except ProblemError as error:
                return _problem(error)

        return Route(operation.path, endpoint, methods=[operation.method], name=operation.name)

    async def openapi(_: Request) -> Response:
        return answer(document)

    streams = trio.CapacityLimiter(MAX_STREAMS)

    async def events(request: Request) -> Response:
        try:
            _key_of(request, keys, Scope.READ)
        except ProblemError as error:
            return _problem(error)
        if not streams.available_tokens:
            return _problem(
                ProblemError(503, f"{MAX_STREAMS} event streams are open already, which is the limit")
            )
        return StreamingResponse(
            _stream(feed, request.headers.get("last-event-id"), streams),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return [
        Route("/v1/openapi.json", openapi, methods=["GET"]),
        Route("/v1/events", events, methods=["GET"]),
        *map(route, OPERATIONS),
    ]


def _key_of(request: Request, keys: Sequence[ApiKey], scope: Scope) -> ApiKey:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    found: ApiKey | None = None
    for key in keys:
        # Every key is compared, whichever fits: the time tells nothing.
        if hmac.compare_digest(token.strip().lower().encode(), key.data.hex().encode()):
            found = key
    if found is None or scheme.lower() != "bearer":
        raise ProblemError(401, "Unauthorized")
    if scope not in found.scopes:
        raise ProblemError(403, f"The key {found.name!r} does not allow {scope.value}")
    return found


async def _serve(calls: Calls, operation: Operation, key: ApiKey, request: Request) -> Response:
    body = await _json_body(request) if operation.body is not None else None
    headers = {name.lower(): value for name, value in request.headers.items()}
    ask = Ask(calls, key, request.path_params, request.query_params, headers, body)
    try:
        reply = await operation.call(ask)
    except NotThereError as error:
        raise ProblemError(404, _line(error)) from None
    except ConflictError as error:
        raise ProblemError(409, _line(error)) from None
    except UnavailableError as error:
        raise ProblemError(503, _line(error)) from None
    except JobError as error:
        raise ProblemError(502, _line(error)) from None
    except (ParseError, RefusedError, PeerNotFoundError, StateError) as error:
        raise ProblemError(400, _line(error)) from None
    if reply.value is None:
        return Response(b"", reply.status, dict(reply.headers))
    response = answer(reply.value, reply.status)
    response.headers.update(dict(reply.headers))
    return response


async def _json_body(request: Request) -> Any:
    collected = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            collected += chunk
            if len(collected) > MAX_BODY_BYTES:
                raise ProblemError(413, f"The body is longer than {MAX_BODY_BYTES} bytes")
    try:
        return parse_json(collected.decode())
    except (ParseError, UnicodeDecodeError) as error:
        raise ProblemError(400, f"The body is not JSON: {_line(error)}") from None


def _problem(error: ProblemError) -> Response:
    response = answer({"status": error.status, "title": error.title}, error.status)
    response.headers["Content-Type"] = "application/problem+json"
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


async def _stream(feed: Feed, last_seen: str | None, streams: trio.CapacityLimiter) -> AsyncIterator[bytes]:
    # A generator of our own cannot hold a scope over its yields; the limiter's token is taken and given back by hand.
    holder = object()
    streams.acquire_on_behalf_of_nowait(holder)
    try:
        log = feed.log
        position: int | None = log.last if last_seen is None else log.number_of(last_seen)
        yield b": connected\n\n"
        while True:
            found = None if position is None else log.since(position)
            if found is None:
                position = log.last
                yield _event(log, LoggedEvent(position, RESET, {}))
                continue
            for event in found:
                yield _event(log, event)
                position = event.number
            if feed.is_closing:
                return
            if not found:
                with trio.move_on_after(HEARTBEAT_SECONDS) as scope:
                    await feed.wait_changed()
                if scope.cancelled_caught:
                    yield b": nothing new\n\n"
    finally:
        streams.release_on_behalf_of(holder)


def _event(log: EventLog, event: LoggedEvent) -> bytes:
    data = dump_json(dict(event.data))
    return f"id: {log.name_of(event.number)}\nevent: {event.kind}\ndata: {data}\n\n".encode(
        "utf-8", "replace"
    )
