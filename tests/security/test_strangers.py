"""Strangers without keys: what they may take of an honest pair's time and of our memory is little."""

from __future__ import annotations

import contextlib
import errno
import os
import time

import pytest
import trio

from paddington import Connected, Limits, Received, ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from tests.paddington.services import PORT, RawClient, handshake_of

from .hostile import calendar, estate, memory_within, settle

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)

SALTS = (
    b"".join(b"openportal-%b-salt: %b\r\n" % (each, b"5a" * 32) for each in (b"inner", b"outer")) + b"\r\n"
)
HALF_A_FRAME = bytes([0x81, 0xFE]) + (16_000).to_bytes(2) + bytes(4) + b"a" * 10
"""A masked text frame that promises 16 000 bytes."""


@contextlib.asynccontextmanager
async def pair(*, clients=1, limits=None, network=None):
    """A portal that listens and a cluster that calls, both honest, and a world of strangers around them."""
    network = network or MemoryNetwork()
    portal = ServiceConfig.create("portal", url=f"ws://portal:{PORT}", port=PORT, limits=limits)
    cluster = ServiceConfig.create("cluster")
    for number in range(clients - 1):
        portal.add_client(f"client{number}", "127.0.0.0/8")
    cluster.add_server(portal.add_client("cluster", "127.0.0.0/8, 10.0.0.0/8"))
    async with (
        open_service(portal, network=network, unix_time=calendar) as listening,
        open_service(cluster, network=network, unix_time=calendar) as calling,
    ):
        await listening.events.receive()
        await calling.events.receive()

        async def honest():
            for number in range(10):
                await calling.send(calling.peers[0], f"ping {number}")
                with trio.fail_after(1):
                    while not isinstance(event := await listening.events.receive(), Received):
                        pass
                assert event.text == f"ping {number}"

        yield network, listening, cluster, honest
        await honest()


async def shout(network, data, *, seconds=31):
    """Say something and return what came back before the line ended."""
    client = await RawClient.connect(network)
    back = b""
    with trio.fail_after(seconds), contextlib.suppress(trio.BrokenResourceError):
        await client.stream.send_all(data)
        while piece := await client.stream.receive_some():
            back += piece
    return back


@pytest.mark.case("P5")
@pytest.mark.case("P82")
@pytest.mark.parametrize(
    "data",
    [
        UPGRADE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        UPGRADE + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        UPGRADE + b"Content-Length: 30\r\n\r\nGET /other HTTP/1.1\r\nHost: x\r\n\r\n",
        UPGRADE + b"Expect: 100-continue\r\n\r\n",
        UPGRADE + b"X: a\r\n b\r\n\r\n",
        UPGRADE + b"openportal-inner-salt: zz\r\n\r\n",
        UPGRADE.replace(b"GET / ", b"GET http://other/ ") + b"\r\n",
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/0.9") + b"\r\n",
        UPGRADE.replace(b"GET / HTTP/1.1\r\n", b"GET /\r\n") + b"\r\n",
        UPGRADE + b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50),
        UPGRADE + b"\x00: \x00\r\n\r\n",
    ],
    ids=[
        "lengths",
        "chunked",
        "body",
        "expect",
        "folded",
        "salts",
        "absolute",
        "old",
        "older",
        "smuggled",
        "pipelined",
        "nul",
    ],
)
async def test_http_that_is_smuggled_in_is_answered_once_at_most(autojump_clock, data):
    async with pair() as (network, _, _, _):
        back = await shout(network, data)
        assert back.count(b"HTTP/1.1") <= 1
        assert b"Traceback" not in back


@pytest.mark.case("P13")
async def test_compression_is_never_agreed_and_a_compressed_frame_ends_the_line(autojump_clock):
    async with pair() as (network, listening, cluster, _):
        handshake = handshake_of(cluster)
        salts = b"".join(name + b": " + value + b"\r\n" for name, value in handshake.headers())
        offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        client = await RawClient.connect(network)
        await client.stream.send_all(UPGRADE + offer + salts + b"\r\n")
        answer = await client.stream.receive_some()
        assert b" 101 " in answer
        assert b"extensions" not in answer.lower()
        bomb = bytes([0xC1, 0xFE]) + (1_000).to_bytes(2) + os.urandom(4) + bytes(1_000)
        await client.stream.send_all(bomb)
        before = trio.current_time()
        with contextlib.suppress(trio.BrokenResourceError):
            while await client.stream.receive_some():
                pass
        assert trio.current_time() - before < 31
        assert len(listening.peers) == 1


@pytest.mark.case("F11")
@pytest.mark.case("R21")
@pytest.mark.case("P4")
async def test_an_honest_pair_goes_on_and_another_comes_in_among_a_thousand_silent_strangers(
    autojump_clock,
):
    async with pair() as (network, listening, _, honest):
        strangers = []
        with memory_within(120):
            for number in range(1_000):
                view = network.at(f"127.0.{number % 40}.{number // 40 + 1}")
                client = await RawClient.connect(view)
                # Half of them stop within the upgrade, the others after a part of a long frame.
                await client.stream.send_all(UPGRADE + (SALTS + HALF_A_FRAME if number % 2 else b""))
                strangers.append(client)
            await settle()
        assert listening.statistics().unauthenticated == 1_000
        await honest()
        await trio.sleep(31)
        await settle()
        assert listening.statistics().unauthenticated == 0
        strangers.clear()


@pytest.mark.case("F11")
@pytest.mark.case("R21")
async def test_one_address_cannot_take_the_places_of_the_others(autojump_clock):
    async with pair(limits=Limits(unauthenticated_connections=100, unauthenticated_per_address=20)) as world:
        network, listening, _, _ = world
        for _ in range(150):
            await RawClient.connect(network.at("10.0.0.9"))
            await RawClient.connect(network.at("127.0.0.1"))  # the honest cluster's own address
        await settle()
        assert listening.statistics().unauthenticated == 40
        # An honest cluster that lost its connection gets in at once, past the strangers at its own address.
        before = trio.current_time()
        line = next(line for line in network.lines if str(line.caller) == "127.0.0.1")
        line.cut()
        with trio.fail_after(5):
            while not isinstance(await listening.events.receive(), Connected):
                pass
        assert trio.current_time() - before < 5
        await settle()


@pytest.mark.case("R22")
@pytest.mark.case("P36")
async def test_a_handshake_for_two_hundred_candidates_costs_little_and_a_long_one_nothing(autojump_clock):
    async with pair(clients=200) as (network, listening, cluster, _):

        def salts():
            return handshake_of(cluster).headers()

        cost = {}
        for characters in (16_000, 1_000_000):
            client = await RawClient.call(network, headers=salts())
            begun = time.process_time()
            with contextlib.suppress(trio.BrokenResourceError):
                await client.send_text("ab" * (characters // 2))
            await client.wait_end()
            cost[characters] = time.process_time() - begun
        assert cost[16_000] < 1.0
        assert cost[1_000_000] < 1.0
        assert listening.statistics().unauthenticated == 0


class _Full(MemoryNetwork):
    """A network whose listeners are out of file descriptors now and then."""

    async def listen(self, ip, port):
        listeners = await super().listen(ip, port)
        for listener in listeners:
            accept = listener.accept
            errors = iter([errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOBUFS] * 3)

            async def failing(accept=accept, errors=errors):
                if (number := next(errors, None)) is not None:
                    await trio.lowlevel.checkpoint()
                    raise OSError(number, os.strerror(number))
                return await accept()

            listener.accept = failing
        return listeners


@pytest.mark.case("P14")
async def test_accepting_goes_on_when_the_system_has_no_room_for_a_while(autojump_clock, caplog):
    before = trio.current_time()
    async with pair(network=_Full()):
        assert trio.current_time() - before < 60
    assert 1 <= len([each for each in caplog.records if "Cannot accept" in each.getMessage()]) <= 4


@pytest.mark.case("P6")
@pytest.mark.case("P80")
async def test_callers_from_elsewhere_cost_no_parsing_and_few_lines(autojump_clock, caplog):
    async with pair() as (network, listening, _, _):
        for _ in range(2_000):
            client = await RawClient.connect(network.at("192.0.2.7"))
            with contextlib.suppress(trio.BrokenResourceError):
                await client.stream.send_all(UPGRADE)
            assert await client.wait_end() == []
        assert listening.statistics().refused["address"] == 2_000
    assert len(caplog.records) < 10


@pytest.mark.case("R21")
async def test_agents_work_on_while_strangers_sit_on_every_port(autojump_clock):
    async with estate() as attacked:
        for port in (6501, 6502, 6503):
            for _ in range(60):
                client = await RawClient.connect(attacked.network, port)
                await client.stream.send_all(UPGRADE)
        for _ in range(20):
            await attacked.honest_job(seconds=1)
