"""Two portals in one process: one asks for a resource that the other offers, all the way to a web portal and back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from paddington import ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import AgentConfig, AgentType, JobError, open_agent
from templemeads.grammar import Destinations, ProjectMapping
from templemeads.roles.bridge.bridge import Bridge
from templemeads.roles.bridge.settings import BridgeSettings
from templemeads.roles.portal import Portal

MAPPING = ProjectMapping.parse("proj.ukri:p42.brics")


class WebPortalBridge(Bridge):
    """A bridge whose web portal answers in the process."""

    def __init__(self):
        super().__init__(BridgeSettings.create(port=0))
        self.asked = []
        self.told = []
        self.was_told = trio.Event()

    @asynccontextmanager
    async def open_lifespan(self, agent):
        self.agent = agent
        yield

    async def __call__(self, envelope):
        if envelope.recipient == envelope.agent.name:
            return await super().__call__(envelope)
        self.asked.append((envelope.job.command, str(envelope.job.forwarded_for)))
        return envelope.job.completed(MAPPING)

    async def notified(self, envelope):
        self.told.append(str(envelope.notification))
        self.was_told.set()

    async def offer(self, portal, text):
        return await self.agent.ask(f"bridge.{portal} sync_offerings {text}")


@asynccontextmanager
async def estate():
    """ukri with its bridge, and brics with its own; the portals are linked in the zone ukri>brics."""
    network = MemoryNetwork()
    transport = partial(open_service, network=network)
    names = {"ukri": AgentType.PORTAL, "brics": AgentType.PORTAL}
    configs = {
        name: AgentConfig(ServiceConfig.create(name, port=6601 + number), kind)
        for number, (name, kind) in enumerate(names.items())
    }
    configs["brics"].service.add_server(
        configs["ukri"].service.add_client("brics", "127.0.0.1", "ukri>brics")
    )
    bridges = {}
    async with trio.open_nursery() as nursery:
        agents = {}

        async def open_one(name, config, role, *, task_status):
            async with open_agent(config, role, transport=transport, on_notification=role.notified) as agent:
                task_status.started(agent)
                await trio.sleep_forever()

        for number, name in enumerate(names):
            bridge = AgentConfig(ServiceConfig.create("bridge", port=6701 + number), AgentType.BRIDGE)
            bridge.service.add_server(configs[name].service.add_client("bridge", "127.0.0.1"))
            bridges[name] = WebPortalBridge()
            agents[name] = await nursery.start(open_one, name, configs[name], Portal())
            agents[f"bridge of {name}"] = await nursery.start(open_one, "bridge", bridge, bridges[name])
            await bridges[name].agent.wait_for(name)
            await agents[name].wait_for("bridge")
        await agents["ukri"].wait_for("brics")
        await agents["brics"].wait_for("ukri")
        yield agents, bridges
        nursery.cancel_scope.cancel()


CREATE = 'bridge.ukri submit ukri.brics.res create_project proj.ukri {"name":"A project","template":"small"}'


async def test_a_project_is_made_at_another_portal_and_its_web_portal_knows_who_asked():
    with trio.fail_after(20):
        async with estate() as (_, bridges):
            offered = await bridges["brics"].offer("brics", "res.brics.ukri")
            assert offered == Destinations.parse("res.brics.ukri")
            assert await bridges["ukri"].agent.ask(CREATE) == MAPPING
            ((command, forwarded_for),) = bridges["brics"].asked
            assert command.startswith("brics.bridge.res create_project proj.ukri ")
            assert forwarded_for == "ukri.brics.res"
            await bridges["ukri"].was_told.wait()
            assert bridges["ukri"].told == ["res.brics.ukri award_added proj.ukri"]


async def test_a_job_for_a_resource_that_is_not_there_yet_waits_for_it():
    with trio.fail_after(20):
        async with estate() as (agents, bridges):
            answers = []

            async def ask():
                answers.append(await bridges["ukri"].agent.ask(CREATE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked(0.2)
                assert len(agents["brics"].exchange.virtual.waiting) == 1
                assert answers == []
                await bridges["brics"].offer("brics", "res.brics.ukri")
            assert answers == [MAPPING]


async def test_nobody_asks_for_a_project_of_another_portal():
    with trio.fail_after(20):
        async with estate() as (agents, bridges):
            await bridges["brics"].offer("brics", "res.brics.ukri")
            with pytest.raises(JobError, match="concerns the portal"):
                await agents["ukri"].ask("ukri.brics.res get_project proj.other", zone="ukri>brics")
            assert bridges["brics"].asked == []


async def test_a_portal_cannot_speak_to_the_bridge_of_another_by_name():
    with trio.fail_after(20):
        async with estate() as (agents, _):
            with pytest.raises(JobError):
                await agents["ukri"].ask(
                    "ukri.brics.bridge sync_offerings x.brics.ukri", zone="ukri>brics", lifetime=1
                )
