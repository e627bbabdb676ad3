"""Why something on the network failed, in one sentence for people."""

from __future__ import annotations

import os
import socket
import ssl

import trio

from .errors import PaddingtonError
from .text import quoted


def explain(error: BaseException) -> str:
    """Describe the first real cause, looking through groups and wrappers.

    Args:
        error: What was raised; its text may be foreign and comes out quoted and cut.
    """
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif isinstance(error, OSError | ssl.SSLError | PaddingtonError):
            # trio's own OSErrors (all attempts failed) wrap the one that explains.
            if isinstance(error.__cause__, BaseExceptionGroup | OSError):
                error = error.__cause__
        elif isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
            error = error.__cause__ or error.__context__ or error
    return _sentence(error)


def _sentence(error: BaseException) -> str:
    match error:
        case PaddingtonError():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"the certificate is refused: {_text(error.verify_message)}"
        case ssl.SSLError():
            reason = getattr(error, "reason", None)  # only if OpenSSL itself raised it
            return f"TLS failed: {_text(reason or error)}"
        case socket.gaierror():
            return f"the host name has no address: {_text(error.strerror)}"
        case OSError():
            # trio puts the address into strerror; the caller knows it, and the number says the rest.
            return (os.strerror(error.errno) if error.errno else _text(error)).lower()
        case trio.TooSlowError():
            return _text(error) if str(error) else "nobody answered in time"
        case trio.BrokenResourceError() | trio.ClosedResourceError():
            return "the connection broke"
        case _:
            return f"{type(error).__name__}: {_text(error)}"


def _text(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and len(text) <= 120 else quoted(text, 120)
