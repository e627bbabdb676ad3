"""Calling a server: the pauses between tries, and the reasons that are told."""

import contextlib
import itertools
import logging
import socket
import ssl
from functools import partial

import attrs
import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st

from paddington import (
    ConfigError,
    Connected,
    Disconnected,
    Limits,
    Received,
    ServiceConfig,
    TcpNetwork,
    open_service,
)
from paddington.backoff import Backoff
from paddington.testing import MemoryNetwork

from .services import CLUSTER, PORT, PORTAL, RawServer, introduce, records


@given(
    st.floats(0.001, 10),
    st.floats(1, 10),
    st.floats(10, 1000),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
)
def test_pauses_grow_to_the_longest_and_jitter_only_shortens_them(first, factor, longest, jitter, lots):
    limits = Limits(
        dial_first_seconds=first, dial_factor=factor, dial_longest_seconds=longest, dial_jitter=jitter
    )
    draws = iter(lots)
    backoff = Backoff(limits, lambda: next(draws))
    for number, lot in enumerate(lots):
        full = min(first * factor**number, longest)
        pause = backoff.pause()
        assert pause == pytest.approx(full * (1 - jitter * lot))
        assert full * (1 - jitter) <= pause * 1.000001
        assert pause <= full * 1.000001
    backoff.reset()
    lots.append(0)
    backoff.random = lambda: 0.0
    assert backoff.pause() == pytest.approx(first)


@contextlib.asynccontextmanager
async def failing(config, network, **options):
    """A service that calls; gives the failures as they come."""
    send, receive = trio.open_memory_channel(1000)
    async with open_service(config, network=network, dial_failed=send.send_nowait, **options) as service:
        service.failures = receive
        yield service


async def test_retry_intervals_grow_and_reset_after_a_good_connection(autojump_clock):
    network = MemoryNetwork()
    limits = Limits(dial_jitter=0)
    portal_config, cluster_config = introduce(client_limits=limits)
    async with failing(cluster_config, network) as cluster:
        times = []
        for _ in range(10):
            await cluster.failures.receive()
            times.append(trio.current_time())
        pauses = [round(after - before, 6) for before, after in itertools.pairwise(times)]
        assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30]
        async with open_service(portal_config, network=network):
            assert isinstance(await cluster.events.receive(), Connected)
            # Taken and dropped at once: the pause stays where it was, so that a server that drops us is not hammered.
            network.cut()
            assert isinstance(await cluster.events.receive(), Disconnected)
            before = trio.current_time()
            assert isinstance(await cluster.events.receive(), Connected)
            assert trio.current_time() - before == pytest.approx(30)
            await trio.sleep(0.3)
            network.cut()
            assert isinstance(await cluster.events.receive(), Disconnected)
            before = trio.current_time()
            assert isinstance(await cluster.events.receive(), Connected)
            assert trio.current_time() - before == pytest.approx(0.2)


async def test_a_connection_that_brought_a_payload_was_good_however_short(autojump_clock):
    network = MemoryNetwork()
    portal_config, cluster_config = introduce(client_limits=Limits(dial_jitter=0))
    async with failing(cluster_config, network) as cluster:
        await trio.sleep(300)
        async with open_service(portal_config, network=network) as portal:
            assert isinstance(await cluster.events.receive(), Connected)
            await portal.send(portal.peers[0], "hello")
            assert isinstance(await cluster.events.receive(), Received)
            network.cut()
            assert isinstance(await cluster.events.receive(), Disconnected)
            before = trio.current_time()
            assert isinstance(await cluster.events.receive(), Connected)
            assert trio.current_time() - before == pytest.approx(0.2)


async def test_a_hundred_clients_do_not_come_back_at_the_same_instant(autojump_clock):
    network = MemoryNetwork()
    times = {}

    def note(failure):
        times.setdefault(failure.attempt, []).append(trio.current_time())

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(100):
            _, config = introduce()
            await stack.enter_async_context(open_service(config, network=network, dial_failed=note))
        await trio.sleep(10)
    assert len(times[5]) == 100
    assert len(set(times[5])) > 90
    assert max(times[5]) - min(times[5]) > 0.5


async def test_a_repeated_failure_is_logged_now_and_then_and_another_at_once(autojump_clock, caplog):
    network = MemoryNetwork()
    _, config = introduce()
    async with failing(config, network) as cluster:
        await trio.sleep(600)
        lines = records(caplog)
        assert 5 <= len(lines) <= 11
        assert lines[0].startswith(
            "cluster: no connection with portal@default at ws://localhost:8042/ (attempt 1): "
        )
        assert "connection refused. Next attempt in 0." in lines[0]
        caplog.clear()
        (listener,) = await network.listen(None, PORT)
        async with listener:
            await trio.aclose_forcefully(await listener.accept())
            await trio.testing.wait_all_tasks_blocked()
        (line,) = records(caplog)
        assert "refused" not in line
        assert cluster.statistics().failing[PORTAL].reason in {"the connection broke", "the peer hung up"}


async def fail_once(network, config, behave):
    """What is told when the server behaves so; and how long it took to find out."""
    async with failing(config, network) as cluster:
        (listener,) = await network.listen(None, PORT)
        async with listener, trio.open_nursery() as nursery:
            # The first try found nobody there.
            nursery.start_soon(behave, listener)
            while (failure := await cluster.failures.receive()).reason == "connection refused":
                pass
            nursery.cancel_scope.cancel()
        return failure


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "the peer hung up"),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            r'the other side does not speak HTTP, it begins with "SSH-2.0-OpenSSH_9.2\r\n"',
        ),
        (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n",
            "the other side answered with HTTP status 502",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", "the other side answered with HTTP status 200"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n",
            "the other side answered with HTTP status 302",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the peer broke the WebSocket protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000, "the peer sent"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "the other side does not speak HTTP"),
        (b"HTTQ", "the other side does not speak HTTP"),
    ],
)
async def test_the_cause_of_a_failed_upgrade_is_reported_at_once(autojump_clock, answer, reason):
    async def behave(listener):
        stream = await listener.accept()
        await stream.receive_some()
        if answer:
            await stream.send_all(answer)
            await trio.sleep_forever()
        await stream.aclose()

    _, config = introduce(client_limits=Limits(dial_jitter=0))
    failure = await fail_once(MemoryNetwork(), config, behave)
    assert failure.reason.startswith(reason)
    assert failure.reason.isprintable()
    assert not failure.refused
    assert trio.current_time() < 2


async def test_a_server_that_says_nothing_is_given_up_after_the_time_for_dialling(autojump_clock):
    async def behave(listener):
        stream = await listener.accept()
        await stream.receive_some()
        await trio.sleep_forever()

    _, config = introduce(client_limits=Limits(dial_jitter=0))
    failure = await fail_once(MemoryNetwork(), config, behave)
    assert failure.reason == "nobody answered in time"
    assert 10 <= trio.current_time() < 12


async def test_a_server_that_stops_in_the_handshake_is_given_up_at_its_deadline(autojump_clock):
    # The portal upgrades; frozen then, it says nothing more.
    network = MemoryNetwork()
    portal_config, cluster_config = introduce()
    async with failing(cluster_config, network) as cluster:
        async with open_service(portal_config, network=network):
            while not network.lines:
                await trio.lowlevel.checkpoint()
            for _ in range(12):
                await trio.lowlevel.checkpoint()
            network.freeze()
            while (failure := await cluster.failures.receive()).reason == "connection refused":
                pass
    assert failure.reason in {"the handshake took too long", "nobody answered in time"}


async def test_wrong_keys_are_reported_with_their_likely_causes(autojump_clock):
    network = MemoryNetwork()
    portal_config, _ = introduce()
    _, stranger_config = introduce()
    async with (
        open_service(portal_config, network=network) as portal,
        failing(stranger_config, network) as stranger,
    ):
        failure = await stranger.failures.receive()
        assert failure.refused
        assert failure.reason == (
            "the peer hung up, during the handshake: it may have other keys for us, or not know our address"
        )
        assert (failure.peer, failure.attempt, failure.url) == (PORTAL, 1, "ws://localhost:8042/")
        assert (await stranger.failures.receive()).attempt == 2
        assert portal.statistics().refused["not-opened"] >= 2


async def test_a_server_of_another_name_is_refused(autojump_clock):
    network = MemoryNetwork()
    portal_config, cluster_config = introduce()
    cluster_config.servers = [attrs.evolve(cluster_config.servers[0], name="gateway")]
    async with (
        open_service(portal_config, network=network),
        failing(cluster_config, network) as cluster,
    ):
        failure = await cluster.failures.receive()
        assert failure.refused
        assert failure.peer.name == "gateway"


async def test_a_port_without_a_listener_is_reported_over_real_sockets(caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _, config = introduce(port=port)
    config.servers = [attrs.evolve(config.servers[0], url=f"ws://127.0.0.1:{port}")]
    with trio.fail_after(20):
        async with failing(config, None) as cluster:
            assert (await cluster.failures.receive()).reason == "connection refused"


async def test_a_host_without_an_address_is_reported():
    _, config = introduce()
    config.servers = [attrs.evolve(config.servers[0], url="ws://no-such-host.invalid:1")]
    with trio.fail_after(60):
        async with failing(config, None) as cluster:
            assert (await cluster.failures.receive()).reason.startswith("the host name has no address")


async def test_the_addresses_of_a_server_are_tried_in_turn_without_a_pause_between_them(autojump_clock):
    network = MemoryNetwork()
    limits = Limits(dial_jitter=0, dial_first_seconds=4, dial_longest_seconds=4)
    portal, config = introduce(client_limits=limits)
    good = config.servers[0].url
    bad = good.replace(str(PORT), "1")
    config.servers = [attrs.evolve(config.servers[0], url=bad, urls=[bad, good])]
    async with failing(config, network) as cluster:
        for _ in range(2):
            urls = [(await cluster.failures.receive()).url for _ in range(2)]
            assert urls == [bad, good]
        before = trio.current_time()
        async with open_service(portal, network=network) as called:
            assert isinstance(await anext(called.events), Connected)
            assert trio.current_time() - before <= 4


def test_further_addresses_are_normalised_bounded_and_need_a_first_one():
    _, config = introduce()
    server = config.servers[0]
    assert attrs.evolve(server, urls=["https://second.example"]).urls == ("wss://second.example",)
    assert attrs.evolve(server, urls=["ws://b:1"] * 8).addresses == (server.url, "ws://b:1/")
    with pytest.raises(ConfigError, match="at most 8"):
        attrs.evolve(server, urls=["ws://b:1"] * 9)
    for wrong in ("ws://b:1", [1], ["nonsense"]):
        with pytest.raises(ConfigError):
            attrs.evolve(server, urls=wrong)
    with pytest.raises(ConfigError, match="no url"):
        attrs.evolve(server, url="", proxy="relay", urls=["ws://b:1"])
    config.servers = [attrs.evolve(server, urls=["ws://b:1"])]
    assert ServiceConfig.from_toml(config.to_toml()).servers[0].urls == ("ws://b:1/",)


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@contextlib.asynccontextmanager
async def tls_front(authority, port, *, host="localhost"):
    """A TLS front as sites have it: it ends TLS and passes the rest on."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)

    async def copy(source, target):
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                await target.send_all(data)
        await trio.aclose_forcefully(target)

    async def serve(stream):
        try:
            with contextlib.suppress(trio.BrokenResourceError):
                async with trio.SSLStream(stream, context, server_side=True, https_compatible=True) as secure:
                    await secure.do_handshake()
                    async with await trio.open_tcp_stream("127.0.0.1", port) as behind:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(copy, secure, behind)
                            nursery.start_soon(copy, behind, secure)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def test_over_tls_the_certificate_and_the_host_name_are_checked(authority):
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    portal_config = ServiceConfig.create("portal", url="wss://localhost:0", port=0)
    invite = portal_config.add_client("cluster", "127.0.0.1")

    def config(url):
        made = ServiceConfig.create("cluster")
        made.add_server(attrs.evolve(invite, url=url))
        return made

    with trio.fail_after(30):
        async with (
            open_service(portal_config) as portal,
            tls_front(authority, portal.port) as front,
        ):
            network = TcpNetwork(ssl_context=trusting)
            async with failing(config(f"wss://localhost:{front}"), network) as cluster:
                assert isinstance(await portal.events.receive(), Connected)
                await portal.send(CLUSTER, "over TLS")
                assert isinstance(await cluster.events.receive(), Connected)
                assert (await cluster.events.receive()).text == "over TLS"

            # Another name than the certificate's.
            async with failing(config(f"wss://127.0.0.1:{front}"), network) as cluster:
                failure = await cluster.failures.receive()
                assert "the certificate is refused: IP address mismatch" in failure.reason

            # An authority that this machine does not know.
            async with failing(config(f"wss://localhost:{front}"), TcpNetwork()) as cluster:
                failure = await cluster.failures.receive()
                assert failure.reason.startswith("the certificate is refused: ")
                assert not failure.refused

            # No TLS there at all.
            async with failing(config(f"wss://localhost:{portal.port}"), network) as cluster:
                failure = await cluster.failures.receive()
                assert failure.reason.startswith(("TLS failed", "the peer hung up", "the connection broke"))


async def test_a_service_that_closes_while_it_calls_leaves_nothing_behind(autojump_clock):
    network = MemoryNetwork()
    _, config = introduce()
    (listener,) = await network.listen(None, PORT)
    async with open_service(config, network=network):
        stream = await listener.accept()
        before = trio.current_time()
    assert trio.current_time() == before
    with contextlib.suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass
    await stream.aclose()
    assert network.lines == ()


async def test_a_relayed_server_is_not_called(autojump_clock, caplog):
    caplog.set_level(logging.INFO)
    _, config = introduce()
    config.servers = [attrs.evolve(config.servers[0], url="", proxy="relay")]
    async with failing(config, MemoryNetwork()) as cluster:
        await trio.sleep(1000)
        with pytest.raises(trio.WouldBlock):
            cluster.failures.receive_nowait()


@pytest.mark.parametrize(
    ("url", "lines"), [("ws://portal.example:80", 1), ("wss://portal.example", 0), ("ws://127.0.0.1:80", 0)]
)
async def test_a_line_without_tls_to_another_machine_is_warned_of_once(autojump_clock, caplog, url, lines):
    _, config = introduce()
    config.servers = [attrs.evolve(config.servers[0], url=url)]
    async with open_service(config, network=MemoryNetwork()):
        await trio.sleep(3600)
    assert len([line for line in records(caplog) if "has no TLS of its own" in line]) == lines


async def test_a_server_that_waits_itself_is_left_and_called_again(autojump_clock):
    # Protocol page *wire*, section 4: server_is_secondary.
    network = MemoryNetwork()
    portal_config, config = introduce()
    (listener,) = await network.listen(None, PORT)

    async def secondary():
        stream = await listener.accept()
        server = RawServer(stream, portal_config)
        await server.shake_hands(server_is_secondary=True)
        await server.wait_end()

    async with failing(config, network) as cluster:
        for _ in range(2):
            await secondary()
            failure = await cluster.failures.receive()
            assert failure.reason == "the server is itself waiting to take over"
            assert not failure.refused


@pytest.mark.parametrize("behaviour", ["rubbish", "reflect", "repeat", "silent-close", "binary"])
async def test_a_server_that_breaks_the_handshake_is_refused_and_called_again(autojump_clock, behaviour):
    network = MemoryNetwork()
    portal_config, config = introduce()
    (listener,) = await network.listen(None, PORT)
    async with failing(config, network) as cluster:
        for _ in range(2):
            server = RawServer(await listener.accept(), portal_config)
            await server.misbehave(behaviour)
            assert (await cluster.failures.receive()).refused
            assert cluster.peers == ()


async def test_a_mistake_in_the_function_that_is_told_does_not_end_the_service(autojump_clock, caplog):
    network = MemoryNetwork()
    portal_config, config = introduce()

    def mistaken(failure):
        raise ZeroDivisionError

    async with open_service(config, network=network, dial_failed=mistaken) as cluster:
        await trio.sleep(5)
        async with open_service(portal_config, network=network):
            assert isinstance(await cluster.events.receive(), Connected)
    assert any("dial_failed failed" in line for line in records(caplog))
