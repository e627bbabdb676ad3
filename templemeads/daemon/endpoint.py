"""The HTTP endpoint for monitoring an agent: `/health`, `/livez`, `/readyz` and `/metrics`.

Plain HTTP without authentication, as existing agents have it: answers are fixed texts and figures, and say nothing about
jobs. It listens on loopback unless the configuration names another address. The figures need the extra `metrics`.
Source: the protocol page *operations*, section 1.4.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from .http import HttpAnswer, HttpLimits, HttpRequest, serve_http

if TYPE_CHECKING:
    from ..agent.agent import Agent
    from .metrics import AgentMetrics

DEFAULT_IP: Final = "127.0.0.1"

PATHS: Final = ("/health", "/livez", "/readyz", "/metrics")

_NOT_FOUND: Final = HttpAnswer(404, b'{"status":"not found"}')
_NOT_ALLOWED: Final = HttpAnswer(405, b'{"status":"method not allowed"}', headers=(("allow", "GET, HEAD"),))
_OK: Final = HttpAnswer(200, b'{"status":"ok"}')
_STOPPING: Final = HttpAnswer(503, b'{"status":"stopping"}')
_NO_METRICS: Final = HttpAnswer(
    501, b"# install the extra: pip install 'templemeads[metrics]'\n", "text/plain; charset=utf-8"
)


def answer_to(request: HttpRequest, agent: Agent, metrics: AgentMetrics | None) -> HttpAnswer:
    """Answer a request.

    Args:
        request: The request; anything but the four exact paths is not found, and the query is ignored.
        agent: The agent.
        metrics: Its figures, if they are collected.
    """
    if request.path not in PATHS:
        return _NOT_FOUND
    if request.method not in ("GET", "HEAD"):
        return _NOT_ALLOWED
    match request.path:
        case "/health":
            body = json.dumps({"status": "ok", "workers": agent.statistics().running}, separators=(",", ":"))
            return HttpAnswer(200, body.encode())
        case "/livez":
            return _OK
        case "/readyz":
            return _OK if agent.is_ready else _STOPPING
        case _:
            return _NO_METRICS if metrics is None else HttpAnswer(200, *metrics.exposition())


async def serve_endpoint(
    agent: Agent,
    ip: str,
    port: int,
    metrics: AgentMetrics | None = None,
    *,
    limits: HttpLimits | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the endpoint until cancelled.

    Args:
        agent: The agent.
        ip: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        metrics: Figures for `/metrics`.
        limits: Limits of the HTTP server.
        task_status: Reports the URL when callers can connect.

    Raises:
        ConfigError: The address cannot be listened on.
    """

    async def respond(request: HttpRequest) -> HttpAnswer:
        return answer_to(request, agent, metrics)

    serve = partial(serve_http, respond, ip, port, what="health endpoint", limits=limits)
    await serve(task_status=task_status)
