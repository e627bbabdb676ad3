"""Services that talk through a proxy, from end to end: everything but the network is real."""

import contextlib

import attrs
import pytest
import trio

from paddington import Connected, Disconnected, Peer, Received, ServiceConfig, open_service
from paddington.config.service_config import ConfigError
from paddington.relay.letter import Letter
from paddington.testing import MemoryNetwork

PORTAL, CLUSTER, MIDDLE = Peer("portal"), Peer("cluster"), Peer("middle")
PAIRS = [["portal", "cluster"]]


def estate(*, dense=True, **cluster):
    """A proxy, a portal that waits and a cluster that starts."""
    middle = ServiceConfig.create("middle", url="ws://localhost:8042", port=8042)
    portal = ServiceConfig.create("portal")
    cluster = ServiceConfig.create("cluster")
    portal.add_server(middle.add_client("portal", "127.0.0.1"))
    cluster.add_server(middle.add_client("cluster", "127.0.0.1"))
    cluster.add_server(portal.add_client("cluster", proxy="middle"))
    if not dense:
        portal, cluster = (attrs.evolve(each, dense_framing=False) for each in (portal, cluster))
    return middle, portal, cluster


async def expect(service, kind, peer=None):
    """Take events until one of this kind comes."""
    async for event in service.events:
        if isinstance(event, kind):
            assert peer is None or event.peer == peer
            return event
    raise AssertionError("the events ended")


@contextlib.asynccontextmanager
async def running(network=None, tap=None, **options):
    """All three, the two connected with each other."""
    network = network or MemoryNetwork()
    middle, portal, cluster = estate(**options)
    async with (
        open_service(middle, network=network, relay_pairs=PAIRS) as proxy,
        open_service(portal, network=network) as waiting,
        open_service(cluster, network=network) as starting,
    ):
        await expect(waiting, Connected, CLUSTER)
        await expect(starting, Connected, PORTAL)
        yield proxy, waiting, starting


@pytest.mark.parametrize("dense", [True, False])
async def test_two_services_talk_through_a_proxy(autojump_clock, dense):
    async with running(dense=dense) as (_, waiting, starting):
        for index in range(300):
            await starting.send(PORTAL, f"up {index}")
            await waiting.send(CLUSTER, f"down {index}")
            assert (await expect(waiting, Received)).text == f"up {index}"
            assert (await expect(starting, Received)).text == f"down {index}"


async def test_the_largest_payload_goes_through(autojump_clock):
    for dense in (True, False):
        async with running(dense=dense) as (_, waiting, starting):
            text = "x" * (starting.connection(PORTAL).largest_payload - 4)
            await starting.send(PORTAL, text)
            assert (await expect(waiting, Received)).text == text


async def test_the_proxy_sees_no_content(autojump_clock, monkeypatch):
    seen = []
    read = Letter.read.__func__

    def spy(cls, text):
        seen.append(text)
        return read(cls, text)

    monkeypatch.setattr(Letter, "read", classmethod(spy))
    async with running() as (_, waiting, starting):
        await starting.send(PORTAL, "the secret of the day")
        await expect(waiting, Received)
    assert seen
    assert not any("secret" in text for text in seen)


async def test_an_orderly_end_is_told_and_the_next_session_follows(autojump_clock):
    async with running() as (_, waiting, starting):
        for ender, other, peer in ((starting, waiting, PORTAL), (waiting, starting, CLUSTER)):
            before = trio.current_time()
            await ender.send(peer, "goodbye")
            await ender.disconnect(peer)
            assert (await expect(other, Received)).text == "goodbye"
            await expect(other, Disconnected)
            await expect(other, Connected)
            await expect(ender, Connected)
            assert trio.current_time() - before < 10


async def test_the_waiting_side_comes_back(autojump_clock):
    network = MemoryNetwork()
    middle, portal, cluster = estate()
    async with (
        open_service(middle, network=network, relay_pairs=PAIRS),
        open_service(cluster, network=network) as starting,
    ):
        for _ in range(2):
            async with open_service(portal, network=network) as waiting:
                await expect(waiting, Connected, CLUSTER)
                await expect(starting, Connected, PORTAL)
                await starting.send(PORTAL, "there")
                assert (await expect(waiting, Received)).text == "there"
            await expect(starting, Disconnected, PORTAL)


async def test_the_starting_side_comes_back(autojump_clock):
    network = MemoryNetwork()
    middle, portal, cluster = estate()
    async with (
        open_service(middle, network=network, relay_pairs=PAIRS),
        open_service(portal, network=network) as waiting,
    ):
        for _ in range(2):
            async with open_service(cluster, network=network) as starting:
                await expect(starting, Connected, PORTAL)
                await expect(waiting, Connected, CLUSTER)
            await expect(waiting, Disconnected, CLUSTER)


async def test_the_proxy_comes_back(autojump_clock):
    network = MemoryNetwork()
    middle, portal, cluster = estate()
    async with (
        open_service(portal, network=network) as waiting,
        open_service(cluster, network=network) as starting,
    ):
        for _ in range(2):
            async with open_service(middle, network=network, relay_pairs=PAIRS):
                await expect(starting, Connected, PORTAL)
                await expect(waiting, Connected, CLUSTER)
            await expect(starting, Disconnected, PORTAL)
            await expect(waiting, Disconnected, CLUSTER)


async def test_without_the_pair_nothing_passes(autojump_clock):
    network = MemoryNetwork()
    middle, portal, cluster = estate()
    async with (
        open_service(middle, network=network, relay_pairs=[]) as proxy,
        open_service(portal, network=network),
        open_service(cluster, network=network) as starting,
    ):
        await trio.sleep(100)
        assert PORTAL not in starting.peers
        assert proxy.statistics().refused["relay-pair"] >= 3


async def test_a_slow_user_is_waited_for(autojump_clock):
    async with running() as (_, waiting, starting):
        async with trio.open_nursery() as nursery:

            async def flood():
                for index in range(2000):
                    await starting.send(PORTAL, str(index))

            nursery.start_soon(flood)
            for index in range(2000):
                if index % 500 == 0:
                    await trio.sleep(2)
                assert (await expect(waiting, Received)).text == str(index)


async def test_an_idle_connection_stays(autojump_clock):
    async with running() as (_, waiting, starting):
        since = starting.connection(PORTAL).since
        await trio.sleep(3600)
        assert starting.connection(PORTAL).since == since
        await starting.send(PORTAL, "still")
        assert (await expect(waiting, Received)).text == "still"


async def test_a_letter_from_a_peer_that_is_no_proxy_is_a_payload(autojump_clock):
    async with running() as (_, waiting, starting):
        text = Letter("portal", "cluster", "default", "00").to_text()
        await waiting.send(CLUSTER, text)
        assert (await expect(starting, Received)).text == text


def test_one_relayed_name_in_two_zones_is_refused():
    config = ServiceConfig.create("portal")
    config.add_client("cluster", proxy="middle")
    with pytest.raises(ConfigError, match="several zones"):
        config.add_client("cluster", proxy="middle", zone="east")


async def _forge(proxy, peer, ciphertext, **fields):
    letter = Letter(
        **{"sender": "cluster", "recipient": "portal", "zone": "default", "ciphertext": ciphertext, **fields}
    )
    await proxy.send(peer, letter.to_text())


async def test_the_zone_in_a_letter_is_not_believed(autojump_clock):
    async with running() as (proxy, waiting, _):
        await _forge(proxy, PORTAL, "00", zone="east")
        await trio.sleep(1)
        refused = waiting.statistics().refused
        assert refused["relay-zone"] == 1
        assert set(waiting.peers) == {MIDDLE, CLUSTER}


async def test_rubbish_is_answered_now_and_then(autojump_clock):
    network = MemoryNetwork()
    middle, portal, _ = estate()
    async with (
        open_service(middle, network=network, relay_pairs=PAIRS) as proxy,
        open_service(portal, network=network) as waiting,
    ):
        await trio.sleep(5)
        for _ in range(1000):
            await _forge(proxy, PORTAL, "ab" * 200)
        await trio.sleep(1)
        assert waiting.statistics().refused["relay-unknown"] == 1000
        # The answers are for a cluster that is away, so the relay counts them.
        assert proxy.statistics().refused["relay-away"] <= 2


async def test_forged_letters_move_no_session(autojump_clock):
    async with running() as (proxy, waiting, starting):
        await _forge(proxy, PORTAL, "ab" * 200)
        await _forge(proxy, PORTAL, "no hexadecimal")
        await _forge(proxy, PORTAL, "00", sender="stranger")
        await _forge(proxy, PORTAL, "00", recipient="other")
        await proxy.send(PORTAL, "KEEPALIVE!")
        await starting.send(PORTAL, "unmoved")
        assert (await expect(waiting, Received)).text == "unmoved"
        assert waiting.statistics().refused["relay-sender"] == 2
