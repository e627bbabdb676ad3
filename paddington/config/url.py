"""Addresses of services, normalised as the protocol page *configuration*, section 1.8, says."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import Self
from urllib.parse import urlsplit

import attrs

from ..errors import ConfigError
from ..text import quoted

SCHEMES = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
DEFAULT_PORTS = {"ws": 80, "wss": 443}
MAX_URL_CHARACTERS = 2048

_HOST = re.compile(r"[A-Za-z0-9._~-]+")


@attrs.frozen
class Url:
    """Where a service listens. `str()` returns the normalised form, which invitations carry.

    A default port is left out, and with it the path: existing services do so, and every reader of an invitation must
    come to the same address (`dropped_path` tells you). User information, query and fragment are dropped.

    Attributes:
        scheme: `ws`, or `wss` for TLS.
        host: Host name or address, an IPv6 address without its brackets.
        port: TCP port.
        path: Path of the upgrade request, at least `/`.
    """

    scheme: str
    host: str
    port: int
    path: str = "/"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address with one of the schemes `ws`, `wss`, `http` (means ws), `https` (means wss).

        Any other scheme with a host means `wss`, as for existing services: the safer of the two.

        Raises:
            ConfigError: The text is not such an address.
        """
        if len(text) > MAX_URL_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text:
            raise ConfigError(
                f"The url {quoted(text)} is too long or has characters that no url has. "
                'Write it like "wss://host.example:8042"'
            )
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ConfigError(
                f'The url {quoted(text)} does not parse. Write it like "ws://localhost:8042"'
            ) from None
        scheme = SCHEMES.get(parts.scheme, "wss" if parts.scheme and parts.hostname else None)
        if scheme is None or not text[len(parts.scheme) :].startswith("://"):
            raise ConfigError(
                f"The url {quoted(text)} does not begin with ws://, wss://, http:// or https://. "
                'Write it like "ws://localhost:8042"'
            )
        host = parts.hostname or "localhost"
        if "[" in parts.netloc:
            _check_ipv6(host, text)
        elif not _HOST.fullmatch(host):
            raise ConfigError(f"The url {quoted(text)} has a host name that is not valid")
        if port is None or port == DEFAULT_PORTS[scheme]:
            return cls(scheme, host, DEFAULT_PORTS[scheme])
        return cls(scheme, host, port, parts.path or "/")

    @property
    def secure(self) -> bool:
        """Whether the WebSocket runs over TLS."""
        return self.scheme == "wss"

    @property
    def is_local(self) -> bool:
        """Whether it can only mean this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def authority(self) -> str:
        """Host and port as in the `Host` header (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        path = "" if self.port == DEFAULT_PORTS[self.scheme] else self.path
        return f"{self.scheme}://{self.authority}{path}"


def dropped_path(text: str) -> str | None:
    """Return the path of an address if normalising drops it, because the port is the default one.

    Raises:
        ConfigError: The text is not an address.
    """
    url = Url.parse(text)
    path = urlsplit(text).path
    return path if path not in {"", "/"} and url.path == "/" else None


def _check_ipv6(host: str, text: str) -> None:
    try:
        address = IPv6Address(host)
    except ValueError:
        raise ConfigError(f"The url {quoted(text)} has no valid IPv6 address between its brackets") from None
    if address.scope_id is not None:
        raise ConfigError(f"The url {quoted(text)} has a scope in its address, which means nothing elsewhere")
