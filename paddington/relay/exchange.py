"""One relayed peer: which session is in force, and what each letter from it means. No clock, no task.

Rule 1. A letter counts only if it came over the connection with the configured proxy, name and zone (`endpoint` sees to
        it). The zone in the letter is not believed.
Rule 2. Nothing is marked as seen unless it opened under the permanent keys, and every bootstrap number counts once.
        Our own frames, sent back to us, carry our mark.
Rule 3. The waiting side answers every fresh Start with keys of its own and goes on with the session in force. The new
        one replaces it when a frame opens under it, which proves that the starting side took that answer. So two
        bootstraps at once cannot leave the sides with different sessions, and a recorded Start, played to a process
        that has forgotten the numbers, ends nothing.
Rule 4. The starting side takes the answer to its latest Start only, once. An earlier or late one replaces nothing.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections import OrderedDict
from typing import Final, Literal, TypeAlias

import attrs

from ..config.peer_config import ClientConfig, ServerConfig
from ..errors import FrameError
from ..peer import Peer
from ..protocol import capabilities, dense
from ..protocol.codec import EnvelopeCodec
from ..protocol.crypto import Key, Salt
from ..protocol.envelope import RANDOM_SIZE, EnvelopeKeys, open_frame, seal_frame
from ..protocol.handshake import PeerInfo
from ..protocol.jsontext import write
from ..protocol.local import LocalService
from ..protocol.replay import EpochWindows, InfoMemory, Stamp
from ..protocol.session import AnySession, Frame, Session
from .bootstrap import BOOTSTRAP_SALT, Accepted, Bootstrap, SessionUnknown, Start, read_bootstrap
from .letter import max_sealed_characters

MAX_CANDIDATES: Final = 4
"""Sessions that were offered and not yet used; a starting side has one attempt at a time."""

Role: TypeAlias = Literal["starting", "waiting"]


@attrs.frozen(eq=False, kw_only=True)
class Terms:
    """The keys that both sides agreed on, from which a session is made.

    Attributes:
        generation: Rises with each session of this peer.
        info: What the peer told about itself.
    """

    generation: int
    info: PeerInfo
    inner_key: Key
    outer_key: Key
    inner_salt: Salt
    outer_salt: Salt
    dialled: bool

    def session(self, service: LocalService) -> AnySession:
        """Make a session that counts from 0."""
        limits = service.limits
        parts = (self.inner_key, self.outer_key, self.inner_salt, self.outer_salt)
        room = max_sealed_characters(limits)
        session: dense.DenseSession | Session
        if self.info.framing == dense.NAME:
            session = dense.DenseSession(dense.DenseKeys.derive(*parts, dialled=self.dialled), limits=limits)
            room = room // 4 * 3  # base 64
        else:
            codec = EnvelopeCodec(EnvelopeKeys.derive(*parts), service.mark, random=service.random)
            session = Session(
                codec,
                peer_numbers=self.info.supports_nonce,
                infos=InfoMemory(limits.remembered_infos),
                limits=limits,
            )
        session.send_limit = min(session.send_limit, room)
        return session


@attrs.frozen
class Reply:
    """Send this frame to the peer."""

    frame: str = attrs.field(repr=False)


@attrs.frozen
class Begin:
    """A session begins; one that is in force ends. The frame, if any, is its first."""

    terms: Terms
    frame: Frame | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Pass:
    """Give the frame to the session in force."""

    frame: Frame = attrs.field(repr=False)


@attrs.frozen
class Forget:
    """The peer has no session: end ours, and begin again in the starting role."""


@attrs.frozen
class Unknown:
    """The letter belongs to no session: answer so, now and then."""


@attrs.frozen
class Ignored:
    """The letter is dropped.

    Attributes:
        reason: As in `FrameError`, or `role`, or `late`.
    """

    reason: str


Action: TypeAlias = Reply | Begin | Pass | Forget | Unknown | Ignored


class RelayedPeer:
    """The state of one peer behind a proxy.

    Args:
        service: The state of our service.
        entry: The peer's entry: a server is called by us, a client waits for us.
        windows: The bootstrap numbers that came, kept apart from those of direct handshakes.
    """

    def __init__(
        self, service: LocalService, entry: ServerConfig | ClientConfig, windows: EpochWindows
    ) -> None:
        self.entry = entry
        self.role: Role = "starting" if isinstance(entry, ServerConfig) else "waiting"
        self.current: Terms | None = None
        self._service = service
        self._windows = windows
        self._generation = 0
        self._keys = EnvelopeKeys.derive(entry.inner_key, entry.outer_key, BOOTSTRAP_SALT, BOOTSTRAP_SALT)
        self._pending: Start | None = None
        self._candidates: OrderedDict[str, Terms] = OrderedDict()

    @property
    def peer(self) -> Peer:
        """Its name, and the zone of its entry."""
        return self.entry.peer

    def start(self, unix_seconds: float) -> str:
        """Begin an attempt, and return its frame; an earlier one is over."""
        if self.role != "starting":
            raise RuntimeError("The waiting side starts nothing")
        service = self._service
        self._pending = Start(
            outer_key=_fresh_key(service),
            inner_salt=Salt.generate(service.random),
            outer_salt=Salt.generate(service.random),
            magic=service.random(32).hex(),
            engine=service.engine,
            version=service.version,
            supports_nonce=True,
            stamp=service.stamp(self.peer, unix_seconds),
            framings=service.framings,
        )
        return self._seal(self._pending)

    def give_up(self) -> None:
        """End the attempt that is under way: its answer comes too late from now on."""
        self._pending = None

    def unknown(self, unix_seconds: float) -> str:
        """Return the frame that says that we have no session."""
        return self._seal(SessionUnknown(stamp=self._service.stamp(self.peer, unix_seconds)))

    def end(self, terms: Terms) -> bool:
        """Record that a session is over; False if another one has taken its place."""
        if self.current is not terms:
            return False
        self.current = None
        return True

    def receive(self, ciphertext: str, unix_seconds: float) -> Action:
        """Decide what a letter from this peer means."""
        data: bytes | None
        try:
            data, _ = open_frame(self._keys, ciphertext, self._service.mark)
        except FrameError as exc:
            if exc.reason == "reflected":
                return Ignored(exc.reason)
            data = None
        if data is None:
            return self._of_session(ciphertext)
        message = read_bootstrap(data)
        if message is None:
            return Ignored("malformed")
        return self._bootstrap(message, unix_seconds)

    def _bootstrap(self, message: Bootstrap, unix_seconds: float) -> Action:
        if isinstance(message, Start) and self.role != "waiting":
            return Ignored("role")
        if isinstance(message, Accepted) and (self._pending is None or message.magic != self._pending.magic):
            return Ignored("late")
        if message.stamp.epoch == self._service.epoch or not self._is_fresh(message.stamp):
            return Ignored("repeated")
        match message:
            case Start():
                return self._started(message, unix_seconds)
            case Accepted():
                return self._accepted(message)
            case SessionUnknown():
                self.current = None
                return Forget()

    def _is_fresh(self, stamp: Stamp) -> bool:
        # A peer without an epoch gets one window for all its processes: nothing else proves that it is fresh.
        named = Stamp(stamp.number, 0) if stamp.epoch is None else stamp
        return self._windows.commit(self.peer, (named,))

    def _started(self, start: Start, unix_seconds: float) -> Action:
        service = self._service
        inner_key = _fresh_key(service)
        answer = Accepted(
            inner_key=inner_key,
            magic=start.magic,
            engine=service.engine,
            version=service.version,
            supports_nonce=True,
            stamp=service.stamp(self.peer, unix_seconds),
            framings=service.framings,
        )
        framing = capabilities.agreed(start.framings, service.framings)
        self._candidates[start.magic] = self._terms(start, inner_key, start, framing)
        if len(self._candidates) > MAX_CANDIDATES:
            self._candidates.popitem(last=False)
        return Reply(self._seal(answer))

    def _accepted(self, accepted: Accepted) -> Action:
        start, self._pending = self._pending, None
        assert start is not None
        framing = capabilities.agreed(self._service.framings, accepted.framings)
        self.current = self._terms(start, accepted.inner_key, accepted, framing)
        return Begin(self.current)

    def _terms(self, start: Start, inner_key: Key, peer: Start | Accepted, framing: str | None) -> Terms:
        self._generation += 1
        supports = peer.supports_nonce
        info = PeerInfo(
            peer.engine,
            peer.version,
            supports,
            peer.stamp.epoch,
            framing,
            self._windows.note_support(self.peer, supports=supports),
        )
        return Terms(
            generation=self._generation,
            info=info,
            inner_key=inner_key,
            outer_key=start.outer_key,
            inner_salt=start.inner_salt,
            outer_salt=start.outer_salt,
            dialled=self.role == "starting",
        )

    def _of_session(self, ciphertext: str) -> Action:
        for magic, terms in reversed(self._candidates.items()):
            frame = frame_of(terms, ciphertext)
            if frame is None:
                continue
            try:
                # On a session of its own: the frame must open once more in the one that begins.
                terms.session(self._service).open_some(frame)
            except FrameError:
                continue
            self._use(magic)
            return Begin(terms, frame)
        if self.current is None:
            return Unknown()
        frame = frame_of(self.current, ciphertext)
        return Ignored("malformed") if frame is None else Pass(frame)

    def _use(self, magic: str) -> None:
        """Put a candidate in force. Those offered before it are void, those after it may be used yet."""
        while True:
            found, terms = self._candidates.popitem(last=False)
            if found == magic:
                self.current = terms
                return

    def _seal(self, message: Bootstrap) -> str:
        service = self._service
        return seal_frame(
            self._keys, write(message.to_json()).encode(), service.random(RANDOM_SIZE), service.mark
        )


def frame_of(terms: Terms, ciphertext: str) -> Frame | None:
    """Return the frame in a letter of this session; None if there is none."""
    if terms.info.framing != dense.NAME:
        return ciphertext
    try:
        return a2b_base64(ciphertext, strict_mode=True)
    except ValueError:
        return None


def ciphertext_of(frame: Frame) -> str:
    """Return the frame as the text that goes into a letter."""
    return frame if isinstance(frame, str) else b2a_base64(frame, newline=False).decode()


def _fresh_key(service: LocalService) -> Key:
    while (key := Key.generate(service.random)).is_zero:
        pass
    return key
