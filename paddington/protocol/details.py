"""The three JSON objects of the handshake as values: Handshake, PeerDetails, standby status.

Protocol pages *wire*, section 3 and 4, and *newer-protocol*, section 3. They are written with all fields
of all releases; only the fields of the oldest release are required, and unknown ones are ignored.

Reading never raises: it returns the value, or the `Problem` with it, so that no key is in a variable where an
error is raised.
"""

from __future__ import annotations

from typing import Final

import attrs

from ..errors import ConfigError
from ..text import quoted
from . import capabilities
from .crypto import Key
from .replay import Stamp, is_number

PROTOCOL_VERSION: Final = 2
"""Version of the protocol in PeerDetails, in every release."""

MAX_NAME_CHARACTERS: Final = 128
"""Characters of an engine's name or version; theirs have about ten."""


@attrs.frozen
class Problem:
    """Why an object is refused.

    Attributes:
        reason: As in `HandshakeError`.
        message: A sentence.
    """

    reason: str
    message: str


@attrs.frozen
class Greeting:
    """A Handshake object.

    Attributes:
        session_key: The sender's half of the session keys.
        engine: What the sender calls its software.
        version: The version of that.
        stamp: Number and epoch.
        framings: Framings that the sender offers.
    """

    session_key: Key
    engine: str
    version: str
    stamp: Stamp
    framings: tuple[str, ...]

    def to_json(self, side: capabilities.Side) -> dict[str, object]:
        """Return the object as the side that dials or listens sends it."""
        return {
            "session_key": {"data": self.session_key.hex()},
            "engine": self.engine,
            "version": self.version,
            "nonce": self.stamp.number,
            "epoch": self.stamp.epoch,
            capabilities.FIELD: capabilities.offer(side, self.framings),
        }

    @classmethod
    def read(cls, value: object, side: capabilities.Side) -> Greeting | Problem:
        """Read the object that this side has sent."""
        if not isinstance(value, dict):
            return Problem("malformed", "The first object is no Handshake")
        match value:
            case {"session_key": {"data": str(digits)}, "engine": str(engine), "version": str(version)}:
                key = _key(digits)
            case _:
                return Problem("malformed", "The first object is no Handshake")
        if key is None:
            return Problem("malformed", "The session key is not written as 64 hexadecimal digits")
        if key.is_zero:
            return Problem("zero-key", "The session key is all zeros")
        stamp = _stamp(value)
        if stamp is None:
            return Problem("malformed", "The number or the epoch of the Handshake is not an unsigned integer")
        if not (_is_label(engine) and _is_label(version)):
            return Problem("malformed", "The engine or its version is too long, or not printable")
        offered = capabilities.framings(value.get(capabilities.FIELD), side)
        return cls(key, engine, version, stamp, offered)


@attrs.frozen
class StandbyStatus:
    """How a connection stands; neither secondary means primary."""

    client_is_secondary: bool
    server_is_secondary: bool

    def to_json(self) -> dict[str, object]:
        """Return the object that answers a waiting client."""
        return {
            "server_is_secondary": self.server_is_secondary,
            "client_is_secondary": self.client_is_secondary,
        }

    @classmethod
    def read(cls, value: object) -> StandbyStatus | Problem:
        """Read the object."""
        match value:
            case {"server_is_secondary": bool(server), "client_is_secondary": bool(client)}:
                return cls(client_is_secondary=client, server_is_secondary=server)
            case _:
                return Problem("malformed", "The answer does not say how the connection stands")


@attrs.frozen
class Details:
    """A PeerDetails object.

    Attributes:
        name: The sender's own name.
        zone: The zone of the connection.
        status: How the connection stands; the client's own view of it means nothing.
        supports_nonce: Whether the sender numbers its payloads.
        stamp: Number and epoch.
    """

    name: str
    zone: str
    status: StandbyStatus
    supports_nonce: bool
    stamp: Stamp

    def to_json(self) -> dict[str, object]:
        """Return the object that is sent."""
        return {
            "name": self.name,
            "zone": self.zone,
            "version": PROTOCOL_VERSION,
            "standby_status": self.status.to_json(),
            "supports_nonce": self.supports_nonce,
            "nonce": self.stamp.number,
            "epoch": self.stamp.epoch,
        }

    @classmethod
    def read(cls, value: object) -> Details | Problem:
        """Read the object; the version of the protocol must be ours."""
        if not isinstance(value, dict):
            return Problem("malformed", "The second object is no PeerDetails")
        match value:
            case {"name": str(name), "zone": str(zone), "version": version, "standby_status": status}:
                stamp = _stamp(value)
            case _:
                return Problem("malformed", "The second object is no PeerDetails")
        if stamp is None:
            return Problem("malformed", "The number or the epoch of PeerDetails is not an unsigned integer")
        if not is_number(version):
            return Problem("malformed", "The protocol version is not a whole number")
        if version != PROTOCOL_VERSION:
            return Problem("version", f"The peer speaks protocol version {version}, we {PROTOCOL_VERSION}")
        standing = StandbyStatus.read(status)
        if isinstance(standing, Problem):
            return standing
        supports = value.get("supports_nonce")
        if supports is not None and not isinstance(supports, bool):
            return Problem("malformed", "The field supports_nonce is neither true nor false")
        return cls(name, zone, standing, supports is True, stamp)

    def check(self, name: str, zone: str) -> Problem | None:
        """Compare with the names that the configuration has for this peer."""
        if self.name != name:
            return Problem("name", f"The peer calls itself {quoted(self.name)} and is configured as {name}")
        if self.zone != zone:
            return Problem(
                "zone", f"The peer is in zone {quoted(self.zone)} and is configured in zone {zone}"
            )
        return None


def _key(digits: str) -> Key | None:
    try:
        return Key.from_hex(digits)
    except ConfigError:
        return None


def _stamp(value: dict[str, object]) -> Stamp | None:
    number, epoch = value.get("nonce"), value.get("epoch")
    for field in (number, epoch):
        if field is not None and not is_number(field):
            return None
    # is_number is more than isinstance, which a type checker follows.
    return Stamp(number, epoch)  # type: ignore[arg-type]


def _is_label(text: str) -> bool:
    return len(text) <= MAX_NAME_CHARACTERS and text.isprintable()
