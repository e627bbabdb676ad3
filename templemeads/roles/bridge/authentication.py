"""Whether a request to the bridge is from somebody who holds one of its keys.

The checks come in the order of the protocol page *bridge*, section 2.4, with two differences: the version of the signature
is what the request says, never another one that would fit; and a nonce is remembered only after the signature held, so
that a stranger can neither use up nonces nor make the memory grow.
"""

from __future__ import annotations

import enum
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

import attrs

from ...errors import TemplemeadsError
from .signatures import Call, tag

DATE_SECONDS: Final = 5.0
"""How far the header `Date` of a request may be from the bridge's clock, in either direction."""

NONCE_SECONDS: Final = 30.0
"""How long a nonce is remembered: longer than a request with its date can be replayed."""

MAX_DATE_CHARACTERS: Final = 100


class Scope(enum.Enum):
    """What the holder of a key may do."""

    READ = "read"
    SUBMIT = "submit"
    ANSWER = "answer"


ALL_SCOPES: Final = frozenset(Scope)


@attrs.frozen
class ApiKey:
    """A key of a web portal.

    Attributes:
        name: What the key is called in logs and in the audit trail.
        data: 32 bytes.
        scopes: What its holder may do.
    """

    name: str
    data: bytes = attrs.field(repr=False)
    scopes: frozenset[Scope] = ALL_SCOPES


class RejectedError(TemplemeadsError):
    """A request is not taken.

    Attributes:
        status: The HTTP status.
        reason: Why, for the log of the bridge; strangers are not told.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@attrs.define(eq=False)
class Authenticator:
    """Checks signatures, dates and nonces.

    Attributes:
        keys: The keys that count; during a rotation the old and the new one.
        max_nonces: How many nonces are remembered; when there are more, the oldest is forgotten.
    """

    keys: Sequence[ApiKey]
    max_nonces: int = 100_000
    _nonces: OrderedDict[str, float] = attrs.field(factory=OrderedDict, init=False)

    def check(
        self, method: str, function: str, headers: Mapping[str, str], body: bytes, now: float
    ) -> ApiKey:
        """Return the key with which a request was signed.

        Args:
            method: `get` or `post`.
            function: Name of the endpoint.
            headers: The headers, with names in lower case.
            body: The body as it was sent.
            now: Seconds since 1970 UTC.

        Raises:
            RejectedError: The request is not signed with one of the keys, or not now, or not for the first time.
        """
        version = _version(headers.get("x-openportal-signature-version"))
        authorization = headers.get("authorization")
        if authorization is None:
            raise RejectedError(401, "it has no header Authorization")
        sent_date = headers.get("date")
        if sent_date is None:
            raise RejectedError(401, "it has no header Date")
        date = _parsed_date(sent_date)
        if abs(date.timestamp() - now) > DATE_SECONDS:
            raise RejectedError(401, f"its date is more than {DATE_SECONDS:g} s from this clock")
        nonce = headers.get("x-nonce")
        if nonce is not None and self._is_known(nonce, now):
            raise RejectedError(401, "its nonce was used before")
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise RejectedError(400, "its body is not UTF-8") from None
        signed_date = format_datetime(date, usegmt=True) if version == 1 else sent_date
        call = Call(method, function, signed_date, text, nonce)
        found: ApiKey | None = None
        for key in self.keys:
            # Every key is tried whatever came of the others: the time tells nothing about them.
            if hmac.compare_digest(
                f"OpenPortal {tag(key.data, call, version)}".encode(), authorization.encode()
            ):
                found = key
        if found is None:
            raise RejectedError(401, "its signature fits no key")
        if nonce is not None:
            self._remember(nonce, now)
        return found

    def _is_known(self, nonce: str, now: float) -> bool:
        seen = self._nonces.get(nonce)
        return seen is not None and now - seen <= NONCE_SECONDS

    def _remember(self, nonce: str, now: float) -> None:
        while self._nonces:
            oldest, seen = next(iter(self._nonces.items()))
            if now - seen <= NONCE_SECONDS and len(self._nonces) < self.max_nonces:
                break
            del self._nonces[oldest]
        self._nonces[nonce] = now
        self._nonces.move_to_end(nonce)


def _version(header: str | None) -> int:
    match header:
        case None | "1":
            return 1
        case "2":
            return 2
        case _:
            raise RejectedError(400, "it names a version of the signature that does not exist")


def _parsed_date(text: str) -> datetime:
    if len(text) > MAX_DATE_CHARACTERS:
        raise RejectedError(401, "its date is too long")
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        if abs(date.utcoffset() or timedelta()) >= timedelta(days=1):
            raise ValueError("an offset of a day or more")
        return date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise RejectedError(401, "its date cannot be read") from None
