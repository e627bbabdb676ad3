"""The control socket of a whole agent; real Unix sockets, since their mode is part of what is promised."""

import json
import os
import socket
import stat
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddington import ConfigError
from templemeads import Envelope, UnknownInstruction
from templemeads.daemon.control import _Follower, serve_control
from templemeads.daemon.control_socket import MAX_CALLERS, MAX_REQUEST_BYTES, ControlLimits
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


def followers(agent):
    return sum(isinstance(each, _Follower) for each in agent.observers._observers)


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
            while not followers(chain.first):
                await trio.testing.wait_all_tasks_blocked()
            job = await chain.first.submit(ADD)
            item = json.loads((await stream.receive_some(65_536)).splitlines()[0])["item"]
            assert item["id"] == str(job.id)
            await stream.aclose()
            while followers(chain.first):
                await trio.testing.wait_all_tasks_blocked()


async def test_a_request_without_end_and_callers_without_number_are_hung_up_on(path):
    async with running(path):
        with trio.fail_after(10):
            stream = await trio.open_unix_socket(str(path))
            async with stream:
                with pytest.raises(trio.BrokenResourceError):
                    for _ in range(MAX_REQUEST_BYTES // 65_536 + 20):
                        await stream.send_all(b"x" * 65_536)
            streams = [await trio.open_unix_socket(str(path)) for _ in range(MAX_CALLERS)]
            await trio.testing.wait_all_tasks_blocked()
            (answer,) = await talk(path, {"do": "status"})
            assert f"serves {MAX_CALLERS} callers already" in answer["error"]
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
        with pytest.raises(ConfigError, match="is not a socket"):
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


@pytest.mark.parametrize("request_", [{"do": "watch", "seconds": 0.1}, {"do": "status"}, {"do": "follow"}])
async def test_a_caller_that_leaves_with_unread_answers_harms_nobody(path, request_):
    async with running(path) as chain:
        for _ in range(3):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
                caller.connect(str(path))
                caller.sendall(json.dumps(request_).encode() + b"\n")
                if request_["do"] == "follow":
                    await wait_for_followers(chain.first, 1)
                    await chain.first.submit(ADD)
                with trio.fail_after(10):
                    await trio.lowlevel.wait_readable(caller)
            await wait_for_followers(chain.first, 0)
        assert "end" in await ask(path, do="status")


async def wait_for_followers(agent, count):
    with trio.fail_after(10):
        while followers(agent) != count:
            await trio.testing.wait_all_tasks_blocked()


async def test_a_caller_that_does_not_read_is_hung_up_on_after_its_deadline(path):
    async with open_chain("portal", "cluster", handler=handler) as chain, trio.open_nursery() as nursery:
        await nursery.start(
            partial(serve_control, chain.first, path, limits=ControlLimits(answer_seconds=0.2))
        )
        stream = await trio.open_unix_socket(str(path))
        async with stream:
            await stream.send_all(b'{"do": "follow"}\n')
            await wait_for_followers(chain.first, 1)
            with trio.fail_after(30):
                while followers(chain.first):
                    if chain.first.statistics().jobs < 5_000:
                        await chain.first.submit(ADD)
                    await trio.lowlevel.checkpoint()
        assert "end" in await ask(path, do="status")
        nursery.cancel_scope.cancel()


async def test_a_silent_caller_is_hung_up_on_after_its_deadline(path):
    async with open_chain("portal", "cluster", handler=handler) as chain, trio.open_nursery() as nursery:
        limits = ControlLimits(callers=1, request_seconds=0.2)
        await nursery.start(partial(serve_control, chain.first, path, limits=limits))
        silent = await trio.open_unix_socket(str(path))
        async with silent:
            with trio.fail_after(10):
                assert await silent.receive_some() == b""
        assert "end" in await ask(path, do="status")
        nursery.cancel_scope.cancel()


async def test_a_fault_of_ours_is_one_error_for_one_caller(path, monkeypatch, caplog):
    async with running(path) as chain:
        with monkeypatch.context() as patch:
            patch.setattr(chain.first.operations, "own_health", lambda: 1 / 0)
            (answer,) = await talk(path, {"do": "health"})
        assert answer["error"].startswith("internal error (ZeroDivisionError)")
        assert "ZeroDivisionError" in caplog.text
        assert "end" in await ask(path, do="health")


COMMANDS = (
    "status",
    "jobs",
    "job",
    "put",
    "delete",
    "notify",
    "health",
    "diagnostics",
    "restart",
    "reload",
    "trace",
    "map",
)
FIELDS = (
    "id",
    "wait",
    "command",
    "zone",
    "lifetime",
    "states",
    "peer",
    "text",
    "limit",
    "path",
    "type",
    "tree",
)
odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [10**400, -(10**30), "\ud800", "\x00", "portal", "portal.cluster", "@", ".", "portal@default"]
    )
    | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
requests = st.fixed_dictionaries(
    {"do": st.sampled_from(COMMANDS) | odd}, optional=dict.fromkeys(FIELDS, odd)
).filter(lambda request: request.get("type") != "hard")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        requests.map(json.dumps).map(str.encode)
        | odd.map(json.dumps).map(str.encode)
        | st.binary(max_size=80)
        | st.integers(1, 20_000).map(lambda depth: b'{"do":' + b"[" * depth),
        min_size=1,
        max_size=10,
    )
)
def test_no_request_whatever_it_is_ends_the_agent(lines, tmp_path):
    async def main():
        path = tmp_path / "fuzz.sock"
        async with running(path):
            with trio.fail_after(60):
                for line in lines:
                    answers = await talk(path, line + b"\n")
                    assert "InternalError" not in [answer.get("kind") for answer in answers], line
                assert "end" in await ask(path, do="status")

    trio.run(main)


@pytest.mark.parametrize("mode", [0o000, 0o077, 0o177])
async def test_the_umask_of_the_process_stays_as_it_is_while_the_socket_is_made(path, mode):
    made = []

    async def make_files():
        while True:
            file = path.with_name(f"{len(made)}")
            file.touch(0o666)
            made.append(stat.S_IMODE(file.stat().st_mode))
            await trio.lowlevel.checkpoint()

    before = os.umask(mode)
    try:
        async with open_chain("portal", "cluster") as chain, trio.open_nursery() as nursery:
            nursery.start_soon(make_files)
            for _ in range(5):
                async with trio.open_nursery() as inner:
                    await inner.start(serve_control, chain.first, path)
                    assert stat.S_IMODE(path.stat().st_mode) == 0o600
                    inner.cancel_scope.cancel()
            nursery.cancel_scope.cancel()
    finally:
        os.umask(before)
    assert set(made) == {0o666 & ~mode}


async def test_a_socket_that_another_process_has_put_in_its_place_is_left_alone(path):
    async with running(path):
        path.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.bind(str(path))
            kept = path.stat().st_ino
    assert path.stat().st_ino == kept


async def test_a_long_answer_arrives_whole(path):
    async with running(path) as chain:
        for number in range(450):
            await chain.first.submit(f"portal.cluster add_user u{number}.proj.portal")
        found = (await ask(path, do="jobs"))["end"]
        assert len({each["id"] for each in found}) == 450
        assert len((await ask(path, do="jobs", limit=3))["end"]) == 3
