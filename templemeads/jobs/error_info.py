"""What kind of error a failed job has: for programs that must decide whether to try again.

A newer agent writes the kind beside the message; from an older one only the message comes, and the kind is read off it.
Source: the protocol page *newer-protocol*, section 11.2, and *json-types*, section 2.
"""

from __future__ import annotations

from typing import Final

import attrs

from ..text import well_formed

MESSAGE_LIMIT: Final = 65_536
"""Characters of an error message that are kept. A message is for people; what is longer is a payload in disguise."""

KIND_LIMIT: Final = 64
"""Characters of a kind. A longer one was not written by an agent that follows the protocol."""

_PREFIXES: Final = (
    ("ManagedProjectPendingError", "award_pending"),
    ("ManagedProjectRejectedError", "award_rejected"),
    ("ManagedProjectPermissionError", "award_permission"),
    ("OpenPortalUnsupportedCommandError", "unsupported"),
)
_EXPIRED: Final = frozenset(
    {"ExpirationError{}", "ExpirationError{{}}"}
)  # agents before 0.92 doubled the braces
_UNKNOWN: Final = frozenset({"UnknownError{}", "UnknownError{{}}"})
_WRAPPER: Final = "RuntimeError{"


@attrs.frozen
class ErrorInfo:
    """Why a job failed.

    Attributes:
        kind: ``expired``, ``unroutable``, ``unsupported``, ``invalid``, ``run``, ``unknown`` or a word of the domain,
            such as ``award_pending``. A kind that is not known here is kept and is to be treated like ``unknown``.
        message: The text for people.
        origin: Name of the agent that made the error, as far as it says so itself; never a proof.

    """

    kind: str = attrs.field(converter=well_formed)
    message: str = attrs.field(converter=well_formed)
    origin: str | None = attrs.field(default=None, converter=attrs.converters.optional(well_formed))

    @classmethod
    def from_message(cls, message: str) -> ErrorInfo:
        """Infer the kind of an error of which only the message is known.

        >>> ErrorInfo.from_message("RuntimeError{ManagedProjectPendingError: under review}").kind
        'award_pending'
        >>> ErrorInfo.from_message("it broke").kind
        'unknown'
        """
        text = message.strip()
        wrapped = text.startswith(_WRAPPER) and text.endswith("}")
        if wrapped:
            text = text[len(_WRAPPER) : -1].strip()
        for prefix, kind in _PREFIXES:
            if text == prefix or text.startswith(prefix + ": "):
                return cls(kind, message)
        if text in _EXPIRED:
            return cls("expired", message)
        if text in _UNKNOWN:
            return cls("unknown", message)
        return cls("run" if wrapped else "unknown", message)


def cut(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return the message, or its beginning with a note of how much was left out (``limit`` in characters)."""
    if len(message) <= limit:
        return message
    return f"{message[:limit]}… ({len(message) - limit} characters left out)"
