"""Both sides of the handshake as state machines (protocol pages *wire* 3 and 4, *newer-protocol* 2 and 3).

(to be filled in; the signatures below are final)

Shell of the dialling side::

    handshake = ClientHandshake(service, server, unix_seconds=...)
    open the WebSocket with handshake.headers()
    send(handshake.first_frame())
    loop: match handshake.receive(frame):
        case Send(frame): send it
        case Standing(server_is_secondary=True): close, try again later
        case Standing(): wait standby_poll_seconds, send(handshake.poll())
        case Established(peer, session, info): done

Shell of the listening side::

    handshake = ServerHandshake(service, candidates, request_headers, unix_seconds=...)
    loop: match handshake.receive(frame):
        case Send(frame): send it
        case Identified(peer) | Polled(): decide how it stands;
            answer = handshake.answer(client_is_secondary=...)
            send(answer.frame); if answer.established is not None: done
"""

import os
from collections.abc import Iterable, Sequence
from typing import Protocol, Self, TypeAlias

import attrs

from paddington.crypto import Key, Random
from paddington.limits import Limits
from paddington.peer import Peer
from paddington.session import Session


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


class LocalService:
    """What one running service brings to each of its handshakes; make one per ``open_service``.

    Holds the service's random epoch, its mark on frames it sends, the numbers it has used and the numbers
    it has seen, all of them in memory only.
    """

    @classmethod
    def create(
        cls,
        name: str,
        *,
        limits: Limits | None = None,
        engine: str = "paddington",
        version: str = "0.1.0",
        refuse_downgrade: bool = False,
        random: Random = os.urandom,
    ) -> Self:
        """Make the state of a service that starts now.

        Args:
            name: The service's own name.
            limits: Its limits; the defaults if not given.
            engine: What it calls its software.
            version: The version of that.
            refuse_downgrade: Refuse a peer that announced numbered payloads before and does not now.
            random: Source of randomness.
        """
        raise NotImplementedError


@attrs.frozen
class PeerInfo:
    """What a peer told about itself during the handshake.

    Attributes:
        engine: What it calls its software.
        version: The version of that; short and printable, otherwise any text.
        supports_nonce: Whether it numbers its payloads (release 0.90 and later).
        epoch: The random number of its process; None before release 0.91.
        downgraded: It announced numbered payloads in an earlier connection and does not now: worth a warning.
    """

    engine: str
    version: str
    supports_nonce: bool
    epoch: int | None
    downgraded: bool


@attrs.frozen
class Send:
    """Send this frame, then go on receiving."""

    frame: str


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
    """Dialling side: we wait (``client_is_secondary``), or the server does: leave and try again later."""

    client_is_secondary: bool
    server_is_secondary: bool


@attrs.frozen
class Established:
    """The connection is primary: payloads from here on."""

    peer: Peer
    session: Session
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


class ClientHandshake:
    """The dialling side of one connection attempt.

    Args:
        service: The state of our service.
        server: The configured server.
        unix_seconds: Wall-clock time, for numbers that rise across restarts.
    """

    def __init__(self, service: LocalService, server: ServerEntry, *, unix_seconds: float) -> None:
        raise NotImplementedError

    @property
    def peer(self) -> Peer:
        """Whom we dial."""
        raise NotImplementedError

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Give the extra headers of the upgrade request."""
        raise NotImplementedError

    def first_frame(self) -> str:
        """Give the frame that opens the handshake; call it once."""
        raise NotImplementedError

    def receive(self, frame: str | bytes) -> ClientAction:
        """Take a frame of the server.

        Raises:
            HandshakeError: Close the connection; the object is of no more use.
        """
        raise NotImplementedError

    def poll(self) -> str:
        """Give the frame that asks how we stand; only after ``Standing``, one question per answer."""
        raise NotImplementedError


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
        raise NotImplementedError

    def receive(self, frame: str | bytes) -> ServerAction:
        """Take a frame of the client.

        Raises:
            HandshakeError: Close the connection; the object is of no more use.
        """
        raise NotImplementedError

    def answer(self, *, client_is_secondary: bool = False, server_is_secondary: bool = False) -> Answer:
        """Answer an ``Identified`` or ``Polled``: neither secondary means that the connection is primary."""
        raise NotImplementedError
