"""The control socket of a whole agent; real Unix sockets, since their mode is part of what is promised."""

import json
import os
import stat
from contextlib import asynccontextmanager

import pytest
import trio

from paddington import ConfigError
from templemeads import Envelope, UnknownInstruction
from templemeads.daemon.control import LONGEST_REQUEST, MOST_CALLERS, serve_control
from templemeads.grammar import AddUser
from templemeads.testing.networks import open_chain

ADD = "portal.cluster add_user fred.proj.portal"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.sock"


async def handler(envelope: Envelope) -> str:
    if not isinstance(envelope.job.instruction, AddUser):
        raise UnknownInstruction(envelope.job.instruction)
    await envelope.progress("half way")
    return "account created"


async def talk(path, request):
    """Send a request, as JSON or as bytes; return all lines of the answer."""
    stream = await trio.open_unix_socket(str(path))
    async with stream:
        await stream.send_all(request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n")
        data = b""
        while more := await stream.receive_some(65_536):
            data += more
    return [json.loads(line) for line in data.splitlines()]


async def ask(path, /, **request):
    *items, last = await talk(path, request)
    assert all("item" in item for item in items)
    return last


@asynccontextmanager
async def running(path):
    async with open_chain("portal", "cluster", handler=handler) as chain, trio.open_nursery() as nursery:
        await nursery.start(serve_control, chain.first, path)
        yield chain
        nursery.cancel_scope.cancel()


async def test_only_the_owner_can_open_it_and_it_is_gone_afterwards(path):
    os.umask(0o000)
    try:
        async with running(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert (await ask(path, do="status"))["end"]["agent"] == "portal"
    finally:
        os.umask(0o022)
    assert not path.exists()


async def test_the_status_tells_of_the_peers(path):
    async with running(path) as chain:
        status = (await ask(path, do="status"))["end"]
        (peer,) = status["peers"]
        assert (peer["name"], peer["type"], peer["connected"], peer["connections"]) == (
            "cluster",
            "Instance",
            True,
            1,
        )
        chain.network.block(6501)
        chain.network.cut()
        await chain.first.wait_gone("cluster")
        (peer,) = (await ask(path, do="status"))["end"]["peers"]
        assert (peer["connected"], peer["connected_seconds"]) == (False, None)


async def test_a_job_is_put_followed_shown_and_deleted(path):
    async with running(path):
        answers = await talk(path, {"do": "put", "command": ADD, "wait": True})
        states = [answer.get("item", answer.get("end"))["state"] for answer in answers]
        assert states[0] == "Pending"
        assert states[-2:] == ["Complete", "Complete"]
        job = answers[-1]["end"]
        assert (job["value"], job["board"]) == ("account created", "cluster@default")
        (found,) = (await ask(path, do="job", id=job["id"][:8]))["end"]
        assert found["command"] == ADD
        assert [each["id"] for each in (await ask(path, do="jobs", states=["complete"]))["end"]] == [
            job["id"]
        ]
        assert (await ask(path, do="jobs", states=["pending"]))["end"] == []
        assert (await ask(path, do="delete", id=job["id"]))["end"]["id"] == job["id"]
        assert (await ask(path, do="jobs"))["end"] == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"do": "put", "command": "nonsense"}, "path"),
        ({"do": "put", "command": "portal.cluster add_user fred.proj.elsewhere"}, "portal"),
        ({"do": "put", "command": "portal.nobody add_user fred.proj.portal"}, "nobody"),
        ({"do": "job", "id": "ffffffff"}, "No board holds"),
        ({"do": "job", "id": "f"}, "No board holds"),
        ({"do": "notify", "text": "portal.nobody user_added a.b.portal"}, "not connected"),
        ({"do": "diagnostics", "path": "nobody"}, "knows no peer"),
        ({"do": "restart", "type": "core"}, "soft or hard"),
        ({"do": "jump"}, "does not know that command"),
        ({"do": ["x"]}, "cannot be read"),
        ({}, "cannot be read"),
        (b"[1, 2]\n", "cannot be read"),
        (b"{\n", "cannot be read"),
        (b"[" * 100_000 + b"\n", "cannot be read"),
        (b"\xff\xfe\n", "cannot be read"),
    ],
)
async def test_a_request_that_cannot_be_done_is_answered_with_a_sentence(path, request_, error):
    async with running(path):
        (answer,) = await talk(path, request_)
        assert error in answer["error"]
        assert "end" in await ask(path, do="status")


async def test_a_caller_that_leaves_ends_what_it_asked_for(path):
    async with running(path) as chain:
        stream = await trio.open_unix_socket(str(path))
        await stream.send_all(b'{"do": "follow"}\n')
        with trio.fail_after(10):
            while len(chain.first.observers) == 1:
                await trio.testing.wait_all_tasks_blocked()
            job = await chain.first.submit(ADD)
            item = json.loads((await stream.receive_some(65_536)).splitlines()[0])["item"]
            assert item["id"] == str(job.id)
            await stream.aclose()
            while len(chain.first.observers) > 1:
                await trio.testing.wait_all_tasks_blocked()


async def test_a_request_without_end_and_callers_without_number_are_hung_up_on(path):
    async with running(path):
        with trio.fail_after(10):
            stream = await trio.open_unix_socket(str(path))
            async with stream:
                with pytest.raises(trio.BrokenResourceError):
                    for _ in range(LONGEST_REQUEST // 65_536 + 20):
                        await stream.send_all(b"x" * 65_536)
            streams = [await trio.open_unix_socket(str(path)) for _ in range(MOST_CALLERS)]
            await trio.testing.wait_all_tasks_blocked()
            assert await talk(path, b"") == []
            for stream in streams:
                await stream.aclose()
            await trio.testing.wait_all_tasks_blocked()
            assert "end" in await ask(path, do="status")


async def test_what_a_killed_process_left_behind_is_replaced_but_nothing_else(path):
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as dead:
        await dead.bind(str(path))
    async with running(path) as chain:
        assert "end" in await ask(path, do="status")
        with pytest.raises(ConfigError, match="runs already"):
            await serve_control(chain.first, path)
        other = path.with_name("file")
        other.write_text("precious")
        with pytest.raises(ConfigError, match="is none: move it away"):
            await serve_control(chain.first, other)
        assert other.read_text() == "precious"
        with pytest.raises(ConfigError, match="longer than"):
            await serve_control(chain.first, path.with_name("x" * 120))
        with pytest.raises(ConfigError, match="cannot be made"):
            await serve_control(chain.first, path.parent / "missing" / "s")


async def test_health_and_diagnostics_come_through_it(path):
    async with running(path):
        tree = (await ask(path, do="health", tree=True))["end"]
        assert list(tree["peers"]) == ["cluster"]
        assert (await ask(path, do="health"))["end"]["peers"] == {}
        assert (await ask(path, do="diagnostics", path="cluster"))["end"]["agent_name"] == "cluster"
