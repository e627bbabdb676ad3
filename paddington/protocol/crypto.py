"""Keys and salts, and their operations: seal, open, derive (protocol page *wire*, section 1).

Rule 1: a key is never shown. `repr`, `str` and formatting return a placeholder, pickling is refused, and
the raw bytes leave a `Key` only through `hex()` and `expose()`, which are easy to search for.

Rule 2: every failure to open is the same failure. A caller cannot tell a wrong key from altered data, and
neither can a peer.

Rule 3: no function that raises holds raw key bytes in a local variable, since some reports print those.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable
from typing import ClassVar, Final, NoReturn, Self, TypeAlias

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as _xchacha_decrypt
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as _xchacha_encrypt
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2i

from ..errors import ConfigError, SealError

SIZE: Final = 32
"""Bytes of a key, a salt and an info."""

NONCE_SIZE: Final = 24
"""Bytes of the random number in front of sealed data (XChaCha20-Poly1305)."""

TAG_SIZE: Final = 16

PASSWORD_SALT: Final = bytes.fromhex("3a7f1b4c5d6e2f8a9bacbdcedfeff001")
"""The one salt of all version 0 password keys (protocol page *wire*, section 1)."""

PASSWORD_MEMORY_KIB: Final = 8
"""Memory of a version 0 password key."""

PASSWORD_MEMORY_KIB_V1: Final = 19_456
"""Memory of a version 1 password key (protocol page *newer-protocol*, section 9)."""

Random: TypeAlias = Callable[[int], bytes]
"""Returns the requested number of random bytes; `os.urandom` everywhere but in tests."""

_NO_UTF8: Final = "This password holds half a surrogate pair and has no UTF-8 form; type it again."
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_DIGEST: Final = 64  # bytes of a SHA-512 digest
_BLOCK: Final = 128  # bytes of a SHA-512 block, RFC 2104
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))


class _Secret:
    """32 secret bytes, which are never shown."""

    __slots__ = ("_raw",)
    _WHAT: ClassVar[str] = "value"

    def __init__(self, raw: bytes) -> None:
        size = len(raw)
        if size != SIZE:
            del raw
            raise ConfigError(f"A {self._WHAT} has exactly {SIZE} bytes, not {size}")
        object.__setattr__(self, "_raw", bytes(raw))

    @classmethod
    def generate(cls, random: Random = os.urandom) -> Self:
        """Make a new one from the system's random source."""
        return cls(random(SIZE))

    @classmethod
    def from_hex(cls, text: object) -> Self:
        """Read 64 hexadecimal digits, in either case and nothing around them.

        Raises:
            ConfigError: The text is anything else. The message has its length, never the text.
        """
        if not isinstance(text, str) or _HEX.fullmatch(text) is None:
            size = f"{len(text)} characters" if isinstance(text, str) else f"a {type(text).__name__}"
            del text
            raise ConfigError(f"A {cls._WHAT} is written as exactly 64 hexadecimal digits; this is {size}")
        return cls(bytes.fromhex(text))

    def hex(self) -> str:
        """Return 64 lower-case hexadecimal digits, for writing to a file."""
        raw: bytes = self._raw
        return raw.hex()

    def expose(self) -> bytes:
        """Return the 32 bytes, for arithmetic."""
        raw: bytes = self._raw
        return raw

    @property
    def is_zero(self) -> bool:
        """Whether all bytes are zero, which no random source gives and no peer may send."""
        return not any(self._raw)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._raw, other._raw)

    def __hash__(self) -> int:
        return hash((type(self), self._raw))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(redacted)"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"A {self._WHAT} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"A {self._WHAT} cannot be changed")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"A {self._WHAT} cannot be pickled; write its hex() where it belongs")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    _raw: bytes


class Key(_Secret):
    """A 32-byte symmetric key.

    `Key.generate()`, `Key.from_hex(text)` or `Key.from_password(text)`; `key.hex()` writes it out.
    Two keys compare in constant time.
    """

    __slots__ = ()
    _WHAT = "key"

    @classmethod
    def from_password(cls, password: str) -> Self:
        """Derive the version 0 key of a password: a fixed salt and little work.

        It obscures rather than protects: use only passwords of high entropy. See `password_key` for version 1.

        Raises:
            ConfigError: The password has no UTF-8 form.
        """
        key = _password_key(password, PASSWORD_SALT, PASSWORD_MEMORY_KIB)
        if key is None:
            del password
            raise ConfigError(_NO_UTF8)
        return cls(key)


class Salt(_Secret):
    """32 bytes that make the derived keys of each connection different.

    Salts are not secret, but a masked salt beside its plain form reveals a pre-shared key, so they are
    never shown either.
    """

    __slots__ = ()
    _WHAT = "salt"

    def masked(self, key: Key) -> Salt:
        """Combine with a key by exclusive or; doing it twice restores the salt."""
        mixed = int.from_bytes(self._raw, "big") ^ int.from_bytes(key.expose(), "big")
        return Salt(mixed.to_bytes(SIZE, "big"))


def mask_salts(inner: Salt, outer: Salt, *, inner_key: Key, outer_key: Key) -> tuple[Salt, Salt]:
    """Combine both salts with the pre-shared keys, crosswise; its own inverse.

    The inner salt goes with the *outer* key and the outer salt with the *inner* key (protocol page *wire*,
    section 3).
    """
    return inner.masked(outer_key), outer.masked(inner_key)


def seal(key: Key, data: bytes, *, nonce: bytes | None = None) -> bytes:
    """Encrypt and authenticate data: nonce, ciphertext, tag (XChaCha20-Poly1305, no associated data).

    Args:
        key: The key.
        data: Anything.
        nonce: 24 bytes that were never used with this key; drawn from the system's random source if not
            given.
    """
    return seal_raw(key.expose(), data, os.urandom(NONCE_SIZE) if nonce is None else nonce)


def open_sealed(key: Key, sealed: bytes) -> bytes:
    """Undo `seal`.

    Raises:
        SealError: Wrong key, or altered or cut data.
    """
    data = open_raw(key.expose(), sealed)
    if data is None:
        raise SealError
    return data


def seal_raw(key: bytes, data: bytes, nonce: bytes) -> bytes:
    """Do what `seal` does, on bare bytes: for derived keys, which live for one frame."""
    return nonce + _xchacha_encrypt(data, None, nonce, key)


def open_raw(key: bytes, sealed: bytes) -> bytes | None:
    """Do what `open_sealed` does, on bare bytes; None if it does not open."""
    if len(sealed) < NONCE_SIZE + TAG_SIZE:
        return None
    try:
        return _xchacha_decrypt(sealed[NONCE_SIZE:], None, sealed[:NONCE_SIZE], key)
    except CryptoError:
        return None


class Deriver:
    """HKDF-SHA512 (RFC 5869) for one key and salt; derives a 32-byte key for each info.

    Key and salt are constant during a connection, so the extract step runs once here, and so do the first
    blocks of both hashes of the expand step's HMAC (RFC 2104): what is left per info is one compression
    function each.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes, salt: bytes) -> None:
        extracted = hmac.digest(salt, key, "sha512").ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha512(extracted.translate(_INNER_PAD)).copy
        self._outer = hashlib.sha512(extracted.translate(_OUTER_PAD)).copy

    def __call__(self, info: bytes) -> bytes:
        return self._block(info + b"\x01")[:SIZE]

    def expand(self, info: bytes, length: int) -> bytes:
        """Derive another length than 32: up to 255 blocks of 64 bytes."""
        blocks = [b""]
        for counter in range(1, -(-length // _DIGEST) + 1):
            blocks.append(self._block(blocks[-1] + info + bytes([counter])))
        return b"".join(blocks)[:length]

    def _block(self, message: bytes) -> bytes:
        inner = self._inner()
        inner.update(message)
        outer = self._outer()
        outer.update(inner.digest())
        return outer.digest()

    def __repr__(self) -> str:
        return "Deriver(redacted)"


def derive(key: Key, salt: Salt, info: bytes) -> Key:
    """Derive one key: HKDF-SHA512, 32 bytes out. Many infos for one key and salt: use a `Deriver`."""
    return Key(Deriver(key.expose(), salt.expose())(info))


def password_key(password: str, *, salt: bytes = PASSWORD_SALT, memory_kib: int = PASSWORD_MEMORY_KIB) -> Key:
    """Derive a key from a password: Argon2i 1.3, 3 passes, 1 lane, 32 bytes out.

    The defaults are those of version 0. Version 1 takes 16 random bytes as salt and
    `PASSWORD_MEMORY_KIB_V1`; it needs tens of milliseconds and 19 MiB, so call it in a worker thread, one
    at a time.

    Args:
        password: The password, taken as it is, blanks included.
        salt: 16 bytes.
        memory_kib: Memory in KiB, at least 8.

    Raises:
        ConfigError: The password has no UTF-8 form, or the salt another length.
    """
    if len(salt) != argon2i.SALTBYTES:
        del password
        raise ConfigError(f"The salt of a password has {argon2i.SALTBYTES} bytes, not {len(salt)}")
    key = _password_key(password, salt, memory_kib)
    if key is None:
        del password
        raise ConfigError(_NO_UTF8)
    return Key(key)


def _password_key(password: str, salt: bytes, memory_kib: int) -> bytes | None:
    try:
        secret = password.encode()
    except UnicodeEncodeError:
        return None
    return argon2i.kdf(SIZE, secret, salt, opslimit=3, memlimit=memory_kib * 1024)
