"""How services reach each other: the one seam between paddington and the operating system's sockets."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Protocol

import trio

from .config.address import IPAddress, canonical

BACKLOG = 512
"""How many callers the system queues before we accept them."""


class Network(Protocol):
    """Listens and connects: `TcpNetwork` for real, `paddington.testing.MemoryNetwork` in one process."""

    async def listen(self, ip: IPAddress, port: int) -> Sequence[trio.abc.Listener[trio.abc.Stream]]:
        """Listen on an address.

        Args:
            ip: The address.
            port: The port; 0 takes a free one.

        Raises:
            OSError: It cannot listen there.
        """
        ...

    def port_of(self, listener: trio.abc.Listener[trio.abc.Stream]) -> int:
        """Return the port on which a listener listens."""
        ...

    def address_of(self, stream: trio.abc.Stream) -> IPAddress:
        """Return the address from which an accepted stream was called, canonical.

        Raises:
            OSError: The caller has already gone.
            ValueError: The address cannot be compared with a configured one.
        """
        ...

    async def connect(self, host: str, port: int, *, tls: bool) -> trio.abc.Stream:
        """Connect, TLS handshake included.

        Raises:
            OSError: No server answers there.
            trio.BrokenResourceError: The TLS handshake failed; its cause says why.
        """
        ...


class TcpNetwork:
    """Real sockets.

    Args:
        ssl_context: What certificates of servers are checked with; by default the system's roots and the
            host's name.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context  # made when first needed: reading the roots takes a while

    async def listen(self, ip: IPAddress, port: int) -> Sequence[trio.abc.Listener[trio.abc.Stream]]:
        """Listen on an address; on `::` for both families, as existing services do."""
        family = socket.AF_INET6 if isinstance(ip, IPv6Address) else socket.AF_INET
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not ip.is_unspecified)
            await sock.bind((str(ip), port))
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
        return [trio.SocketListener(sock)]

    def port_of(self, listener: trio.abc.Listener[trio.abc.Stream]) -> int:
        """Return the port on which a listener of ours listens."""
        if not isinstance(listener, trio.SocketListener):
            raise TypeError(f"{listener!r} is not a listener of this network")
        port: int = listener.socket.getsockname()[1]
        return port

    def address_of(self, stream: trio.abc.Stream) -> IPAddress:
        """Return the other end's address, an IPv4-mapped one as IPv4."""
        if not isinstance(stream, trio.SocketStream):
            raise TypeError(f"{stream!r} is not a stream of this network")
        name = stream.socket.getpeername()
        if not name:
            raise OSError(errno.ENOTCONN, "not connected")
        # A scope (fe80::1%eth0) is set by this host and names the link on which the caller is.
        return canonical(ip_address(name[0].partition("%")[0]))

    async def connect(self, host: str, port: int, *, tls: bool) -> trio.abc.Stream:
        """Connect to the address of the host that answers first."""
        stream = await trio.open_tcp_stream(host, port)
        if not tls:
            return stream
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        # Many peers do not end TLS properly before they hang up; the WebSocket closes for both.
        secure = trio.SSLStream(
            stream,
            self._ssl_context,
            server_hostname=host,
            https_compatible=True,
        )
        try:
            await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(secure)
            raise
        return secure
