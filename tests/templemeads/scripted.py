"""A scripted peer: a service that says what a test wants, and keeps what it hears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio

from paddington import Connection, ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import Agent, AgentConfig, AgentType, Handler, Limits, open_agent, refuse_every_job
from templemeads.jobs.commands import Command, Register, Sync, decode, encode
from templemeads.stores.store import OpenStore
from templemeads.testing.networks import calendar


@attrs.define(eq=False)
class ScriptedPeer:
    """The other end of an agent's connection."""

    connection: Connection

    async def say(self, *commands: Command | str) -> None:
        for command in commands:
            await self.connection.send(command if isinstance(command, str) else encode(command))

    async def hear(self) -> Command:
        return decode(await self.connection.receive())

    async def hear_kind(self, kind: type) -> Command:
        while not isinstance(command := await self.hear(), kind):
            pass
        return command

    async def introduce(self, agent_type: AgentType = AgentType.PORTAL) -> list[Command]:
        """Register as an existing agent does, and return how the agent opened the conversation."""
        opening = [await self.hear(), await self.hear()]
        await self.say(Register(agent_type, "templemeads", "0.32.2"), Sync(()))
        return opening


@asynccontextmanager
async def open_scripted(
    handler: Handler = refuse_every_job,
    *,
    name: str = "portal",
    declared: str | None = None,
    limits: Limits | None = None,
    store: OpenStore | None = None,
    before: object = None,
) -> AsyncIterator[tuple[Agent, ScriptedPeer]]:
    """Run the agent `cluster` with one peer that is scripted; `before` is called with the agent first."""
    network = MemoryNetwork()
    service = ServiceConfig.create("cluster", port=6501)
    invite = service.add_client(name, "127.0.0.1", type=declared)
    config = AgentConfig(service, AgentType.INSTANCE, limits=limits or Limits())
    peer_config = ServiceConfig.create(name)
    peer_config.add_server(invite)
    arrived: trio.MemorySendChannel[Connection]
    arrived, arrivals = trio.open_memory_channel(1)

    async def serve(connection: Connection) -> None:
        await arrived.send(connection)
        await trio.sleep_forever()

    transport = partial(open_service, network=network)
    async with open_agent(config, handler, store=store, transport=transport, clock=calendar) as agent:
        if before is not None:
            await before(agent)
        async with open_service(peer_config, serve=serve, network=network):
            yield agent, ScriptedPeer(await arrivals.receive())
