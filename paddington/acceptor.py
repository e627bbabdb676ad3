"""The listening side: from an accepted stream to a primary connection.

Each stream has its own task with a wall around it: whatever a caller does, and whatever goes wrong while serving it,
ends only that connection and is counted. Before its handshake is over, a caller never learns why it was refused.
"""

from __future__ import annotations

import errno
import logging
from typing import Final

import attrs
import trio

from .causes import explain
from .config.address import IPAddress, parse_address
from .config.peer_config import ClientConfig
from .connection import Connection
from .context import Host, Opening
from .errors import ConfigError, HandshakeError, PaddingtonError, ProtocolError
from .gate import Gate, Ticket, holding
from .peer import Peer
from .protocol.handshake import Answer, Identified, Send, ServerHandshake
from .standby import Place
from .text import quoted
from .websocket import Headers, WebSocket, open_server

logger: Final = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.5
"""Pause before accepting again when the system has no room for another connection."""

ROOM_SECONDS: Final = 0.05
"""The same pause after a stranger was dropped to make room."""


@attrs.define(eq=False)
class Acceptor:
    """Accepts callers for one service.

    Attributes:
        host: The service.
        gate: The places of connections that are not yet authenticated.
    """

    host: Host
    gate: Gate

    async def accept_forever(
        self, listener: trio.abc.Listener[trio.abc.Stream], nursery: trio.Nursery
    ) -> None:
        """Accept until cancelled.

        Args:
            listener: Where callers come; closed at the end.
            nursery: Runs the tasks that serve them.
        """
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as exc:
                    # Usually out of file descriptors or memory. It passes, and the service must survive it.
                    word = errno.errorcode.get(exc.errno or 0, "unknown")
                    self.host.refusals.note(
                        "accept", "Cannot accept a connection (%s): %s", word, explain(exc)
                    )
                    full = exc.errno in {errno.EMFILE, errno.ENFILE}
                    # A stranger who makes room lets the next caller in at once.
                    await trio.sleep(ROOM_SECONDS if full and self.gate.drop_one() else PAUSE_SECONDS)
                else:
                    nursery.start_soon(self._wall, stream, name="caller")

    async def _wall(self, stream: trio.abc.Stream) -> None:
        caller = "an unknown address"
        try:
            address = self.host.network.address_of(stream)
            caller = str(address)
            await self._admit(stream, address)
        except* ProtocolError as group:
            for error in _leaves(group):
                self._refuse(error.reason if isinstance(error, ProtocolError) else "lost", caller, error)
        except* (PaddingtonError, OSError, ValueError, trio.TooSlowError) as group:
            for error in _leaves(group):
                self._refuse("slow" if isinstance(error, trio.TooSlowError) else "lost", caller, error)
        except* Exception:
            logger.exception("%s: serving a caller from %s failed", self.host.config.name, caller)
        finally:
            await trio.aclose_forcefully(stream)

    def _refuse(self, reason: str, caller: str, error: BaseException) -> None:
        self.host.refusals.note(
            reason, "%s: a caller from %s is refused: %s", self.host.config.name, caller, explain(error)
        )

    async def _admit(self, stream: trio.abc.Stream, address: IPAddress) -> None:
        host = self.host
        trusted = host.config.trusted_proxy
        behind_proxy = host.config.proxy_header is not None and trusted is not None and address in trusted
        if not behind_proxy:
            self._candidates(address)
        async with trio.open_nursery() as nursery:
            begun = await self._open(nursery, stream, address, behind_proxy=behind_proxy)
            if begun is not None:
                await host.run(*begun, nursery)
            nursery.cancel_scope.cancel(reason="the connection is over")

    async def _open(
        self, nursery: trio.Nursery, stream: trio.abc.Stream, address: IPAddress, *, behind_proxy: bool
    ) -> tuple[Place, Connection] | None:
        """Do the handshake, after which nothing of it is held; None if the service closes."""
        host, limits = self.host, self.host.limits
        begun: tuple[Place, Connection] | None = None
        with (
            trio.CancelScope() as place,
            holding(self.gate.enter(address, place.cancel, shared=behind_proxy)) as ticket,
            host.opening(limits.handshake_seconds, "the handshake") as opening,
        ):
            websocket = await open_server(nursery, stream, limits)
            real = self._real_address(address, websocket.headers, behind_proxy=behind_proxy)
            handshake = ServerHandshake(
                host.local,
                self._candidates(real),
                websocket.headers,
                unix_seconds=host.unix_time(),
            )
            begun = await self._shake_hands(websocket, handshake, opening, ticket, str(real))
        if ticket.dropped is not None:
            raise HandshakeError(ticket.dropped, "it made room for a newer caller before it had proved a key")
        return begun

    def _entry(self, peer: Peer) -> ClientConfig | None:
        return next((client for client in self.host.config.clients if client.peer == peer), None)

    def _candidates(self, address: IPAddress) -> list[ClientConfig]:
        candidates = [
            client for client in self.host.config.clients if client.ip is not None and address in client.ip
        ]
        if not candidates:
            raise HandshakeError("address", f"No client may call from {address}")
        return candidates

    def _real_address(self, address: IPAddress, headers: Headers, *, behind_proxy: bool) -> IPAddress:
        """Look past a proxy (protocol page *newer-protocol*, section 7.1)."""
        wanted = self.host.config.proxy_header
        if wanted is None:
            return address
        values = [value for name, value in headers if name.lower() == wanted.lower().encode()]
        if not values:
            return address
        if not behind_proxy:
            self.host.refusals.note(
                "proxy-header",
                "%s: %s came from %s, which is not a trusted proxy; the header is ignored",
                self.host.config.name,
                quoted(wanted),
                address,
            )
            return address
        if len(values) > 1:
            raise HandshakeError("proxy-header", f"The proxy sent {len(values)} headers {quoted(wanted)}")
        try:
            return parse_address(values[0].decode("latin-1").strip())
        except ConfigError as exc:
            raise HandshakeError(
                "proxy-header", f"The proxy's header {quoted(wanted)} is wrong: {exc}"
            ) from None

    async def _shake_hands(
        self, websocket: WebSocket, handshake: ServerHandshake, opening: Opening, ticket: Ticket, caller: str
    ) -> tuple[Place, Connection]:
        roster = self.host.roster
        while not isinstance(action := handshake.receive(await websocket.receive()), Identified):
            if isinstance(action, Send):
                await websocket.send(action.frame)
        peer, epoch = action.peer, action.info.epoch
        ticket.give_back()
        await roster.oust_predecessor(peer, epoch)
        place = roster.take(peer, epoch) or await self._stand_by(websocket, handshake, opening, action)
        try:
            return place, await self._begin(websocket, handshake.answer(), opening, caller)
        except BaseException:
            roster.release(place)
            raise

    async def _stand_by(
        self, websocket: WebSocket, handshake: ServerHandshake, opening: Opening, identified: Identified
    ) -> Place:
        limits, roster, peer = self.host.limits, self.host.roster, identified.peer
        entry = self._entry(peer)
        with roster.waiter(peer):
            logger.info("%s: %s stands by", self.host.config.name, peer)
            while True:
                answer = handshake.answer(client_is_secondary=True)
                await websocket.send(answer.frame)
                # Answer at most two questions per polling interval.
                earliest = trio.current_time() + limits.standby_poll_seconds / 2
                opening.extend(limits.standby_answer_seconds, "the next question of a waiting client")
                handshake.receive(await websocket.receive())
                opening.extend(limits.standby_answer_seconds, "the answer to a waiting client")
                await trio.sleep_until(earliest)
                if self._entry(peer) != entry:
                    raise HandshakeError("address", f"The entry of {peer} in the configuration has changed.")
                place = roster.take(peer, identified.info.epoch)
                if place is not None:
                    return place

    async def _begin(self, websocket: WebSocket, answer: Answer, opening: Opening, caller: str) -> Connection:
        established = answer.established
        if established is None:
            raise RuntimeError("an answer that calls nobody secondary must establish the connection")
        # Made before the answer is sent, so that its limits apply to whatever the peer sends next.
        connection = Connection(
            websocket,
            established.session,
            peer=established.peer,
            info=established.info,
            limits=self.host.limits,
            refusals=self.host.refusals,
            dialled=False,
            caller=caller,
        )
        await websocket.send(answer.frame)
        await opening.done()
        return connection


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
