"""Every error that paddington raises, by what the caller can do about it.

::

    PaddingtonError
    ├── ConfigError (ValueError)      fix the configuration: a name, zone, URL, key, address or file
    │   └── InviteError               ask for another invitation
    ├── PayloadError (ValueError)     fix the call: this text cannot be sent to anyone
    │   └── PayloadTooLargeError      split it, or report it to the caller
    ├── PeerNotConnectedError         wait for the peer
    ├── ConnectionLostError           wait for the peer; messages under way may or may not have arrived
    ├── SealError                     wrong key or altered data
    ├── JsonError (ValueError)        the text is not JSON as our boundary takes it
    └── ProtocolError                 distrust the peer, or someone on the path
        ├── HandshakeError            the connection is refused and closed
        └── FrameError                this frame is dropped; the connection stays

No message carries a key, a password or a payload; where foreign text helps, it is quoted and cut.
"""

from __future__ import annotations


class PaddingtonError(Exception):
    """Root of every error raised here."""


class ConfigError(PaddingtonError, ValueError):
    """Something in a configuration is wrong; the message says what, and how to fix it."""


class InviteError(ConfigError):
    """An invitation cannot be read or used."""


class PayloadError(PaddingtonError, ValueError):
    """The text cannot be sent to anyone (for instance, it has no UTF-8 form)."""


class PayloadTooLargeError(PayloadError):
    """The payload would make a frame longer than the peer takes; nothing was sent.

    Attributes:
        size: bytes of the payload as JSON, including quotes and escapes.
        limit: most bytes that it may have.
        index: position among several texts, from 0.
    """

    def __init__(self, size: int, limit: int, index: int = 0) -> None:
        super().__init__(f"The payload takes {size} bytes as JSON and {limit} fit into one frame: split it.")
        self.size = size
        self.limit = limit
        self.index = index


class PeerNotConnectedError(PaddingtonError):
    """There is no connection with this peer now."""


class ConnectionLostError(PaddingtonError):
    """The connection ended; what was sent last may or may not have arrived."""


class SealError(PaddingtonError):
    """Sealed data do not open: another key, or altered data. The two cannot be told apart."""

    def __init__(self, message: str = "The data do not open: wrong key, or altered on the way.") -> None:
        super().__init__(message)


class JsonError(PaddingtonError, ValueError):
    """The text is not JSON as our boundary takes it; the message never quotes the text."""


class ProtocolError(PaddingtonError):
    """A peer, or someone on the path, broke the rules.

    Attributes:
        reason: one short word from a fixed list, fit for counting.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class HandshakeError(ProtocolError):
    """The handshake is refused; close the connection without telling the reason.

    Attributes:
        reason: `salts`, `too-long`, `not-opened`, `malformed`, `reflected`, `repeated`,
            `zero-key`, `name`, `zone`, `version`, `downgrade`, `out-of-turn`, `kind` or
            `exhausted`.
    """


class FrameError(ProtocolError):
    """A frame is refused and dropped; the connection stays.

    Attributes:
        reason: `too-long`, `not-opened`, `malformed`, `reflected`, `repeated`, `bare`, `kind`
            or `exhausted`.
    """
