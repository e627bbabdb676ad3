"""A running bridge with a portal and an instance, and what web portals see of it over real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx2
import pytest
import trio

from paddington import ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import AgentConfig, AgentType, Handlers, open_agent
from templemeads.grammar import AddUser, Submit
from templemeads.roles.bridge.authentication import ALL_SCOPES, ApiKey
from templemeads.roles.bridge.bridge import Bridge
from templemeads.roles.bridge.settings import BridgeSettings
from templemeads.roles.portal import Portal
from tests.templemeads.roles.bridge.test_authentication import signed

KEY = bytes(range(32))


def portal_handlers():
    handlers = Handlers()

    @handlers.add(Submit)
    async def submit(envelope, destination, instruction):
        return envelope.job.completed(await envelope.agent.ask(f"{destination} {instruction}"))

    return handlers


def instance_handlers():
    handlers = Handlers(strict=False)

    @handlers.add(AddUser)
    async def add_user(envelope, user):
        if user.username == "bad":
            return envelope.job.errored("no such person")
        return envelope.job.completed(f"{user.username} is here")

    return handlers


@asynccontextmanager
async def running(**changed):
    """A bridge, its portal and an instance, in one process; the HTTP server is on a real socket."""
    portal = AgentConfig(ServiceConfig.create("waldur", port=6501), AgentType.PORTAL)
    bridge = AgentConfig(ServiceConfig.create("bridge", port=6502), AgentType.BRIDGE)
    shared = AgentConfig(ServiceConfig.create("shared", port=6503), AgentType.INSTANCE)
    bridge.service.add_server(portal.service.add_client("bridge", "127.0.0.1"))
    shared.service.add_server(portal.service.add_client("shared", "127.0.0.1"))
    settings = BridgeSettings.create(port=0, keys=(ApiKey("all", KEY, ALL_SCOPES),), **changed)
    role = Bridge(settings)
    transport = partial(open_service, network=MemoryNetwork())
    async with (
        open_agent(portal, portal_handlers(), transport=transport) as at_portal,
        open_agent(shared, instance_handlers(), transport=transport),
        open_agent(bridge, role, transport=transport, on_notification=role.notified) as at_bridge,
    ):
        await at_portal.wait_for("shared")
        await at_bridge.wait_for("waldur")
        yield role, at_portal


class Caller:
    """A web portal that signs its requests, over a real socket."""

    def __init__(self, role, client):
        self.role, self.client = role, client
        self.number = 0

    async def __call__(self, name, value=None):
        method = "get" if value is None else "post"
        body = "" if value is None else json.dumps(value)
        self.number += 1
        headers = signed(
            2,
            key=self.role.settings.key.expose(),
            now=time.time(),
            method=method,
            function=name,
            body=body,
            nonce=str(self.number),
        )
        response = await self.client.request(
            method.upper(), f"{self.role.url}/{name}", headers=headers, content=body
        )
        assert response.status_code == 200, response.text
        return response.json()

    async def finished(self, job):
        with trio.fail_after(10):
            while job["state"] not in {"Complete", "Error"}:
                job = await self("status", {"job": job["id"]})
                await trio.lowlevel.checkpoint()
        return job


async def test_a_job_goes_through_bridge_portal_and_instance_and_comes_back():
    async with running() as (role, _), httpx2.AsyncClient() as client:
        call = Caller(role, client)
        assert await call("get_portal") == "waldur"
        job = await call("run", {"command": "waldur.shared add_user fred.proj.waldur"})
        assert job["command"] == "bridge.waldur submit waldur.shared add_user fred.proj.waldur"
        assert (job["state"], job["version"]) == ("Pending", 2)
        job = await call.finished(job)
        assert (job["state"], job["result"], job["version"]) == ("Complete", '"fred is here"', 1002)
        job = await call.finished(await call("run", {"command": "waldur.shared add_user bad.proj.waldur"}))
        assert job["state"] == "Error"
        assert "no such person" in job["result"]


def follow_until_complete(url, headers, started):
    """Put a job, and return the states that an event stream tells of, up to the last."""
    states = []
    with (
        httpx2.Client(headers=headers, timeout=20) as client,
        client.stream("GET", f"{url}/v1/events") as stream,
    ):
        started()
        for line in stream.iter_lines():
            if line.startswith("data: "):
                states.append(json.loads(line[6:])["state"])
                if states[-1] == "Complete":
                    return states
    return states


async def test_new_clients_put_wait_and_follow():
    async with running() as (role, _), httpx2.AsyncClient() as client:
        headers = {"authorization": f"Bearer {KEY.hex()}"}
        states = []

        async def follow(*, task_status):
            started = partial(trio.from_thread.run_sync, task_status.started)
            states.extend(await trio.to_thread.run_sync(follow_until_complete, role.url, headers, started))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(follow)
                put = await client.post(
                    f"{role.url}/v1/jobs",
                    headers=headers,
                    json={"command": "waldur.shared add_user fred.proj.waldur"},
                )
                assert put.status_code == 201
                job = await client.get(f"{role.url}{put.headers['location']}?wait=10", headers=headers)
                assert job.json()["state"] == "Complete"
        assert (states[0], states[-1]) == ("Pending", "Complete")


async def test_the_page_is_served_and_no_other_site_can_show_it():
    async with running() as (role, _), httpx2.AsyncClient() as client:
        for name, kind in [("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css")]:
            response = await client.get(f"{role.url}/page/{name}")
            assert response.status_code == 200
            assert response.headers["content-type"].startswith(kind)
            assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


@asynccontextmanager
async def two_portals():
    """Two portals with their bridges: ukri may ask about what brics offers."""
    ukri = AgentConfig(ServiceConfig.create("ukri", port=6501), AgentType.PORTAL)
    brics = AgentConfig(ServiceConfig.create("brics", port=6502), AgentType.PORTAL)
    at_ukri = AgentConfig(ServiceConfig.create("ubridge", port=6503), AgentType.BRIDGE)
    at_brics = AgentConfig(ServiceConfig.create("bbridge", port=6504), AgentType.BRIDGE)
    ukri.service.add_server(brics.service.add_client("ukri", "127.0.0.1", "ukri>brics"))
    at_ukri.service.add_server(ukri.service.add_client("ubridge", "127.0.0.1"))
    at_brics.service.add_server(brics.service.add_client("bbridge", "127.0.0.1"))
    bridges = [
        Bridge(BridgeSettings.create(port=0, keys=(ApiKey("all", KEY, ALL_SCOPES),))) for _ in range(2)
    ]
    transport = partial(open_service, network=MemoryNetwork())
    async with AsyncExitStack() as stack:
        for config, role in [
            (brics, Portal()),
            (ukri, Portal()),
            *zip((at_ukri, at_brics), bridges, strict=True),
        ]:
            on_notification = role.notified
            await stack.enter_async_context(
                open_agent(config, role, transport=transport, on_notification=on_notification)
            )
        async with httpx2.AsyncClient() as client:
            asker, answerer = (Caller(role, client) for role in bridges)
            assert await asker("get_portal") == "ukri"
            assert await answerer("get_portal") == "brics"
            yield asker, answerer


async def waiting_for(caller):
    """The first job that waits for a web portal."""
    with trio.fail_after(10):
        while not (jobs := await caller("fetch_jobs")):
            await trio.lowlevel.checkpoint()
    return jobs[0]


async def test_a_web_portal_answers_another_portal_about_what_it_offers():
    async with two_portals() as (asker, answerer):
        assert await answerer("sync_offerings", ["res.brics.ukri", "nonsense.of.somebody.else"]) == [
            "res.brics.ukri"
        ]
        assert await answerer("get_offerings") == ["res.brics.ukri"]
        asked = await asker("run", {"command": "ukri.brics.res get_project_mapping proj.ukri"})
        job = await waiting_for(answerer)
        assert job["command"] == "brics.bbridge.res get_project_mapping proj.ukri"
        assert job["forwarded_for"] == "ukri.brics.res"
        assert await answerer("fetch_job", job["id"]) == job
        mapping = {
            **job,
            "version": 1002,
            "state": "Complete",
            "result": json.dumps("proj.ukri:local.brics"),
            "result_type": "ProjectMapping",
        }
        assert await answerer("send_result", mapping) == {"status": "ok"}
        done = await asker.finished(asked)
        assert (done["state"], done["result"]) == ("Complete", '"proj.ukri:local.brics"')
        assert await answerer("fetch_jobs") == []


async def test_an_error_of_a_web_portal_reaches_the_asking_one_so_that_it_can_be_read_by_text():
    async with two_portals() as (asker, answerer):
        await answerer("sync_offerings", ["res.brics.ukri"])
        asked = await asker("run", {"command": "ukri.brics.res get_project proj.ukri"})
        job = await waiting_for(answerer)
        error = "ManagedProjectPendingError: not yet"
        await answerer(
            "send_result", {**job, "version": 1002, "state": "Error", "result": error, "result_type": "Error"}
        )
        done = await asker.finished(asked)
        assert (done["state"], done["result"]) == ("Error", f"RuntimeError{{{error}}}")


async def test_a_job_for_a_resource_that_is_not_offered_yet_waits_for_it():
    async with two_portals() as (asker, answerer):
        asked = await asker("run", {"command": "ukri.brics.res get_project proj.ukri"})
        assert await answerer("fetch_jobs") == []
        await answerer("add_offerings", ["res.brics.ukri"])
        job = await waiting_for(answerer)
        assert job["command"] == "brics.bbridge.res get_project proj.ukri"
        await answerer(
            "send_result", {**job, "version": 1002, "state": "Error", "result": "no", "result_type": "Error"}
        )
        assert (await asker.finished(asked))["state"] == "Error"


GENUINE = """
import sys
import openportal as op
op.load_config(sys.argv[1])
assert op.is_config_loaded()
print(op.get_portal())
print(op.health().status)
job = op.run("waldur.shared add_user fred.proj.waldur", 5000)
print(job.is_finished, job.is_error, job.result)
bad = op.run("waldur.shared add_user bad.proj.waldur", 5000)
print(bad.is_error, bad.error_message)
print(len(op.fetch_jobs()))
try:
    op.run("waldur.shared frobnicate")
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.processes
async def test_the_genuine_client_works_unmodified(tmp_path):
    from paddington.config.toml_edit import format_toml

    async with running() as (role, _):
        invite = {**role.settings.invite(), "url": role.url + "/"}
        path = tmp_path / "client.toml"
        path.write_text(format_toml(invite))
        path.chmod(0o600)
        with trio.fail_after(60):
            done = await trio.run_process(
                [sys.executable, "-c", GENUINE, str(path)],
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
            )
        lines = done.stdout.decode().splitlines()
        assert lines[:3] == ["waldur", "ok", "True False fred is here"], done.stdout.decode()
        assert "no such person" in lines[3]
        assert lines[4] == "0"
