"""The dialling side: calls one server for as long as the service runs, and says why whenever that fails."""

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
"""A failure that repeats itself is logged this often."""


@attrs.frozen
class DialFailure:
    """One try that failed.

    Attributes:
        peer: Who was called.
        url: Where.
        reason: Why, in one sentence.
        refused: Whether the server hung up on our handshake or broke its rules: other keys, another address,
            or no service of ours at all. More of the same will hardly help.
        attempt: Number of the try since the last connection, from 1.
    """

    peer: Peer
    url: str
    reason: str
    refused: bool
    attempt: int


DialFailed: TypeAlias = Callable[[DialFailure], None]
"""Called after each try that failed."""


@attrs.define(eq=False)
class Dialler:
    """Calls one server.

    Attributes:
        host: The service.
        server: Whom it calls.
        failed: Called after each try that failed, or None.
        failures: Tries that failed since the last connection.
        last_failure: The last of them.
    """

    host: Host
    server: ServerConfig
    failed: DialFailed | None
    failures: int = attrs.field(default=0, init=False)
    last_failure: DialFailure | None = attrs.field(default=None, init=False)
    _backoff: Backoff = attrs.field(init=False)
    _began: float | None = attrs.field(default=None, init=False)
    _logged: tuple[str, float] = attrs.field(default=("", 0.0), init=False)

    def __attrs_post_init__(self) -> None:
        self._backoff = Backoff(self.host.limits, random.random)

    async def dial_forever(self) -> None:
        """Keep a connection until the service closes."""
        while not self.host.closing:
            await self._wall()
            if self._began is not None:
                # A server that takes us and drops us at once must not be called in a tight loop.
                if trio.current_time() - self._began >= self.host.limits.dial_seconds:
                    self._backoff.reset()
                self._began = None
                self.failures, self.last_failure = 0, None
            pause = self._backoff.pause()
            if self.last_failure is not None:
                self._log(self.last_failure, pause)
            with self.host.opening(pause + 1, "a pause"):
                await trio.sleep(pause)

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
            return  # the connection has said why it ended
        self.failures += 1
        self.last_failure = DialFailure(
            self.server.peer, self.server.url, explain(group), refused, self.failures
        )
        if self.failed is not None:
            try:
                self.failed(self.last_failure)
            except Exception:
                logger.exception(
                    "%s: the function that is told of failed calls failed", self.host.config.name
                )

    def _log(self, failure: DialFailure, pause: float) -> None:
        reason, when = self._logged
        now = trio.current_time()
        if failure.reason == reason and now - when < QUIET_SECONDS:
            return
        self._logged = (failure.reason, now)
        logger.warning(
            "%s: no connection with %s at %s (try %d): %s. Next try in %.1f s",
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
        """Go through the handshake, after which nothing of it is held any more; None where the service closes."""
        host, limits, url = self.host, self.host.limits, Url.parse(self.server.url)
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
            # It tells nobody why, and we cannot know more (security case P22).
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
            raise RuntimeError("a peer that is called does not call")
        connection = Connection(
            websocket,
            established.session,
            peer=established.peer,
            info=established.info,
            limits=self.host.limits,
            refusals=self.host.refusals,
            dialled=True,
            caller=self.server.url,
        )
        self._began = trio.current_time()
        return place, connection
