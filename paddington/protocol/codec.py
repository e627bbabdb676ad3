"""The compatible framing: a payload as a JSON text, or as a numbered object, in an envelope.

Protocol pages *wire*, section 5, and *newer-protocol*, section 5. Every existing service uses it.
"""

from __future__ import annotations

import os

from ..errors import FrameError, JsonError, PayloadError, PayloadTooLargeError
from .crypto import Random
from .envelope import RANDOM_SIZE, EnvelopeKeys, Mark, open_frame, seal_frame
from .jsontext import parse, write_text
from .replay import FINGERPRINT_SIZE, is_number
from .session import Frame, Opened
from .sizes import NUMBER_BYTES, max_value_bytes


class EnvelopeCodec:
    """The codec of the compatible framing; see `Codec` for its methods.

    Args:
        keys: The session keys, with the salts of the connection.
        mark: The mark of our service.
        random: Source of randomness.
    """

    __slots__ = ("_keys", "_mark", "_random")

    def __init__(self, keys: EnvelopeKeys, mark: Mark, *, random: Random = os.urandom) -> None:
        self._keys = keys
        self._mark = mark
        self._random = random

    def seal(self, number: int | None, text: str, *, limit: int) -> str:
        """Make a frame of at most `limit` characters."""
        data = _payload_json(text)
        if data is None:
            del text
            raise _no_utf8()
        largest = self.largest_payload(limit, numbered=number is not None)
        if len(data) > largest:
            size = len(data)
            del text, data
            raise PayloadTooLargeError(size, largest)
        value = data if number is None else b'{"nonce":%d,"payload":%b}' % (number, data)
        return seal_frame(self._keys, value, self._random(RANDOM_SIZE), self._mark)

    def open(self, frame: Frame) -> Opened:
        """Read a frame of the peer."""
        if not isinstance(frame, str):
            raise FrameError("kind", "A binary message came where text was agreed")
        value, infos = open_frame(self._keys, frame, self._mark)
        opened = _payload(value, infos[:FINGERPRINT_SIZE])
        if opened is None:
            size = len(value)
            del value
            raise FrameError("malformed", f"The {size} bytes in the frame are no payload")
        return opened

    def payload_size(self, text: str) -> int:
        """Bytes of the payload as a JSON text."""
        data = _payload_json(text)
        if data is None:
            del text
            raise _no_utf8()
        return len(data)

    def largest_payload(self, limit: int, *, numbered: bool) -> int:
        """Bytes that a payload may take in a frame of at most `limit`, whatever its number."""
        return max_value_bytes(limit) - (NUMBER_BYTES if numbered else 0)


def _payload_json(text: str) -> bytes | None:
    try:
        return write_text(text).encode()
    except UnicodeEncodeError:
        return None


def _no_utf8() -> PayloadError:
    return PayloadError("The payload holds half a surrogate pair and has no UTF-8 form; nothing was sent")


def _payload(value: bytes, fingerprint: bytes) -> Opened | None:
    try:
        content = parse(value)
    except JsonError:
        return None
    if type(content) is str:
        return Opened(None, content, fingerprint)
    # Unknown fields are ignored: a later release may have some.
    if type(content) is dict and is_number(number := content.get("nonce")):
        text = content.get("payload")
        if type(text) is str:
            return Opened(number, text, fingerprint)
    return None
