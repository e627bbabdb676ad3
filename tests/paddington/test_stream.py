"""The stream below every WebSocket."""

import errno
import math
import ssl

import pytest
import trio
from trio.testing import (
    check_two_way_stream,
    memory_stream_one_way_pair,
    memory_stream_pair,
    wait_all_tasks_blocked,
)

from paddington.stream import GuardedStream
from paddington.testing import PIPE_BYTES, MemoryNetwork

PLENTY = 10**9
READ_BYTES = 16 * 1024


def guarded(stream, limit=PLENTY):
    return GuardedStream(stream, unproductive_limit=limit, chunk=READ_BYTES)


async def memory_pair():
    network = MemoryNetwork()
    (listener,) = await network.listen("127.0.0.1", 0)
    client = await network.connect("x", listener.port, tls=False)
    server = await listener.accept()
    await listener.aclose()
    return client, server


async def test_it_is_a_stream_like_any_other():
    async def pair():
        client, server = await memory_pair()
        return guarded(client), guarded(server)

    # Of a full stream trio's check expects that a second sender is refused; here it waits for its turn, see below.
    await check_two_way_stream(pair, None)


async def test_waiting_for_room_ends_when_there_is_room():
    client, server = await memory_pair()
    stream = guarded(client)
    await stream.wait_send_all_might_not_block()
    await stream.send_all(bytes(PIPE_BYTES))
    async with trio.open_nursery() as nursery:
        room = trio.Event()

        async def wait():
            await stream.wait_send_all_might_not_block()
            room.set()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not room.is_set()
        await server.receive_some()
        await room.wait()


async def test_a_hang_up_is_remembered_and_wakes_the_waiters():
    one, other = memory_stream_pair()
    stream = guarded(one)
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.ended.wait)
            nursery.start_soon(stream.receive_some)
            await other.aclose()
    assert stream.why == "the peer hung up"


async def test_closing_it_ourselves_is_no_failure():
    one, _ = memory_stream_pair()
    stream = guarded(one)
    await stream.aclose()
    assert stream.ended.is_set()
    assert stream.why is None
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_send_that_is_cut_short_breaks_the_stream():
    # Half a frame may be on the wire: what is sent next would never be understood.
    client, server = await memory_pair()
    stream = guarded(client)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(10**6))
            await wait_all_tasks_blocked()
            scope.cancel()
    assert stream.why == "a message could not be sent to its end"
    for use in (stream.send_all(b"next"), stream.receive_some(), stream.wait_send_all_might_not_block()):
        with pytest.raises(trio.BrokenResourceError):
            await use
    with trio.move_on_after(1) as scope:
        await stream.aclose()
    assert not scope.cancelled_caught
    assert stream.sent_bytes == 0
    await server.aclose()


async def test_bytes_without_a_message_are_limited():
    # Endless empty fragments hold nothing and are collected one by one; bytes are what they cannot do without.
    one, other = memory_stream_pair()
    stream = guarded(one, limit=10)
    await other.send_all(b"12345")
    assert await stream.receive_some() == b"12345"
    await other.send_all(b"67890")
    assert await stream.receive_some() == b"67890"
    stream.productive()
    await other.send_all(b"1234567890")
    assert await stream.receive_some() == b"1234567890"
    await other.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    assert stream.why == "the peer sent 11 bytes without a complete message"
    assert stream.received_bytes == 21


@pytest.mark.parametrize("pieces", [[b"HTTP/1.1 101"], [b"H", b"TT", b"P/1", b".1 101"]])
async def test_the_expected_greeting_passes_in_any_pieces(pieces):
    one, other = memory_stream_pair()
    stream = GuardedStream(one, unproductive_limit=PLENTY, chunk=READ_BYTES, greeting=b"HTTP/1.")
    for piece in pieces:
        await other.send_all(piece)
        assert await stream.receive_some() == piece
    await other.send_all(b"SSH")
    assert await stream.receive_some() == b"SSH"


@pytest.mark.parametrize("pieces", [[b"SSH-2.0"], [b"HT", b"TQ"], [b"HTTP/2"]])
async def test_another_greeting_is_reported_at_once(pieces):
    one, other = memory_stream_pair()
    stream = GuardedStream(one, unproductive_limit=PLENTY, chunk=READ_BYTES, greeting=b"HTTP/1.")
    for piece in pieces[:-1]:
        await other.send_all(piece)
        await stream.receive_some()
    await other.send_all(pieces[-1])
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    assert stream.why.startswith("the other side does not speak HTTP, it begins with ")


async def test_a_new_limit_restarts_the_count():
    one, other = memory_stream_pair()
    stream = guarded(one, limit=4)
    await other.send_all(b"1234")
    await stream.receive_some()
    stream.allow(6, chunk=READ_BYTES)
    await other.send_all(b"123456")
    assert await stream.receive_some() == b"123456"


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        (OSError(errno.ECONNRESET, "x"), "connection reset by peer"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "TLS failed"),
        (None, "the connection broke"),
    ],
)
async def test_the_first_cause_is_kept(cause, why):
    _, receive = memory_stream_one_way_pair()
    stream = guarded(trio.StapledStream(Broken(cause), receive))
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")
    assert stream.why.startswith(why)
    stream.fail("something later")
    assert stream.why.startswith(why)


class Broken(trio.abc.SendStream):
    def __init__(self, cause):
        self.cause = cause

    async def send_all(self, data):
        raise trio.BrokenResourceError from self.cause

    async def wait_send_all_might_not_block(self):
        pass

    async def aclose(self):
        pass


async def test_one_task_sends_at_a_time_and_the_others_wait_for_their_turn():
    client, server = await memory_pair()
    stream = guarded(client)
    await stream.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, b"three")
        await wait_all_tasks_blocked()
        await stream.write(b"one ")
        await stream.write(b"two ")
        assert stream.sent_bytes == 8
        stream.finish()
    got = b""
    while len(got) < 13:
        got += await server.receive_some()
    assert got == b"one two three"


async def test_a_waiter_for_the_turn_can_be_cancelled_without_harm():
    client, server = await memory_pair()
    stream = guarded(client)
    await stream.begin()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"never")
            await wait_all_tasks_blocked()
            scope.cancel()
    await stream.write(b"first")
    stream.finish()
    await stream.send_all(b", second")
    assert stream.why is None
    await stream.aclose()
    got = b""
    while data := await server.receive_some():
        got += data
    assert got == b"first, second"


async def test_a_waiter_for_the_turn_gets_an_error_when_the_stream_breaks():
    client, _ = await memory_pair()
    stream = guarded(client)
    await stream.begin()
    async with trio.open_nursery() as nursery:

        async def late():
            with pytest.raises(trio.BrokenResourceError):
                await stream.send_all(b"late")

        nursery.start_soon(late)
        await wait_all_tasks_blocked()
        stream.fail("it broke")
        stream.finish()


async def test_since_when_a_send_is_under_way_can_be_seen(autojump_clock):
    client, server = await memory_pair()
    stream = guarded(client)
    assert stream.sending_since == math.inf
    await trio.sleep(5)
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(stream.send_all, bytes(2 * PIPE_BYTES))
        await trio.sleep(7)
        assert stream.sending_since == began
        left = 2 * PIPE_BYTES
        while left:
            left -= len(await server.receive_some())
    assert stream.sending_since == math.inf


async def test_a_held_stream_reads_nothing_until_it_is_let_go():
    client, server = await memory_pair()
    stream = guarded(client)
    stream.hold()
    assert stream.is_held
    got = []

    async def read():
        got.append(await stream.receive_some())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await server.send_all(b"one")
        await wait_all_tasks_blocked()
        assert got == []
        assert stream.received_bytes == 0
        stream.let_go()
    assert got == [b"one"]
    assert not stream.is_held


async def test_the_end_lets_a_held_stream_go():
    for end, error in (
        (lambda s: s.fail("it broke"), trio.BrokenResourceError),
        (None, trio.ClosedResourceError),
    ):
        client, _ = await memory_pair()
        stream = guarded(client)
        stream.hold()

        async def read(stream=stream, error=error):
            with pytest.raises(error):
                await stream.receive_some()

        with trio.fail_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await wait_all_tasks_blocked()
                if end is None:
                    await stream.aclose()
                else:
                    end(stream)
        stream.hold()
        assert not stream.is_held
