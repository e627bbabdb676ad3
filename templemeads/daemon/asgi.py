"""Serves an ASGI application with Hypercorn under trio: what the bridge's interface needs beyond `daemon.http`.

Only this module knows Hypercorn.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import attrs
import trio

from paddington import ConfigError

_log = logging.getLogger("templemeads.http")

REQUEST_SECONDS: Final = 30
"""How long a caller has for its request, and how long an idle connection is kept open."""

MAX_HEADER_BYTES: Final = 16 * 1024
BACKLOG: Final = 256

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application."""


@attrs.frozen
class Tls:
    """The files of a server that speaks TLS.

    Attributes:
        certificate: The certificate chain.
        key: The private key.
    """

    certificate: str
    key: str


async def serve_asgi(
    app: App,
    ip: str,
    port: int,
    *,
    what: str,
    tls: Tls | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application until cancelled; cancelled, it leaves callers at once.

    Args:
        app: The application.
        ip: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        what: What is served, for errors.
        tls: The files for TLS, or None for plain HTTP.
        task_status: Told the URL.

    Raises:
        ConfigError: The extra `http` is not installed, the address cannot be listened on, or a file of `tls` is no good.
    """
    try:
        from hypercorn.config import Config
        from hypercorn.trio import serve
    except ImportError:
        raise ConfigError(f"{what} needs the extra 'http': pip install 'templemeads[http]'") from None
    config = Config()
    if tls is not None:
        config.certfile, config.keyfile = tls.certificate, tls.key
        try:
            config.create_ssl_context()
        except OSError as error:
            raise ConfigError(f"{what} cannot use {tls.certificate!r} with {tls.key!r}: {error}") from None
    listening = _listen(ip, port, what)
    scheme = "http" if tls is None else "https"
    url = f"{scheme}://{f'[{ip}]' if ':' in ip else ip}:{listening.getsockname()[1]}"
    config.bind = [f"fd://{listening.detach()}"]
    config.alpn_protocols = ["http/1.1"]
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    config.keep_alive_timeout = REQUEST_SECONDS
    config.read_timeout = REQUEST_SECONDS
    config.graceful_timeout = 0
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = _log
    async with trio.open_nursery() as nursery:
        # Hypercorn's types list every kind of message; an application takes any.
        await nursery.start(partial(serve, app, config, mode="asgi"))
        task_status.started(url)


def _listen(ip: str, port: int, what: str) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ip, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"{what} cannot listen on {ip} port {port}: {why}") from None
    return listening
