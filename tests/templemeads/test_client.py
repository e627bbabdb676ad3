"""The synchronous client, against an agent in the same process: the client runs in threads."""

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from templemeads import Handlers, JobError, Limits, UserMapping
from templemeads.client import Client, ClientError
from templemeads.daemon.control import serve_control
from templemeads.grammar import AddUser, RemoveUser
from templemeads.testing.networks import open_chain

ADD = "portal.cluster add_user fred.proj.portal"
REMOVE = "portal.cluster remove_user fred.proj.portal"

handlers = Handlers()


@handlers.add(AddUser)
async def add_user(envelope, user) -> UserMapping:
    if user.username == "slow":
        await trio.sleep_forever()
    await envelope.progress("half")
    return UserMapping(user, "fred", "proj")


@handlers.add(RemoveUser)
async def remove_user(envelope, user):
    raise JobError("no such user")


@asynccontextmanager
async def running(directory, limits=None):
    (directory / "portal.toml").write_text('control = "p.sock"\n')
    async with (
        open_chain("portal", "cluster", handler=handlers, limits=limits) as chain,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(serve_control, chain.first, directory / "p.sock")
        yield Client(directory / "portal.toml")
        nursery.cancel_scope.cancel()


in_thread = partial(trio.to_thread.run_sync, abandon_on_cancel=True)


async def test_put_wait_look_and_delete(tmp_path):
    def use(client):
        job = client.put(ADD)
        assert job.wait(timeout=10) == "fred.proj.portal:fred:proj"
        assert client.job(job.id).wait() == "fred.proj.portal:fred:proj"
        assert [(each.id, each.state, each.is_finished) for each in client.jobs()] == [
            (job.id, "Complete", True)
        ]
        assert client.jobs(limit=0) == []
        assert client.status()["agent"] == "portal"
        assert client.status()["protocol"] == 1
        job.delete()
        with pytest.raises(ClientError, match="No board holds a job"):
            client.job(job.id)

    async with running(tmp_path) as client:
        await in_thread(use, client)


async def test_failures_and_timeouts_are_told_apart(tmp_path):
    def use(client):
        with pytest.raises(JobError, match="no such user") as caught:
            client.put(REMOVE).wait()
        assert caught.value.kind == "run"
        slow = client.put(ADD.replace("fred", "slow"))
        with pytest.raises(TimeoutError, match="it goes on"):
            slow.wait(timeout=0.1)
        assert client.job(slow.id).state in ("Pending", "Running")
        slow.delete()
        with pytest.raises(ClientError, match="make_coffee"):
            client.put("portal.cluster make_coffee")
        with pytest.raises(ClientError, match="version 1 of the control protocol, not 2"):
            list(client.request({"do": "status", "protocol": 2}))

    async with running(tmp_path) as client:
        await in_thread(use, client)
    with pytest.raises(ClientError, match="No running agent answers"):
        client.status()


async def test_follow_shows_what_changes(tmp_path):
    def follow(client, seen):
        for job in client.follow():
            seen.append(job)
            if job.is_finished:
                return

    seen = []
    async with running(tmp_path) as client, trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, follow, client, seen)
        while not seen:
            await in_thread(_put, client)
    assert seen[-1].command == ADD


def _put(client):
    client.put(ADD).wait(timeout=10)


@pytest.mark.parametrize(("seconds", "is_good"), [(3600, True), (3601, False), (864_000, False)])
async def test_a_lifetime_above_the_limit_is_refused(tmp_path, seconds, is_good):
    async with running(tmp_path) as client:
        put = partial(client.put, ADD, lifetime=seconds)
        if is_good:
            assert (await in_thread(put)).state == "Pending"
        else:
            with pytest.raises(ClientError, match="a job lives at most 3600 s here"):
                await in_thread(put)


async def test_both_ends_can_raise_the_limit(tmp_path):
    async with running(tmp_path, Limits(lifetime_seconds=864_000)) as client:
        job = await in_thread(partial(client.put, ADD, lifetime=864_000))
        assert await in_thread(job.wait) == "fred.proj.portal:fred:proj"
        assert job.fields["expires"] - job.fields["created"] == pytest.approx(864_000, abs=2)


def test_a_client_is_told_where_the_socket_is(tmp_path):
    with pytest.raises(TypeError, match="Name either"):
        Client()
    with pytest.raises(ClientError, match="Cannot read the configuration"):
        Client(tmp_path / "missing.toml")
    (tmp_path / "portal.toml").write_text("")
    assert Client(tmp_path / "portal.toml").socket_path == tmp_path / "portal.sock"


def test_it_needs_the_standard_library_alone():
    program = "import json, sys, templemeads.client; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=30
    ).stdout
    assert not {"trio", "attrs", "attr", "tomlkit", "nacl"} & set(json.loads(loaded))
