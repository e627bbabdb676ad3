"""The health endpoint, once without and once with a real socket."""

import h11
import pytest
import trio

from paddington import ConfigError
from templemeads import Envelope
from templemeads.daemon.endpoint import answer_to, serve_endpoint
from templemeads.daemon.http import HttpRequest
from templemeads.daemon.metrics import AgentMetrics
from templemeads.testing.networks import open_chain


async def done(envelope: Envelope) -> str:
    return "done"


async def test_each_path_has_its_answer_and_everything_else_is_not_found(autojump_clock):
    async with open_chain("portal", "cluster", handler=done) as chain:
        agent = chain["cluster"]

        def answer(method, path, query=""):
            return answer_to(HttpRequest(method, path, query), agent, None)

        assert answer("GET", "/health").body == b'{"status":"ok","workers":0}'
        assert answer("GET", "/health", "x=1").status == 200
        assert answer("GET", "/livez").status == 200
        assert answer("GET", "/readyz").status == 200
        assert answer("GET", "/metrics", "x=1").status == 501
        for path in ("/", "/health/", "//health", "/%68ealth", "http://a/health", "/x" * 9000):
            assert answer("GET", path).status == 404
        for method in ("POST", "DELETE", "get", "X" * 9000):
            assert answer(method, "/health").status == 405
    assert answer("GET", "/readyz").status == 503


async def test_metrics_show_jobs_handlers_peers_and_refusals(autojump_clock):
    async with open_chain("portal", "cluster", handler=done) as chain:
        metrics = AgentMetrics(chain["cluster"])
        await (await chain.first.submit("portal.cluster add_user fred.proj.portal")).wait()
        chain["cluster"].refuse(chain["cluster"].peers.states[0].peer, "busy", "x")
        text = metrics.exposition()[0].decode()
        for line in (
            'templemeads_jobs{state="complete"} 1.0',
            'templemeads_board_jobs{peer="portal@default"} 1.0',
            'templemeads_handler_seconds_count{instruction="add_user",outcome="completed"} 1.0',
            'templemeads_peer_connected{peer="portal@default"} 1.0',
            'templemeads_connections_total{peer="portal@default"} 1.0',
            'templemeads_refused_total{reason="busy"} 1.0',
            'templemeads_jobs_ended_total{outcome="completed"} 1.0',
        ):
            assert line in text
        assert 'templemeads_bytes_total{direction="in",peer="portal@default"}' in text
        assert "fred" not in text
        other = AgentMetrics(chain["portal"]).exposition()[0].decode()
        assert 'handler_seconds_count{instruction="add_user"' not in other


async def get(port, request):
    client = h11.Connection(h11.CLIENT)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(request)
        client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        client.send(h11.EndOfMessage())
        events = []
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(await stream.receive_some(65_536))
            else:
                events.append(event)
                if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    return events


@pytest.mark.processes
async def test_it_is_served_over_real_http_and_shrugs_at_broken_requests():
    async with open_chain("portal", "cluster", handler=done) as chain, trio.open_nursery() as nursery:
        agent = chain["cluster"]
        url = await nursery.start(serve_endpoint, agent, "127.0.0.1", 0)
        port = int(url.rpartition(":")[2])
        with trio.fail_after(20):
            answer, body, _ = await get(port, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (answer.status_code, bytes(body.data)) == (200, b'{"status":"ok","workers":0}')
            headers = dict(answer.headers)
            assert b"server" not in headers
            assert headers[b"cache-control"] == b"no-store"
            assert (await get(port, b"\x00\x01rubbish\r\n\r\n"))[0].status_code == 400
            assert (await get(port, b"GET /health HTTP/1.1\r\nx: " + b"y" * 70_000))[0].status_code in (
                400,
                431,
            )
            assert (await get(port, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"))[0].status_code == 200
            with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}"):
                await serve_endpoint(agent, "127.0.0.1", port)
        nursery.cancel_scope.cancel()


async def test_without_the_extra_there_is_a_sentence_that_names_it(autojump_clock, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    async with open_chain("portal", "cluster", handler=done) as chain:
        with pytest.raises(ConfigError, match=r"pip install 'templemeads\[metrics\]'"):
            AgentMetrics(chain["cluster"])
