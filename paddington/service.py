"""A running service: a nursery with one listener and one dialler per server, for one `async with`."""

from __future__ import annotations

import contextlib
import logging
import math
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Final

import attrs
import trio

from .acceptor import Acceptor
from .config.peer_config import ClientConfig, ServerConfig
from .config.service_config import ServiceConfig
from .config.url import Url
from .connection import Connection, ConnectionStatistics, Serve
from .context import Host
from .dialler import DialFailed, DialFailure, Dialler
from .errors import ConfigError
from .events import Connected, Disconnected, Event, Received
from .gate import Gate
from .network import Network, TcpNetwork
from .nursery import open_bare_nursery
from .peer import Peer
from .protocol.capabilities import FRAMINGS
from .protocol.local import LocalService
from .refusals import Refusals
from .relay.endpoint import Endpoint, Starter
from .relay.policy import Pairs
from .relay.proxy import Proxy
from .standby import Roster
from .version import __version__

logger: Final = logging.getLogger(__name__)

ENGINE: Final = "paddington"
VERSION: Final = __version__


@attrs.frozen
class ServiceStatistics:
    """What a service is doing.

    Attributes:
        connections: The primary connections, by peer.
        standing_by: Connections that wait to take over from a primary one, by peer.
        unauthenticated: Connections whose handshake is under way.
        refused: What was refused so far, by reason.
        failing: Servers that do not answer, with the last failed try.
    """

    connections: Mapping[Peer, ConnectionStatistics]
    standing_by: Mapping[Peer, int]
    unauthenticated: int
    refused: Mapping[str, int]
    failing: Mapping[Peer, DialFailure]


class Service:
    """A running service; `open_service` makes it.

    Attributes:
        name: Its own name.
        port: The port on which it listens, the real one where 0 was asked for.
        events: What happens to its peers; ends when the service closes. Only without a `serve` of your own.
    """

    def __init__(self, host: Host, gate: Gate, diallers: list[Dialler | Starter], port: int) -> None:
        self.name = host.config.name
        self.port = port
        self._host = host
        self._gate = gate
        self._diallers = {dialler.server.peer: dialler for dialler in diallers}
        self._dialling: dict[Peer, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._dial_failed: DialFailed | None = None
        self._endpoint: Endpoint | None = None
        self._events: trio.MemoryReceiveChannel[Event] | None = None

    def __repr__(self) -> str:
        return f"<Service {self.name} with {len(self.peers)} peers>"

    @property
    def events(self) -> trio.MemoryReceiveChannel[Event]:
        """Events of all connections: `Connected`, then any number of `Received`, then `Disconnected`, per
        peer.

        The queue is bounded: whoever does not take events makes the peers wait.
        """
        if self._events is None:
            raise RuntimeError(
                "There are no events with a serve function of your own: it gets each Connection."
            )
        return self._events

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Peers with a live primary connection, in the order in which they came."""
        return tuple(peer for peer, each in self._host.roster.connections.items() if each.reason is None)

    def connection(self, peer: Peer) -> Connection:
        """Give the primary connection with a peer.

        Raises:
            PeerNotConnectedError: There is none.
        """
        return self._host.roster.connection(peer)

    async def send(self, peer: Peer, text: str) -> None:
        """Queue a payload for a peer; waits while its queue is full.

        Args:
            peer: Whom it is for.
            text: The payload.

        Raises:
            PeerNotConnectedError: There is no connection with it.
            PayloadTooLargeError: It does not fit into one frame.
            ConnectionLostError: The connection ended while this waited.
        """
        await self.connection(peer).send(text)

    async def disconnect(self, peer: Peer) -> None:
        """Close the connection with a peer, in order; a peer that we call is called again later.

        Raises:
            PeerNotConnectedError: There is none.
        """
        await self.connection(peer).aclose()

    def statistics(self) -> ServiceStatistics:
        """What it is doing."""
        return ServiceStatistics(
            connections={peer: each.statistics() for peer, each in self._host.roster.connections.items()},
            standing_by=self._host.roster.waiting,
            unauthenticated=self._gate.inside,
            refused=self._host.refusals.counts,
            failing={
                each.server.peer: each.last_failure
                for each in self._diallers.values()
                if each.last_failure is not None
            },
        )

    async def change_peers(
        self, clients: Sequence[ClientConfig], servers: Sequence[ServerConfig]
    ) -> frozenset[Peer]:
        """Serve and call other peers from now on; return those whose entry was changed, added or removed.

        Connections with peers whose entry did not change go on. Those whose entry changed or went are closed, each after
        what is queued for it was sent, within `close_seconds`; a changed peer can connect again with its new entry.
        Cancelled, the new entries are in force, and some connections may still be the old ones.

        Args:
            clients: All peers that may call.
            servers: All peers that are called.

        Raises:
            ConfigError: The new peers contradict each other, or clients are added to a service that does not listen.

        """
        old = self._host.config
        new = attrs.evolve(old, clients=tuple(clients), servers=tuple(servers))
        new.check()
        if _may_be_called(new) and not _may_be_called(old):
            raise ConfigError(f"{self.name} does not listen, since it had no clients when it was started")
        before, after = _entries(old), _entries(new)
        changed = frozenset(peer for peer in {*before, *after} if before.get(peer) != after.get(peer))
        self._host.config = new
        for peer in changed & self._dialling.keys():
            self._dialling.pop(peer).cancel(reason="its entry in the configuration has changed")
            del self._diallers[peer]
        with trio.move_on_after(self._host.limits.close_seconds):
            async with trio.open_nursery() as closing:
                for peer, connection in list(self._host.roster.connections.items()):
                    if peer in changed:
                        closing.start_soon(connection.aclose)
        for server in new.servers:
            if server.peer in changed:
                assert self._endpoint is not None
                self._dial(_dialler(self._host, self._endpoint, server, self._dial_failed))
        return changed

    def _dial(self, dialler: Dialler | Starter) -> None:
        assert self._nursery is not None
        peer, scope = dialler.server.peer, trio.CancelScope()
        self._diallers[peer], self._dialling[peer] = dialler, scope

        async def dial() -> None:
            with scope:
                await dialler.dial_forever()

        self._nursery.start_soon(dial, name=f"{self.name}: dial {peer}")


@contextlib.asynccontextmanager
async def open_service(
    config: ServiceConfig,
    *,
    serve: Serve | None = None,
    network: Network | None = None,
    engine: str = ENGINE,
    version: str = VERSION,
    dial_failed: DialFailed | None = None,
    unix_time: Callable[[], float] = time.time,
    relay_pairs: Iterable[Iterable[str]] | None = None,
) -> AsyncIterator[Service]:
    """Run a service for the time of an `async with`.

    It listens if it knows any client, and calls every server it knows, again and again. Leaving the block
    closes it in order: nobody new comes in, what is queued goes out, connections are closed, at most
    `close_seconds` in all. A block that is cancelled, or left by an error, ends everything at once.

    Errors: what peers do never leaves a connection. An error of `serve` ends its own connection and is
    logged; it does not stop the service. An error of the block comes out as it is.

    Args:
        config: Who it is and whom it knows; taken as it is now, later changes are not seen.
        serve: Run for each primary connection, in a task of its own, with the `Connection`; the connection
            closes when it returns. When the line is lost it is cancelled after `close_seconds` if it has not
            returned. Left out, there are `service.events` instead.
        network: How it listens and connects; real sockets if left out.
        engine: What it calls its software, towards peers.
        version: The version of that.
        dial_failed: Called after each try to reach a server that failed; must not block.
        unix_time: Wall-clock seconds, for numbers that shall rise across restarts.
        relay_pairs: Pairs of names of peers. If given, the service is a relay: it passes letters on between the two of
            each pair, and nothing else; `serve` is not called.

    Raises:
        ConfigError: The configuration contradicts itself, or its address cannot be listened on.
    """
    config.check()
    config = attrs.evolve(config)
    limits = config.limits
    send_event, receive_event = trio.open_memory_channel[Event](limits.events_queue)
    host = Host(
        config=config,
        local=LocalService.create(
            config.name,
            limits=limits,
            engine=engine,
            version=version,
            framings=FRAMINGS if config.dense_framing else (),
        ),
        network=TcpNetwork() if network is None else network,
        serve=_pump(send_event) if serve is None else serve,
        # The pump of events is ours and waits for nobody but the user, whom it owes the last events too.
        patience=math.inf if serve is None else limits.close_seconds,
        refusals=Refusals(logger, trio.current_time),
        roster=Roster(limits),
        unix_time=unix_time,
    )
    endpoint = Endpoint(host, host.serve)
    if relay_pairs is None:
        host.serve = endpoint.serve
    else:
        host.serve = Proxy(host, Pairs.create(relay_pairs, _entries(config))).serve
    gate = Gate(limits, descriptors=_descriptor_limit(host.network), others=lambda: len(host.roster.places))
    acceptor = Acceptor(host, gate)
    _warn_of_bare_lines(config)
    listeners = await _listen(host) if _may_be_called(config) else []
    try:
        diallers = [_dialler(host, endpoint, server, dial_failed) for server in config.servers]
        port = host.network.port_of(listeners[0]) if listeners else config.port
        service = Service(host, gate, diallers, port)
        if serve is None:
            service._events = receive_event  # noqa: SLF001 - the two are one thing
        async with open_bare_nursery() as nursery, receive_event:
            listening = trio.CancelScope()
            nursery.start_soon(
                _accept, acceptor, listeners, listening, nursery, name=f"{config.name}: accept"
            )
            service._nursery, service._dial_failed = nursery, dial_failed  # noqa: SLF001 - the two are one thing
            service._endpoint, endpoint.nursery = endpoint, nursery  # noqa: SLF001 - likewise
            for dialler in diallers:
                service._dial(dialler)  # noqa: SLF001 - likewise
            yield service
            listening.cancel(reason="the service closes")
            receive_event.close()
            with trio.move_on_after(limits.close_seconds):
                await _close(host)
            nursery.cancel_scope.cancel(reason="the service is closed")
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)


def _may_be_called(config: ServiceConfig) -> bool:
    """Whether any client calls directly: those behind a relay need no listener."""
    return any(client.ip is not None for client in config.clients)


def _dialler(
    host: Host, endpoint: Endpoint, server: ServerConfig, dial_failed: DialFailed | None
) -> Dialler | Starter:
    return Dialler(host, server, dial_failed) if server.proxy is None else Starter(endpoint, server)


def _entries(config: ServiceConfig) -> dict[Peer, ClientConfig | ServerConfig]:
    entries: tuple[ClientConfig | ServerConfig, ...] = (*config.clients, *config.servers)
    return {entry.peer: entry for entry in entries}


def _descriptor_limit(network: Network) -> int | None:
    if not isinstance(network, TcpNetwork):
        return None  # connections that take no descriptors
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


async def _listen(host: Host) -> list[trio.abc.Listener[trio.abc.Stream]]:
    config = host.config
    try:
        listeners = await host.network.listen(config.ip, config.port)
    except OSError as exc:
        why = (exc.strerror or str(exc)).lower()
        raise ConfigError(f"{config.name} cannot listen on {config.ip} port {config.port}: {why}") from exc
    logger.info("%s: listening on %s port %d", config.name, config.ip, host.network.port_of(listeners[0]))
    return list(listeners)


def _warn_of_bare_lines(config: ServiceConfig) -> None:
    """Security case F12: without TLS, names of headers, sizes and times of messages show on the way."""
    for server, address in [(each, address) for each in config.servers for address in each.addresses]:
        url = Url.parse(address)
        if not url.secure and not url.is_local:
            logger.warning(
                "%s: the connection to %s at %s has no TLS of its own. Payloads are encrypted anyway; "
                "use wss:// to hide that the two talk",
                config.name,
                server.peer,
                address,
            )


async def _accept(
    acceptor: Acceptor,
    listeners: list[trio.abc.Listener[trio.abc.Stream]],
    listening: trio.CancelScope,
    callers: trio.Nursery,
) -> None:
    with listening:
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(acceptor.accept_forever, listener, callers)


async def _close(host: Host) -> None:
    host.close_openings()
    relayed = {peer for peer, entry in _entries(host.config).items() if entry.proxy is not None}
    # What goes through a relay needs the connection with it to the end.
    for through_relay in (True, False):
        async with trio.open_nursery() as nursery:
            for peer, connection in host.roster.connections.items():
                if (peer in relayed) is through_relay:
                    nursery.start_soon(connection.aclose)
    # Their tasks have what is left of the time to return.
    for place in host.roster.places:
        await place.released.wait()


def _pump(events: trio.MemorySendChannel[Event]) -> Serve:
    """Make the serve function behind `service.events`."""

    async def pump(connection: Connection) -> None:
        peer, info = connection.peer, connection.info
        with contextlib.suppress(
            trio.BrokenResourceError
        ):  # the service closes: nobody takes events any more
            await events.send(Connected(peer, info.engine, info.version, connection.since))
            async for text in connection:
                await events.send(Received(peer, text))
            await events.send(Disconnected(peer, connection.reason or ""))

    return pump
