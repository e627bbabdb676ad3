"""The endpoint: connections with peers behind proxies, beside those that a service has itself."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

import attrs
import trio

from ..backoff import Backoff
from ..config.peer_config import ClientConfig, ServerConfig
from ..connection import Connection, Serve
from ..context import Host
from ..errors import PaddingtonError
from ..peer import Peer
from ..protocol.replay import EpochWindows
from ..text import quoted
from .exchange import Begin, Forget, Ignored, Pass, RelayedPeer, Reply, Terms, Unknown
from .letter import Letter
from .socket import RelayedSocket

logger: Final = logging.getLogger(__name__)

ACCEPTED_SECONDS: Final = 30.0
"""How long the starting side waits for the answer to its Start."""

ATTEMPT_SECONDS: Final = 5.0
"""Pause after an attempt that had no answer."""

MIN_ATTEMPT_SECONDS: Final = 1.0
"""Time from one attempt to the next, even if the peer asks for it."""

UNKNOWN_SECONDS: Final = 5.0
"""A peer is told at most once in this time that we have no session with it."""


@attrs.define(eq=False)
class Far:
    """One peer behind a proxy, as long as its entry stays the same.

    Attributes:
        state: What is decided about its letters.
        socket: That of the session in force, or None.
        begun: Set to the terms of a session when the starting side gets its answer.
        told_unknown: When we last said that we have no session.
        scope: The wait of the starting side for its answer.
    """

    state: RelayedPeer
    socket: RelayedSocket | None = None
    begun: Terms | None = None
    told_unknown: float = float("-inf")
    started: float = float("-inf")
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class Endpoint:
    """All peers of one service that are reached through proxies."""

    host: Host
    serve_peer: Serve
    nursery: trio.Nursery | None = None
    _windows: EpochWindows = attrs.field(init=False)
    _far: dict[Peer, Far] = attrs.field(factory=dict, init=False)
    _lines: dict[Peer, Connection] = attrs.field(factory=dict, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        limits = self.host.limits
        self._windows = EpochWindows(size=limits.replay_window, epochs=limits.epochs)

    async def serve(self, connection: Connection) -> None:
        """Serve a connection that the service has itself: that with a proxy here, all others as the user says."""
        if connection.peer in self._proxies():
            await self._serve_proxy(connection)
        else:
            await self.serve_peer(connection)

    def far(self, entry: ServerConfig | ClientConfig) -> Far:
        """Return the state of a peer; a fresh one if its entry has changed."""
        far = self._far.get(entry.peer)
        if far is None or far.state.entry != entry:
            far = self._far[entry.peer] = Far(RelayedPeer(self.host.local, entry, self._windows))
        return far

    async def line(self, name: str) -> Connection:
        """Wait for a connection with a proxy."""
        while True:
            for peer, line in self._lines.items():
                if peer.name == name and line.reason is None:
                    return line
            await self._changed.wait()

    def _entries(self) -> list[ServerConfig | ClientConfig]:
        return [*self.host.config.servers, *self.host.config.clients]

    def _proxies(self) -> set[Peer]:
        names = {entry.proxy for entry in self._entries() if entry.proxy is not None}
        return {entry.peer for entry in self._entries() if entry.proxy is None and entry.name in names}

    async def _serve_proxy(self, line: Connection) -> None:
        name = line.peer.name
        self._lines[line.peer] = line
        self._change()
        try:
            # A starting side may hold a session that we have lost, and be idle.
            for entry in self.host.config.clients:
                if entry.proxy == name:
                    self._tell_unknown(self.far(entry), line)
            async for text in line:
                await self._take(line, text)
        finally:
            if self._lines.get(line.peer) is line:
                del self._lines[line.peer]
            for far in self._far.values():
                if far.state.entry.proxy == name and far.socket is not None:
                    far.socket.fail("the connection with the relay is over")
            self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _take(self, line: Connection, text: str) -> None:
        letter = Letter.read(text)
        if letter is None:
            self._drop("relay-kind", line, "it is no letter")
            return
        entry = next(
            (
                entry
                for entry in self._entries()
                if entry.name == letter.sender and entry.proxy == line.peer.name
            ),
            None,
        )
        if letter.recipient != self.host.config.name or entry is None:
            self._drop("relay-sender", line, f"from {quoted(letter.sender)} to {quoted(letter.recipient)}")
            return
        if letter.zone != entry.zone:
            self._note(
                "relay-zone", line, f"{entry.peer} claims the zone {quoted(letter.zone)}, which is ignored"
            )
        far = self.far(entry)
        match far.state.receive(letter.ciphertext, self.host.unix_time()):
            case Reply(frame):
                self._send(far, line, frame)
            case Begin(terms, frame):
                await self._begin(far, line, terms)
                if frame is not None and far.socket is not None:
                    await far.socket.feed(frame)
            case Pass(frame):
                if far.socket is not None:
                    await far.socket.feed(frame)
            case Forget():
                if far.socket is not None:
                    far.socket.fail("the peer has ended or lost the session")
                far.scope.deadline = min(far.scope.deadline, far.started + MIN_ATTEMPT_SECONDS)
            case Unknown():
                self._note("relay-unknown", line, f"a frame from {entry.peer} belongs to no session")
                self._tell_unknown(far, line)
            case Ignored(reason):
                self._drop(f"relay-{reason}", line, f"from {entry.peer}")

    async def _begin(self, far: Far, line: Connection, terms: Terms) -> None:
        if far.socket is not None:
            far.socket.fail("the peer has begun another session")
        socket = far.socket = self._socket(far, line, terms)
        if terms.dialled:
            far.begun = terms
            far.scope.cancel(reason="the peer has answered")
        elif self.nursery is not None:
            self.nursery.start_soon(self._run, far, socket, terms, line, name=f"relayed {far.state.peer}")

    def _socket(self, far: Far, line: Connection, terms: Terms) -> RelayedSocket:
        def farewell() -> None:
            if far.state.current is terms:
                self._send(far, line, far.state.unknown(self.host.unix_time()))

        return RelayedSocket(
            line,
            sender=self.host.config.name,
            recipient=far.state.peer.name,
            zone=far.state.peer.zone,
            farewell=farewell,
        )

    async def _run(
        self, far: Far, socket: RelayedSocket, terms: Terms, line: Connection
    ) -> Connection | None:
        """Run a session as a connection, in the place of the one before it."""
        host, peer = self.host, far.state.peer
        try:
            while (place := host.roster.take(peer, terms.info.epoch)) is None:
                with contextlib.suppress(PaddingtonError):
                    host.roster.connection(peer).abort("the peer has begun another session")
                held = next((each for each in host.roster.places if each.peer == peer), None)
                if held is not None:
                    await held.released.wait()
            if far.socket is not socket or host.closing or far.state.entry not in self._entries():
                host.roster.release(place)
                return None
            connection = Connection(
                socket,
                terms.session(host.local),
                peer=peer,
                info=terms.info,
                limits=host.limits,
                refusals=host.refusals,
                dialled=terms.dialled,
                caller=f"the relay {line.peer}",
            )
            async with trio.open_nursery() as nursery:
                await host.run(place, connection, nursery)
                nursery.cancel_scope.cancel(reason="the connection is over")
            return connection
        finally:
            socket.fail("the session is over")
            far.state.end(terms)
            if far.socket is socket:
                far.socket = None

    def _tell_unknown(self, far: Far, line: Connection) -> None:
        now = trio.current_time()
        if now - far.told_unknown >= UNKNOWN_SECONDS and not self.host.closing:
            far.told_unknown = now
            self._send(far, line, far.state.unknown(self.host.unix_time()))

    def _send(self, far: Far, line: Connection, frame: str) -> None:
        """Send a bootstrap message if there is room: whoever misses it asks again."""
        peer = far.state.peer
        letter = Letter(self.host.config.name, peer.name, peer.zone, frame)
        with contextlib.suppress(trio.WouldBlock, PaddingtonError):
            line.send_nowait(letter.to_text())

    def _drop(self, reason: str, line: Connection, why: str) -> None:
        self._note(reason, line, f"a payload is dropped: {why}")

    def _note(self, reason: str, line: Connection, what: str) -> None:
        self.host.refusals.note(reason, "%s: over the relay %s, %s", self.host.config.name, line.peer, what)


@attrs.define(eq=False)
class Starter:
    """Keeps a session with one server behind a proxy; what a dialler is for the others."""

    endpoint: Endpoint
    server: ServerConfig
    last_failure: None = attrs.field(default=None, init=False)

    async def dial_forever(self) -> None:
        """Keep a connection until the service closes."""
        endpoint, host = self.endpoint, self.endpoint.host
        proxy = self.server.proxy
        assert proxy is not None
        far = endpoint.far(self.server)
        backoff = Backoff(host.limits, lambda: 0.0)
        while not host.closing:
            line = await endpoint.line(proxy)
            begun = await self._attempt(far, line)
            if begun is None or far.socket is None:
                with trio.CancelScope(deadline=trio.current_time() + ATTEMPT_SECONDS) as far.scope:
                    await trio.sleep_forever()
                continue
            connection = await endpoint._run(far, far.socket, begun, line)  # noqa: SLF001 - the two are one thing
            if connection is not None and connection.statistics().received:
                backoff.reset()
            await trio.sleep(backoff.pause())

    async def _attempt(self, far: Far, line: Connection) -> Terms | None:
        host = self.endpoint.host
        far.begun, far.started = None, trio.current_time()
        with trio.CancelScope(deadline=far.started + ACCEPTED_SECONDS) as far.scope:
            self.endpoint._send(far, line, far.state.start(host.unix_time()))  # noqa: SLF001 - likewise
            await trio.sleep_forever()
        if far.begun is None:
            far.state.give_up()
            host.refusals.note(
                "relay-silent",
                "%s: %s does not answer over the relay %s",
                host.config.name,
                far.state.peer,
                line.peer,
            )
        return far.begun
