"""A changed configuration is taken up while the agent runs; real sockets and files, since both are what it is about."""

import os
from contextlib import asynccontextmanager
from functools import partial

import attrs
import pytest
import trio

from paddington import ConfigError, ServiceConfig
from templemeads import AgentConfig, AgentType, open_agent
from templemeads.daemon.reload import Reloader


def free_port():
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def portal_file(tmp_path):
    port = free_port()
    service = ServiceConfig.create("portal", url=f"ws://127.0.0.1:{port}", ip="127.0.0.1", port=port)
    service.add_client("first", "127.0.0.1").save(tmp_path / "first.invite")
    path = tmp_path / "portal.toml"
    AgentConfig(service, AgentType.PORTAL, extras={"colour": "red"}).save(path)
    return path


@asynccontextmanager
async def running(path):
    load = partial(AgentConfig.load, path)
    with trio.fail_after(30):
        async with open_agent(load()) as agent:
            yield agent, Reloader(agent, path, load)


@asynccontextmanager
async def cluster(invitation, name):
    from paddington import Invite

    service = ServiceConfig.create(name)
    service.add_server(Invite.load(invitation))
    async with open_agent(AgentConfig(service, AgentType.INSTANCE)) as agent:
        yield agent


def edit(path, change):
    config = AgentConfig.load(path)
    change(config)
    config.save(path)
    os.utime(path, (1, 1))


async def test_a_new_client_connects_after_a_reload_and_the_others_stay_connected(portal_file, tmp_path):
    async with running(portal_file) as (portal, reloader), cluster(tmp_path / "first.invite", "first"):
        first = await portal.wait_for("first")
        assert not reloader.is_stale
        edit(
            portal_file, lambda config: config.service.add_client("second", "127.0.0.1").save(tmp_path / "2")
        )
        assert reloader.is_stale
        reloaded = await reloader.reload()
        assert (reloaded.peers, reloaded.options, reloaded.needs_restart) == (("second@default",), False, ())
        assert not reloader.is_stale
        async with cluster(tmp_path / "2", "second"):
            await portal.wait_for("second")
            assert portal.peers[first.peer].connections == 1
            assert (await reloader.reload()).peers == ()


async def test_a_removed_client_is_cut_and_comes_back_no_more(portal_file, tmp_path):
    async with (
        running(portal_file) as (portal, reloader),
        cluster(tmp_path / "first.invite", "first") as first,
    ):
        await portal.wait_for("first")
        edit(portal_file, lambda config: config.service.remove_client("first"))
        assert (await reloader.reload()).peers == ("first@default",)
        await portal.wait_gone("first")
        while not first.peers.states[0].failure:
            await trio.lowlevel.checkpoint()
        assert not portal.get_all()


async def test_new_keys_count_from_the_reload_on(portal_file, tmp_path):
    def rotate(config):
        config.service.rotate_client_keys("first").save(tmp_path / "rotated")

    async with running(portal_file) as (portal, reloader):
        async with cluster(tmp_path / "first.invite", "first"):
            await portal.wait_for("first")
            edit(portal_file, rotate)
            assert (await reloader.reload()).peers == ("first@default",)
            await portal.wait_gone("first")
        async with cluster(tmp_path / "rotated", "first"):
            await portal.wait_for("first")


async def test_options_count_at_once_and_what_needs_a_restart_is_named(portal_file):
    def change(config):
        config.extras["colour"] = "blue"
        config.limits = attrs.evolve(config.limits, handlers=7)
        config.handler = "other.py:handlers"
        config.service.proxy_header = "X-Real-IP"

    async with running(portal_file) as (portal, reloader):
        edit(portal_file, change)
        reloaded = await reloader.reload()
        assert portal.config.option("colour") == "blue"
        assert reloaded.options
        assert set(reloaded.needs_restart) == {"limits", "handler", "service.proxy_header"}
        assert portal.limits.handlers == 100


async def test_a_file_that_is_wrong_changes_nothing(portal_file):
    async with running(portal_file) as (portal, reloader):
        good = portal_file.read_text()
        portal_file.write_text("agent = 1\n")
        with pytest.raises(ConfigError):
            await reloader.reload()
        assert [str(state.peer) for state in portal.peers.states] == ["first@default"]
        portal_file.write_text(good.replace('name = "portal"', 'name = "other"'))
        with pytest.raises(ConfigError, match="another agent"):
            await reloader.reload()
