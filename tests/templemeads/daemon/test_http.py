"""The HTTP server over real sockets: what callers send, leave unread or hold open harms nobody else."""

import socket
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddington import ConfigError
from templemeads.daemon.http import HttpAnswer, HttpLimits, serve_http

AGAIN = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"
HELLO = AGAIN.replace(b"host", b"connection: close\r\nhost")


async def respond(request):
    match request.path:
        case "/broken":
            raise ZeroDivisionError
        case "/large":
            return HttpAnswer(200, b"x" * 30_000_000)
        case "/stream":
            return HttpAnswer(200, pieces(), "text/plain")
        case _:
            text = (
                f"{request.method} {request.path} {request.query} {len(request.body)} {request.header('X-Y')}"
            )
            return HttpAnswer(200, text.encode(), "text/plain")


async def pieces():
    for word in (b"one", b"two"):
        yield word


@asynccontextmanager
async def serving(**limits):
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            serve = partial(serve_http, respond, "127.0.0.1", 0, limits=HttpLimits(**limits))
            url = await nursery.start(serve)
            yield int(url.rpartition(":")[2])
            nursery.cancel_scope.cancel()


async def ask(port, *parts):
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        data = b""
        try:
            for part in parts:
                await stream.send_all(part)
            while more := await stream.receive_some():
                data += more
        except trio.BrokenResourceError:
            pass
    return data


CLOSE = b"connection: close\r\n"


async def test_a_request_is_answered_with_its_path_query_body_and_headers():
    async with serving() as port:
        head = b"POST /a/b?c=d HTTP/1.1\r\nhost: x\r\nX-Y: z\r\ncontent-length: 3\r\n" + CLOSE + b"\r\n"
        answer = await ask(port, head, b"123")
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"POST /a/b c=d 3 z")


async def test_requests_on_one_connection_are_answered_in_order():
    async with serving() as port:
        answer = await ask(port, AGAIN + AGAIN + HELLO)
        assert answer.count(b"GET /hello") == 3


async def test_head_has_headers_and_no_body():
    async with serving() as port:
        answer = await ask(port, b"HEAD /hello HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n")
        assert b"content-length: 19" in answer
        assert answer.endswith(b"\r\n\r\n")


async def test_a_stream_of_pieces_ends_with_the_connection():
    async with serving() as port:
        answer = await ask(port, b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"one" in answer
        assert b"two" in answer


async def test_a_fault_in_an_answer_is_500_and_one_line_in_the_log(caplog):
    async with serving() as port:
        assert (await ask(port, HELLO.replace(b"hello", b"broken"))).startswith(b"HTTP/1.1 500")
        assert "ZeroDivisionError" in caplog.text
        assert b" 200 " in await ask(port, HELLO)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /x HTTP/1.1\r\nhost: x\r\nlong: " + b"y" * 5_000, b" 431 "),
        (b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n" + b"y" * 2_000, b" 413 "),
        (b"rubbish\r\n\r\n", b" 400 "),
    ],
)
async def test_what_is_too_large_or_no_http_is_refused(request_, status):
    async with serving(header_bytes=4_000, body_bytes=1_000, request_seconds=5) as port:
        assert status in await ask(port, request_)


@pytest.mark.parametrize("beginning", [b"", AGAIN[:10], AGAIN])
async def test_a_caller_that_sends_no_whole_request_in_time_is_hung_up_on(beginning):
    async with serving(request_seconds=0.2) as port:
        await ask(port, beginning)
        assert b" 200 " in await ask(port, HELLO)


async def test_a_caller_that_does_not_read_is_hung_up_on_in_time():
    async with serving(connections=1, answer_seconds=0.2) as port:
        with socket.socket() as greedy:
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            greedy.connect(("127.0.0.1", port))
            greedy.sendall(HELLO.replace(b"hello", b"large"))
            await trio.lowlevel.wait_readable(greedy)
            while b" 200 " not in await ask(port, HELLO):
                await trio.lowlevel.checkpoint()


async def test_callers_that_do_not_read_delay_no_end():
    with socket.socket() as greedy:
        async with serving(answer_seconds=1_000) as port:
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            greedy.connect(("127.0.0.1", port))
            greedy.sendall(HELLO.replace(b"hello", b"large"))
            await trio.lowlevel.wait_readable(greedy)
            started = trio.current_time()
        assert trio.current_time() - started < 5


async def test_connections_above_the_limit_are_closed_and_the_others_served():
    async with serving(connections=2) as port:
        held = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(20):
            assert await ask(port) == b""
        await held[0].send_all(HELLO)
        assert b" 200 " in await held[0].receive_some()
        for stream in held:
            await stream.aclose()


async def test_an_address_in_use_is_one_sentence():
    async with serving() as port:
        with pytest.raises(
            ConfigError, match=f"The health endpoint cannot listen on 127.0.0.1 port {port}: address"
        ):
            await serve_http(respond, "127.0.0.1", port, what="health endpoint")


pieces_of_http = st.sampled_from(
    [
        AGAIN,
        HELLO,
        b"GET ",
        b"/",
        b" HTTP/1.1\r\n",
        b"HTTP/1.0\r\n",
        b"host: x\r\n",
        b"\r\n",
        b"content-length: 5\r\n",
        b"content-length: -1\r\n",
        b"transfer-encoding: chunked\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"expect: 100-continue\r\n",
        b"HEAD /large",
        b"upgrade: websocket\r\nconnection: upgrade\r\n",
        b"CONNECT x:1",
        b"\x16\x03\x01",
    ]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(pieces_of_http | st.binary(max_size=20), max_size=8).map(b"".join), min_size=1, max_size=8
    )
)
def test_no_bytes_whatever_they_are_end_the_server(caplog, requests):
    async def main():
        async with serving(request_seconds=0.02) as port:
            for request in requests:
                await ask(port, request)
            assert b" 200 " in await ask(port, HELLO)

    trio.run(main)
    assert "internal error" not in caplog.text
