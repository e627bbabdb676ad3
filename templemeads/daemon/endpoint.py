"""The HTTP endpoint for those who watch over an agent: ``/health``, ``/livez``, ``/readyz`` and ``/metrics``.

Plain HTTP without authentication, as existing agents have it: answers are fixed texts and figures, and tell nothing of
jobs. Served by hypercorn under trio, which comes with the extra ``http``; the figures with the extra ``metrics``.
Source: the protocol page *operations*, section 1.4.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from paddington import ConfigError

if TYPE_CHECKING:
    from ..agent.agent import Agent
    from .metrics import AgentMetrics

_log = logging.getLogger("templemeads.endpoint")

HEADER_SECONDS: Final = 10
"""How long a caller has for its request, and how long an idle connection is kept."""

LONGEST_HEADERS: Final = 16 * 1024

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@attrs.frozen
class Answer:
    """What a request comes to."""

    status: int
    body: bytes
    content_type: str = "application/json"


_NOT_FOUND: Final = Answer(404, b'{"status":"not found"}')
_NOT_ALLOWED: Final = Answer(405, b'{"status":"method not allowed"}')
_NO_METRICS: Final = Answer(
    501, b"# install the extra: pip install 'templemeads[metrics]'\n", "text/plain; charset=utf-8"
)


def answer_to(method: str, path: str, agent: Agent, metrics: AgentMetrics | None) -> Answer:
    """Answer a request.

    Args:
        method: Its method.
        path: Its path as it was sent; anything but the four exact paths is not found.
        agent: Of whom it asks.
        metrics: Its figures, if they are collected.

    """
    if path not in ("/health", "/livez", "/readyz", "/metrics"):
        return _NOT_FOUND
    if method not in ("GET", "HEAD"):
        return _NOT_ALLOWED
    match path:
        case "/health":
            body = json.dumps({"status": "ok", "workers": agent.statistics().running}, separators=(",", ":"))
            return Answer(200, body.encode())
        case "/livez":
            return Answer(200, b'{"status":"ok"}')
        case "/readyz":
            if agent.is_ready:
                return Answer(200, b'{"status":"ok"}')
            return Answer(503, b'{"status":"stopping"}')
        case _:
            return _NO_METRICS if metrics is None else Answer(200, *metrics.exposition())


def make_app(agent: Agent, metrics: AgentMetrics | None) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Make the ASGI application."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["type"] != "http":
            return
        path = scope.get("raw_path", b"").decode("latin-1") + ("?" if scope["query_string"] else "")
        answer = answer_to(scope["method"], path, agent, metrics)
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    return app


async def serve_endpoint(
    agent: Agent,
    ip: str,
    port: int,
    metrics: AgentMetrics | None = None,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the endpoint until cancelled.

    Args:
        agent: Of whom it tells.
        ip: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        metrics: Figures for ``/metrics``.
        task_status: Told where it listens.

    Raises:
        ConfigError: The extra ``http`` is not installed, or the address cannot be listened on.

    """
    try:
        from hypercorn.config import Config
        from hypercorn.trio import serve
    except ImportError:
        raise ConfigError(
            "The configuration asks for the health endpoint, which needs the extra 'http': "
            "pip install 'templemeads[http]'"
        ) from None
    listening, url = _bind(ip, port)
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.alpn_protocols = ["http/1.1"]
    config.h11_max_incomplete_size = LONGEST_HEADERS
    config.keep_alive_timeout = HEADER_SECONDS
    config.read_timeout = HEADER_SECONDS
    config.graceful_timeout = 1
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = _log
    async with trio.open_nursery() as nursery:
        # Hypercorn's types list every kind of message; ours takes any and sends two.
        serving = partial(serve, make_app(agent, metrics), config, mode="asgi")  # type: ignore[arg-type]
        await nursery.start(serving)
        task_status.started([url])


def _bind(ip: str, port: int) -> tuple[socket.socket, str]:
    """Bind here rather than in the server, which leaves the socket open when that fails."""
    listening = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ip, port))
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"The health endpoint cannot listen on {ip} port {port}: {why}") from None
    shown = f"[{ip}]" if ":" in ip else ip
    return listening, f"http://{shown}:{listening.getsockname()[1]}"
