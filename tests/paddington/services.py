"""Services that know each other, and peers that misbehave, for the tests of this directory."""

import contextlib
import logging

import attrs
import trio
import wsproto
from trio.testing import wait_all_tasks_blocked
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Request, TextMessage

from paddington import Limits, Peer, ServiceConfig, open_service
from paddington.protocol.handshake import (
    ClientHandshake,
    Established,
    LocalService,
    Send,
    ServerHandshake,
    Standing,
)
from paddington.testing import MemoryNetwork

PORT = 8042
PORTAL = Peer("portal")
CLUSTER = Peer("cluster")


def introduce(*, address="127.0.0.1", port=PORT, limits=None, client_limits=None, **options):
    """Configurations of a portal, which listens, and a cluster, which calls."""
    portal = ServiceConfig.create("portal", url=f"ws://localhost:{port}", port=port, limits=limits, **options)
    cluster = ServiceConfig.create("cluster", limits=client_limits)
    cluster.add_server(portal.add_client("cluster", address))
    return portal, cluster


@contextlib.asynccontextmanager
async def connected(network=None, *, serve=None, client_serve=None, **options):
    """A portal and a cluster, connected; the events that tell so are taken."""
    network = network or MemoryNetwork()
    portal_config, cluster_config = introduce(**options)
    async with (
        open_service(portal_config, network=network, serve=serve) as portal,
        open_service(cluster_config, network=network, serve=client_serve) as cluster,
    ):
        if serve is None:
            await portal.events.receive()
        if client_serve is None:
            await cluster.events.receive()
        yield portal, cluster


@attrs.define
class RawClient:
    """A WebSocket client that does what the test says, on a stream of its own."""

    stream: trio.abc.Stream
    websocket: wsproto.WSConnection
    arrived: list = attrs.field(factory=list)

    @classmethod
    async def call(cls, network, port=PORT, headers=()):
        """Connect and upgrade."""
        client = await cls.connect(network, port)
        await client.upgrade(headers)
        return client

    @classmethod
    async def connect(cls, network, port=PORT):
        """Connect only."""
        stream = await network.connect("portal", port, tls=False)
        return cls(stream, wsproto.WSConnection(wsproto.ConnectionType.CLIENT))

    async def upgrade(self, headers=()):
        await self.send(Request(host="portal", target="/", extra_headers=list(headers)))
        event = await self.receive()
        assert isinstance(event, AcceptConnection), event

    async def send(self, event):
        await self.stream.send_all(self.websocket.send(event))

    async def send_text(self, text):
        await self.send(TextMessage(text))

    async def receive(self):
        """The next event; None when the line is over."""
        while not self.arrived:
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not data:
                return None
            self.websocket.receive_data(data)
            self.arrived += self.websocket.events()
        return self.arrived.pop(0)

    async def receive_text(self):
        """The next whole text."""
        text = ""
        while True:
            event = await self.receive()
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                return text

    async def wait_end(self):
        """Take whatever comes until the line is over; gives the events."""
        events = []
        while (event := await self.receive()) is not None:
            events.append(event)
        await wait_all_tasks_blocked()
        return events

    async def shake_hands(self, handshake):
        """Go through with an honest handshake: `Established`, or `Standing` if told to wait."""
        await self.send_text(handshake.first_frame())
        while True:
            match handshake.receive(await self.receive_text()):
                case Send(frame):
                    await self.send_text(frame)
                case (Established() | Standing()) as outcome:
                    return outcome

    async def poll(self, handshake):
        await self.send_text(handshake.poll())
        return handshake.receive(await self.receive_text())


class RawServer:
    """The listening side of one WebSocket, that does what the test says."""

    def __init__(self, stream, config):
        self.stream = stream
        self.config = config
        self.websocket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self.arrived = []

    async def accept(self):
        """Upgrade; gives the handshake of the portal."""
        request = await self.receive()
        await self.stream.send_all(self.websocket.send(AcceptConnection()))
        return ServerHandshake(
            local_of(self.config), self.config.clients, request.extra_headers, unix_seconds=1_800_000_000
        )

    receive = RawClient.receive
    receive_text = RawClient.receive_text
    send = RawClient.send
    send_text = RawClient.send_text
    wait_end = RawClient.wait_end

    async def shake_hands(self, **standing):
        """Go through with an honest handshake."""
        handshake = await self.accept()
        await self.send_text(handshake.receive(await self.receive_text()).frame)
        handshake.receive(await self.receive_text())
        await self.send_text(handshake.answer(**standing).frame)

    async def misbehave(self, behaviour):
        """Break the handshake in one of several ways."""
        handshake = await self.accept()
        first = await self.receive_text()
        answer = handshake.receive(first).frame
        match behaviour:
            case "rubbish":
                await self.send_text(answer[:-2] + "00")
            case "reflect":
                await self.send_text(first)
            case "repeat":
                await self.send_text(answer)
                await self.receive_text()
                await self.send_text(answer)
            case "silent-close":
                await self.send(CloseConnection(1000))
            case "binary":
                await self.send(BytesMessage(bytes.fromhex(answer)))
        await self.wait_end()
        await self.stream.aclose()


def handshake_of(config, local=None):
    """An honest client's handshake with the only server that it knows."""
    return ClientHandshake(local or local_of(config), config.servers[0], unix_seconds=1_800_000_000)


def local_of(config):
    return LocalService.create(config.name, limits=Limits())


async def raw_cluster(network, config, *, local=None):
    """A raw client that has just become primary, with its session."""
    handshake = handshake_of(config, local)
    client = await RawClient.call(network, headers=handshake.headers())
    outcome = await client.shake_hands(handshake)
    return client, handshake, outcome


def records(caplog, level=logging.WARNING):
    """Messages of at least that level."""
    return [record.getMessage() for record in caplog.records if record.levelno >= level]
