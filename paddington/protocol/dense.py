"""The dense framing: several payloads in one binary frame, sealed once (`docs/wire-extension.md`).

Two services of ours may agree upon it in the handshake; with anyone else the envelope is spoken. ::

    frame  = number (8 bytes) + seal(direction's key, nonce = 16 zero bytes + number, body)
    body   = one or more of: length (4 bytes) + payload as UTF-8          all numbers big-endian

Rule 1. Each direction has a key of its own, so a frame that comes back to its sender does not open.
Rule 2. A number is used once per key, and a sender counts from 0 without a gap. It is the nonce, so it is
        authentic in every frame that opens.
Rule 3. The receiver takes the next number only. A lower one is a repeat and is dropped. A higher one that
        opens means that a frame was lost on the way, which no line does by itself: the connection is to be
        renewed, and what was lost is in the next synchronisation.
Rule 4. Nothing is changed by a frame that does not open.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import islice
from typing import Final

import attrs

from ..errors import FrameError, PayloadError, PayloadTooLargeError
from ..limits import Limits
from .crypto import NONCE_SIZE, TAG_SIZE, Deriver, Key, Salt, open_raw, seal_raw
from .session import Frame

NAME: Final = "dense-1"
"""What the framing is called in the handshake."""

MAX_PAYLOADS_PER_FRAME: Final = 1024
"""Payloads in one frame that are taken: an empty one costs four bytes here and a whole step of its reader."""

TARGET_FRAME_BYTES: Final = 64 * 1024
"""Bytes from which a frame takes no further payload: more would save nothing and keep the reader waiting."""

_NUMBER: Final = struct.Struct(">Q")
_LENGTH: Final = struct.Struct(">I")
_ZEROS: Final = bytes(NONCE_SIZE - _NUMBER.size)
_OVERHEAD: Final = _NUMBER.size + TAG_SIZE
_PURPOSE: Final = b"paddington dense-1, from the %b"


@attrs.frozen(repr=False, eq=False)
class DenseKeys:
    """One key for each direction, as bare bytes: made for one connection, and gone with it."""

    to_peer: bytes
    from_peer: bytes

    @classmethod
    def derive(
        cls, inner_key: Key, outer_key: Key, inner_salt: Salt, outer_salt: Salt, *, dialled: bool
    ) -> DenseKeys:
        """Derive both from the session keys and salts of a connection.

        Args:
            inner_key: The inner session key, drawn by the side that listens.
            outer_key: The outer session key, drawn by the side that dials.
            inner_salt: The inner salt of the connection.
            outer_salt: The outer salt of the connection.
            dialled: Whether ours is the side that dials.
        """
        derive = Deriver(inner_key.expose() + outer_key.expose(), inner_salt.expose() + outer_salt.expose())
        client, server = derive(_PURPOSE % b"client"), derive(_PURPOSE % b"server")
        return cls(client, server) if dialled else cls(server, client)


class DenseSession:
    """Seals and opens the payloads of one connection; made by a handshake, as `Session` is.

    Args:
        keys: The keys of the connection.
        limits: The limits of the service.

    Attributes:
        receive_limit: Bytes of a frame that are taken.
        send_limit: Bytes of a frame that we send.
        must_renew: Whether frames were lost: close the connection and open it afresh.
    """

    __slots__ = ("_keys", "_next_in", "_next_out", "must_renew", "receive_limit", "send_limit")

    binary: Final = True

    def __init__(self, keys: DenseKeys, *, limits: Limits) -> None:
        self.receive_limit = limits.dense_frame_bytes
        self.send_limit = limits.dense_frame_bytes
        self.must_renew = False
        self._keys = keys
        self._next_in = 0
        self._next_out = 0

    def seal_some(self, texts: Sequence[str], start: int = 0) -> tuple[Frame, int]:
        """Make a frame for as many payloads, from one on, as go into it well.

        Each call uses up a number, so send what it returns, in this order.

        Args:
            texts: The payloads.
            start: Which of them is the first in the frame.

        Returns:
            The frame, and how many payloads are in it: at least one.

        Raises:
            PayloadError: The first text has no UTF-8 form; no number was used.
            PayloadTooLargeError: It does not fit into one frame; no number was used.
        """
        parts: list[bytes] = []
        size = 0
        for text in islice(texts, start, start + MAX_PAYLOADS_PER_FRAME):
            payload = _encoded(text)
            if parts and (payload is None or size + len(payload) > TARGET_FRAME_BYTES):
                break
            if payload is None:
                del text, texts
                raise _no_utf8()
            parts += (_LENGTH.pack(len(payload)), payload)
            size += _LENGTH.size + len(payload)
            if size > self.largest_payload:
                del text, texts, payload, parts
                raise PayloadTooLargeError(size, self.largest_payload)
        frame = _seal(self._keys.to_peer, self._next_out, b"".join(parts))
        self._next_out += 1
        return frame, len(parts) // 2

    def open_some(self, frame: Frame) -> Sequence[str]:
        """Read the payloads of a frame, in the order in which they were sent.

        Raises:
            FrameError: The frame is dropped (see `reason`). Look at `must_renew` after `lost`.
        """
        if not isinstance(frame, bytes):
            raise FrameError("kind", "A text came where binary messages were agreed")
        if len(frame) > self.receive_limit:
            raise FrameError("too-long", f"The frame has {len(frame)} bytes; {self.receive_limit} are taken")
        if self.must_renew:
            raise FrameError("lost", "Frames were lost in this connection: renew it")
        if len(frame) < _OVERHEAD:
            raise FrameError("malformed", f"The {len(frame)} bytes are no frame: too short")
        (number,) = _NUMBER.unpack_from(frame)
        if number < self._next_in:
            raise FrameError("repeated", f"The frame's number {number} came before")
        body = open_raw(self._keys.from_peer, _ZEROS + frame)
        if body is None:
            raise FrameError("not-opened", f"The frame of {len(frame)} bytes does not open")
        if number > self._next_in:
            missing = number - self._next_in
            self.must_renew = True
            del body
            raise FrameError("lost", f"Before the frame with number {number}, {missing} were lost")
        self._next_in += 1
        payloads = _payloads(body)
        if payloads is None:
            size = len(body)
            del body
            raise FrameError("malformed", f"The {size} bytes in the frame are no payloads")
        return payloads

    @property
    def largest_payload(self) -> int:
        """Bytes that `payload_size` may give for one payload."""
        return self.send_limit - _OVERHEAD

    def payload_size(self, text: str) -> int:
        """Bytes that this payload takes up, its length counted.

        Raises:
            PayloadError: The text has no UTF-8 form.
        """
        payload = _encoded(text)
        if payload is None:
            del text
            raise _no_utf8()
        return _LENGTH.size + len(payload)

    def fits(self, text: str) -> bool:
        """Whether `seal_some` will take this payload, now and later in this connection.

        Raises:
            PayloadError: The text has no UTF-8 form.
        """
        return self.payload_size(text) <= self.largest_payload


def _seal(key: bytes, number: int, body: bytes) -> bytes:
    return seal_raw(key, body, _ZEROS + _NUMBER.pack(number))[len(_ZEROS) :]


def _payloads(body: bytes) -> list[str] | None:
    payloads: list[str] = []
    at, end = 0, len(body)
    try:
        while at < end and len(payloads) < MAX_PAYLOADS_PER_FRAME:
            (length,) = _LENGTH.unpack_from(body, at)
            at += _LENGTH.size
            payloads.append(body[at : at + length].decode())
            at += length
    except (struct.error, UnicodeDecodeError):
        return None
    # A last length that is more than is left puts the place beyond the end.
    return payloads if payloads and at == end else None


def _encoded(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def _no_utf8() -> PayloadError:
    return PayloadError("The payload holds half a surrogate pair and has no UTF-8 form; nothing was sent")
