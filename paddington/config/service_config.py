"""The configuration of a service and the peers it knows (protocol page *configuration*, sections 1 and 3).

Everything is checked when it is built, whether it comes from a call, a file or an invitation.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import attrs

from ..errors import ConfigError
from ..limits import Limits
from ..peer import DEFAULT_ZONE, Peer
from ..protocol.crypto import Key
from ..text import quoted
from .address import Addresses, IPAddress, parse_address
from .files import NewFile, read_checked, write_files
from .invite import Invite
from .names import check_name
from .peer_config import ClientConfig, ServerConfig, as_addresses
from .secrets import (
    Encryption,
    EnvironmentEncryption,
    SecretFormat,
    SimpleEncryption,
    decrypt_secret,
    encrypt_secret,
    password_of,
)
from .toml import TableReader, located, parse_toml
from .toml_edit import edited_toml, format_toml
from .url import Url

DEFAULT_IP: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8042

HEALTHCHECK_KEY: Final = "heathcheck_port"
"""Spelt so on disk by every existing service."""

WHOLE_TABLES: Final = frozenset({"encryption", "ip", "limits", "trusted_proxy"})
"""Tables in which a key that we did not write would change the meaning."""

_SHOWN_PATH: Final = 300


def _url(text: str) -> str:
    return str(Url.parse(text))


def _address(value: str | IPAddress) -> IPAddress:
    return parse_address(str(value))


def _servers(entries: Iterable[ServerConfig]) -> tuple[ServerConfig, ...]:
    return tuple(entries)


def _clients(entries: Iterable[ClientConfig]) -> tuple[ClientConfig, ...]:
    return tuple(entries)


def _port(value: int) -> int:
    if type(value) is not int or not 0 <= value <= 65535:
        raise ConfigError(f"{quoted(str(value))} is not a port: a whole number from 0 to 65535")
    return value


def _header(value: str | None) -> str | None:
    # RFC 9110, section 5.6.2: the characters of a header's name.
    if value is not None and not (
        value.isascii() and value and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in value)
    ):
        raise ConfigError(f'{quoted(value)} cannot be the name of a header. Write one like "X-Real-IP".')
    return value


@attrs.define(kw_only=True)
class ServiceConfig:
    """The configuration of one service. Its methods change it in memory; `save` writes it to a file.

    Attributes:
        name: The service's own name in the network.
        url: Where peers call it, normalised; copied into invites.
        ip: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        healthcheck_port: Port of the health-check server, or None.
        proxy_header: Header of the upgrade request with the caller's real address, or None.
        trusted_proxy: Addresses that may set `proxy_header`, or None: it is ignored.
        servers: Peers that we call.
        clients: Peers that call us.
        encryption: How secrets are protected, or None.
        dense_framing: Whether to speak the dense framing with peers that know it; otherwise the compatible one
            with every peer.
        limits: Limits of the service.
    """

    name: str = attrs.field(converter=check_name)
    url: str = attrs.field(converter=_url)
    ip: IPAddress = attrs.field(converter=_address)
    port: int = attrs.field(converter=_port)
    healthcheck_port: int | None = attrs.field(default=None, converter=attrs.converters.optional(_port))
    proxy_header: str | None = attrs.field(default=None, converter=_header)
    trusted_proxy: Addresses | None = attrs.field(default=None, converter=as_addresses)
    servers: tuple[ServerConfig, ...] = attrs.field(default=(), converter=_servers)
    clients: tuple[ClientConfig, ...] = attrs.field(default=(), converter=_clients)
    encryption: Encryption | None = None
    dense_framing: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    limits: Limits = attrs.field(factory=Limits)

    def __attrs_post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Check what concerns several entries at once; done whenever a method changes something.

        Raises:
            ConfigError: Two entries are the same peer or share keys, or one is ourselves.
        """
        peers: tuple[ClientConfig | ServerConfig, ...] = (*self.clients, *self.servers)
        clients = [entry.peer for entry in self.clients]
        servers = [entry.peer for entry in self.servers]
        for what, listed in (("client", clients), ("server", servers)):
            for peer, times in Counter(listed).items():
                if times > 1:
                    raise ConfigError(f"There are two {what}s {quoted(str(peer))}. Remove one of them")
        for entry in peers:
            if entry.name == self.name:
                raise ConfigError(
                    f"The peer {quoted(str(entry.peer))} has this service's own name. Rename one of the two"
                )
        both = set(clients) & set(servers)
        if both:
            raise ConfigError(
                f"The peer {quoted(str(min(both)))} is a client and a server here. "
                "One of the two sides calls, not both"
            )
        relayed = Counter(entry.name for entry in peers if entry.proxy is not None)
        for name, times in relayed.items():
            if times > 1:
                raise ConfigError(
                    f"The peer {quoted(name)} is reached through a relay in several zones. Letters that a relay passes on "
                    "are known by name, so keep one of them"
                )
        # With keys shared, the one frame that tells who calls would open for two.
        owners: dict[frozenset[Key], Peer] = {}
        for entry in peers:
            keys = frozenset((entry.inner_key, entry.outer_key))
            other = owners.setdefault(keys, entry.peer)
            if other != entry.peer:
                raise ConfigError(
                    f"The peers {quoted(str(other))} and {quoted(str(entry.peer))} have the same keys. "
                    "Rotate the keys of one of them"
                )

    @classmethod
    def create(
        cls,
        name: str,
        *,
        url: str | None = None,
        ip: str | IPAddress = DEFAULT_IP,
        port: int = DEFAULT_PORT,
        healthcheck_port: int | None = None,
        proxy_header: str | None = None,
        trusted_proxy: str | Addresses | None = None,
        limits: Limits | None = None,
        dense_framing: bool = True,
    ) -> Self:
        """Make the configuration of a new service that knows no peers yet.

        Args:
            name: Its name.
            url: Where peers call it; `ws://localhost:<port>` if left out.
            ip: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            healthcheck_port: Port of the health-check server.
            proxy_header: Header with the caller's real address, accepted only from `trusted_proxy`.
            trusted_proxy: An address, a range, or several between commas.
            limits: Limits of the service; the defaults if left out.
            dense_framing: Whether to speak the dense framing with peers that know it too.

        Raises:
            ConfigError: One of them breaks its rule.
        """
        return cls(
            name=name,
            url=f"ws://localhost:{port}" if url is None else url,
            ip=ip,
            port=port,
            healthcheck_port=healthcheck_port,
            proxy_header=proxy_header,
            trusted_proxy=trusted_proxy,
            limits=Limits() if limits is None else limits,
            dense_framing=dense_framing,
        )

    def add_client(
        self,
        name: str,
        ip: str | IPAddress | Addresses | None = None,
        zone: str = DEFAULT_ZONE,
        *,
        proxy: str | None = None,
        type: str | None = None,  # noqa: A002 - the word of the protocol
        own_type: str | None = None,
    ) -> Invite:
        """Add a peer that will call us, with new keys.

        Args:
            name: Its name.
            ip: Where it may call from: an address, a range, several between commas; None with a relay only.
            zone: Zone of the connection.
            proxy: Name of the relay through which it comes.
            type: Its type of agent, if it is to be enforced.
            own_type: Our own type of agent, for the invite.

        Returns:
            The invitation, to be copied to that peer over an encrypted channel.

        Raises:
            ConfigError: A value breaks its rule, or the peer exists already.
        """
        client = ClientConfig(
            name=name,
            ip=as_addresses(ip),
            zone=zone,
            inner_key=Key.generate(),
            outer_key=Key.generate(),
            proxy=proxy,
            type=type,
        )
        self._change(clients=(*self.clients, client))
        return self._invite(client, own_type)

    def add_server(self, invite: Invite) -> ServerConfig:
        """Add the service that wrote an invite, to be called.

        Raises:
            ConfigError: It exists already, has our own name, or shares keys with another peer.
        """
        server = ServerConfig.from_invite(invite)
        self._change(servers=(*self.servers, server))
        return server

    def remove_client(self, name: str, zone: str | None = None) -> bool:
        """Remove a client.

        Args:
            name: Its name.
            zone: Its zone; may be left out if the name is in only one zone.

        Returns:
            Whether there was one.

        Raises:
            ConfigError: The name is in several zones and none was given.
        """
        peer = _choose(self.clients, name, zone, "client")
        self._change(clients=tuple(entry for entry in self.clients if entry.peer != peer))
        return peer is not None

    def remove_server(self, name: str, zone: str | None = None) -> bool:
        """Remove a server; as `remove_client`."""
        peer = _choose(self.servers, name, zone, "server")
        self._change(servers=tuple(entry for entry in self.servers if entry.peer != peer))
        return peer is not None

    def rotate_client_keys(
        self, name: str, zone: str | None = None, *, own_type: str | None = None
    ) -> Invite:
        """Return a client fresh keys; it must import the returned invite with `rotate_server_keys`.

        Raises:
            ConfigError: There is no such client.
        """
        peer = _choose(self.clients, name, zone, "client")
        for index, entry in enumerate(self.clients):
            if entry.peer == peer:
                fresh = attrs.evolve(entry, inner_key=Key.generate(), outer_key=Key.generate())
                self._change(clients=(*self.clients[:index], fresh, *self.clients[index + 1 :]))
                return self._invite(fresh, own_type)
        raise ConfigError(f"There is no client {quoted(name)}{_in_zone(zone)}")

    def rotate_server_keys(self, invite: Invite) -> None:
        """Import the keys of an invitation for the server of the same name and zone; its url stays.

        Raises:
            ConfigError: There is no such server.
        """
        for index, entry in enumerate(self.servers):
            if entry.peer == invite.peer:
                fresh = attrs.evolve(entry, inner_key=invite.inner_key, outer_key=invite.outer_key)
                self._change(servers=(*self.servers[:index], fresh, *self.servers[index + 1 :]))
                return
        raise ConfigError(f"There is no server {quoted(str(invite.peer))}: add it first")

    @property
    def holds_keys(self) -> bool:
        """Whether it contains keys."""
        return bool(self.clients or self.servers)

    def encrypt_secret(self, value: str, secret_format: SecretFormat = SecretFormat.V1) -> str:
        """Encrypt a string for this configuration; slow on purpose (see `paddington.config.secrets`).

        Raises:
            ConfigError: No encryption is chosen, or its variable is not set.
        """
        return encrypt_secret(password_of(self.encryption, self.name), value, secret_format=secret_format)

    def decrypt_secret(self, stored: str) -> str:
        """Decrypt what `encrypt_secret`, or an existing service, has stored.

        Raises:
            ConfigError: No encryption is chosen, its variable is not set, or the text does not open.
        """
        return decrypt_secret(password_of(self.encryption, self.name), stored)

    @classmethod
    def from_toml(cls, table: Mapping[str, Any], where: str = "service") -> Self:  # Any: TOML values
        """Read a `[service]` table.

        Args:
            table: The table, as tomllib gives it.
            where: File and table, for errors.

        Raises:
            ConfigError: Something is missing or wrong; the message says where.
        """
        reader = TableReader(table, where)
        limits = reader.optional_table("limits")
        try:
            return cls(
                name=reader.checked("name", check_name),
                url=reader.checked("url", _url),
                ip=reader.checked("ip", parse_address),
                port=reader.integer("port", 0, 65535),
                healthcheck_port=reader.integer(HEALTHCHECK_KEY, 0, 65535)
                if reader.has(HEALTHCHECK_KEY)
                else None,
                proxy_header=reader.optional_text("proxy_header"),
                trusted_proxy=reader.convert("trusted_proxy", Addresses.from_toml)
                if reader.has("trusted_proxy")
                else None,
                servers=reader.entries("servers", ServerConfig.from_toml),
                clients=reader.entries("clients", ClientConfig.from_toml),
                encryption=_read_encryption(reader),
                dense_framing=reader.boolean("dense_framing") if reader.has("dense_framing") else True,
                limits=Limits() if limits is None else Limits.from_table(limits.values),
            )
        except ConfigError as exc:
            raise located(exc, where) from None

    def to_toml(self) -> dict[str, Any]:  # Any: TOML values
        """Return the `[service]` table; None stands for a key to be left out."""
        match self.encryption:
            case EnvironmentEncryption(variable):
                encryption: dict[str, Any] | None = {"Environment": {"key": variable}}
            case SimpleEncryption():
                encryption = {"Simple": {}}
            case None:
                encryption = None
        return {
            "name": self.name,
            "url": self.url,
            "ip": str(self.ip),
            "port": self.port,
            HEALTHCHECK_KEY: self.healthcheck_port,
            "proxy_header": self.proxy_header,
            "trusted_proxy": None if self.trusted_proxy is None else self.trusted_proxy.to_toml(),
            "servers": [server.to_toml() for server in self.servers],
            "clients": [client.to_toml() for client in self.clients],
            "dense_framing": None if self.dense_framing else False,
            "encryption": encryption,
            "limits": self.limits.to_table() or None,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, allow_readable: bool = False) -> Self:
        """Read the `[service]` table of an agent's file, or a file with the same keys at its root.

        Args:
            path: The file.
            allow_readable: Accept it even if others can read its keys.

        Raises:
            ConfigError: There is no such file, others can read its keys, or something in it is wrong.
        """
        file = read_checked(path, "configuration")
        source = f"The configuration {quoted(str(file.path), _SHOWN_PATH)}"
        document = parse_toml(file.text, source)
        if "service" in document:
            table, where = TableReader(document, source).table("service").values, f"{source}, service"
        else:
            table, where = document, source
        config = cls.from_toml(table, where)
        if config.holds_keys and not allow_readable:
            file.refuse_readable("configuration")
        return config

    def save(self, path: str | os.PathLike[str], *, keep_group: bool = False) -> None:
        """Write it to a file of mode 0600. An existing file is edited: comments, order and other keys stay.

        To change a file that others may be changing too, hold `paddington.config.locking.locked(path)` from load to
        save.

        Args:
            path: The file; if it is a symbolic link, the file that it means.
            keep_group: Whether a group that may read an existing file, and is not our own, still may.

        Raises:
            ConfigError: The file cannot be written or edited; it is as it was.
        """
        write_files([NewFile(path=Path(path), text=self._text_for(path), edit=True, keep_group=keep_group)])

    def _text_for(self, path: str | os.PathLike[str]) -> str:
        if not Path(path).exists():
            return format_toml({"service": self.to_toml()})
        file = read_checked(path, "configuration")
        source = f"The configuration {quoted(str(file.path), _SHOWN_PATH)}"
        document = parse_toml(file.text, source)
        bare = "service" not in document and bool({"servers", "clients", "port"} & document.keys())
        values = self.to_toml() if bare else {"service": self.to_toml()}
        return edited_toml(file.text, values, source, whole=WHOLE_TABLES)

    def _change(self, **changes: Any) -> None:  # Any: values of the fields
        checked = attrs.evolve(self, **changes)
        self.clients, self.servers = checked.clients, checked.servers

    def _invite(self, client: ClientConfig, own_type: str | None) -> Invite:
        return Invite(
            name=self.name,
            url=self.url,
            zone=client.zone,
            inner_key=client.inner_key,
            outer_key=client.outer_key,
            proxy=client.proxy,
            type=own_type,
        )


def _choose(
    entries: Sequence[ClientConfig | ServerConfig], name: str, zone: str | None, what: str
) -> Peer | None:
    found = [entry.peer for entry in entries if entry.name == name and zone in {None, entry.zone}]
    if len(found) > 1:
        zones = ", ".join(quoted(peer.zone) for peer in found)
        raise ConfigError(f"The {what} {quoted(name)} is in several zones: {zones}. Give the zone")
    return found[0] if found else None


def _in_zone(zone: str | None) -> str:
    return "" if zone is None else f" in the zone {quoted(zone)}"


def _read_encryption(reader: TableReader) -> Encryption | None:
    table = reader.optional_table("encryption")
    if table is None:
        return None
    match sorted(table.values):
        case ["Environment"]:
            return EnvironmentEncryption(table.table("Environment").text("key"))
        case ["Simple"]:
            table.table("Simple")
            return SimpleEncryption()
        case _:
            raise reader.error("encryption", "must hold one table, Environment or Simple")
