"""Who is primary, who waits, and who takes over (protocol page *wire*, section 4)."""

import contextlib
import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from paddington import Connected, Disconnected, HandshakeError, Limits, Received, ServiceConfig, open_service
from paddington.protocol.handshake import Established, Standing
from paddington.standby import Roster
from paddington.testing import MemoryNetwork

from .services import CLUSTER, PORTAL, RawClient, handshake_of, introduce, local_of, raw_cluster, records


@contextlib.asynccontextmanager
async def portal_service(network, limits=None):
    portal_config, cluster_config = introduce(limits=limits)
    async with open_service(portal_config, network=network) as portal:
        yield portal, cluster_config


async def test_of_two_that_come_at_the_same_instant_one_is_primary(autojump_clock):
    network = MemoryNetwork()
    async with portal_service(network) as (portal, config):
        async with (
            open_service(config, network=network) as one,
            open_service(config, network=network) as other,
        ):
            await trio.sleep(10)
            assert sorted([one.peers, other.peers]) == [(), (PORTAL,)]
            assert portal.peers == (CLUSTER,)
            assert portal.statistics().standing_by == {CLUSTER: 1}
            assert isinstance(await portal.events.receive(), Connected)
            with pytest.raises(trio.WouldBlock):
                portal.events.receive_nowait()


@pytest.mark.parametrize("orderly", [True, False])
async def test_the_one_who_waits_takes_over_when_the_primary_leaves(autojump_clock, orderly):
    network = MemoryNetwork()
    leave = trio.Event()

    async def first(config):
        with contextlib.suppress(KeyError):
            async with open_service(config, network=network):
                await leave.wait()
                if not orderly:
                    raise KeyError("a crash")

    async with portal_service(network) as (portal, config), trio.open_nursery() as nursery:
        nursery.start_soon(first, config)
        assert isinstance(await portal.events.receive(), Connected)
        async with open_service(config, network=network) as two:
            await trio.sleep(400)
            # Waiting is no reason to be thrown out, nor to dial again.
            assert portal.statistics().standing_by == {CLUSTER: 1}
            assert two.peers == ()
            left = trio.current_time()
            leave.set()
            assert isinstance(await portal.events.receive(), Disconnected)
            assert isinstance(await portal.events.receive(), Connected)
            assert isinstance(await two.events.receive(), Connected)
            assert trio.current_time() - left <= 1
            await two.send(PORTAL, "I am the one now")
            assert await portal.events.receive() == Received(CLUSTER, "I am the one now")
            assert portal.statistics().standing_by == {}


async def test_a_primary_that_is_half_dead_is_found_out_and_replaced(autojump_clock):
    network = MemoryNetwork()
    async with portal_service(network) as (portal, config):
        await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        network.freeze()
        async with open_service(config, network=network) as two:
            assert isinstance(await two.events.receive(), Connected)
            # Nothing was heard for 300 s, and the question comes every second.
            assert 300 <= trio.current_time() <= 301
            assert await portal.events.receive() == Disconnected(CLUSTER, "nothing was heard for 300 s")


async def test_a_process_that_calls_again_need_not_wait_for_its_own_dead_line(autojump_clock):
    network = MemoryNetwork()
    async with portal_service(network) as (portal, config):
        local = local_of(config)
        first, _, _ = await raw_cluster(network, config, local=local)
        assert isinstance(await portal.events.receive(), Connected)
        before = trio.current_time()
        second, _, outcome = await raw_cluster(network, config, local=local)
        assert isinstance(outcome, Established)
        assert trio.current_time() == before
        assert await portal.events.receive() == Disconnected(
            CLUSTER, "the same process of the peer has called again"
        )
        assert isinstance(await portal.events.receive(), Connected)
        assert await first.wait_end() == []
        await second.stream.aclose()


async def test_another_process_of_the_same_name_is_not_taken_for_it(autojump_clock):
    network = MemoryNetwork()
    async with portal_service(network) as (portal, config):
        first, _, _ = await raw_cluster(network, config)
        assert isinstance(await portal.events.receive(), Connected)
        second, handshake, outcome = await raw_cluster(network, config)
        assert outcome == Standing(client_is_secondary=True, server_is_secondary=False)
        await trio.sleep(1)
        assert await second.poll(handshake) == outcome
        await first.stream.aclose()
        await trio.sleep(1)
        assert isinstance(await second.poll(handshake), Established)
        await second.stream.aclose()


async def test_as_many_wait_as_may_and_only_newcomers_are_sent_away(autojump_clock):
    network = MemoryNetwork()
    async with portal_service(network, Limits(standby_waiters=3)) as (portal, config):
        primary, _, _ = await raw_cluster(network, config)
        waiting = []
        for _ in range(3):
            client, handshake, outcome = await raw_cluster(network, config)
            assert isinstance(outcome, Standing)
            waiting.append((client, handshake))
        for _ in range(20):
            handshake = handshake_of(config)
            client = await RawClient.call(network, headers=handshake.headers())
            await client.send_text(handshake.first_frame())
            await client.send_text(handshake.receive(await client.receive_text()).frame)
            assert await client.wait_end() == []
        assert portal.statistics().standing_by == {CLUSTER: 3}
        assert portal.statistics().refused["crowded-standby"] == 20
        for client, handshake in waiting:
            assert isinstance(await client.poll(handshake), Standing)
        # A place is free when one leaves.
        await waiting[0][0].stream.aclose()
        await wait_all_tasks_blocked()
        _, _, outcome = await raw_cluster(network, config)
        assert isinstance(outcome, Standing)
        await primary.stream.aclose()


async def test_one_who_waits_and_does_not_ask_is_closed(autojump_clock):
    network = MemoryNetwork()
    async with portal_service(network) as (portal, config):
        primary, _, _ = await raw_cluster(network, config)
        silent, _, _ = await raw_cluster(network, config)
        await silent.wait_end()
        assert trio.current_time() == pytest.approx(30)
        assert portal.statistics().standing_by == {}
        assert portal.statistics().refused["slow"] == 1
        await primary.stream.aclose()


async def test_questions_are_answered_at_a_stated_rate(autojump_clock):
    network = MemoryNetwork()
    async with portal_service(network) as (_, config):
        primary, _, _ = await raw_cluster(network, config)
        eager, handshake, _ = await raw_cluster(network, config)
        for _ in range(100):
            assert isinstance(await eager.poll(handshake), Standing)
        assert trio.current_time() == pytest.approx(50)
        await primary.stream.aclose()


@pytest.mark.parametrize("text", ["", "KEEPALIVE", "0" * 372, None])
async def test_one_who_waits_and_says_anything_else_is_closed(autojump_clock, text):
    network = MemoryNetwork()
    async with portal_service(network) as (portal, config):
        primary, _, _ = await raw_cluster(network, config)
        waiting, handshake, _ = await raw_cluster(network, config)
        if text is None:
            frame = handshake.poll()
            await waiting.send_text(frame)
            await waiting.receive_text()
            text = frame
        await waiting.send_text(text)
        await waiting.wait_end()
        assert portal.statistics().standing_by == {}
        assert portal.peers == (CLUSTER,)
        await primary.stream.aclose()


async def test_a_waiting_client_notices_that_the_server_is_gone_and_calls_again(autojump_clock):
    network = MemoryNetwork()
    portal_config, config = introduce()
    async with open_service(portal_config, network=network):
        primary, _, _ = await raw_cluster(network, config)
        async with open_service(config, network=network) as two:
            await trio.sleep(5)
            network.freeze()
            # The line is dead and says nothing: the next answer has a deadline.
            await trio.sleep(60)
            assert two.statistics().failing == {} or two.statistics().failing[PORTAL].attempt >= 1
            await primary.stream.aclose()
            with trio.fail_after(400):
                assert isinstance(await two.events.receive(), Connected)


async def test_a_service_that_waits_closes_at_once(autojump_clock, caplog):
    caplog.set_level(logging.INFO)
    network = MemoryNetwork()
    async with portal_service(network) as (portal, config):
        primary, _, _ = await raw_cluster(network, config)
        async with open_service(config, network=network):
            await trio.sleep(100.5)
            before = trio.current_time()
        assert trio.current_time() == before
        await wait_all_tasks_blocked()
        assert portal.statistics().standing_by == {}
        assert "cluster: standing by for portal@default" in records(caplog, logging.INFO)
        assert records(caplog, logging.INFO).count("portal: cluster@default stands by") == 1
        await primary.stream.aclose()


async def test_a_portal_closes_at_once_though_some_wait(autojump_clock):
    network = MemoryNetwork()
    async with portal_service(network) as (_, config):
        primary, _, _ = await raw_cluster(network, config)
        waiting, _, _ = await raw_cluster(network, config)
        await primary.stream.aclose()
        before = trio.current_time()
    assert trio.current_time() == before
    assert await waiting.wait_end() == []


async def test_zones_keep_peers_of_one_name_apart(autojump_clock):
    network = MemoryNetwork()
    portal_config, one_config = introduce()
    two_config = ServiceConfig.create("cluster")
    two_config.add_server(portal_config.add_client("cluster", "127.0.0.1", "other"))
    async with (
        open_service(portal_config, network=network) as portal,
        open_service(one_config, network=network),
        open_service(two_config, network=network),
    ):
        await trio.sleep(3)
        assert sorted(str(peer) for peer in portal.peers) == ["cluster@default", "cluster@other"]
        assert portal.statistics().standing_by == {}


def test_a_place_is_taken_once_and_free_again_after_its_release():
    async def main():
        roster = Roster(Limits(standby_waiters=1))
        place = roster.take(CLUSTER, 1)
        assert place is not None
        assert roster.take(CLUSTER, 2) is None
        assert roster.take(PORTAL, 2) is not None
        roster.release(place)
        other = roster.take(CLUSTER, 2)
        assert other is not None
        # Whoever held it before releases it once more and takes it from nobody.
        roster.release(place)
        assert roster.take(CLUSTER, 3) is None
        with roster.waiter(CLUSTER):
            assert roster.waiting == {CLUSTER: 1}
            with pytest.raises(HandshakeError, match="1 connections wait already"), roster.waiter(CLUSTER):
                pytest.fail("never reached")
        assert roster.waiting == {}

    trio.run(main)
