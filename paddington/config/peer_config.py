"""The two kinds of peers that a configuration lists: those that call us, and those that we call."""

from __future__ import annotations

from typing import Any, Final, Self

import attrs

from ..errors import ConfigError
from ..peer import DEFAULT_ZONE, Peer
from ..protocol.crypto import Key
from ..text import quoted
from .address import Addresses, IPAddress
from .invite import Invite, check_key, check_type, check_url, read_key
from .names import check_name, check_zone
from .toml import TableReader

MAX_FURTHER_URLS: Final = 8
"""Addresses of one server beside its first."""


def as_addresses(value: str | IPAddress | Addresses | None) -> Addresses | None:
    """Read addresses in whatever form a caller has them."""
    return value if value is None or isinstance(value, Addresses) else Addresses.parse(str(value))


def _check_urls(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ConfigError('"urls" must be a list of addresses such as ["wss://second.example:8042"]')
    if len(value) > MAX_FURTHER_URLS:
        raise ConfigError(f'"urls" has {len(value)} addresses; at most {MAX_FURTHER_URLS} are allowed')
    return tuple(check_url(each, None) for each in value)


@attrs.frozen(kw_only=True)
class ClientConfig:
    """A peer that calls us.

    Attributes:
        name: Its name.
        ip: Where it may call from; None if it comes through a relay.
        zone: Zone of the connection.
        inner_key: One pre-shared key.
        outer_key: The other one.
        proxy: Name of the relay through which it comes, or None.
        type: Its declared type of agent, in lower case, or None.
    """

    name: str = attrs.field(converter=check_name)
    ip: Addresses | None = attrs.field(default=None, converter=as_addresses)
    zone: str = attrs.field(default=DEFAULT_ZONE, converter=check_zone)
    inner_key: Key = attrs.field()
    outer_key: Key = attrs.field()
    proxy: str | None = attrs.field(default=None, converter=attrs.converters.optional(check_name))
    type: str | None = attrs.field(default=None, converter=check_type)

    def __attrs_post_init__(self) -> None:
        check_key(self.inner_key, "inner key")
        check_key(self.outer_key, "outer key")
        if self.ip is None and self.proxy is None:
            raise ConfigError(
                f"The client {quoted(self.name)} needs an address or range to call from, or a relay"
            )

    @property
    def peer(self) -> Peer:
        """Its name and zone."""
        return Peer(self.name, self.zone)

    @classmethod
    def from_toml(cls, reader: TableReader) -> Self:
        """Read an entry of `[[service.clients]]`."""
        return cls(
            name=reader.checked("name", check_name),
            ip=reader.convert("ip", Addresses.from_toml) if reader.has("ip") else None,
            zone=reader.checked("zone", check_zone) if reader.has("zone") else DEFAULT_ZONE,
            inner_key=read_key(reader, "inner_key"),
            outer_key=read_key(reader, "outer_key"),
            proxy=reader.optional_text("proxy"),
            type=reader.optional_text("type"),
        )

    def to_toml(self) -> dict[str, Any]:  # Any: TOML values
        """Return the entry; None stands for a key to be left out."""
        return {
            "name": self.name,
            "zone": self.zone,
            "proxy": self.proxy,
            "type": self.type,
            "ip": None if self.ip is None else self.ip.to_toml(),
            "inner_key": {"data": self.inner_key.hex()},
            "outer_key": {"data": self.outer_key.hex()},
        }


@attrs.frozen(kw_only=True)
class ServerConfig:
    """A peer that we call.

    Attributes:
        name: Its name.
        url: Where it listens, normalised; empty if we reach it through a relay.
        zone: Zone of the connection.
        inner_key: One pre-shared key.
        outer_key: The other one.
        proxy: Name of the relay to go through, or None.
        type: Its declared type of agent, in lower case, or None.
        plain_salts: Send salts as they are, which services before release 0.90 do not understand.
        urls: Further addresses of the same service, normalised, tried in turn: for a pair of processes of which one leads.
    """

    name: str = attrs.field(converter=check_name)
    url: str = attrs.field()
    zone: str = attrs.field(default=DEFAULT_ZONE, converter=check_zone)
    inner_key: Key = attrs.field()
    outer_key: Key = attrs.field()
    proxy: str | None = attrs.field(default=None, converter=attrs.converters.optional(check_name))
    type: str | None = attrs.field(default=None, converter=check_type)
    plain_salts: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    urls: tuple[str, ...] = attrs.field(default=(), converter=_check_urls)

    def __attrs_post_init__(self) -> None:
        check_key(self.inner_key, "inner key")
        check_key(self.outer_key, "outer key")
        # The class is frozen, and the rule for the url looks at the proxy.
        object.__setattr__(self, "url", check_url(self.url, self.proxy))
        if self.urls and not self.url:
            raise ConfigError(
                f"The server {quoted(self.name)} has further addresses (urls) but no url: one that is reached through a "
                f"relay has neither"
            )

    @classmethod
    def from_invite(cls, invite: Invite) -> Self:
        """Make the entry for the service that wrote an invite."""
        return cls(
            name=invite.name,
            url="" if invite.proxy else invite.url,
            zone=invite.zone,
            inner_key=invite.inner_key,
            outer_key=invite.outer_key,
            proxy=invite.proxy,
            type=invite.type,
        )

    @property
    def peer(self) -> Peer:
        """Its name and zone."""
        return Peer(self.name, self.zone)

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses, each once, in the order in which they are tried; empty if we reach it through a relay."""
        return tuple(dict.fromkeys(filter(None, (self.url, *self.urls))))

    @classmethod
    def from_toml(cls, reader: TableReader) -> Self:
        """Read an entry of `[[service.servers]]`."""
        proxy = reader.optional_text("proxy")
        return cls(
            name=reader.checked("name", check_name),
            url=reader.checked("url", lambda text: check_url(text, proxy))
            if reader.has("url") or not proxy
            else "",
            zone=reader.checked("zone", check_zone) if reader.has("zone") else DEFAULT_ZONE,
            inner_key=read_key(reader, "inner_key"),
            outer_key=read_key(reader, "outer_key"),
            proxy=proxy,
            type=reader.optional_text("type"),
            plain_salts=reader.has("plain_salts") and reader.boolean("plain_salts"),
            urls=reader.convert("urls", _check_urls) if reader.has("urls") else (),
        )

    def to_toml(self) -> dict[str, Any]:  # Any: TOML values
        """Return the entry; None stands for a key to be left out."""
        return {
            "name": self.name,
            "url": self.url,
            "urls": list(self.urls) or None,
            "zone": self.zone,
            "proxy": self.proxy,
            "type": self.type,
            "plain_salts": self.plain_salts or None,
            "inner_key": {"data": self.inner_key.hex()},
            "outer_key": {"data": self.outer_key.hex()},
        }
