"""The three messages that set up a session through a proxy, sealed under the two permanent keys."""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from ..errors import ConfigError, JsonError
from ..protocol import capabilities
from ..protocol.crypto import SIZE, Key, Salt
from ..protocol.details import MAX_NAME_CHARACTERS
from ..protocol.jsontext import parse
from ..protocol.replay import Stamp, is_number

BOOTSTRAP_SALT: Final = Salt(b"\xab" * SIZE)
"""Both salts of a bootstrap message."""

_MAGIC_CHARACTERS: Final = 2 * SIZE


@attrs.frozen(kw_only=True)
class Start:
    """The starting side's half of the session keys, and the salts."""

    outer_key: Key
    inner_salt: Salt
    outer_salt: Salt
    magic: str
    engine: str
    version: str
    supports_nonce: bool
    stamp: Stamp
    framings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        return {
            "type": "Start",
            "session_outer_key": {"data": self.outer_key.hex()},
            "inner_key_salt": {"data": self.inner_salt.hex()},
            "outer_key_salt": {"data": self.outer_salt.hex()},
            **_common(self),
            capabilities.FIELD: capabilities.offer("client", self.framings),
        }


@attrs.frozen(kw_only=True)
class Accepted:
    """The waiting side's half of the session keys."""

    inner_key: Key
    magic: str
    engine: str
    version: str
    supports_nonce: bool
    stamp: Stamp
    framings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        return {
            "type": "Accepted",
            "session_inner_key": {"data": self.inner_key.hex()},
            **_common(self),
            capabilities.FIELD: capabilities.offer("server", self.framings),
        }


@attrs.frozen(kw_only=True)
class SessionUnknown:
    """The sender has no session with the recipient: begin again."""

    stamp: Stamp

    def to_json(self) -> dict[str, object]:
        """Return the message."""
        return {"type": "SessionUnknown", "nonce": self.stamp.number, "epoch": self.stamp.epoch}


Bootstrap: TypeAlias = Start | Accepted | SessionUnknown


def read_bootstrap(data: bytes) -> Bootstrap | None:
    """Read a message; None if it is malformed, has no number, or brings a zero key."""
    try:
        value = parse(data)
    except JsonError:
        return None
    if type(value) is not dict:
        return None
    number, epoch = value.get("nonce"), value.get("epoch")
    if not is_number(number) or not (epoch is None or is_number(epoch)):
        return None
    stamp = Stamp(number, epoch)
    match value:
        case {"type": "SessionUnknown"}:
            return SessionUnknown(stamp=stamp)
        case {
            "magic": str(magic),
            "engine": str(engine),
            "version": str(version),
            "supports_nonce": bool(supports_nonce),
        } if len(magic) == _MAGIC_CHARACTERS and _is_label(engine) and _is_label(version):
            pass
        case _:
            return None
    match value:
        case {
            "type": "Start",
            "session_outer_key": {"data": str(key_digits)},
            "inner_key_salt": {"data": str(inner_digits)},
            "outer_key_salt": {"data": str(outer_digits)},
        }:
            key, inner, outer = _key(key_digits), _salt(inner_digits), _salt(outer_digits)
            if key is None or inner is None or outer is None:
                return None
            return Start(
                outer_key=key,
                inner_salt=inner,
                outer_salt=outer,
                magic=magic,
                engine=engine,
                version=version,
                supports_nonce=supports_nonce,
                stamp=stamp,
                framings=capabilities.framings(value.get(capabilities.FIELD), "client"),
            )
        case {"type": "Accepted", "session_inner_key": {"data": str(key_digits)}}:
            key = _key(key_digits)
            if key is None:
                return None
            return Accepted(
                inner_key=key,
                magic=magic,
                engine=engine,
                version=version,
                supports_nonce=supports_nonce,
                stamp=stamp,
                framings=capabilities.framings(value.get(capabilities.FIELD), "server"),
            )
        case _:
            return None


def _common(message: Start | Accepted) -> dict[str, object]:
    return {
        "magic": message.magic,
        "engine": message.engine,
        "version": message.version,
        "supports_nonce": message.supports_nonce,
        "nonce": message.stamp.number,
        "epoch": message.stamp.epoch,
    }


def _is_label(text: str) -> bool:
    return len(text) <= MAX_NAME_CHARACTERS and text.isprintable()


def _key(digits: str) -> Key | None:
    try:
        key = Key.from_hex(digits)
    except ConfigError:
        return None
    return None if key.is_zero else key


def _salt(digits: str) -> Salt | None:
    try:
        return Salt.from_hex(digits)
    except ConfigError:
        return None
