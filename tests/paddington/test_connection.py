"""One connection after its handshake: keepalive, watchdog, and how it ends."""

import contextlib
import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from paddington import (
    Connected,
    ConnectionLostError,
    Disconnected,
    Limits,
    PayloadError,
    PayloadTooLargeError,
    Received,
    open_service,
)
from paddington.connection import MAX_PAYLOADS_PER_SLICE
from paddington.protocol.capabilities import FRAMINGS
from paddington.protocol.local import LocalService
from paddington.protocol.session import Session
from paddington.testing import MemoryNetwork
from paddington.websocket import PEER_READ_BYTES

from .services import CLUSTER, PORTAL, connected, introduce, raw_cluster, records


async def test_an_idle_line_lives_on(autojump_clock):
    async with connected() as (portal, cluster):
        await trio.sleep(6 * 3600)
        statistics = portal.statistics().connections[CLUSTER]
        assert portal.peers == (CLUSTER,)
        # One frame each way at least every 46 s.
        assert 6 * 3600 / 46 <= statistics.received <= 6 * 3600 / 46 + 2
        assert abs(statistics.sent - statistics.received) <= 1
        assert trio.current_time() - statistics.last_heard <= 46
        with pytest.raises(trio.WouldBlock):
            portal.events.receive_nowait()
        await cluster.send(PORTAL, "still there")
        assert await portal.events.receive() == Received(CLUSTER, "still there")


async def test_the_dialling_side_begins_the_keepalives_and_each_is_answered_after_23_s(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network):
        client, _, outcome = await raw_cluster(network, config)
        with trio.move_on_after(200) as silence:
            await client.receive()
        # Nobody began: the portal says nothing of its own accord.
        assert silence.cancelled_caught
        for _ in range(3):
            before = trio.current_time()
            await client.send_text(outcome.session.seal("KEEPALIVE"))
            assert outcome.session.open(await client.receive_text()) == "KEEPALIVE"
            assert trio.current_time() - before == pytest.approx(23)
        await client.stream.aclose()


async def test_a_line_on_which_nothing_is_heard_is_closed_after_300_s_at_both_ends(autojump_clock):
    network = MemoryNetwork()
    async with connected(network) as (portal, cluster):
        await trio.sleep(10)
        network.freeze()
        network.block(8042)
        for service, peer in ((portal, CLUSTER), (cluster, PORTAL)):
            event = await service.events.receive()
            assert event == Disconnected(peer, "nothing was heard for 300 s")
            # The last thing that was heard is the keepalive of the beginning.
            assert trio.current_time() == pytest.approx(300, abs=1)


async def test_half_a_message_is_no_sign_of_life(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        client, _, outcome = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        frame = outcome.session.seal("x")
        data = b"\x81\xfe" + len(frame).to_bytes(2, "big") + bytes(4) + frame.encode()
        with contextlib.suppress(trio.BrokenResourceError):
            for byte in data:
                await client.stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() == pytest.approx(300, abs=2)
        assert await portal.events.receive() == Disconnected(CLUSTER, "nothing was heard for 300 s")


async def test_a_user_who_takes_nothing_does_not_make_the_watchdog_bite(autojump_clock):
    taken = []

    async def serve(connection):
        await trio.sleep(1000)
        async for text in connection:
            taken.append(text)
            if text == "last":
                return

    async with connected(serve=serve, limits=Limits(receive_queue=1)) as (_, cluster):
        for number in range(10):
            await cluster.send(PORTAL, str(number))
        await cluster.send(PORTAL, "last")
        # The peer hears nothing either, which its own watchdog finds; it is told the truth by then or calls again.
        await trio.sleep(290)
        assert cluster.peers == (PORTAL,)
    assert taken in ([], [str(number) for number in range(10)] + ["last"])


async def test_receiving_ends_after_what_has_come(autojump_clock):
    got = []
    ended = trio.Event()

    async def serve(connection):
        await trio.sleep(3)
        got.extend([text async for text in connection])
        with pytest.raises(ConnectionLostError, match="the connection broke"):
            await connection.receive()
        with pytest.raises(ConnectionLostError):
            connection.receive_nowait()
        with pytest.raises(ConnectionLostError, match="cluster@default is over"):
            await connection.send("too late")
        with pytest.raises(ConnectionLostError):
            connection.send_nowait("too late")
        ended.set()

    network = MemoryNetwork()
    async with connected(network, serve=serve) as (_, cluster):
        for number in range(10):
            await cluster.send(PORTAL, str(number))
        await wait_all_tasks_blocked()
        network.cut()
        network.block(8042)
        await ended.wait()
    assert got == [str(number) for number in range(10)]


async def test_a_user_who_does_not_return_when_the_line_is_lost_is_cancelled_after_a_while(
    autojump_clock, caplog
):
    async def serve(connection):
        await trio.sleep_forever()

    network = MemoryNetwork()
    async with connected(network, serve=serve) as (portal, _):
        await trio.sleep(1)
        network.cut()
        network.block(8042)
        await trio.sleep(4.9)
        assert portal.statistics().connections
        assert portal.peers == ()
        await trio.sleep(0.2)
        assert not portal.statistics().connections
    assert any("still running 5 s after the end" in line for line in records(caplog))


async def test_closing_a_service_ends_the_users_tasks_in_time(autojump_clock):
    async def stubborn(connection):
        with contextlib.suppress(ConnectionLostError):
            while True:
                await connection.receive()
        await trio.sleep_forever()

    network = MemoryNetwork()
    async with connected(network, serve=stubborn):
        before = trio.current_time()
    assert trio.current_time() - before <= 10
    assert network.lines == ()


async def test_a_user_may_close_and_go_on_taking_what_had_come(autojump_clock):
    log = []

    async def serve(connection):
        await connection.send("bye")
        await wait_all_tasks_blocked()
        assert connection.statistics().waiting_to_receive == 2
        await connection.aclose()
        await connection.aclose()
        log.extend([text async for text in connection])
        log.append(connection.reason)
        log.append(repr(connection))

    network = MemoryNetwork()
    async with connected(network, serve=serve) as (_, cluster):
        await cluster.send(PORTAL, "one")
        await cluster.send(PORTAL, "two")
        assert await cluster.events.receive() == Received(PORTAL, "bye")
        assert await cluster.events.receive() == Disconnected(PORTAL, "the peer closed the connection")
    assert log == ["one", "two", "closed here", "<Connection cluster@default over: closed here>"]


async def test_many_may_wait_to_send_and_all_are_told_when_the_line_is_lost(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce(limits=Limits(send_queue=1))
    async with open_service(portal_config, network=network) as portal:
        client, _, _ = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        told = []

        async def send():
            try:
                await portal.send(CLUSTER, "x" * 100_000)
            except ConnectionLostError as exc:
                told.append(str(exc))

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(send)
            await wait_all_tasks_blocked()
            await client.stream.aclose()
        assert len(told) >= 60
        assert all("The connection with cluster@default is over" in text for text in told)


async def test_a_sender_that_is_cancelled_has_sent_nothing_and_breaks_nothing(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce(limits=Limits(send_queue=1))
    async with open_service(portal_config, network=network) as portal:
        client, _, outcome = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        connection = portal.connection(CLUSTER)
        sent = 0
        with trio.move_on_after(1):
            while True:
                await connection.send(f"{sent} " + "x" * 100_000)
                sent += 1
        # Nothing was read so far. Now everything that was queued arrives whole, and nothing else.
        await client.send_text(outcome.session.seal("go on"))
        for number in range(sent):
            text = outcome.session.open(await client.receive_text())
            assert text == f"{number} " + "x" * 100_000
        await connection.send("and on")
        assert outcome.session.open(await client.receive_text()) == "and on"
        await client.stream.aclose()


async def test_a_text_without_utf_8_is_refused_at_once(autojump_clock):
    async with connected() as (portal, cluster):
        with pytest.raises(PayloadError):
            await portal.send(CLUSTER, "\ud800")
        await portal.send(CLUSTER, "ok")
        assert await cluster.events.receive() == Received(PORTAL, "ok")


async def test_a_connection_that_can_remember_no_more_is_opened_afresh(autojump_clock, caplog, monkeypatch):
    # Security case P27: peers that do not number their payloads, and a bounded memory.
    monkeypatch.setattr(Session, "must_renew", property(lambda session: session._sent > 3), raising=True)
    async with connected(dense_framing=False) as (portal, cluster):
        for number in range(8):
            with contextlib.suppress(ConnectionLostError):
                await cluster.send(PORTAL, str(number))
                await portal.send(CLUSTER, str(number))
            await trio.sleep(1)
        reasons = []
        with contextlib.suppress(trio.WouldBlock):
            while True:
                event = portal.events.receive_nowait()
                if isinstance(event, Disconnected):
                    reasons.append(event.reason)
        assert reasons
        assert portal.peers == (CLUSTER,)


async def test_what_happens_is_logged_in_one_line_each(autojump_clock, caplog):
    caplog.set_level(logging.INFO)
    network = MemoryNetwork()
    async with connected(network):
        network.cut()
        await trio.sleep(1)
    lines = records(caplog, logging.INFO)
    assert "portal: listening on 127.0.0.1 port 8042" in lines
    assert "portal: connected with cluster@default (paddington 0.1.0) from 127.0.0.1" in lines
    assert "cluster: connected with portal@default (paddington 0.1.0) at ws://localhost:8042/" in lines
    assert any(line.startswith("portal: no longer connected with cluster@default: ") for line in lines)


# Sending and receiving several at once


@pytest.mark.parametrize("dense", [True, False])
async def test_several_payloads_are_sent_and_taken_at_once_and_in_order(autojump_clock, dense):
    texts = [f"{number} " + "x" * (number % 700) for number in range(200)]
    got = []

    async def serve(connection):
        while len(got) < len(texts):
            some = await connection.receive_slice()
            assert 1 <= len(some) <= MAX_PAYLOADS_PER_SLICE
            got.extend(some)
        await connection.send("all")

    async with connected(serve=serve, dense_framing=dense) as (_, cluster):
        await cluster.connection(PORTAL).send_some(texts)
        assert await cluster.events.receive() == Received(PORTAL, "all")
    assert got == texts


async def test_several_payloads_share_a_frame_of_our_own_framing(autojump_clock):
    async with connected() as (portal, cluster):
        connection = cluster.connection(PORTAL)
        await wait_all_tasks_blocked()
        before = connection.statistics()
        await connection.send_some(["x"] * 100)
        after = connection.statistics()
        # Number, tag, header and mask once; a length and one byte for each.
        assert after.sent_bytes - before.sent_bytes == 24 + 8 + 100 * 5
        assert after.sent - before.sent == 100
        for _ in range(100):
            assert await portal.events.receive() == Received(CLUSTER, "x")


async def test_sending_nothing_sends_nothing(autojump_clock):
    async with connected() as (_, cluster):
        connection = cluster.connection(PORTAL)
        await wait_all_tasks_blocked()
        before = connection.statistics().sent_bytes
        await connection.send_some([])
        assert connection.statistics().sent_bytes == before


@pytest.mark.parametrize("dense", [True, False])
async def test_of_several_payloads_none_is_sent_if_one_is_too_large(autojump_clock, dense):
    async with connected(dense_framing=dense) as (portal, cluster):
        connection = cluster.connection(PORTAL)
        most = connection.largest_payload - connection.payload_size("")
        with pytest.raises(PayloadTooLargeError) as caught:
            await connection.send_some(["small", "x" * (most + 1), "small"])
        assert caught.value.index == 1
        assert caught.value.limit == connection.largest_payload
        with pytest.raises(PayloadError):
            await connection.send_some(["small", "\ud800"])
        await connection.send_some(["x" * most, "last"])
        assert await portal.events.receive() == Received(CLUSTER, "x" * most)
        assert await portal.events.receive() == Received(CLUSTER, "last")


async def test_several_payloads_wait_until_the_line_has_taken_them(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        client, _, outcome = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        texts = [f"{number} " + "x" * 50_000 for number in range(5)]
        sent = trio.Event()

        async def send():
            await portal.connection(CLUSTER).send_some(texts)
            sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            assert not sent.is_set()
            for text in texts:
                assert outcome.session.open(await client.receive_text()) == text
            await sent.wait()
        await client.stream.aclose()


async def test_several_payloads_cut_short_break_the_connection(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        client, _, _ = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        connection = portal.connection(CLUSTER)
        with trio.move_on_after(1):
            await connection.send_some(["x" * 100_000])
        assert await portal.events.receive() == Disconnected(
            CLUSTER, "a message could not be sent to its end"
        )
        with pytest.raises(ConnectionLostError, match="could not be sent to its end"):
            await connection.send_some(["more"])
        await client.wait_end()


async def test_several_payloads_that_wait_for_their_turn_may_be_cancelled(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        client, _, outcome = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        connection = portal.connection(CLUSTER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.send_some, ["x" * 100_000])
            await wait_all_tasks_blocked()
            with trio.move_on_after(1):
                await connection.send_some(["never"])
            assert outcome.session.open(await client.receive_text()) == "x" * 100_000
        await connection.send_some(["and on"])
        assert outcome.session.open(await client.receive_text()) == "and on"
        await client.stream.aclose()


async def test_what_is_under_way_goes_out_before_the_connection_closes(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        client, _, outcome = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        texts = [f"{number} " + "x" * 50_000 for number in range(5)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(portal.connection(CLUSTER).send_some, texts)
            await wait_all_tasks_blocked()
            nursery.start_soon(portal.disconnect, CLUSTER)
            await wait_all_tasks_blocked()
            for text in texts:
                assert outcome.session.open(await client.receive_text()) == text
            assert isinstance(await client.receive(), CloseConnection)
            await client.stream.aclose()


async def test_several_payloads_that_a_peer_does_not_take_are_given_up(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        client, _, outcome = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        await trio.sleep(100)
        await client.send_text(outcome.session.seal("I speak"))
        await trio.sleep(150)
        before = trio.current_time()

        async def speak():
            for _ in range(4):
                await trio.sleep(100)
                with contextlib.suppress(trio.BrokenResourceError):
                    await client.send_text(outcome.session.seal("and do not listen"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            with pytest.raises(ConnectionLostError, match="the peer took nothing for 300 s"):
                await portal.connection(CLUSTER).send_some(["x" * 100_000])
            assert trio.current_time() - before == pytest.approx(300)


async def test_a_watchdog_of_the_reader_bites_while_much_is_being_sent(autojump_clock):
    # The peer takes a little now and then, and says nothing.
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        client, _, _ = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        before = trio.current_time()

        async def sip():
            with contextlib.suppress(trio.BrokenResourceError):
                for _ in range(100):
                    await client.stream.receive_some(1000)
                    await trio.sleep(10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sip)
            for _ in range(10):
                await portal.send(CLUSTER, "x" * 100_000)
            assert await portal.events.receive() == Disconnected(CLUSTER, "nothing was heard for 300 s")
            assert trio.current_time() - before == pytest.approx(300)


async def test_several_are_taken_as_they_came_and_then_the_end_is_told(autojump_clock):
    told = trio.Event()

    async def serve(connection):
        await trio.sleep(3)
        assert [await connection.receive(), connection.receive_nowait()] == ["0", "1"]
        assert await connection.receive_slice() == ["2", "3", "4"]
        with pytest.raises(ConnectionLostError, match="the connection broke"):
            await connection.receive_slice()
        told.set()

    network = MemoryNetwork()
    async with connected(network, serve=serve) as (_, cluster):
        await cluster.connection(PORTAL).send_some([str(number) for number in range(5)])
        await wait_all_tasks_blocked()
        network.cut()
        network.block(8042)
        await told.wait()


async def test_several_tasks_may_take_payloads(autojump_clock):
    got = []

    async def serve(connection):
        async def take():
            with contextlib.suppress(ConnectionLostError):
                while True:
                    got.append(await connection.receive())

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(take)

    async with connected(serve=serve) as (_, cluster):
        await wait_all_tasks_blocked()
        await cluster.connection(PORTAL).send_some([str(number) for number in range(10)])
        await wait_all_tasks_blocked()
        assert sorted(got, key=int) == [str(number) for number in range(10)]


async def test_what_came_before_a_frame_that_ends_the_connection_is_not_lost_with_it(autojump_clock):
    network = MemoryNetwork()
    got = []

    async def serve(connection):
        with pytest.raises(ConnectionLostError, match="opened afresh"):
            while True:
                got.append(await connection.receive())
        got.append("over")

    portal_config, config = introduce()
    local = LocalService.create("cluster", limits=Limits(), framings=FRAMINGS)
    async with open_service(portal_config, network=network, serve=serve):
        client, _, outcome = await raw_cluster(network, config, local=local)
        await wait_all_tasks_blocked()
        frames = [outcome.session.seal_some([str(number)], 0)[0] for number in range(4)]
        del frames[2]
        await client.stream.send_all(b"".join(client.websocket.send(BytesMessage(frame)) for frame in frames))
        await wait_all_tasks_blocked()
        assert got == ["0", "1", "over"]


# A user who does not keep up


async def test_a_slow_user_stops_the_reader_and_the_peer_and_loses_nothing(autojump_clock):
    go_on = trio.Event()
    texts = [f"{number} " + "x" * 5_000 for number in range(200)]
    got = []

    async def serve(connection):
        await go_on.wait()
        while len(got) < len(texts):
            got.append(await connection.receive())
        await connection.send("all")

    async with connected(serve=serve, limits=Limits(receive_queue=4), dense_framing=False) as (
        portal,
        cluster,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.connection(PORTAL).send_some, texts)
            await wait_all_tasks_blocked()
            statistics = portal.statistics().connections[CLUSTER]
            # Full, and no more read than one chunk beyond it: the last frame that fits.
            assert statistics.waiting_to_receive == 4
            assert statistics.received_bytes < 6 * 4 * 5_500
            assert cluster.connection(PORTAL).statistics().sent < len(texts)
            go_on.set()
        assert await cluster.events.receive() == Received(PORTAL, "all")
    assert got == texts


async def test_what_one_read_holds_beyond_the_queue_is_kept_and_no_more(autojump_clock):
    network = MemoryNetwork()
    release = trio.Event()
    got = []

    async def serve(connection):
        await release.wait()
        with contextlib.suppress(trio.WouldBlock):
            while True:
                got.append(connection.receive_nowait())

    portal_config, config = introduce(limits=Limits(receive_queue=1))
    async with open_service(portal_config, network=network, serve=serve) as portal:
        client, _, outcome = await raw_cluster(network, config)
        await wait_all_tasks_blocked()
        frames = [outcome.session.seal(str(number)) for number in range(120)]
        data = b"".join(client.websocket.send(TextMessage(frame)) for frame in frames)
        await client.stream.send_all(data)
        await wait_all_tasks_blocked()
        statistics = portal.statistics().connections[CLUSTER]
        in_one_chunk = PEER_READ_BYTES * len(frames) // len(data)
        assert 1 <= statistics.waiting_to_receive <= in_one_chunk < 120
        release.set()
        await client.wait_end()
        assert got == [str(number) for number in range(statistics.waiting_to_receive)]


async def test_the_watchdog_begins_anew_when_a_slow_user_has_caught_up(autojump_clock):
    ended = []

    async def serve(connection):
        await trio.sleep(1000)
        assert await connection.receive_slice() == ["1"]
        caught_up = trio.current_time()
        with contextlib.suppress(ConnectionLostError):
            await connection.receive()
        ended.append((trio.current_time() - caught_up, connection.reason))

    network = MemoryNetwork()
    portal_config, config = introduce(limits=Limits(receive_queue=1))
    async with open_service(portal_config, network=network, serve=serve):
        client, _, outcome = await raw_cluster(network, config)
        await client.send_text(outcome.session.seal("1"))
        await client.wait_end()
    assert ended == [(pytest.approx(300), "nothing was heard for 300 s")]


async def test_a_connection_that_waits_for_its_user_closes_at_once(autojump_clock):
    async with connected(limits=Limits(events_queue=1, receive_queue=1)) as (portal, cluster):
        for number in range(5):
            await cluster.send(PORTAL, str(number))
        await wait_all_tasks_blocked()
        before = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(portal.disconnect, CLUSTER)
            while not isinstance(await portal.events.receive(), Disconnected):
                pass
        assert trio.current_time() == before


async def test_a_fault_of_ours_in_reading_is_logged_and_ends_that_connection_alone(
    autojump_clock, caplog, monkeypatch
):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network) as portal:
        client, _, outcome = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        with monkeypatch.context() as patch:
            patch.setattr(Session, "open_some", lambda session, frame: 1 / 0)
            await client.send_text(outcome.session.seal("x"))
            await client.wait_end()
        assert any(
            "serving a caller from 127.0.0.1 failed" in line for line in records(caplog, logging.ERROR)
        )
        again, _, _ = await raw_cluster(network, config)
        while not isinstance(await portal.events.receive(), Connected):
            pass
        await again.stream.aclose()
