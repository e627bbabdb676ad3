"""The letter that a proxy passes on: names and zone in the open, the rest sealed for the recipient."""

from __future__ import annotations

from typing import Final, Self

import attrs

from ..errors import JsonError
from ..limits import Limits
from ..protocol.jsontext import parse, write
from ..protocol.sizes import NUMBER_BYTES, max_value_bytes

KIND: Final = "openportal-relay-v1"

_FIELDS: Final = frozenset({"kind", "from", "to", "zone", "ciphertext"})
_ADDRESS_BYTES: Final = 4 * 1024
"""Bytes set aside in each frame to the proxy for names, the zone and the escapes of the letter's quotes."""


@attrs.frozen
class Letter:
    """One payload on the connection with a proxy.

    Attributes:
        sender: Name of the service that wrote it, as it claims.
        recipient: Name of the service that it is for.
        zone: Zone, as the sender claims; not believed.
        ciphertext: A sealed frame.
    """

    sender: str
    recipient: str
    zone: str
    ciphertext: str = attrs.field(repr=False)

    def to_text(self) -> str:
        """Return the payload."""
        return write(
            {
                "kind": KIND,
                "from": self.sender,
                "to": self.recipient,
                "zone": self.zone,
                "ciphertext": self.ciphertext,
            }
        )

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a payload; None if it is no letter. Exactly the five fields make one."""
        try:
            value = parse(text)
        except JsonError:
            return None
        if type(value) is not dict or value.keys() != _FIELDS or value["kind"] != KIND:
            return None
        match value:
            case {"from": str(sender), "to": str(recipient), "zone": str(zone), "ciphertext": str(sealed)}:
                return cls(sender, recipient, zone, sealed)
            case _:
                return None


def max_sealed_characters(limits: Limits) -> int:
    """Return how many characters a sealed frame may have to fit through a proxy, whichever framing it speaks."""
    return max_value_bytes(limits.frame_bytes) - NUMBER_BYTES - _ADDRESS_BYTES
