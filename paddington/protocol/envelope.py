"""A JSON value in two sealed layers, and back (protocol page *wire*, sections 1 and 2).

::

    frame = hex(inner_info) + hex(outer_info) + encrypt(outer', encrypt(inner', value))

Every byte of the value is written four times, since each layer writes hex: a value of L bytes makes a frame
of exactly 4 L + 372 characters.

The inner text is hex too, so reading and writing it as JSON comes down to a pair of quotes; nothing here
runs a JSON parser over it. Escapes or blanks in it, which JSON would allow and no service
writes, are refused.

Both directions of a connection share keys and salts, so a frame that comes back to its sender opens. An
info needs only look random: the second half of each outer info that we send is a `Mark` of its first
half, made with a key that only this service knows, and a received frame that carries our mark is our own.

The functions that handle derived keys and plain values never raise: see rule 3 of `crypto`.
"""

from __future__ import annotations

import hashlib
import os
from binascii import hexlify, unhexlify
from typing import Final, TypeAlias

import attrs

from ..errors import FrameError, SealError
from .crypto import NONCE_SIZE, SIZE, Deriver, Key, Random, Salt, open_raw, seal_raw
from .jsontext import parse, write
from .sizes import CHARACTERS_PER_BYTE, FRAME_OVERHEAD

RANDOM_SIZE: Final = 2 * SIZE + 2 * NONCE_SIZE
"""Random bytes that one frame takes: inner info, outer info, inner nonce, outer nonce."""

HALF_INFO: Final = SIZE // 2

_INFOS: Final = 2 * SIZE
_NONCES: Final = _INFOS + NONCE_SIZE
_QUOTE: Final = b'"'

Infos: TypeAlias = bytes
"""The two infos of a frame: 32 bytes inner, then 32 bytes outer."""


class Mark:
    """Recognises the frames that one service has sent (protocol page *security-cases*, P32).

    Args:
        key: 32 random bytes; one mark per service and run.
    """

    __slots__ = ("_state",)

    def __init__(self, key: bytes) -> None:
        self._state = hashlib.blake2b(key=key, digest_size=HALF_INFO).copy

    @classmethod
    def generate(cls, random: Random = os.urandom) -> Mark:
        """Make the mark of a service that starts now."""
        return cls(random(SIZE))

    def of(self, half: bytes) -> bytes:
        """Return the second half of an outer info that begins with this half."""
        state = self._state()
        state.update(half)
        return state.digest()

    def is_on(self, infos: Infos) -> bool:
        """Whether these are the infos of a frame that this service has sent."""
        return self.of(infos[SIZE : SIZE + HALF_INFO]) == infos[SIZE + HALF_INFO :]

    def __repr__(self) -> str:
        return "Mark(redacted)"


@attrs.frozen(repr=False, eq=False)
class EnvelopeKeys:
    """The keys of both layers, ready to derive those of each frame."""

    inner: Deriver
    outer: Deriver

    @classmethod
    def derive(cls, inner_key: Key, outer_key: Key, inner_salt: Salt, outer_salt: Salt) -> EnvelopeKeys:
        """Do what is needed once per connection and pair of keys."""
        return cls(
            Deriver(inner_key.expose(), inner_salt.expose()), Deriver(outer_key.expose(), outer_salt.expose())
        )


def frame_length(value_bytes: int) -> int:
    """Return the length of the frame for a value of this many bytes of JSON."""
    return CHARACTERS_PER_BYTE * value_bytes + FRAME_OVERHEAD


def seal_frame(keys: EnvelopeKeys, value: bytes, random: bytes, mark: Mark | None = None) -> str:
    """Make a frame.

    Args:
        keys: The keys of the connection.
        value: A JSON text as UTF-8.
        random: 112 random bytes, never used before.
        mark: Our mark. Without one the outer info is taken from `random` as it is, for test vectors.
    """
    infos = random[:_INFOS]
    if mark is not None:
        infos = infos[:-HALF_INFO] + mark.of(infos[SIZE:-HALF_INFO])
    inner = seal_raw(keys.inner(infos[:SIZE]), value, random[_INFOS:_NONCES])
    quoted = _QUOTE + hexlify(inner) + _QUOTE
    outer = seal_raw(keys.outer(infos[SIZE:]), quoted, random[_NONCES:])
    return (infos + outer).hex()


def open_frame(keys: EnvelopeKeys, frame: str, mark: Mark | None = None) -> tuple[bytes, Infos]:
    """Read a frame: the JSON text as UTF-8 (not yet checked to be either), and the infos.

    Raises:
        FrameError: It is no frame, does not open, or is our own. Nothing else comes out of any text.
    """
    raw = read_hex(frame)
    if raw is None:
        raise FrameError(
            "malformed", f"The {len(frame)} characters are no frame: not hexadecimal, or too short"
        )
    infos = raw[:_INFOS]
    if mark is not None and mark.is_on(infos):
        raise FrameError("reflected", "The frame is one of our own, sent back to us")
    value = open_layers(keys, raw)
    if value is None:
        raise FrameError("not-opened", f"The frame of {len(frame)} characters does not open")
    return value, infos


def read_hex(frame: str) -> bytes | None:
    """Return the bytes of a frame, or None if it cannot be one: hex in either case, ASCII, with both infos."""
    try:
        # Unlike bytes.fromhex this takes no blanks between the digits.
        raw = unhexlify(frame)
    except ValueError:
        return None
    return raw if len(raw) > _INFOS else None


def open_layers(keys: EnvelopeKeys, raw: bytes) -> bytes | None:
    """Open both layers of the bytes of a frame; None if either does not open."""
    quoted = open_raw(keys.outer(raw[SIZE:_INFOS]), raw[_INFOS:])
    if quoted is None or quoted[:1] != _QUOTE or quoted[-1:] != _QUOTE:
        return None
    try:
        inner = unhexlify(quoted[1:-1])
    except ValueError:
        return None
    return open_raw(keys.inner(raw[:SIZE]), inner)


def encrypt(key: Key, value: object, *, nonce: bytes | None = None) -> str:
    """Seal one JSON value under one key, as lower-case hex: how secrets are kept in files.

    Args:
        key: The key.
        value: Anything with a JSON form, also a plain text.
        nonce: 24 bytes never used with this key; drawn from the system's random source if not given.

    Raises:
        JsonError: The value has no JSON form.
    """
    data = write(value).encode()
    return seal_raw(key.expose(), data, os.urandom(NONCE_SIZE) if nonce is None else nonce).hex()


def decrypt(key: Key, text: str) -> object:
    """Undo `encrypt`.

    Raises:
        SealError: Not hexadecimal, wrong key, or altered.
        JsonError: It opens, and holds no JSON.
    """
    data = _decrypt(key, text)
    if data is None:
        raise SealError
    value: object = parse(data)
    return value


def _decrypt(key: Key, text: str) -> bytes | None:
    try:
        return open_raw(key.expose(), unhexlify(text))
    except ValueError:
        return None
