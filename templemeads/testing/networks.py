"""Networks of agents in one process: the whole of every agent, over lines in memory.

Each agent has a service of its own with a handshake, keys and frames, so what works here works between machines. With a
`trio.testing.MockClock` the agents' calendar follows the mock clock: a job of two minutes expires in no time at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Final

import attrs
import trio

from paddington import ServiceConfig, open_service
from paddington.testing import MemoryNetwork

from ..agent.agent import Agent, open_agent, refuse_every_job
from ..agent.handlers import Handler
from ..agent_type import AgentType
from ..config import AgentConfig
from ..limits import Limits
from ..operations.notifications import NotificationHandler
from ..stores.store import OpenStore

EPOCH: Final = 1_800_000_000.0
"""Unix time at which the calendar of a test network stands when trio's clock stands at 0."""

FIRST_PORT: Final = 6501


def calendar() -> float:
    """Seconds since 1970 UTC on a calendar that follows trio's clock."""
    return EPOCH + trio.current_time()


def chain_configs(
    names: Sequence[str], *, zone: str = "default", limits: Limits | None = None
) -> dict[str, AgentConfig]:
    """Make configurations of agents in a row, each of which has invited the next one.

    Args:
        names: Their names; the first is a portal, the last an instance, those between are providers.
        zone: The zone of all connections.
        limits: Limits of all agents.
    """
    configs = {}
    for index, name in enumerate(names):
        agent_type = (
            AgentType.PORTAL
            if index == 0
            else AgentType.INSTANCE
            if index + 1 == len(names)
            else AgentType.PROVIDER
        )
        service = ServiceConfig.create(name, port=FIRST_PORT + index)
        configs[name] = AgentConfig(service, agent_type, limits=limits or Limits())
    for name, after in pairwise(names):
        configs[after].service.add_server(configs[name].service.add_client(after, "127.0.0.1", zone))
    return configs


@attrs.frozen
class Chain:
    """Running agents in a row.

    Attributes:
        agents: The agents by name, in the order of the row.
        network: The lines between them, to be cut and frozen.
    """

    agents: Mapping[str, Agent]
    network: MemoryNetwork

    def __getitem__(self, name: str) -> Agent:
        return self.agents[name]

    @property
    def first(self) -> Agent:
        """The agent that jobs start from."""
        return next(iter(self.agents.values()))

    @property
    def last(self) -> Agent:
        """The agent that runs them."""
        return list(self.agents.values())[-1]

    @property
    def path(self) -> str:
        """The destination that leads from the first to the last."""
        return ".".join(self.agents)

    async def wait_connected(self) -> None:
        """Wait until every agent has registered with its neighbours."""
        for name, after in pairwise(self.agents):
            await self.agents[name].wait_for(after)
            await self.agents[after].wait_for(name)


@asynccontextmanager
async def open_chain(
    *names: str,
    handler: Handler = refuse_every_job,
    limits: Limits | None = None,
    stores: Mapping[str, OpenStore] | None = None,
    network: MemoryNetwork | None = None,
    on_notification: NotificationHandler | None = None,
) -> AsyncIterator[Chain]:
    """Run agents in a row for as long as the `with` block lasts, connected with each other when it begins.

    Args:
        names: Their names, at least two.
        handler: The handler of the last one; the others refuse every job.
        limits: Limits of all agents.
        stores: Stores by agent; the others keep their boards in memory.
        network: The connections between them; new ones if left out.
        on_notification: What the last one runs for a notification; by default it is logged.
    """
    network = MemoryNetwork() if network is None else network
    configs = chain_configs(names, limits=limits)
    async with AsyncExitStack() as stack:
        agents = {}
        for name, config in configs.items():
            agents[name] = await stack.enter_async_context(
                open_agent(
                    config,
                    handler if name == names[-1] else refuse_every_job,
                    store=None if stores is None else stores.get(name),
                    transport=partial(open_service, network=network, unix_time=calendar),
                    clock=calendar,
                    on_notification=on_notification if name == names[-1] else None,
                )
            )
        chain = Chain(agents, network)
        await chain.wait_connected()
        yield chain
