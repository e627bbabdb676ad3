"""Networks in one process."""

import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from paddington.config.address import parse_address
from paddington.testing import PIPE_BYTES, MemoryNetwork

LOCALHOST = parse_address("127.0.0.1")


async def pair(network=None):
    network = network or MemoryNetwork()
    (listener,) = await network.listen(LOCALHOST, 0)
    client = await network.connect("anything", network.port_of(listener), tls=False)
    server = await listener.accept()
    await listener.aclose()
    return client, server


async def clogged_pair():
    client, server = await pair()
    await client.send_all(bytes(PIPE_BYTES))
    await server.send_all(bytes(PIPE_BYTES))
    return client, server


async def test_its_streams_are_streams_like_any_other():
    await check_half_closeable_stream(pair, clogged_pair)


async def test_a_line_that_is_full_makes_the_sender_wait():
    client, server = await clogged_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, b"more")
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        received = b""
        while len(received) < PIPE_BYTES + 4:
            received += await server.receive_some(1000)
    assert received == bytes(PIPE_BYTES) + b"more"


async def test_a_caller_comes_from_where_its_view_of_the_network_is():
    network = MemoryNetwork()
    (listener,) = await network.listen(LOCALHOST, 80)
    await network.at("10.0.0.5").connect("x", 80, tls=False)
    await network.at("2001:db8::1").connect("x", 80, tls=True)
    assert str(network.address_of(await listener.accept())) == "10.0.0.5"
    assert str(network.address_of(await listener.accept())) == "2001:db8::1"


async def test_ports_are_unique_and_free_again_after_closing():
    network = MemoryNetwork()
    (first,) = await network.listen(LOCALHOST, 80)
    with pytest.raises(OSError, match="in use"):
        await network.at("10.0.0.1").listen(LOCALHOST, 80)
    (free,) = await network.listen(LOCALHOST, 0)
    (other,) = await network.listen(LOCALHOST, 0)
    assert len({first.port, free.port, other.port}) == 3
    await first.aclose()
    with pytest.raises(OSError, match="refused"):
        await network.connect("x", 80, tls=False)
    await network.listen(LOCALHOST, 80)


async def test_who_waits_to_be_accepted_is_hung_up_on_when_nobody_listens_any_more():
    network = MemoryNetwork()
    (listener,) = await network.listen(LOCALHOST, 80)
    client = await network.connect("x", 80, tls=False)
    await listener.aclose()
    assert await client.receive_some() == b""


async def test_a_cut_is_noticed_at_both_ends():
    network = MemoryNetwork()
    client, server = await pair(network)
    assert len(network.lines) == 1
    async with trio.open_nursery() as nursery:

        async def receive(stream):
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()

        nursery.start_soon(receive, client)
        nursery.start_soon(receive, server)
        await wait_all_tasks_blocked()
        assert network.cut() == 1
    with pytest.raises(trio.BrokenResourceError):
        await client.send_all(b"x")
    assert network.lines == ()
    assert network.cut() == 0


async def test_a_frozen_line_swallows_everything_and_nobody_notices(autojump_clock):
    network = MemoryNetwork()
    client, server = await pair(network)
    assert network.freeze() == 1
    await client.send_all(bytes(10 * PIPE_BYTES))
    with trio.move_on_after(1e6) as scope:
        await server.receive_some()
    assert scope.cancelled_caught


async def test_a_blocked_port_refuses_new_calls_only():
    network = MemoryNetwork()
    (listener,) = await network.listen(LOCALHOST, 80)
    client = await network.connect("x", 80, tls=False)
    network.block(80)
    with pytest.raises(OSError, match="refused"):
        await network.connect("x", 80, tls=False)
    await client.send_all(b"x")
    server = await listener.accept()
    assert await server.receive_some() == b"x"
    network.unblock(80)
    await network.connect("x", 80, tls=False)
    assert network.cut(81) == 0
    assert network.cut(80) == 2
