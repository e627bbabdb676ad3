"""A connection after its handshake: payload text in, frame out, and back.

The state of one connection and nothing else: no task, no clock, no socket. `Session` numbers, checks and
measures; a `Codec` turns one numbered payload into one frame. There is one codec, the envelope that every
existing service speaks. The dense framing that two services of ours may agree upon has a session of its own
(`dense.DenseSession`): its frames are numbered, not its payloads. A connection accepts either as `AnySession`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import attrs

from ..errors import FrameError
from ..limits import Limits
from .replay import MAX_NUMBER, InfoMemory, Window
from .sizes import send_limit

Frame: TypeAlias = str | bytes
"""One WebSocket message: text for the envelope, bytes for a binary framing."""


@attrs.frozen
class Opened:
    """What a codec finds in a frame.

    Attributes:
        number: The peer's number of this payload; None if it came without one.
        text: The payload.
        fingerprint: 16 bytes that differ from those of every other frame of the connection.
    """

    number: int | None
    text: str = attrs.field(repr=False)
    fingerprint: bytes = attrs.field(repr=False)


class Codec(Protocol):
    """One way to write numbered payloads as frames; made for one connection, stateless but for its keys."""

    def seal(self, number: int | None, text: str, *, limit: int) -> Frame:
        """Make a frame of at most `limit` characters or bytes.

        Raises:
            PayloadError: The text cannot travel at all.
            PayloadTooLargeError: The frame would be longer.
        """
        ...

    def open(self, frame: Frame) -> Opened:
        """Read a frame of the peer.

        Raises:
            FrameError: It does not open, is our own, or holds no payload.
        """
        ...

    def payload_size(self, text: str) -> int:
        """Bytes that this payload takes, to be compared with `largest_payload`."""
        ...

    def largest_payload(self, limit: int, *, numbered: bool) -> int:
        """Bytes that a payload may take in a frame of at most `limit`, whatever its number."""
        ...


class AnySession(Protocol):
    """What a connection needs of its session, whichever framing it speaks."""

    @property
    def binary(self) -> bool:
        """Whether frames are bytes; texts otherwise."""

    @property
    def receive_limit(self) -> int:
        """Characters or bytes of a frame that are taken from this peer."""

    @property
    def must_renew(self) -> bool:
        """Whether the connection must be closed and a new one opened."""

    @property
    def largest_payload(self) -> int:
        """Maximum `payload_size` of one payload."""

    def seal_some(self, texts: Sequence[str], start: int = 0) -> tuple[Frame, int]:
        """Make a frame of one or more payloads from `start` on; return it with their number."""

    def open_some(self, frame: Frame) -> Sequence[str]:
        """Read the payloads of a frame."""

    def payload_size(self, text: str) -> int:
        """Bytes that a payload takes up in a frame."""

    def fits(self, text: str) -> bool:
        """Whether a payload will be sealed, now and later in this connection."""


class Session:
    """Seals and opens the payloads of one connection. Made by a handshake; never shared between connections.

    Args:
        codec: Writes and reads the frames.
        peer_numbers: Whether the peer announced numbered payloads: then ours are numbered and bare ones
            refused.
        infos: The frames that came so far, for a peer that does not number its payloads.
        limits: The limits of the service.

    Attributes:
        peer_numbers: As above.
        receive_limit: Characters or bytes of a frame that are taken from this peer.
        send_limit: Characters or bytes of a frame that we send to it.
    """

    __slots__ = ("_codec", "_infos", "_sent", "_window", "peer_numbers", "receive_limit", "send_limit")

    binary: Final = False

    def __init__(self, codec: Codec, *, peer_numbers: bool, infos: InfoMemory, limits: Limits) -> None:
        self.peer_numbers = peer_numbers
        self.receive_limit = limits.frame_bytes if peer_numbers else limits.legacy_frame_bytes
        self.send_limit = send_limit(limits, peer_numbers=peer_numbers)
        self._codec = codec
        self._infos = infos
        self._window = Window(limits.replay_window)
        self._sent = 0

    def seal(self, text: str) -> Frame:
        """Make the frame for a payload. Each call uses up a number, so send what it returns, in this order.

        Raises:
            PayloadError: The text has no UTF-8 form; no number was used.
            PayloadTooLargeError: It does not fit into one frame; no number was used.
        """
        frame = self._codec.seal(self._sent if self.peer_numbers else None, text, limit=self.send_limit)
        self._sent = (self._sent + 1) & MAX_NUMBER
        return frame

    def seal_some(self, texts: Sequence[str], start: int = 0) -> tuple[Frame, int]:
        """Make the frame for one of these payloads, which is all that goes into one; as `seal`."""
        return self.seal(texts[start]), 1

    def open_some(self, frame: Frame) -> Sequence[str]:
        """Read the one payload of a frame; as `open`."""
        return (self.open(frame),)

    def open(self, frame: Frame) -> str:
        """Read the payload of a frame.

        Raises:
            FrameError: The frame is dropped (see `reason`); the connection stays, and the frame still
                counts as a sign of life. Look at `must_renew` after `exhausted`.
        """
        if len(frame) > self.receive_limit:
            raise FrameError(
                "too-long", f"The frame has {len(frame)} characters; {self.receive_limit} are taken"
            )
        if self.must_renew:
            raise FrameError("exhausted", f"The connection has taken {len(self._infos)} frames: renew it")
        opened = self._codec.open(frame)
        if not self.peer_numbers and not self._infos.add(opened.fingerprint):
            raise FrameError("repeated", "The frame came before in this connection")
        if opened.number is None:
            if self.peer_numbers:
                raise FrameError("bare", "The peer announced numbered payloads, and this one has no number")
        elif not self._window.accept(opened.number):
            raise FrameError("repeated", f"The payload's number {opened.number} came before, or is too old")
        return opened.text

    @property
    def must_renew(self) -> bool:
        """Whether the limit of remembered frames is reached: close the connection and open a new one."""
        return not self.peer_numbers and self._infos.full

    @property
    def largest_payload(self) -> int:
        """Maximum `payload_size` of one payload."""
        return self._codec.largest_payload(self.send_limit, numbered=self.peer_numbers)

    def payload_size(self, text: str) -> int:
        """Bytes that this payload takes up, its JSON quotes and escapes counted.

        Raises:
            PayloadError: The text has no UTF-8 form.
        """
        return self._codec.payload_size(text)

    def fits(self, text: str) -> bool:
        """Whether `seal` will take this payload, now and later in this connection.

        Raises:
            PayloadError: The text has no UTF-8 form.
        """
        return self.payload_size(text) <= self.largest_payload
