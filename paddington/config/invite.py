"""Invites: what a service gives to one that shall call it (protocol page *configuration*, section 2.1)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from ..errors import ConfigError, InviteError
from ..peer import DEFAULT_ZONE, Peer
from ..protocol.crypto import Key
from ..text import quoted
from .files import NewFile, read_checked, write_files
from .names import check_name, check_zone
from .toml import TableReader, located, parse_toml
from .toml_edit import format_toml
from .url import Url


def check_key(key: Key, what: str) -> Key:
    """Return the key.

    Raises:
        ConfigError: It is all zero, or no key at all.
    """
    if not isinstance(key, Key):
        raise ConfigError(f"The {what} must be a Key, not a {type(key).__name__}. Use Key.from_hex(text)")
    if key.is_zero:
        raise ConfigError(f"The {what} is all zero, which no generator returns. Ask for a new invitation")
    return key


def check_url(text: str, proxy: str | None) -> str:
    """Return the url normalised; it may be empty if there is a relay.

    Raises:
        ConfigError: It is not a url.
    """
    return "" if not text and proxy is not None else str(Url.parse(text))


def check_type(text: str | None) -> str | None:
    """Return the declared type of a peer in lower case.

    Raises:
        ConfigError: It is not a word.
    """
    return None if text is None else check_name(text, "type").lower()


def read_key(reader: TableReader, key: str) -> Key:
    """Read a key written as a table with the one field `data`.

    Raises:
        ConfigError: It is missing, flat, or not 64 hexadecimal digits.
    """
    if isinstance(reader.values.get(key), str):
        raise reader.error(key, 'must be a table: {data = "64 hexadecimal digits"}')
    return reader.table(key).convert("data", Key.from_hex)


@attrs.frozen(kw_only=True)
class Invite:
    """What a service needs to call another one: its name and address, their zone, and their keys.

    Attributes:
        name: Name of the service that wrote it.
        url: Where that service listens, normalised; empty if only a relay reaches it.
        zone: Zone of the connection.
        inner_key: One pre-shared key.
        outer_key: The other one.
        proxy: Name of the relay to go through, or None.
        type: The writer's own type of agent, in lower case, or None.

    Raises:
        ConfigError: One of them breaks its rule.
    """

    name: str = attrs.field(converter=check_name)
    url: str = attrs.field()
    zone: str = attrs.field(default=DEFAULT_ZONE, converter=check_zone)
    inner_key: Key = attrs.field()
    outer_key: Key = attrs.field()
    proxy: str | None = attrs.field(default=None, converter=attrs.converters.optional(check_name))
    type: str | None = attrs.field(default=None, converter=check_type)

    def __attrs_post_init__(self) -> None:
        check_key(self.inner_key, "inner key")
        check_key(self.outer_key, "outer key")
        # The class is frozen, and the rule for the url looks at the proxy.
        object.__setattr__(self, "url", check_url(self.url, self.proxy))

    @property
    def peer(self) -> Peer:
        """The service that wrote it, as a peer of the one that imports it."""
        return Peer(self.name, self.zone)

    @property
    def file_name(self) -> str:
        """The name that existing tools give to its file: the writer's name and the zone."""
        return f"invite_{self.name}_{self.zone}.toml"

    @classmethod
    def from_toml(cls, table: Mapping[str, Any], where: str = "invite") -> Self:  # Any: TOML values
        """Read the table that a file of an invite is.

        Raises:
            InviteError: Something is missing or wrong; the message says where.
        """
        reader = TableReader(table, where)
        try:
            return cls(
                name=reader.checked("name", check_name),
                url=reader.text("url"),
                zone=reader.checked("zone", check_zone),
                inner_key=read_key(reader, "inner_key"),
                outer_key=read_key(reader, "outer_key"),
                proxy=reader.optional_text("proxy"),
                type=reader.optional_text("type"),
            )
        except ConfigError as exc:
            raise InviteError(str(located(exc, where))) from None

    def to_toml(self) -> dict[str, Any]:  # Any: TOML values
        """Return the table for its file; None stands for a key to be left out."""
        return {
            "name": self.name,
            "url": self.url,
            "zone": self.zone,
            "proxy": self.proxy,
            "type": self.type,
            "inner_key": {"data": self.inner_key.hex()},
            "outer_key": {"data": self.outer_key.hex()},
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, allow_readable: bool = False) -> Self:
        """Read an invite.

        Args:
            path: Its file.
            allow_readable: Accept it even if others can read it, as on some secret mounts.

        Raises:
            InviteError: There is no such file, others can read it, or it is not an invitation.
        """
        try:
            file = read_checked(path, "invitation")
            table = parse_toml(file.text, f"The invitation {quoted(str(file.path), 300)}")
            if "service" in table and "name" not in table:
                raise ConfigError(
                    f"{quoted(str(file.path), 300)} is the configuration of an agent, not an invitation. "
                    "Ask the other side to write one: client --add"
                )
            if not allow_readable:
                file.refuse_readable("invitation")
        except InviteError:
            raise
        except ConfigError as exc:
            raise InviteError(str(exc)) from None
        return cls.from_toml(table, f"The invitation {quoted(str(file.path), 300)}")

    def new_file(self, path: str | os.PathLike[str], *, replace: bool = True) -> NewFile:
        """Return its file, to be written together with others.

        Args:
            path: Where to write it.
            replace: Whether an existing file is replaced; otherwise it is an error.
        """
        return NewFile(path=Path(path), text=format_toml(self.to_toml()), replace=replace)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file that only its owner can read (mode 0600); an existing file is replaced.

        Raises:
            InviteError: It cannot be written.
        """
        try:
            write_files([self.new_file(path)])
        except ConfigError as exc:
            raise InviteError(str(exc)) from None
