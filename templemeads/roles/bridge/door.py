"""The way of every request into the bridge: its size, its address, its signature.

`Door.admit` is called with what an HTTP server knows of a request, before anything of its body is read as JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from paddington.config.address import Addresses

from .authentication import ApiKey, Authenticator, RejectedError
from .rates import Rates, caller_of

_log = logging.getLogger("templemeads.bridge")

MAX_BODY_BYTES: Final = 2 * 2**20
"""The longest body that is taken, as existing bridges have it."""

MAX_REQUESTS: Final = 10_000
"""Requests of one address in ten seconds, signed ones; a web portal polls."""

MAX_REJECTED: Final = 1_000
"""Requests of one address in ten seconds that are signed with none of our keys."""

MAX_ADDRESSES: Final = 8_192
"""Addresses whose requests are counted."""


@attrs.define(eq=False)
class Door:
    """Admits requests.

    Attributes:
        authenticator: Checks signatures.
        unix_time: Seconds since 1970 UTC, by which the dates of requests are judged.
        monotonic: Seconds on a clock that never goes back, by which requests are counted.
        trusted_proxy: The proxies that may say whose request they pass on.
    """

    authenticator: Authenticator
    unix_time: Callable[[], float]
    monotonic: Callable[[], float]
    trusted_proxy: Addresses | None = None
    rejected: int = attrs.field(default=0, init=False)
    _signed: Rates = attrs.field(factory=lambda: Rates(MAX_REQUESTS, MAX_ADDRESSES), init=False)
    _strange: Rates = attrs.field(factory=lambda: Rates(MAX_REJECTED, MAX_ADDRESSES), init=False)

    def admit(
        self,
        method: str,
        function: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        peer: str,
    ) -> ApiKey:
        """Return the key with which a request was signed.

        Args:
            method: `get` or `post`.
            function: Name of the endpoint.
            headers: The headers, with names in lower case, in the order in which they came.
            body: The body as it was sent.
            peer: The address of the TCP connection.

        Raises:
            RejectedError: It is not admitted; the status is 400, 401 or 429.
        """
        named = dict(headers)
        forwarded = [value for name, value in headers if name == "x-forwarded-for"]
        caller = caller_of(peer, self.trusted_proxy, forwarded, named.get("x-real-ip"))
        now = self.monotonic()
        if self._strange.is_exhausted(caller, now) and "authorization" not in named:
            raise self._rejected(caller, RejectedError(429, "too many requests without a valid signature"))
        try:
            key = self.authenticator.check(method, function, named, body, self.unix_time())
        except RejectedError as error:
            rejected = error
            if not self._strange.take(caller, now):
                rejected = RejectedError(429, "too many requests without a valid signature")
            raise self._rejected(caller, rejected) from None
        if not self._signed.take(f"{key.name} {caller}", now):
            raise RejectedError(429, "too many requests")
        return key

    def _rejected(self, caller: str, rejected: RejectedError) -> RejectedError:
        self.rejected += 1
        if self.rejected & (self.rejected - 1) == 0:
            # Powers of two: whoever sends a million of them does not fill the log.
            _log.warning(
                "a request from %s is rejected: %s (%d in all)", caller, rejected.reason, self.rejected
            )
        return rejected
