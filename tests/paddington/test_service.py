"""Two services that talk, from opening to closing."""

import logging

import attrs
import pytest
import trio

from paddington import (
    ConfigError,
    Connected,
    Disconnected,
    Limits,
    PayloadTooLargeError,
    Peer,
    PeerNotConnectedError,
    Received,
    ServiceConfig,
    open_service,
)
from paddington.testing import MemoryNetwork

from .services import CLUSTER, PORT, PORTAL, connected, introduce


async def test_two_services_meet_talk_and_part(autojump_clock):
    network = MemoryNetwork()
    portal_config, cluster_config = introduce()
    async with open_service(portal_config, network=network) as portal:
        async with open_service(cluster_config, network=network) as cluster:
            assert await portal.events.receive() == Connected(CLUSTER, "paddington", "0.1.0", 0.0)
            assert await cluster.events.receive() == Connected(PORTAL, "paddington", "0.1.0", 0.0)
            assert (portal.peers, cluster.peers) == ((CLUSTER,), (PORTAL,))
            await portal.send(CLUSTER, "one")
            await portal.send(CLUSTER, "zwei é \x00 \U0001f600")
            await cluster.send(PORTAL, "")
            assert await cluster.events.receive() == Received(PORTAL, "one")
            assert await cluster.events.receive() == Received(PORTAL, "zwei é \x00 \U0001f600")
            assert await portal.events.receive() == Received(CLUSTER, "")
        assert await portal.events.receive() == Disconnected(CLUSTER, "the peer closed the connection")
        assert portal.peers == ()
        with pytest.raises(PeerNotConnectedError, match="cluster@default is not connected"):
            await portal.send(CLUSTER, "too late")
    assert network.lines == ()


@pytest.mark.parametrize("first", ["portal", "cluster"])
async def test_either_may_start_first(autojump_clock, first):
    network = MemoryNetwork()
    configs = introduce()
    order = configs if first == "portal" else configs[::-1]
    async with open_service(order[0], network=network) as one:
        await trio.sleep(100)
        async with open_service(order[1], network=network) as other:
            with trio.fail_after(31):
                assert isinstance(await one.events.receive(), Connected)
                assert isinstance(await other.events.receive(), Connected)


async def test_over_real_sockets_a_free_port_is_reported():
    portal_config = ServiceConfig.create("portal", url="ws://127.0.0.1:0", port=0)
    invite = portal_config.add_client("cluster", "127.0.0.1")
    cluster_config = ServiceConfig.create("cluster")
    with trio.fail_after(20):
        async with open_service(portal_config) as portal:
            assert portal.port > 0
            cluster_config.add_server(attrs.evolve(invite, url=f"ws://127.0.0.1:{portal.port}"))
            async with open_service(cluster_config) as cluster:
                assert isinstance(await portal.events.receive(), Connected)
                assert isinstance(await cluster.events.receive(), Connected)
                await cluster.send(PORTAL, "x" * 400_000)
                assert await portal.events.receive() == Received(CLUSTER, "x" * 400_000)
            assert isinstance(await portal.events.receive(), Disconnected)


@pytest.mark.parametrize("ip", ["::1", "::", "0.0.0.0"])
async def test_over_either_family_of_addresses(ip):
    portal_config = ServiceConfig.create("portal", url="ws://x:0", ip=ip, port=0)
    invite = portal_config.add_client("cluster", "127.0.0.1, ::1")
    with trio.fail_after(20):
        async with open_service(portal_config) as portal:
            for number, host in enumerate(["[::1]"] * (":" in ip) + ["127.0.0.1"] * (ip != "::1")):
                cluster_config = ServiceConfig.create("cluster")
                cluster_config.add_server(attrs.evolve(invite, url=f"ws://{host}:{portal.port}"))
                async with open_service(cluster_config):
                    assert isinstance(await portal.events.receive(), Connected), number
                assert isinstance(await portal.events.receive(), Disconnected)


async def test_many_services_in_one_process_do_not_share_anything(autojump_clock):
    network = MemoryNetwork()
    async with trio.open_nursery() as nursery:

        async def pair(number):
            portal_config, cluster_config = introduce(port=PORT + number)
            async with (
                open_service(portal_config, network=network) as portal,
                open_service(cluster_config, network=network) as cluster,
            ):
                await cluster.events.receive()
                await cluster.send(PORTAL, str(number))
                assert isinstance(await portal.events.receive(), Connected)
                assert await portal.events.receive() == Received(CLUSTER, str(number))
                assert portal.peers == (CLUSTER,)

        for number in range(10):
            nursery.start_soon(pair, number)


async def test_one_portal_serves_many_clients_and_keeps_their_messages_apart(autojump_clock):
    network = MemoryNetwork()
    portal_config = ServiceConfig.create("portal", url=f"ws://localhost:{PORT}", port=PORT)
    names = [f"cluster{number}" for number in range(20)]
    invites = {name: portal_config.add_client(name, "127.0.0.1", zone) for name in names for zone in ["z"]}

    async def client(name):
        config = ServiceConfig.create(name)
        config.add_server(invites[name])
        async with open_service(config, network=network) as service:
            await service.events.receive()
            for number in range(10):
                await service.send(Peer("portal", "z"), f"{name} {number}")
            assert await service.events.receive() == Received(Peer("portal", "z"), f"bye {name}")

    got = {}
    async with open_service(portal_config, network=network) as portal, trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(client, name)
        gone = 0
        while gone < len(names):
            match await portal.events.receive():
                case Received(peer, text):
                    got.setdefault(peer, []).append(text)
                    if len(got[peer]) == 10:
                        await portal.send(peer, f"bye {peer.name}")
                case Disconnected():
                    gone += 1
    assert got == {Peer(name, "z"): [f"{name} {number}" for number in range(10)] for name in names}


async def test_messages_keep_their_order_in_both_directions_at_once(autojump_clock):
    texts = [f"{number} " + "x" * (number * 97 % 5000) for number in range(500)]
    async with connected() as (portal, cluster):

        async def send(service, peer):
            for text in texts:
                await service.send(peer, text)

        async def receive(service):
            return [(await service.events.receive()).text for _ in texts]

        results = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, portal, CLUSTER)
            nursery.start_soon(send, cluster, PORTAL)
            for service in (portal, cluster):

                async def collect(service=service):
                    results.append(await receive(service))

                nursery.start_soon(collect)
        assert results == [texts, texts]


async def test_a_payload_that_does_not_fit_is_refused_before_anything_is_sent(autojump_clock):
    async with connected(dense_framing=False) as (portal, cluster):
        connection = portal.connection(CLUSTER)
        # 2 MiB of frame: 524 195 bytes of JSON, of which the number and the quotes take some.
        largest = "x" * (connection.largest_payload - 2)
        assert connection.max_payload_fits(largest)
        assert not connection.max_payload_fits(largest + "x")
        with pytest.raises(PayloadTooLargeError) as caught:
            await portal.send(CLUSTER, largest + "x")
        assert caught.value.size == caught.value.limit + 1
        with pytest.raises(PayloadTooLargeError):
            connection.send_nowait(largest[: len(largest) // 2 + 1].replace("x", '"'))
        await portal.send(CLUSTER, largest)
        assert await cluster.events.receive() == Received(PORTAL, largest)
        assert connection.statistics().dropped == 0


async def test_serve_runs_once_per_connection_and_its_return_closes_it(autojump_clock):
    log = []

    async def serve(connection):
        log.append(("begin", connection.peer, connection.dialled))
        async for text in connection:
            log.append(text)
            if text == "stop":
                await connection.send("stopping")
                break

    async with connected(serve=serve) as (portal, cluster):
        with pytest.raises(RuntimeError, match="no events"):
            portal.events  # noqa: B018
        await cluster.send(PORTAL, "hello")
        await cluster.send(PORTAL, "stop")
        # What is queued when serve returns still goes out.
        assert await cluster.events.receive() == Received(PORTAL, "stopping")
        assert await cluster.events.receive() == Disconnected(PORTAL, "the peer closed the connection")
        assert isinstance(await cluster.events.receive(), Connected)
    assert log == [("begin", CLUSTER, False), "hello", "stop", ("begin", CLUSTER, False)]


async def test_an_error_in_serve_ends_its_connection_alone_and_is_logged(autojump_clock, caplog):
    calls = []

    async def serve(connection):
        calls.append(connection)
        if len(calls) == 1:
            raise ZeroDivisionError("a mistake of the user")
        async for text in connection:
            await connection.send(text)

    async with connected(serve=serve) as (portal, cluster):
        assert isinstance(await cluster.events.receive(), Disconnected)
        assert isinstance(await cluster.events.receive(), Connected)
        await cluster.send(PORTAL, "echo")
        assert await cluster.events.receive() == Received(PORTAL, "echo")
        assert portal.peers == (CLUSTER,)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "The task that serves cluster@default failed" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


async def test_an_error_of_the_block_comes_out_as_it_is(autojump_clock):
    network = MemoryNetwork()
    portal_config, cluster_config = introduce()
    with pytest.raises(KeyError, match="mine"):
        async with (
            open_service(portal_config, network=network),
            open_service(cluster_config, network=network),
        ):
            raise KeyError("mine")
    await trio.testing.wait_all_tasks_blocked()
    assert network.lines == ()


async def test_cancelling_the_block_leaves_nothing_behind(autojump_clock):
    network = MemoryNetwork()
    with trio.move_on_after(10) as scope:
        async with connected(network) as (portal, _):
            await portal.events.receive()
    assert scope.cancelled_caught
    assert trio.current_time() == 10
    assert network.lines == ()
    # The port is free again.
    async with connected(network):
        pass


@pytest.mark.parametrize("steps", range(0, 120, 3))
async def test_cancelled_at_any_step_it_leaves_nothing_behind(steps):
    network = MemoryNetwork()

    async def run(task_status):
        async with connected(network) as (portal, cluster):
            task_status.started()
            await portal.send(CLUSTER, "x" * 100_000)
            await cluster.events.receive()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def count():
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            nursery.start_soon(count)
            await nursery.start(run)
    await trio.testing.wait_all_tasks_blocked()
    assert network.lines == ()
    with pytest.raises(OSError, match="refused"):
        await network.connect("portal", PORT, tls=False)


async def test_closing_sends_what_is_queued(autojump_clock):
    network = MemoryNetwork()
    portal_config, cluster_config = introduce()
    texts = [f"{number}" + "x" * 10_000 for number in range(60)]
    async with open_service(portal_config, network=network) as portal:
        async with open_service(cluster_config, network=network) as cluster:
            await cluster.events.receive()
            connection = cluster.connection(PORTAL)
            for text in texts:
                connection.send_nowait(text)
        got = []
        async for event in portal.events:
            match event:
                case Received(_, text):
                    got.append(text)
                case Disconnected():
                    break
    assert got == texts


async def test_closing_takes_at_most_its_deadline_whatever_the_peer_does(autojump_clock):
    network = MemoryNetwork()
    portal_config, cluster_config = introduce(client_limits=Limits(close_seconds=7))
    async with open_service(portal_config, network=network):
        async with open_service(cluster_config, network=network) as cluster:
            await cluster.events.receive()
            network.freeze()
            await cluster.send(PORTAL, "into the void")
            before = trio.current_time()
        assert trio.current_time() - before == 7


async def test_disconnecting_a_peer_closes_in_order_and_it_calls_again(autojump_clock):
    async with connected() as (portal, cluster):
        await portal.disconnect(CLUSTER)
        assert await portal.events.receive() == Disconnected(CLUSTER, "closed here")
        assert await cluster.events.receive() == Disconnected(PORTAL, "the peer closed the connection")
        assert isinstance(await portal.events.receive(), Connected)
        with pytest.raises(PeerNotConnectedError):
            await portal.disconnect(Peer("nobody"))


async def test_a_service_without_clients_does_not_listen(autojump_clock):
    network = MemoryNetwork()
    async with open_service(ServiceConfig.create("alone", port=80), network=network) as service:
        assert (service.port, service.peers) == (80, ())
        with pytest.raises(OSError, match="refused"):
            await network.connect("x", 80, tls=False)


async def test_a_port_in_use_is_reported_before_the_block_is_entered(autojump_clock):
    network = MemoryNetwork()
    portal_config, _ = introduce()
    async with open_service(portal_config, network=network):
        with pytest.raises(
            ConfigError, match=r"portal cannot listen on 127\.0\.0\.1 port 8042: address already in use"
        ):
            async with open_service(portal_config, network=network):
                pytest.fail("never reached")


async def test_an_address_that_is_not_ours_is_reported():
    config = ServiceConfig.create("portal", url="ws://x", ip="192.0.2.1", port=0)
    config.add_client("cluster", "127.0.0.1")
    with pytest.raises(ConfigError, match="cannot listen"):
        async with open_service(config):
            pytest.fail("never reached")


async def test_a_contradictory_configuration_is_refused():
    portal_config, _ = introduce()
    portal_config.clients *= 2
    with pytest.raises(ConfigError, match="two clients"):
        async with open_service(portal_config, network=MemoryNetwork()):
            pytest.fail("never reached")


async def test_changing_the_configuration_later_does_not_touch_a_running_service(autojump_clock):
    network = MemoryNetwork()
    portal_config, cluster_config = introduce()
    async with open_service(portal_config, network=network) as portal:
        portal_config.remove_client("cluster")
        async with open_service(cluster_config, network=network):
            assert isinstance(await portal.events.receive(), Connected)


async def test_statistics_tell_what_happens(autojump_clock):
    async with connected(dense_framing=False) as (portal, cluster):
        await cluster.send(PORTAL, "x" * 1000)
        await portal.events.receive()
        await trio.sleep(5)
        statistics = portal.statistics()
        (connection,) = statistics.connections.values()
        assert (connection.received, connection.dropped, connection.since) == (2, 0, 0)
        assert connection.received_bytes > 4000
        assert connection.sent_bytes > 1000
        assert statistics.unauthenticated == 0
        assert statistics.refused == {}
        assert statistics.failing == {}


async def test_nothing_of_a_key_or_a_payload_is_logged(autojump_clock, caplog):
    caplog.set_level(logging.DEBUG)
    network = MemoryNetwork()
    portal_config, cluster_config = introduce()
    async with (
        open_service(portal_config, network=network) as portal,
        open_service(cluster_config, network=network) as cluster,
    ):
        await cluster.events.receive()
        await portal.events.receive()
        await cluster.send(PORTAL, "a-secret-payload")
        await portal.events.receive()
        network.cut()
        await portal.events.receive()
        shown = f"{portal!r} {cluster!r} {portal.statistics()}"
    shown += caplog.text
    client = portal_config.clients[0]
    for secret in (client.inner_key.hex(), client.outer_key.hex(), "a-secret-payload"):
        assert secret not in shown
    assert "connected with cluster@default" in shown


async def test_the_queue_of_events_makes_the_peer_wait_and_loses_nothing(autojump_clock):
    limits = Limits(events_queue=2, receive_queue=2, send_queue=2)
    texts = [str(number) for number in range(300)]
    network = MemoryNetwork()
    portal_config, cluster_config = introduce(limits=limits, client_limits=limits)
    async with (
        open_service(portal_config, network=network) as portal,
        open_service(cluster_config, network=network) as cluster,
    ):
        await cluster.events.receive()

        async def send():
            for text in texts:
                await cluster.send(PORTAL, "y" * 10_000 + text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            assert portal.statistics().connections[CLUSTER].received < 20
            assert isinstance(await portal.events.receive(), Connected)
            got = [(await portal.events.receive()).text[10_000:] for _ in texts]
        assert got == texts


class SlowStream(trio.abc.Stream):
    """A stream over which 64 KiB take 200 seconds."""

    def __init__(self, stream):
        self._stream = stream

    async def send_all(self, data):
        for start in range(0, len(data), 1024):
            piece = bytes(data[start : start + 1024])
            await trio.sleep(200 * len(piece) / 65_536)
            await self._stream.send_all(piece)

    async def wait_send_all_might_not_block(self):
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes=None):
        return await self._stream.receive_some(max_bytes)

    async def aclose(self):
        await self._stream.aclose()


class SlowNetwork(MemoryNetwork):
    """Whoever calls through it sends slowly."""

    async def connect(self, host, port, *, tls):
        return SlowStream(await super().connect(host, port, tls=tls))


@pytest.mark.parametrize("dense", [True, False])
async def test_a_large_frame_on_a_slow_connection_arrives_though_it_takes_longer_than_the_watchdog(
    autojump_clock, dense
):
    network = SlowNetwork()
    portal_config, cluster_config = introduce()
    portal_config.dense_framing = dense
    text = "x" * 300_000
    async with (
        open_service(portal_config, network=network) as portal,
        open_service(cluster_config, network=network) as cluster,
    ):
        assert isinstance(await portal.events.receive(), Connected)
        assert isinstance(await cluster.events.receive(), Connected)
        before = trio.current_time()
        await cluster.send(cluster.peers[0], text)
        assert await portal.events.receive() == Received(portal.peers[0], text)
        assert trio.current_time() - before > 900
        assert cluster.peers
