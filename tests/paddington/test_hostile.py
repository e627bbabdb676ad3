"""What strangers and broken peers can do, and that nobody else notices.

Each test runs while an honest peer is connected, and ends with a message going to and fro with that peer.
"""

import contextlib
import logging

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from paddington import Connected, Disconnected, Limits, Peer, Received, ServiceConfig, open_service
from paddington.protocol.handshake import ServerHandshake
from paddington.testing import MemoryNetwork
from paddington.websocket import MAX_WAITING_MESSAGES, READ_BYTES

from .services import (
    CLUSTER,
    PORT,
    PORTAL,
    RawClient,
    RawServer,
    handshake_of,
    introduce,
    local_of,
    raw_cluster,
    records,
)

HONEST = Peer("honest")


@attrs.frozen
class World:
    network: MemoryNetwork
    portal: object
    cluster_config: ServiceConfig
    honest: object

    async def check(self):
        """The honest peer notices nothing: same connection, and no time to speak of passes."""
        before = trio.current_time()
        await self.honest.send(PORTAL, "are you there?")
        while (event := await self.portal.events.receive()) != Received(HONEST, "are you there?"):
            assert event.peer != HONEST
        await self.portal.send(HONEST, "yes")
        assert await self.honest.events.receive() == Received(PORTAL, "yes")
        assert trio.current_time() - before < 0.01

    def refused(self, reason):
        return self.portal.statistics().refused.get(reason, 0)


@contextlib.asynccontextmanager
async def world(limits=None, **options):
    """A portal with an honest peer, and the configuration of a hostile one whose name is cluster."""
    network = MemoryNetwork()
    portal_config, cluster_config = introduce(limits=limits, **options)
    honest_config = ServiceConfig.create("honest")
    honest_config.add_server(portal_config.add_client("honest", "10.0.0.1"))
    async with (
        open_service(portal_config, network=network) as portal,
        open_service(honest_config, network=network.at("10.0.0.1")) as honest,
    ):
        await portal.events.receive()
        await honest.events.receive()
        it = World(network, portal, cluster_config, honest)
        yield it
        await it.check()


# Before the handshake is over


async def test_a_caller_from_elsewhere_is_dropped_before_a_byte_is_read(autojump_clock):
    async with world() as it:
        for _ in range(1000):
            client = await RawClient.connect(it.network.at("192.0.2.1"))
            assert await client.wait_end() == []
        assert it.refused("address") == 1000
        assert it.portal.statistics().unauthenticated == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"GET /\r\n",
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000),
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_whatever_a_stranger_says_ends_only_its_own_connection(autojump_clock, data, caplog):
    async with world() as it:
        client = await RawClient.connect(it.network)
        with contextlib.suppress(trio.BrokenResourceError):
            await client.stream.send_all(data)
        with trio.fail_after(31):
            with contextlib.suppress(trio.BrokenResourceError):
                while await client.stream.receive_some():
                    pass
        await wait_all_tasks_blocked()
        assert it.portal.statistics().unauthenticated == 0
    assert not records(caplog, logging.ERROR)


async def test_one_deadline_holds_for_the_whole_handshake(autojump_clock):
    # Security case R21: not one per step, and not one per byte.
    async with world() as it:

        async def silent():
            return await RawClient.connect(it.network)

        async def half_a_request():
            client = await RawClient.connect(it.network)
            await client.stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
            return client

        async def no_handshake():
            return await RawClient.call(it.network, headers=handshake_of(it.cluster_config).headers())

        async def no_details():
            handshake = handshake_of(it.cluster_config)
            client = await RawClient.call(it.network, headers=handshake.headers())
            await client.send_text(handshake.first_frame())
            handshake.receive(await client.receive_text())
            return client

        for stall in (silent, half_a_request, no_handshake, no_details):
            before = trio.current_time()
            client = await stall()
            await trio.sleep(1)
            assert it.portal.statistics().unauthenticated == 1
            await client.wait_end()
            assert trio.current_time() - before == pytest.approx(30)
            assert it.portal.statistics().unauthenticated == 0
        assert it.refused("slow") == 4

        before = trio.current_time()
        client = await RawClient.connect(it.network)
        with contextlib.suppress(trio.BrokenResourceError):
            for byte in b"GET / HTTP/1.1\r\nHost: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx":
                await client.stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() - before == pytest.approx(31)


async def test_strangers_have_a_bounded_number_of_places(autojump_clock):
    limits = Limits(unauthenticated_connections=6, unauthenticated_per_address=4)
    async with world(limits=limits, address="127.0.0.0/8, 2001:db8::/32") as it:
        inside = [await RawClient.connect(it.network.at("127.0.0.9")) for _ in range(4)]
        await wait_all_tasks_blocked()
        # A fifth one makes one of the older half leave; the newcomer stays.
        fifth = await RawClient.connect(it.network.at("127.0.0.9"))
        await wait_all_tasks_blocked()
        assert it.refused("crowded-address") == 1
        assert it.portal.statistics().unauthenticated == 4
        inside.append(fifth)
        # Whoever has one IPv6 address has all of its network.
        inside += [await RawClient.connect(it.network.at(f"2001:db8::{host}")) for host in range(2)]
        await wait_all_tasks_blocked()
        assert it.portal.statistics().unauthenticated == 6
        other = await RawClient.connect(it.network.at("127.0.0.8"))
        await wait_all_tasks_blocked()
        assert it.refused("crowded") == 1
        assert it.portal.statistics().unauthenticated == 6
        # A peer with the right keys gets in though all places are taken, from the very same address too.
        client, _, _ = await raw_cluster(it.network.at("127.0.0.9"), it.cluster_config)
        assert it.portal.statistics().unauthenticated == 5
        await other.stream.aclose()
        await client.stream.aclose()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"openportal-inner-salt", b"00" * 32)],
        [(b"openportal-inner-salt", b"00" * 31), (b"openportal-outer-salt", b"00" * 32)],
        [(b"openportal-inner-salt", b"zz" * 32), (b"openportal-outer-salt", b"00" * 32)],
        [(b"openportal-inner-salt", b"00" * 32)] * 2 + [(b"openportal-outer-salt", b"00" * 32)],
    ],
)
async def test_without_proper_salts_the_line_is_closed_without_a_word(autojump_clock, headers):
    async with world() as it:
        client = await RawClient.call(it.network, headers=headers)
        assert await client.wait_end() == []
        assert it.refused("salts") == 1


async def test_wrong_keys_rubbish_and_silence_get_the_same_answer(autojump_clock):
    _, other = introduce()
    async with world() as it:
        honest = handshake_of(it.cluster_config)
        for text in (
            handshake_of(other).first_frame(),
            "0" * 372,
            "",
            "ab" * 4000,
            "KEEPALIVE",
            honest.first_frame()[:-2] + "00",
            honest.headers()[0][1].decode(),
        ):
            client = await RawClient.call(it.network, headers=honest.headers())
            await client.send_text(text)
            assert await client.wait_end() == []
        assert it.portal.statistics().unauthenticated == 0


async def test_a_frame_before_the_handshake_is_over_is_small(autojump_clock):
    async with world() as it:
        for size in (16 * 1024 + 1, 200_000, 10_000_000):
            client = await RawClient.call(it.network, headers=handshake_of(it.cluster_config).headers())
            with contextlib.suppress(trio.BrokenResourceError):
                await client.send_text("0" * size)
            assert await client.wait_end() == []
        # Only declared, and hardly begun.
        client = await RawClient.call(it.network, headers=handshake_of(it.cluster_config).headers())
        await client.stream.send_all(b"\x81\xff" + (64 << 20).to_bytes(8, "big") + bytes(4) + b"00")
        before = trio.current_time()
        await client.wait_end()
        assert trio.current_time() - before < 31


async def empty_fragments(client):
    """Frames that hold nothing and never end the message, until the line breaks; gives their number."""
    sent = 0
    with contextlib.suppress(trio.BrokenResourceError):
        await client.send(TextMessage("", message_finished=False))
        while sent < 3_000_000:
            await client.stream.send_all(b"\x00\x80\x00\x00\x00\x00" * 1000)
            sent += 1000
    return sent


async def test_endless_empty_fragments_end_before_the_handshake(autojump_clock):
    async with world() as it:
        client = await RawClient.call(it.network, headers=handshake_of(it.cluster_config).headers())
        assert await empty_fragments(client) < 100_000
        await wait_all_tasks_blocked()
        assert it.refused("lost") == 1


@pytest.mark.parametrize(
    ("messages", "reason"), [(MAX_WAITING_MESSAGES, "malformed"), (MAX_WAITING_MESSAGES + 1, "lost")]
)
async def test_messages_that_nobody_asked_for_wait_in_bounded_number(autojump_clock, messages, reason):
    # All in one chunk, so that nothing but their number bounds them. The first is an honest one.
    async with world() as it:
        handshake = handshake_of(it.cluster_config)
        client = await RawClient.call(it.network, headers=handshake.headers())
        first = client.websocket.send(TextMessage(handshake.first_frame()))
        await client.stream.send_all(first + b"\x81\x80\x00\x00\x00\x00" * (messages - 1))
        events = await client.wait_end()
        assert [type(event) for event in events] == [TextMessage] * (reason == "malformed")
        assert it.portal.statistics().refused == {reason: 1}


@pytest.mark.parametrize("closing", [False, True])
async def test_pings_while_we_close_disturb_nobody(autojump_clock, closing):
    # The library raises in its reader task here, which took a whole server down.
    async with world() as it:
        client = await RawClient.call(it.network, headers=[])
        with contextlib.suppress(trio.BrokenResourceError):
            for _ in range(10):
                await client.send(Ping(b"x"))
            if closing:
                await client.send(CloseConnection(1000))
            await client.stream.send_all(b"\x89\x80\x00\x00\x00\x00" * 10)
        await client.wait_end()


# After it


async def test_pings_while_we_close_after_the_handshake_disturb_nobody(autojump_clock, caplog):
    async with world() as it:
        client, _, _ = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.portal.disconnect, CLUSTER)
            while not isinstance(await client.receive(), CloseConnection):
                pass
            with contextlib.suppress(trio.BrokenResourceError):
                await client.stream.send_all(b"\x89\x80\x00\x00\x00\x00" * 10)
        assert isinstance(await it.portal.events.receive(), Disconnected)
    assert not records(caplog, logging.ERROR)


async def test_an_over_long_message_and_a_ping_end_one_connection(autojump_clock, caplog):
    limits = Limits(frame_bytes=20_000)
    async with world(limits=limits) as it:
        client, _, _ = await raw_cluster(it.network, it.cluster_config)
        with contextlib.suppress(trio.BrokenResourceError):
            await client.send_text("0" * 20_001)
            await client.send_text("0" * 20_001)
            await client.send(Ping(b"x"))
        await client.wait_end()
        assert isinstance(await it.portal.events.receive(), Connected)
        event = await it.portal.events.receive()
        assert event == Disconnected(CLUSTER, "the peer sent a message of 20001 characters, more than 20000")
    assert not records(caplog, logging.ERROR)


async def test_a_frame_of_exactly_the_limit_passes(autojump_clock):
    async with world() as it:
        client, _, outcome = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        length = outcome.session.largest_payload - 2
        outcome.session.send_limit *= 2
        frame = outcome.session.seal("x" * length)
        while len(frame) < 2 * 1024 * 1024:
            length += 1
            frame = outcome.session.seal("x" * length)
        # Four characters for each byte: the limit itself can be met.
        assert len(frame) == 2 * 1024 * 1024
        await client.send_text(frame)
        assert await it.portal.events.receive() == Received(CLUSTER, "x" * length)
        await client.stream.aclose()


async def test_a_long_message_may_come_in_many_fragments(autojump_clock):
    async with world() as it:
        client, _, outcome = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        frame = outcome.session.seal("x" * 100_000)
        for start in range(0, len(frame), 100):
            await client.send(
                TextMessage(frame[start : start + 100], message_finished=start + 100 >= len(frame))
            )
        assert await it.portal.events.receive() == Received(CLUSTER, "x" * 100_000)
        await client.stream.aclose()


async def test_endless_empty_fragments_end_after_the_handshake_too(autojump_clock):
    async with world(limits=Limits(frame_bytes=100_000)) as it:
        client, _, _ = await raw_cluster(it.network, it.cluster_config)
        assert await empty_fragments(client) < 100_000
        assert isinstance(await it.portal.events.receive(), Connected)
        event = await it.portal.events.receive()
        assert "bytes without a complete message" in event.reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (BytesMessage(b"x"), "the peer sent a binary message"),
        (TextMessage("ab\u00e9"), "the peer sent a message that is not ASCII"),
        (CloseConnection(1000), "the peer closed the connection"),
        (
            CloseConnection(4000, "bad\x1b[31m\nnews\u202e"),
            r'the connection was closed with code 4000 "bad\x1b[31m\nnews\u202e"',
        ),
    ],
)
async def test_what_no_peer_sends_ends_its_connection_and_is_logged_on_one_line(
    autojump_clock, message, reason, caplog
):
    caplog.set_level(logging.INFO)
    async with world() as it:
        client, _, _ = await raw_cluster(it.network, it.cluster_config)
        await client.send(message)
        await client.wait_end()
        assert isinstance(await it.portal.events.receive(), Connected)
        assert await it.portal.events.receive() == Disconnected(CLUSTER, reason)
    assert all(line.isprintable() for line in records(caplog, logging.INFO))


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x02no",  # not masked
        b"\xc1\x82\x00\x00\x00\x00no",  # a reserved bit: compression that nobody agreed on
        b"\x83\x82\x00\x00\x00\x00no",  # an opcode that means nothing
        b"\x81\x82\x00\x00\x00\x00\xff\xfe",  # not UTF-8
        b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + bytes(126),  # a ping that is too long
        b"\x09\x80\x00\x00\x00\x00",  # a ping in fragments
        b"\x80\x80\x00\x00\x00\x00",  # a continuation of nothing
        b"\x88\x81\x00\x00\x00\x00x",  # half a close code
    ],
)
async def test_frames_against_the_rules_end_their_connection(autojump_clock, data, caplog):
    async with world() as it:
        client, _, _ = await raw_cluster(it.network, it.cluster_config)
        await client.stream.send_all(data)
        with contextlib.suppress(Exception):
            await client.wait_end()
        assert isinstance(await it.portal.events.receive(), Connected)
        assert isinstance(await it.portal.events.receive(), Disconnected)
    assert not records(caplog, logging.ERROR)


async def test_frames_that_do_not_open_are_dropped_and_the_connection_stays(autojump_clock, caplog):
    async with world() as it:
        client, _, outcome = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        frame = outcome.session.seal("once")
        await client.send_text(frame)
        assert await it.portal.events.receive() == Received(CLUSTER, "once")
        for text in (frame, frame[:-1], frame[:-2] + "00", "", "KEEPALIVE", "zz" * 300, "0" * 371, "0" * 372):
            await client.send_text(text)
        await client.send_text(outcome.session.seal("again"))
        assert await it.portal.events.receive() == Received(CLUSTER, "again")
        assert it.portal.statistics().connections[CLUSTER].dropped == 8
        assert it.refused("frame-repeated") == 1
        await client.stream.aclose()
    assert len(records(caplog)) <= 5


async def test_our_own_frames_sent_back_are_refused(autojump_clock):
    # Security case P32: both directions share the keys, so a reflected frame would open.
    async with world() as it:
        client, _, _ = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        await it.portal.send(CLUSTER, "do this")
        await client.send_text(await client.receive_text())
        await wait_all_tasks_blocked()
        assert it.refused("frame-reflected") == 1
        await client.stream.aclose()
        assert isinstance(await it.portal.events.receive(), Disconnected)


async def test_a_peer_that_does_not_read_delays_nobody_and_is_closed_in_time(autojump_clock):
    limits = Limits(send_queue=4)
    async with world(limits=limits) as it:
        client, _, _ = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        connection = it.portal.connection(CLUSTER)
        with contextlib.suppress(trio.WouldBlock):
            while True:
                connection.send_nowait("x" * 100_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.send, "x")
            await wait_all_tasks_blocked()
            await it.check()
            nursery.cancel_scope.cancel()
        before = trio.current_time()
        await it.portal.disconnect(CLUSTER)
        assert trio.current_time() - before == 5
        await client.stream.aclose()


async def test_a_peer_that_takes_nothing_is_given_up(autojump_clock):
    async with world() as it:
        client, _, outcome = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        for _ in range(3):
            await it.portal.send(CLUSTER, "x" * 100_000)
        for _ in range(20):
            await trio.sleep(20)
            with contextlib.suppress(trio.BrokenResourceError):
                await client.send_text(outcome.session.seal("I speak and do not listen"))
        while isinstance(event := await it.portal.events.receive(), Received):
            pass
        assert event == Disconnected(CLUSTER, "the peer took nothing for 300 s")


async def test_a_flood_of_pings_is_answered_and_is_no_sign_of_life(autojump_clock):
    async with world() as it:
        client, _, _ = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.wait_end)
            for _ in range(310):
                with contextlib.suppress(trio.BrokenResourceError):
                    await client.send(Ping(b"x" * 125))
                    await client.send(Pong(b"unasked"))
                await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert await it.portal.events.receive() == Disconnected(CLUSTER, "nothing was heard for 300 s")


async def test_a_flood_of_keepalives_starts_one_timer(autojump_clock):
    async with world() as it:
        client, _, outcome = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        for _ in range(1000):
            await client.send_text(outcome.session.seal("KEEPALIVE"))
        before = trio.current_time()
        assert outcome.session.open(await client.receive_text()) == "KEEPALIVE"
        assert trio.current_time() - before == pytest.approx(23)
        with trio.move_on_after(200) as silence:
            await client.receive()
        assert silence.cancelled_caught
        await client.stream.aclose()


async def test_a_flood_of_refusals_fills_no_log(autojump_clock, caplog):
    async with world() as it:
        for _ in range(2000):
            client = await RawClient.connect(it.network.at("192.0.2.1"))
            await client.wait_end()
        await trio.sleep(31)
        client = await RawClient.connect(it.network.at("192.0.2.1"))
        await client.wait_end()
    lines = records(caplog)
    assert len(lines) == 2
    assert "192.0.2.1" in lines[0]
    assert "1999 more for the same reason" in lines[1]


# The other way round: a server that misbehaves towards a dialling service


async def hostile_server(network, portal_config, behave):
    """Accept once at the portal's port and do what the test says."""
    (listener,) = await network.listen(portal_config.ip, portal_config.port)
    async with listener:
        stream = await listener.accept()
        await behave(stream)


async def test_an_honest_handshake_object_serves_as_server_too():
    # The candidates are tried with the keys, so this also holds the helpers of this file to the truth.
    portal_config, cluster_config = introduce()
    client = handshake_of(cluster_config)
    server = ServerHandshake(local_of(portal_config), portal_config.clients, client.headers(), unix_seconds=0)
    client.receive(server.receive(client.first_frame()).frame)
    assert portal_config.port == PORT


async def test_payloads_right_behind_the_end_of_the_handshake_all_arrive_in_order(autojump_clock):
    # In one piece with it: the dialling side learns their limits only from the message before them.
    portal_config, cluster_config = introduce()
    network = MemoryNetwork()
    (listener,) = await network.listen(portal_config.ip, portal_config.port)
    texts = [str(number) for number in range(40)]
    async with listener, open_service(cluster_config, network=network) as cluster:
        server = RawServer(await listener.accept(), portal_config)
        handshake = await server.accept()
        await server.send_text(handshake.receive(await server.receive_text()).frame)
        handshake.receive(await server.receive_text())
        answer = handshake.answer()
        session = answer.established.session
        frames = [answer.frame, *map(session.seal, texts)]
        await server.stream.send_all(b"".join(server.websocket.send(TextMessage(frame)) for frame in frames))
        assert isinstance(await cluster.events.receive(), Connected)
        for text in texts:
            assert await cluster.events.receive() == Received(PORTAL, text)
        await server.stream.aclose()


async def test_payloads_right_behind_the_end_of_the_handshake_fill_the_queue_like_any_others(autojump_clock):
    async def serve(connection):
        await trio.sleep_forever()

    portal_config, cluster_config = introduce(client_limits=Limits(receive_queue=1))
    network = MemoryNetwork()
    (listener,) = await network.listen(portal_config.ip, portal_config.port)
    async with listener, open_service(cluster_config, network=network, serve=serve) as cluster:
        server = RawServer(await listener.accept(), portal_config)
        handshake = await server.accept()
        await server.send_text(handshake.receive(await server.receive_text()).frame)
        handshake.receive(await server.receive_text())
        answer = handshake.answer()
        frames = [answer.frame, *(answer.established.session.seal("x") for _ in range(100))]
        data = b"".join(server.websocket.send(TextMessage(frame)) for frame in frames)
        await server.stream.send_all(data)
        await wait_all_tasks_blocked()
        statistics = cluster.statistics().connections[PORTAL]
        # What was in the chunk with the answer, and nothing of the next.
        assert 1 <= statistics.waiting_to_receive <= READ_BYTES * len(frames) // len(data)
        await server.stream.aclose()


@pytest.mark.parametrize("size", [300, 20_000])
async def test_pings_while_much_is_on_its_way_are_answered_and_nothing_is_lost(autojump_clock, size):
    async with world() as it:
        client, _, outcome = await raw_cluster(it.network, it.cluster_config)
        assert isinstance(await it.portal.events.receive(), Connected)
        texts = [f"{number} " + "x" * size for number in range(60)]
        for text in texts:
            await it.portal.send(CLUSTER, text)
        await wait_all_tasks_blocked()
        # The line is full, and the writer in the middle of a message.
        for _ in range(100):
            await client.send(Ping(b"x" * 125))
        await wait_all_tasks_blocked()
        got, pongs = [], 0
        while len(got) < len(texts) or pongs < 100:
            text = ""
            while isinstance(event := await client.receive(), TextMessage):
                text += event.data
                if event.message_finished:
                    got.append(outcome.session.open(text))
                    break
            else:
                assert isinstance(event, Pong), event
                pongs += 1
        assert got == texts
        assert it.portal.peers[-1] == CLUSTER
        await client.stream.aclose()
