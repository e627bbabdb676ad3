"""Both sides of the handshake as state machines (protocol pages *wire* 3 and 4, *newer-protocol* 2 and 3).

The client is the side that dials::

    state        what happens                      next state
    -----------  --------------------------------  ----------------------------------------------
    BEGUN        `first_frame`                   GREETED
    GREETED      `receive` the Handshake         INTRODUCED, giving `Send`
    INTRODUCED   `receive` the PeerDetails       OVER, giving `Established`, if we are primary
                                                   STANDBY, giving `Standing`, if we wait
                                                   OVER, giving `Standing`, if the server waits
    STANDBY      `poll`                          ASKED
    ASKED        `receive` the standby status    as from INTRODUCED

The server is the side that listens::

    state        what happens                      next state
    -----------  --------------------------------  ----------------------------------------------
    BEGUN        `receive` the Handshake         GREETED, giving `Send`
    GREETED      `receive` the PeerDetails       ASKED, giving `Identified`
    ASKED        `answer`: the client waits      STANDBY
                 `answer`: anything else         OVER
    STANDBY      `receive` a question            ASKED, giving `Polled`

Rule 1: whatever a peer sends in whatever state, `receive` gives the action above or raises
`HandshakeError`; the state is OVER from the moment that a frame is looked at until it has turned out to
be right.

Rule 2: a call at the wrong time is a programming error and raises `RuntimeError`.

Rule 3: nothing of the peer's is remembered beyond this object before its PeerDetails has opened. The
session keys are new in this connection, so from then on nobody else can have sent it; a recorded Handshake
goes no further than that.

The shell of the dialling side::

    handshake = ClientHandshake(service, server, unix_seconds=...)
    open the WebSocket with handshake.headers()
    send(handshake.first_frame())
    loop: match handshake.receive(frame):
        case Send(frame): send it
        case Standing(server_is_secondary=True): close, try again later
        case Standing(): wait standby_poll_seconds, send(handshake.poll())
        case Established(peer, session, info): done

The shell of the listening side::

    handshake = ServerHandshake(service, candidates, request_headers, unix_seconds=...)
    loop: match handshake.receive(frame):
        case Send(frame): send it
        case Identified() | Polled(): decide how it stands
            answer = handshake.answer(client_is_secondary=...)
            send(answer.frame); done if answer.established is not None
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar

import attrs

from ..errors import HandshakeError
from ..peer import Peer
from . import capabilities
from .crypto import Key, Salt
from .details import Details, Greeting, Problem, StandbyStatus
from .envelope import open_layers
from .handshake_channel import HandshakeChannel, parsed, read_frame
from .local import LocalService
from .salts import SentSalts
from .session import AnySession, Frame

__all__ = [
    "Answer",
    "ClientAction",
    "ClientEntry",
    "ClientHandshake",
    "Established",
    "Identified",
    "LocalService",
    "PeerInfo",
    "Polled",
    "Send",
    "ServerAction",
    "ServerEntry",
    "ServerHandshake",
    "Standing",
]

_T = TypeVar("_T")


class ClientEntry(Protocol):
    """What the handshake needs of a configured client."""

    @property
    def name(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def inner_key(self) -> Key: ...
    @property
    def outer_key(self) -> Key: ...


class ServerEntry(ClientEntry, Protocol):
    """What the handshake needs of a configured server."""

    @property
    def plain_salts(self) -> bool: ...


@attrs.frozen
class PeerInfo:
    """What a peer sent about itself during the handshake.

    Attributes:
        engine: What it calls its software.
        version: The version of that; short and printable, otherwise any text.
        supports_nonce: Whether it numbers its payloads (release 0.90 and later).
        epoch: The random number of its process; None before release 0.91.
        framing: The framing that both chose; None for the compatible one.
        downgraded: It announced numbered payloads in an earlier connection and does not now: worth a warning.
    """

    engine: str
    version: str
    supports_nonce: bool
    epoch: int | None
    framing: str | None
    downgraded: bool


@attrs.frozen
class Send:
    """Send this frame, then go on receiving."""

    frame: str = attrs.field(repr=False)


@attrs.frozen
class Identified:
    """Listening side: the peer is who it says; answer it, saying how it stands."""

    peer: Peer
    info: PeerInfo


@attrs.frozen
class Polled:
    """Listening side: the waiting client asks again; answer it (at a stated rate)."""


@attrs.frozen
class Standing:
    """Dialling side: we wait (`client_is_secondary`), or the server does: leave and try again later."""

    client_is_secondary: bool
    server_is_secondary: bool


@attrs.frozen
class Established:
    """The connection is primary: payloads from here on."""

    peer: Peer
    session: AnySession
    info: PeerInfo


@attrs.frozen
class Answer:
    """Listening side: the frame to send, and what follows from it.

    Attributes:
        frame: Send this.
        established: Set if the connection is primary now.
        closing: The server is secondary: close the connection after the frame.
    """

    frame: str
    established: Established | None
    closing: bool


ClientAction: TypeAlias = Send | Standing | Established
ServerAction: TypeAlias = Send | Identified | Polled


class _State(enum.Enum):
    BEGUN = enum.auto()
    GREETED = enum.auto()
    INTRODUCED = enum.auto()
    STANDBY = enum.auto()
    ASKED = enum.auto()
    OVER = enum.auto()


def _refuse(problem: Problem, peer: Peer) -> HandshakeError:
    return HandshakeError(problem.reason, f"{peer}: {problem.message}")


def _session_key(service: LocalService) -> Key:
    key = Key.generate(service.random)
    if key.is_zero:
        raise RuntimeError("The source of randomness gave zeros only; it must not be used for keys")
    return key


def _greet(service: LocalService, key: Key, peer: Peer, unix_seconds: float) -> Greeting:
    return Greeting(key, service.engine, service.version, service.stamp(peer, unix_seconds), service.framings)


def _introduce(service: LocalService, status: StandbyStatus, peer: Peer, unix_seconds: float) -> Details:
    return Details(
        name=service.name,
        zone=peer.zone,
        status=status,
        supports_nonce=True,
        stamp=service.stamp(peer, unix_seconds),
    )


def _look(service: LocalService, peer: Peer, greeting: Greeting) -> None:
    """Refuse a Handshake that we know; mark nothing yet (rule 3)."""
    if not service.windows.allows(peer, greeting.stamp):
        raise HandshakeError("repeated", f"{peer}: this Handshake came before")


def _accept(
    service: LocalService, peer: Peer, greeting: Greeting, details: Details, framing: str | None
) -> PeerInfo:
    """Mark both numbers of a peer that has proven itself, then check what it says."""
    if not service.windows.commit(peer, (greeting.stamp, details.stamp)):
        raise HandshakeError("repeated", f"{peer}: a number of this handshake came before")
    problem = details.check(peer.name, peer.zone)
    if problem is not None:
        raise _refuse(problem, peer)
    downgraded = service.windows.note_support(peer, supports=details.supports_nonce)
    if downgraded and service.refuse_downgrade:
        raise HandshakeError("downgrade", f"{peer}: it numbered its payloads before and does no longer")
    return PeerInfo(
        engine=greeting.engine,
        version=greeting.version,
        supports_nonce=details.supports_nonce,
        epoch=details.stamp.epoch,
        framing=framing,
        downgraded=downgraded,
    )


class ClientHandshake:
    """The dialling side of one connection attempt.

    Args:
        service: The state of our service.
        server: The configured server.
        unix_seconds: Wall-clock time, for numbers that rise across restarts.
    """

    def __init__(self, service: LocalService, server: ServerEntry, *, unix_seconds: float) -> None:
        self._service = service
        self._server = server
        self._unix_seconds = unix_seconds
        self._peer = Peer(server.name, server.zone)
        inner_salt, outer_salt = Salt.generate(service.random), Salt.generate(service.random)
        if server.plain_salts:
            self._salts = SentSalts(inner_salt, outer_salt, plain=True)
        else:
            self._salts = SentSalts.masked(
                inner_salt, outer_salt, inner_key=server.inner_key, outer_key=server.outer_key
            )
        self._channel = HandshakeChannel(service, inner_salt, outer_salt)
        self._outer_key = _session_key(service)
        self._greeting: Greeting | None = None
        self._info: PeerInfo | None = None
        self._state = _State.BEGUN

    @property
    def peer(self) -> Peer:
        """Whom we dial."""
        return self._peer

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the extra headers of the upgrade request."""
        return self._salts.headers()

    def first_frame(self) -> str:
        """Return the frame that opens the handshake; call it once."""
        if self._state is not _State.BEGUN:
            raise RuntimeError("first_frame() opens the handshake, once")
        greeting = _greet(self._service, self._outer_key, self._peer, self._unix_seconds)
        self._channel.use(self._server.inner_key, self._server.outer_key)
        frame = self._channel.seal(greeting.to_json("client"))
        # The answer comes under the pre-shared inner and the new outer key already.
        self._channel.use(self._server.inner_key, self._outer_key)
        self._state = _State.GREETED
        return frame

    def receive(self, frame: Frame) -> ClientAction:
        """Take a frame of the server.

        Raises:
            HandshakeError: Close the connection; the object is of no more use.
        """
        state, self._state = self._state, _State.OVER
        match state:
            case _State.GREETED:
                return self._greeted(frame)
            case _State.INTRODUCED:
                return self._introduced(frame)
            case _State.ASKED:
                return self._answered(frame)
            case _:
                raise HandshakeError("out-of-turn", f"{self._peer}: a frame came when none was due")

    def poll(self) -> str:
        """Return the frame that asks how we stand; only after `Standing`, one question per answer."""
        if self._state is not _State.STANDBY:
            raise RuntimeError("poll() follows a Standing that says we wait, once")
        self._state = _State.ASKED
        return self._channel.seal({})

    def _greeted(self, frame: Frame) -> Send:
        greeting = Greeting.read(self._channel.open(frame), "server")
        if isinstance(greeting, Problem):
            raise _refuse(greeting, self._peer)
        _look(self._service, self._peer, greeting)
        self._greeting = greeting
        self._channel.use(greeting.session_key, self._outer_key)
        # What a client says of its own standing means nothing.
        status = StandbyStatus(client_is_secondary=False, server_is_secondary=False)
        details = _introduce(self._service, status, self._peer, self._unix_seconds)
        self._state = _State.INTRODUCED
        return Send(self._channel.seal(details.to_json()))

    def _introduced(self, frame: Frame) -> ClientAction:
        details = Details.read(self._channel.open(frame))
        if isinstance(details, Problem):
            raise _refuse(details, self._peer)
        greeting = _required(self._greeting)
        framing = capabilities.agreed(self._service.framings, greeting.framings)
        self._info = _accept(self._service, self._peer, greeting, details, framing)
        return self._standing(details.status)

    def _answered(self, frame: Frame) -> ClientAction:
        status = StandbyStatus.read(self._channel.open(frame))
        if isinstance(status, Problem):
            raise _refuse(status, self._peer)
        return self._standing(status)

    def _standing(self, status: StandbyStatus) -> ClientAction:
        if status.server_is_secondary or status.client_is_secondary:
            if not status.server_is_secondary:
                self._state = _State.STANDBY
            return Standing(status.client_is_secondary, status.server_is_secondary)
        info = _required(self._info)
        session = self._channel.session(peer_numbers=info.supports_nonce, framing=info.framing, dialled=True)
        return Established(self._peer, session, info)


class ServerHandshake:
    """The listening side of one connection.

    Args:
        service: The state of our service.
        candidates: Configured clients that may call from the caller's address.
        headers: Headers of the upgrade request, all of them, names in any case.
        unix_seconds: Wall-clock time, for numbers that rise across restarts.

    Raises:
        HandshakeError: The headers are not those of a peer.
    """

    def __init__(
        self,
        service: LocalService,
        candidates: Sequence[ClientEntry],
        headers: Iterable[tuple[bytes, bytes]],
        *,
        unix_seconds: float,
    ) -> None:
        self._service = service
        self._candidates = candidates
        self._unix_seconds = unix_seconds
        self._salts = SentSalts.read(headers)
        self._channel: HandshakeChannel | None = None
        self._peer: Peer | None = None
        self._greeting: Greeting | None = None
        self._info: PeerInfo | None = None
        self._introduced = False
        self._state = _State.BEGUN

    @property
    def peer(self) -> Peer | None:
        """Whose keys opened the Handshake; whether it is present shows only when `Identified` comes."""
        return self._peer

    def receive(self, frame: Frame) -> ServerAction:
        """Take a frame of the client.

        Raises:
            HandshakeError: Close the connection; the object is of no more use.
        """
        state, self._state = self._state, _State.OVER
        match state:
            case _State.BEGUN:
                return self._begun(frame)
            case _State.GREETED:
                return self._greeted(frame)
            case _State.STANDBY:
                return self._asked(frame)
            case _:
                who = self._peer or "The caller"
                raise HandshakeError("out-of-turn", f"{who}: a frame came when none was due")

    def answer(self, *, client_is_secondary: bool = False, server_is_secondary: bool = False) -> Answer:
        """Answer an `Identified` or `Polled`: neither secondary means that the connection is primary."""
        if self._state is not _State.ASKED:
            raise RuntimeError("answer() follows Identified or Polled, once")
        status = StandbyStatus(
            client_is_secondary=client_is_secondary, server_is_secondary=server_is_secondary
        )
        channel, peer, info = _required(self._channel), _required(self._peer), _required(self._info)
        if self._introduced:
            frame = channel.seal(status.to_json())
        else:
            self._introduced = True
            frame = channel.seal(_introduce(self._service, status, peer, self._unix_seconds).to_json())
        if client_is_secondary or server_is_secondary:
            self._state = _State.OVER if server_is_secondary else _State.STANDBY
            return Answer(frame, None, closing=server_is_secondary)
        self._state = _State.OVER
        session = channel.session(peer_numbers=info.supports_nonce, framing=info.framing, dialled=False)
        return Answer(frame, Established(peer, session, info), closing=False)

    def _begun(self, frame: Frame) -> Send:
        raw = read_frame(self._service, frame)
        client, channel, greeting = self._search(raw)
        self._peer = peer = Peer(client.name, client.zone)
        self._channel = channel
        channel.remember(raw)
        if isinstance(greeting, Problem):
            raise _refuse(greeting, peer)
        _look(self._service, peer, greeting)
        self._greeting = greeting
        inner_key = _session_key(self._service)
        channel.use(client.inner_key, greeting.session_key)
        answer = channel.seal(
            _greet(self._service, inner_key, peer, self._unix_seconds).to_json("server"),
        )
        channel.use(inner_key, greeting.session_key)
        self._state = _State.GREETED
        return Send(answer)

    def _search(self, raw: bytes) -> tuple[ClientEntry, HandshakeChannel, Greeting | Problem]:
        # Hexadecimal was read once; what is left per candidate is deriving keys and comparing one tag.
        for client in self._candidates:
            salts = self._salts.salts(inner_key=client.inner_key, outer_key=client.outer_key)
            channel = HandshakeChannel(self._service, *salts)
            channel.use(client.inner_key, client.outer_key)
            data = open_layers(channel.keys, raw)
            if data is not None:
                return client, channel, Greeting.read(parsed(data), "client")
        count = len(self._candidates)
        raise HandshakeError("not-opened", f"The Handshake opens with none of the {count} clients that match")

    def _greeted(self, frame: Frame) -> Identified:
        channel, peer, greeting = _required(self._channel), _required(self._peer), _required(self._greeting)
        details = Details.read(channel.open(frame))
        if isinstance(details, Problem):
            raise _refuse(details, peer)
        framing = capabilities.agreed(greeting.framings, self._service.framings)
        self._info = _accept(self._service, peer, greeting, details, framing)
        self._state = _State.ASKED
        return Identified(peer, self._info)

    def _asked(self, frame: Frame) -> Polled:
        if _required(self._channel).open(frame) != {}:
            raise HandshakeError("malformed", f"{self._peer}: a waiting client sent more than its question")
        self._state = _State.ASKED
        return Polled()


def _required(value: _T | None) -> _T:
    if value is None:
        raise RuntimeError("The handshake is not that far")
    return value
