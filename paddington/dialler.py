"""The dialling side: calls one server as long as the service runs, and reports why a call fails."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final, TypeAlias

import attrs
import trio

from .backoff import Backoff
from .causes import explain
from .config.peer_config import ServerConfig
from .config.url import Url
from .connection import Connection
from .context import Host, Opening
from .errors import ConnectionLostError, HandshakeError, PaddingtonError
from .peer import Peer
from .protocol.handshake import ClientHandshake, Established, Send, Standing
from .standby import Place
from .websocket import WebSocket, open_client

logger: Final = logging.getLogger(__name__)

QUIET_SECONDS: Final = 60.0
"""A failure that repeats is logged once in this time."""


@attrs.frozen
class DialFailure:
    """One attempt that failed.

    Attributes:
        peer: The server that was called.
        url: Its address.
        reason: Why, in one sentence.
        refused: Whether the server hung up on our handshake or broke its rules: it has other keys, does not know our
            address, or is another kind of server. Trying again will hardly help.
        attempt: Number of the attempt since the last connection, from 1.
    """

    peer: Peer
    url: str
    reason: str
    refused: bool
    attempt: int


DialFailed: TypeAlias = Callable[[DialFailure], None]
"""Called after each attempt that failed."""


@attrs.define(eq=False)
class Dialler:
    """Calls one server.

    Attributes:
        host: The service.
        server: The server that it calls.
        failed: Called after each attempt that failed, or None.
        failures: Attempts that failed since the last connection.
        last_failure: The last of them.
    """

    host: Host
    server: ServerConfig
    failed: DialFailed | None
    failures: int = attrs.field(default=0, init=False)
    last_failure: DialFailure | None = attrs.field(default=None, init=False)
    _backoff: Backoff = attrs.field(init=False)
    _began: Connection | None = attrs.field(default=None, init=False)
    _turn: int = attrs.field(default=0, init=False)
    _logged: tuple[str, float] = attrs.field(default=("", 0.0), init=False)

    def __attrs_post_init__(self) -> None:
        self._backoff = Backoff(self.host.limits, random.random)

    async def dial_forever(self) -> None:
        """Keep a connection until the service closes."""
        while not self.host.closing:
            await self._wall()
            self._turn = (self._turn + 1) % len(self.server.addresses)
            if self._began is not None:
                # A server that accepts us and drops us at once must not be called in a tight loop.
                if self._was_good(self._began):
                    self._backoff.reset()
                self._began = None
                self.failures, self.last_failure = 0, None
            elif self._turn:
                continue  # first try all its addresses
            pause = self._backoff.pause()
            if self.last_failure is not None:
                self._log(self.last_failure, pause)
            with self.host.opening(pause + 1, "a pause"):
                await trio.sleep(pause)

    @property
    def _url(self) -> str:
        """The address whose turn it is."""
        return self.server.addresses[self._turn]

    def _was_good(self, connection: Connection) -> bool:
        """Whether a connection brought a payload, or lasted as long as the pause that would follow it."""
        statistics = connection.statistics()
        lasted = trio.current_time() - statistics.since
        return statistics.received > 0 or lasted >= self.host.limits.dial_first_seconds

    async def _wall(self) -> None:
        try:
            await self._call()
        except* HandshakeError as group:
            self._fail(group, refused=True)
        except* (PaddingtonError, OSError, trio.TooSlowError, trio.BrokenResourceError) as group:
            self._fail(group, refused=False)
        except* Exception:
            logger.exception("%s: calling %s failed", self.host.config.name, self.server.peer)

    def _fail(self, group: BaseExceptionGroup[BaseException], *, refused: bool) -> None:
        if self._began is not None:
            return  # the connection has reported why it ended
        self.failures += 1
        self.last_failure = DialFailure(self.server.peer, self._url, explain(group), refused, self.failures)
        if self.failed is not None:
            try:
                self.failed(self.last_failure)
            except Exception:
                logger.exception("%s: the function dial_failed failed", self.host.config.name)

    def _log(self, failure: DialFailure, pause: float) -> None:
        reason, when = self._logged
        now = trio.current_time()
        if failure.reason == reason and now - when < QUIET_SECONDS:
            return
        self._logged = (failure.reason, now)
        logger.warning(
            "%s: no connection with %s at %s (attempt %d): %s. Next attempt in %.1f s",
            self.host.config.name,
            failure.peer,
            failure.url,
            failure.attempt,
            failure.reason,
            pause,
        )

    async def _call(self) -> None:
        async with trio.open_nursery() as nursery:
            begun = await self._open(nursery)
            if begun is not None:
                await self.host.run(*begun, nursery)
            nursery.cancel_scope.cancel(reason="the connection is over")

    async def _open(self, nursery: trio.Nursery) -> tuple[Place, Connection] | None:
        """Do the handshake, after which nothing of it is held; None if the service closes."""
        host, limits, url = self.host, self.host.limits, Url.parse(self._url)
        begun: tuple[Place, Connection] | None = None
        with host.opening(limits.handshake_seconds, "the handshake") as opening:
            handshake = ClientHandshake(host.local, self.server, unix_seconds=host.unix_time())
            stream: trio.abc.Stream | None = None
            try:
                with trio.fail_after(limits.dial_seconds):
                    stream = await host.network.connect(url.host, url.port, tls=url.secure)
                    websocket = await open_client(nursery, stream, url, handshake.headers(), limits)
                established = await self._shake_hands(websocket, handshake, opening)
                begun = await self._begin(websocket, established, opening)
            except BaseException:
                if stream is not None:
                    await trio.aclose_forcefully(stream)
                raise
        return begun

    async def _shake_hands(
        self, websocket: WebSocket, handshake: ClientHandshake, opening: Opening
    ) -> Established:
        limits = self.host.limits
        waiting = False
        try:
            await websocket.send(handshake.first_frame())
            while True:
                match handshake.receive(await websocket.receive()):
                    case Send(frame):
                        await websocket.send(frame)
                    case Standing(server_is_secondary=True):
                        waiting = True
                        raise ConnectionLostError("the server is itself waiting to take over")
                    case Standing():
                        if not waiting:
                            logger.info("%s: standing by for %s", self.host.config.name, handshake.peer)
                        waiting = True
                        opening.extend(
                            limits.standby_poll_seconds + limits.standby_answer_seconds,
                            "the server's answer to a waiting client",
                        )
                        await trio.sleep(limits.standby_poll_seconds)
                        await websocket.send(handshake.poll())
                    case Established() as established:
                        return established
        except ConnectionLostError as exc:
            if waiting:
                raise
            # The server does not say why, so we cannot know more (security case P22).
            raise HandshakeError(
                "refused",
                f"{exc}, during the handshake: it may have other keys for us, or not know our address",
            ) from None

    async def _begin(
        self, websocket: WebSocket, established: Established, opening: Opening
    ) -> tuple[Place, Connection]:
        await opening.done()
        place = self.host.roster.take(established.peer, established.info.epoch)
        if place is None:
            raise RuntimeError("a peer that we call must not call us")
        connection = Connection(
            websocket,
            established.session,
            peer=established.peer,
            info=established.info,
            limits=self.host.limits,
            refusals=self.host.refusals,
            dialled=True,
            caller=self._url,
        )
        self._began = connection
        return place, connection
