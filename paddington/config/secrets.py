"""Secrets at rest: single values of a configuration, encrypted with a password (*newer-protocol*, section 9).

There are two formats. Version 0 is bare hex, which every existing agent reads; its key takes next to no work to guess.
Version 1 begins with `op-secret-v1:` and has its own salt; agents older than 0.90 cannot read it. Deriving a key of
version 1 takes tens of milliseconds and 19 MiB, so a server calls these functions in a worker thread, one at a time.
"""

from __future__ import annotations

import enum
import json
import os
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

import attrs

from ..errors import ConfigError, SealError
from ..protocol.crypto import PASSWORD_MEMORY_KIB_V1, Key, Random, open_sealed, password_key, seal
from ..text import quoted

PREFIX: Final = "op-secret-v1:"
SALT_SIZE: Final = 16
MAX_SECRET_BYTES: Final = 64 * 1024

_LEGACY: Final = re.compile(r"(?:[0-9a-fA-F]{2}){40,}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")


class SecretFormat(enum.StrEnum):
    """How a secret is written."""

    V0 = "v0"
    """Readable by every existing agent; no salt, and a key that is quickly guessed."""
    V1 = "v1"
    """Readable from 0.90 on."""


@attrs.frozen
class SimpleEncryption:
    """The password is the service's own name: this hides secrets from a glance, it does not protect them."""


@attrs.frozen
class EnvironmentEncryption:
    """The password is the value of an environment variable.

    Attributes:
        variable: Its name.
    """

    variable: str = attrs.field()

    @variable.validator
    def _check_variable(self, _: object, variable: str) -> None:
        if not variable or not variable.isprintable() or "=" in variable:
            raise ConfigError(f"{quoted(variable)} cannot be the name of an environment variable")


Encryption: TypeAlias = SimpleEncryption | EnvironmentEncryption


def password_of(encryption: Encryption | None, name: str) -> str:
    """Find the password that protects the secrets of a service.

    Args:
        encryption: The scheme in its configuration.
        name: The service's name.

    Raises:
        ConfigError: No scheme is chosen, or the variable is not set.
    """
    match encryption:
        case SimpleEncryption():
            return name
        case EnvironmentEncryption(variable):
            password = os.environ.get(variable)
            if not password:
                raise ConfigError(
                    f"The environment variable {quoted(variable)}, which protects secrets, is not set"
                )
            return password
        case None:
            raise ConfigError(
                "No encryption is chosen for secrets. Choose the variable that holds the password: "
                "encryption --environment VARIABLE"
            )


def encrypt_secret(
    password: str,
    value: str,
    *,
    secret_format: SecretFormat = SecretFormat.V1,
    random: Random = os.urandom,
) -> str:
    """Encrypt a string.

    Raises:
        ConfigError: The value is too long, or has no UTF-8 form.
    """
    if secret_format is SecretFormat.V0:
        return seal(password_key(password), _json_bytes(value)).hex()
    salt = random(SALT_SIZE)
    key = password_key(password, salt=salt, memory_kib=PASSWORD_MEMORY_KIB_V1)
    return f"{PREFIX}{salt.hex()}:{seal(key, _json_bytes(value)).hex()}"


def decrypt_secret(password: str, stored: str) -> str:
    """Decrypt a secret of either format.

    Raises:
        ConfigError: It has neither format, or was encrypted with another password.
    """
    key, sealed = _key_and_sealed(password, stored)
    try:
        value = json.loads(open_sealed(key, sealed))
    except SealError:
        raise ConfigError("The secret does not open with this password. Store it again") from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, str):
        raise ConfigError("What is encrypted there is not a text. Store it again")
    return value


def is_legacy_secret(stored: str) -> bool:
    """Whether a stored secret has the format of version 0."""
    return not stored.startswith(PREFIX)


def looks_like_secret(value: str) -> bool:
    """Whether an entry of a configuration is, or could be, an encrypted value."""
    return value.startswith(PREFIX) or _LEGACY.fullmatch(value) is not None


def fitting_format(present: Iterable[str], replaced: str | None = None) -> SecretFormat:
    """Choose the format of a secret, so that whoever reads the file today can read it afterwards.

    Args:
        present: The secrets that the file has; other values are ignored.
        replaced: The value that the new secret replaces, if any.

    Returns:
        The format of the secret that is replaced; otherwise version 0 if all secrets present have it; otherwise version 1.
    """
    if replaced is not None and looks_like_secret(replaced):
        return SecretFormat.V0 if is_legacy_secret(replaced) else SecretFormat.V1
    secrets = [value for value in present if looks_like_secret(value)]
    return SecretFormat.V0 if secrets and all(map(is_legacy_secret, secrets)) else SecretFormat.V1


def _key_and_sealed(password: str, stored: str) -> tuple[Key, bytes]:
    if len(stored) > 2 * MAX_SECRET_BYTES + 256:
        raise ConfigError(f"A secret of {len(stored)} characters is longer than any that is written here")
    if is_legacy_secret(stored):
        return password_key(password), _bytes(stored)
    salt, colon, sealed = stored.removeprefix(PREFIX).partition(":")
    if not colon or len(salt) != 2 * SALT_SIZE:
        raise ConfigError(f"A secret is written {PREFIX}salt:data; this one is cut or altered")
    return password_key(password, salt=_bytes(salt), memory_kib=PASSWORD_MEMORY_KIB_V1), _bytes(sealed)


def _bytes(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise ConfigError(
            "A secret is written in hexadecimal digits; this one is cut or altered, or no secret"
        )
    return bytes.fromhex(text)


def _json_bytes(value: str) -> bytes:
    try:
        data = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        data = None
    if data is None:
        raise ConfigError("The secret holds half a surrogate pair and has no UTF-8 form. Type it again")
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(f"The secret has {len(data)} bytes; at most {MAX_SECRET_BYTES} are allowed")
    return data
