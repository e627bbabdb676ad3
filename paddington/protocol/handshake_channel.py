"""The envelopes of one handshake: sealed and opened with keys that change from step to step."""

from __future__ import annotations

from ..errors import HandshakeError, JsonError
from . import dense
from .codec import EnvelopeCodec
from .crypto import SIZE, Key, Salt
from .envelope import RANDOM_SIZE, EnvelopeKeys, open_layers, read_hex, seal_frame
from .jsontext import parse, write
from .local import LocalService
from .replay import FINGERPRINT_SIZE, InfoMemory
from .session import AnySession, Frame, Session


class HandshakeChannel:
    """The envelopes of one handshake, and the frames of it that have come."""

    def __init__(self, service: LocalService, inner_salt: Salt, outer_salt: Salt) -> None:
        self.service = service
        self.infos = InfoMemory(service.limits.remembered_infos)
        self._salts = (inner_salt, outer_salt)
        self._pair: tuple[Key, Key] | None = None
        self._keys: EnvelopeKeys | None = None

    @property
    def keys(self) -> EnvelopeKeys:
        """The keys of this step."""
        if self._keys is None:
            raise RuntimeError("This handshake has no keys yet")
        return self._keys

    def use(self, inner_key: Key, outer_key: Key) -> None:
        """Use these keys from now on."""
        self._pair = inner_key, outer_key
        self._keys = EnvelopeKeys.derive(inner_key, outer_key, *self._salts)

    def seal(self, value: object) -> str:
        """Make the frame around a value."""
        return seal_frame(
            self.keys, write(value).encode(), self.service.random(RANDOM_SIZE), self.service.mark
        )

    def open(self, frame: Frame) -> object:
        """Return the value in a frame of the peer.

        Raises:
            HandshakeError: There is none, or the frame came before.
        """
        raw = read_frame(self.service, frame)
        data = open_layers(self.keys, raw)
        if data is None:
            raise HandshakeError("not-opened", "The frame does not open with the keys of this handshake")
        self.remember(raw)
        value = parsed(data)
        del data
        if value is None:
            raise HandshakeError("malformed", "The frame opens and holds no JSON object")
        return value

    def remember(self, raw: bytes) -> None:
        """Remember a frame that has opened.

        Raises:
            HandshakeError: It came before, or there were too many.
        """
        if self.infos.full:
            raise HandshakeError(
                "exhausted", f"The handshake has taken {len(self.infos)} frames: begin again"
            )
        if not self.infos.add(raw[:FINGERPRINT_SIZE]):
            raise HandshakeError("repeated", "The frame came before in this handshake")

    def session(self, *, peer_numbers: bool, framing: str | None, dialled: bool) -> AnySession:
        """Go on as a session; for the compatible framing, the frames of the handshake stay remembered.

        Args:
            peer_numbers: Whether the peer announced numbered payloads.
            framing: The framing that both chose; None for the compatible one.
            dialled: Whether our side dials.
        """
        if framing == dense.NAME and self._pair is not None:
            keys = dense.DenseKeys.derive(*self._pair, *self._salts, dialled=dialled)
            return dense.DenseSession(keys, limits=self.service.limits)
        codec = EnvelopeCodec(self.keys, self.service.mark, random=self.service.random)
        return Session(codec, peer_numbers=peer_numbers, infos=self.infos, limits=self.service.limits)


def read_frame(service: LocalService, frame: Frame) -> bytes:
    """Return the bytes of a frame of the handshake that is not our own.

    Raises:
        HandshakeError: It is too long, binary, not hexadecimal, or one that we have sent.
    """
    longest = service.limits.handshake_frame_bytes
    if len(frame) > longest:
        raise HandshakeError(
            "too-long", f"The frame has {len(frame)} characters; a handshake takes {longest}"
        )
    if not isinstance(frame, str):
        raise HandshakeError("kind", "A binary message came during the handshake")
    raw = read_hex(frame)
    if raw is None:
        raise HandshakeError("malformed", f"The {len(frame)} characters are no frame")
    if service.mark.is_on(raw[: 2 * SIZE]):
        raise HandshakeError(
            "reflected", "The frame is one of our own. Does this service dial itself? Else it was sent back"
        )
    return raw


def parsed(data: bytes) -> object:
    """Return the JSON value in the data; None if there is none, which no step of the handshake sends either."""
    try:
        value: object = parse(data)
    except JsonError:
        return None
    return value
