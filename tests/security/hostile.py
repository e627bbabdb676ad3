"""An estate under attack: an honest row of agents, and a peer with valid keys that says whatever a test wants.

::

    portal ── middle ── cluster          mallory is a configured peer of all three, by paddington's own
        \\        |        /              handshake, and lies in every payload
                mallory
"""

from __future__ import annotations

import contextlib
import itertools
import json
import tracemalloc
import uuid
from functools import partial

import attrs
import trio

from paddington import Connection, ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import AgentConfig, AgentType, Limits, open_agent

EPOCH = 1_800_000_000.0
"""Unix time when the mock clock stands at 0."""

NAMES = ("portal", "middle", "cluster")
ROUTE = ".".join(NAMES)
TYPES = dict(zip(NAMES, (AgentType.PORTAL, AgentType.PROVIDER, AgentType.INSTANCE), strict=True))
SOON = 5.0
"""Seconds of the mock clock within which an honest job is done, attack or not."""

REGISTER = {"agent": "Portal", "engine": "hostile", "version": "1.2.3"}


def calendar():
    """Seconds since 1970 UTC on a calendar that follows trio's clock."""
    return EPOCH + trio.current_time()


def job_json(command=f"{ROUTE} add_user fred.proj.portal", **changes):
    """The JSON of a pending job as an honest sender writes it now, but for the changes."""
    return job_json_at(int(calendar()), command) | changes


def job_json_at(now, command=f"{ROUTE} add_user fred.proj.portal"):
    """The JSON of a pending job that was made at this unix time."""
    return {
        "id": str(uuid.uuid4()),
        "created": now,
        "changed": now,
        "expires": now + 120,
        "version": 2,
        "command": command,
        "state": "Pending",
        "result": None,
        "result_type": None,
        "forwarded_for": None,
    }


@attrs.define(eq=False)
class Line:
    """Mallory's end of one connection.

    Attributes:
        connection: The connection.
        told: The commands that came, as JSON.
    """

    connection: Connection
    told: list = attrs.field(factory=list)

    async def say(self, name, **fields):
        """Send a command."""
        await self.say_text(json.dumps({name: fields}, ensure_ascii=False))

    async def say_text(self, text):
        """Send any text as a payload."""
        await self.connection.send(text)

    async def register(self, **changes):
        await self.say("Register", **(REGISTER | changes))
        await settle()

    def answers(self, name):
        """The commands of a name that have come."""
        return [command[name] for command in self.told if name in command]

    def errors_of(self, job):
        """The error results that were told of a job."""
        return [
            update["job"]["result"]
            for update in self.answers("Update")
            if update["job"]["id"] == job["id"] and update["job"]["state"] == "Error"
        ]

    async def listen(self):
        async for text in self.connection:
            self.told.append(json.loads(text))


@attrs.define(eq=False)
class Estate:
    """What a test gets."""

    agents: dict
    network: MemoryNetwork
    lines: dict = attrs.field(factory=dict)
    ran: list = attrs.field(factory=list)
    connected: trio.Event = attrs.field(factory=trio.Event)

    def __getitem__(self, name):
        return self.agents[name]

    async def honest_job(self, *, seconds=SOON):
        """Send a job along the row and want its answer in time; every test calls it while and after it attacks."""
        with trio.fail_after(seconds):
            command = f"{ROUTE} remove_user {uuid.uuid4().hex[:12]}.proj.portal"
            job = await (await self["portal"].submit(command)).wait()
        assert job.result() == "done", job

    async def serve(self, connection):
        line = self.lines[connection.peer.name] = Line(connection)
        if len(self.lines) == len(self.agents):
            self.connected.set()
        await line.listen()

    @property
    def refused(self):
        """Refusals of all agents by kind."""
        return {name: agent.statistics().refused for name, agent in self.agents.items()}


def configs(*, zone="default", declared=None, limits=None, service_limits=None):
    """Configurations of the row and of mallory, who may have been given a declared type and a zone of her own."""
    services = {
        name: ServiceConfig.create(name, port=6501 + index, limits=service_limits)
        for index, name in enumerate(NAMES)
    }
    services["middle"].add_server(services["portal"].add_client("middle", "127.0.0.1"))
    services["cluster"].add_server(services["middle"].add_client("cluster", "127.0.0.1"))
    mallory = ServiceConfig.create("mallory")
    for name in NAMES:
        mallory.add_server(services[name].add_client("mallory", "127.0.0.1", zone, type=declared))
    agents = {name: AgentConfig(services[name], TYPES[name], limits=limits or Limits()) for name in NAMES}
    return agents, mallory


@contextlib.asynccontextmanager
async def estate(*, handler=None, register=True, store=None, **options):
    """The row, running and connected, and mallory's lines to each of its agents."""
    network = MemoryNetwork()
    agents, mallory = configs(**options)
    service = partial(open_service, network=network, unix_time=calendar)
    under_attack = Estate({}, network)

    async def runner(envelope):
        under_attack.ran.append(str(envelope.job.instruction))
        if handler is not None:
            return await handler(envelope)
        return envelope.job.completed("done")

    async with contextlib.AsyncExitStack() as stack:
        for name, config in agents.items():
            under_attack.agents[name] = await stack.enter_async_context(
                open_agent(config, runner, transport=service, clock=calendar, store=store)
            )
        for name, after in itertools.pairwise(NAMES):
            await under_attack[name].wait_for(after)
            await under_attack[after].wait_for(name)
        await stack.enter_async_context(service(mallory, serve=under_attack.serve))
        await under_attack.connected.wait()
        if register:
            for line in under_attack.lines.values():
                await line.register()
        yield under_attack
        await settle()
        await under_attack.honest_job()


async def settle():
    """Wait until everybody has done what there is to do."""
    await trio.testing.wait_all_tasks_blocked()


@contextlib.contextmanager
def memory_within(mebibytes):
    """Fail if the block leaves more behind than so much memory."""
    tracemalloc.start()
    try:
        yield
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < mebibytes * 2**20, f"{kept / 2**20:.1f} MiB are kept"
