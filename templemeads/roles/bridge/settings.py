"""What a bridge is configured with: the table ``[bridge]`` of its configuration file, and the file of its clients.

The keys of existing bridges are taken as they are; ours, which they ignore, are ``max_jobs``, ``max_notifications``,
``trusted_proxy``, ``tls_certificate``, ``tls_key``, ``previous_key`` and the tables ``[[bridge.keys]]``. Source: the
protocol page *configuration*, sections 1.6 and 2.2.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import attrs

from paddington import ConfigError, Key
from paddington.config.address import Addresses, parse_address
from paddington.config.toml import TableReader

from ...config import AgentConfig
from ...text import quoted
from .authentication import ALL_SCOPES, ApiKey, Scope
from .signals import check_url
from .signatures import KEY_BYTES

DEFAULT_URL: Final = "http://localhost:3000/"
DEFAULT_IP: Final = "127.0.0.1"
DEFAULT_PORT: Final = 3000
DEFAULT_MAX_JOBS: Final = 10_000
DEFAULT_MAX_NOTIFICATIONS: Final = 500

MAIN_KEY: Final = "web portal"
"""What the key of the published clients is called in logs."""

INVALID_CERTIFICATES_VARIABLE: Final = "OPENPORTAL_ALLOW_INVALID_SSL_CERTS"
"""The environment variable by which existing bridges are told not to check the certificates of signalled URLs."""


@attrs.frozen(kw_only=True)
class BridgeSettings:
    """The table ``[bridge]``.

    Attributes:
        url: Where clients are told to find the bridge.
        ip: The address that the HTTP server listens on.
        port: The port that it listens on; 0 takes a free one.
        key: The key of the published clients; it allows everything.
        previous_key: An older key that counts as well while a new one is being distributed.
        keys: Named keys with scopes, for ``/v1/``.
        signal_url: Called for each job for the web portal; None: the web portal asks by itself.
        notification_url: Called for each notification; None: the web portal asks by itself.
        trusted_proxy: The proxies that may say whose request they pass on.
        tls_certificate: File of a certificate chain, for a bridge that speaks TLS itself.
        tls_key: File of its private key.
        max_jobs: How many jobs may wait for the web portal.
        max_notifications: How many notifications may; the oldest is dropped for a newer one.

    """

    url: str = DEFAULT_URL
    ip: str = DEFAULT_IP
    port: int = DEFAULT_PORT
    key: Key = attrs.field(repr=False)
    previous_key: Key | None = attrs.field(default=None, repr=False)
    keys: tuple[ApiKey, ...] = ()
    signal_url: str | None = None
    notification_url: str | None = None
    trusted_proxy: Addresses | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    max_jobs: int = DEFAULT_MAX_JOBS
    max_notifications: int = DEFAULT_MAX_NOTIFICATIONS

    @classmethod
    def create(cls, **values: Any) -> Self:
        """Return settings with a new key.

        Args:
            values: Attributes that are not to be the default.

        """
        return cls(key=Key.generate(), **values)

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        """Read the settings of a configuration.

        Raises:
            ConfigError: There is no table ``[bridge]``, or something in it is wrong.

        """
        table = config.tables.get("bridge")
        if table is None:
            raise ConfigError(
                f"The configuration of {config.name!r} has no table [bridge]: write one with "
                "'templemeads init NAME --type bridge'"
            )
        return cls.from_toml(table)

    @classmethod
    def from_toml(cls, table: Mapping[str, Any]) -> Self:
        """Read the table ``[bridge]``.

        Raises:
            ConfigError: Something is missing or wrong.

        """
        table = {key: value for key, value in table.items() if value is not None}
        reader = TableReader(table, "The configuration, bridge")
        names = [name for name in ("tls_certificate", "tls_key") if reader.has(name)]
        if len(names) == 1:
            raise reader.error(names[0], "needs both tls_certificate and tls_key beside it")
        proxy = table.get("trusted_proxy")
        previous = reader.table("previous_key") if reader.has("previous_key") else None
        return cls(
            url=_web_url(reader, "url"),
            ip=_address(reader, "ip"),
            port=reader.integer("port", 0, 65_535),
            key=_key(reader.table("key")),
            previous_key=None if previous is None else _key(previous),
            keys=tuple(_named_key(entry, number) for number, entry in enumerate(table.get("keys", ()), 1)),
            signal_url=_signalled(reader, "signal_url"),
            notification_url=_signalled(reader, "notification_url"),
            trusted_proxy=None if proxy is None else Addresses.from_toml(proxy),
            tls_certificate=reader.optional_text("tls_certificate"),
            tls_key=reader.optional_text("tls_key"),
            max_jobs=_limit(reader, "max_jobs", DEFAULT_MAX_JOBS),
            max_notifications=_limit(reader, "max_notifications", DEFAULT_MAX_NOTIFICATIONS),
        )

    def to_toml(self) -> dict[str, Any]:
        """Return the table ``[bridge]``; None stands for a key to be left out."""
        optional = {
            "signal_url": self.signal_url,
            "notification_url": self.notification_url,
            "trusted_proxy": None if self.trusted_proxy is None else self.trusted_proxy.to_toml(),
            "tls_certificate": self.tls_certificate,
            "tls_key": self.tls_key,
            "max_jobs": None if self.max_jobs == DEFAULT_MAX_JOBS else self.max_jobs,
            "max_notifications": (
                None if self.max_notifications == DEFAULT_MAX_NOTIFICATIONS else self.max_notifications
            ),
        }
        keys = [
            {"name": key.name, "data": key.data.hex(), "scopes": sorted(scope.value for scope in key.scopes)}
            for key in self.keys
        ]
        return {
            "url": self.url,
            "ip": self.ip,
            "port": self.port,
            **optional,
            "key": {"data": self.key.hex()},
            "previous_key": None if self.previous_key is None else {"data": self.previous_key.hex()},
            "keys": keys or None,
        }

    def with_new_key(self) -> Self:
        """Return settings with a new key; the one of today counts until the next change, as the previous one."""
        return attrs.evolve(self, key=Key.generate(), previous_key=self.key)

    def signing_keys(self) -> tuple[ApiKey, ...]:
        """Return the keys with which requests of the published clients may be signed."""
        found = [ApiKey(MAIN_KEY, self.key.expose(), ALL_SCOPES)]
        if self.previous_key is not None:
            found.append(ApiKey(f"{MAIN_KEY} (previous)", self.previous_key.expose(), ALL_SCOPES))
        return (*found, *self.keys)

    def invite(self) -> dict[str, Any]:
        """Return what the file of a published client holds."""
        return {"url": self.url, "key": {"data": self.key.hex()}}


def new_named_key(name: str, scopes: frozenset[Scope]) -> ApiKey:
    """Return a new key for ``/v1/``."""
    return ApiKey(name, secrets.token_bytes(KEY_BYTES), scopes)


def allows_invalid_certificates(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment says that the certificates of signalled URLs are not to be checked."""
    return environment.get(INVALID_CERTIFICATES_VARIABLE, "").lower() == "true"


def _web_url(reader: TableReader, key: str) -> str:
    text = reader.text(key)
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_good = False
    if not is_good:
        raise reader.error(key, f"must be a URL such as {DEFAULT_URL}, not {quoted(text)}")
    return text


def _address(reader: TableReader, key: str) -> str:
    text = reader.text(key)
    return str(parse_address(text))


def _key(reader: TableReader) -> Key:
    return Key.from_hex(reader.text("data"))


def _named_key(entry: object, number: int) -> ApiKey:
    where = f"The configuration, bridge, keys, entry {number}"
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} must be a table with name, data and scopes")
    reader = TableReader(entry, where)
    words = entry.get("scopes")
    known = {scope.value: scope for scope in Scope}
    if (
        not isinstance(words, list)
        or not words
        or not all(isinstance(word, str) and word in known for word in words)
    ):
        raise reader.error("scopes", f"must be a list of some of {', '.join(known)}")
    data = Key.from_hex(reader.text("data"))
    return ApiKey(reader.text("name"), data.expose(), frozenset(known[word] for word in words))


def _signalled(reader: TableReader, key: str) -> str | None:
    text = reader.optional_text(key)
    return None if text is None else check_url(text)


def _limit(reader: TableReader, key: str, default: int) -> int:
    return reader.integer(key, 1, 1_000_000) if reader.has(key) else default
