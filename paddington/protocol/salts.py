"""The salts of a connection in the headers of its upgrade request.

Protocol pages *wire*, section 3, and *newer-protocol*, section 2. They travel combined with the pre-shared
keys, as every release reads them, or plain with a header that says so, as later releases send them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

from ..errors import HandshakeError
from .crypto import Key, Salt, mask_salts

INNER_SALT: Final = b"openportal-inner-salt"
OUTER_SALT: Final = b"openportal-outer-salt"
SALT_FORMAT: Final = b"openportal-salt-format"
PLAIN: Final = b"plain"

_NAMES: Final = frozenset({INNER_SALT, OUTER_SALT, SALT_FORMAT})
_HEX: Final = re.compile(rb"[0-9a-fA-F]{64}")


@attrs.frozen
class SentSalts:
    """Both salts as they travel.

    Attributes:
        inner: Value of the header for the inner salt.
        outer: Value of the header for the outer salt.
        plain: Whether they are the salts themselves.
    """

    inner: Salt
    outer: Salt
    plain: bool

    @classmethod
    def masked(cls, inner: Salt, outer: Salt, *, inner_key: Key, outer_key: Key) -> SentSalts:
        """Combine salts with the pre-shared keys."""
        return cls(*mask_salts(inner, outer, inner_key=inner_key, outer_key=outer_key), plain=False)

    def salts(self, *, inner_key: Key, outer_key: Key) -> tuple[Salt, Salt]:
        """Return the inner and the outer salt, if these are the sender's pre-shared keys."""
        if self.plain:
            return self.inner, self.outer
        return mask_salts(self.inner, self.outer, inner_key=inner_key, outer_key=outer_key)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers to send."""
        headers = [(INNER_SALT, self.inner.hex().encode()), (OUTER_SALT, self.outer.hex().encode())]
        return [*headers, (SALT_FORMAT, PLAIN)] if self.plain else headers

    @classmethod
    def read(cls, headers: Iterable[tuple[bytes, bytes]]) -> SentSalts:
        """Find the salts among all headers of a request, whose names may be in any case.

        Raises:
            HandshakeError: A salt is missing, comes twice, or is not exactly 64 hexadecimal digits.
        """
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            lower = name.lower()
            if lower in _NAMES:
                if lower in found:
                    raise HandshakeError("salts", f"Header {lower.decode()} comes twice")
                found[lower] = value
        plain = found.get(SALT_FORMAT, b"").strip().lower() == PLAIN
        return cls(_read_salt(found, INNER_SALT), _read_salt(found, OUTER_SALT), plain=plain)


def _read_salt(found: dict[bytes, bytes], name: bytes) -> Salt:
    value = found.get(name)
    if value is None:
        raise HandshakeError("salts", f"Header {name.decode()} is missing")
    if _HEX.fullmatch(value) is None:
        raise HandshakeError("salts", f"Header {name.decode()} is not 64 hexadecimal digits")
    return Salt.from_hex(value.decode())
