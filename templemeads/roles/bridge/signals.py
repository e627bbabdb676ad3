"""Calling the web portal: that a job or a notification waits for it.

A signal is a GET without body whose answer counts as received when its status is 2xx. Calls run in threads, since the
HTTP client of the standard library blocks; how many do at once is bounded. Source: the protocol page *bridge*, sections
5 and 6.
"""

from __future__ import annotations

import logging
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import attrs
import trio

from paddington import ConfigError

from ...text import quoted

_log = logging.getLogger("templemeads.bridge")

JOB_TIMEOUT_SECONDS: Final = 60.0
"""How long one signal of a job may take."""

NOTIFICATION_TIMEOUT_SECONDS: Final = 10.0
"""How long one signal of a notification may take."""

PAUSE_SECONDS: Final = 2.0
"""Between two tries."""

JOB_TRIES: Final = 5
NOTIFICATION_TRIES: Final = 3

MAX_CALLS_AT_ONCE: Final = 16
"""Signals that are under way at once; further ones wait."""

Get = Callable[[str, float], Awaitable[int]]
"""Calls a URL within a number of seconds, and returns the HTTP status.

Raises:
    OSError: Nobody answered in time.
"""


def check_url(text: str) -> str:
    """Return a URL that can be signalled.

    Raises:
        ConfigError: It is not an http or https URL with a host.
    """
    try:
        parts = urllib.parse.urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{quoted(text)} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(
            f"{quoted(text)} cannot be signalled: write a URL that begins with http:// or https://"
        )
    return text


def signal_url(base: str, parameter: str, value: object) -> str:
    """Add a parameter to a URL; those that it has are kept."""
    parts = urllib.parse.urlsplit(base)
    query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    return urllib.parse.urlunsplit(
        parts._replace(query=urllib.parse.urlencode([*query, (parameter, str(value))]))
    )


@attrs.frozen
class HttpGet:
    """Calls URLs with the standard library, in threads.

    Attributes:
        verify: Whether the certificates of https URLs are checked.
    """

    verify: bool = True
    _limiter: trio.CapacityLimiter = attrs.field(
        factory=partial(trio.CapacityLimiter, MAX_CALLS_AT_ONCE), init=False, eq=False, repr=False
    )

    async def __call__(self, url: str, seconds: float) -> int:
        """Call a URL; cancelled, the call is left to its own time-out."""
        return await trio.to_thread.run_sync(
            self._get, url, seconds, abandon_on_cancel=True, limiter=self._limiter
        )

    def _get(self, url: str, seconds: float) -> int:
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        request = urllib.request.Request(url, headers={"Accept": "*/*"})  # noqa: S310 - check_url allows http and https only
        try:
            with urllib.request.urlopen(request, timeout=seconds, context=context) as response:  # noqa: S310 - as above
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


async def signal(get: Get, url: str, *, tries: int, seconds: float) -> bool:
    """Call a URL until it answers with 2xx, and return whether it did.

    Args:
        get: Makes the calls.
        url: The whole URL.
        tries: How often at most.
        seconds: How long one call may take.
    """
    for number in range(1, tries + 1):
        try:
            status = await get(url, seconds)
        except OSError as error:
            problem = str(error) or type(error).__name__
        else:
            if 200 <= status < 300:
                return True
            problem = f"it answered with status {status}"
        _log.warning("signal %d of %d failed: %s", number, tries, quoted(problem, limit=200))
        if number < tries:
            await trio.sleep(PAUSE_SECONDS)
    return False
