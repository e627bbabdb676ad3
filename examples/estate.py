"""A whole estate in one process: the ready-made agents, with stand-ins for the machine's accounts and for Slurm.

    python estate.py

A user is added, used, reported and removed; each line is one agent that takes a job on. Directories are real, in a temporary
directory.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import attrs
import trio

from paddington import Peer, ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import Agent, AgentConfig, AgentType, Handler, Job, Status, open_agent, refuse_every_job
from templemeads.agent.observer import Observer
from templemeads.jobs.outcome import Write
from templemeads.roles import account, filesystem, instance, platform, provider, scheduler
from templemeads.roles.account import Accounts, Groups
from templemeads.roles.programs import Ran
from templemeads.roles.slurm import NodeShape, Settings
from templemeads.roles.trees import SystemTree

PATH = ("waldur", "brics", "clusters", "shared")
LEAVES = {"accounts": AgentType.ACCOUNT, "files": AgentType.FILESYSTEM, "slurm": AgentType.SCHEDULER}


@attrs.define
class MemoryAccounts:
    """Accounts and groups that are only remembered."""

    groups: Groups = attrs.field(factory=Groups)
    users: dict[str, str] = attrs.field(factory=dict)
    table: dict[str, list[str]] = attrs.field(factory=dict)

    async def has_user(self, user: str) -> bool:
        return user in self.users

    async def members(self, group: str) -> tuple[str, ...] | None:
        return tuple(self.table[group]) if group in self.table else None

    async def group_names(self) -> tuple[str, ...]:
        return tuple(self.table)

    async def add_group(self, group: str) -> None:
        self.table.setdefault(group, [])

    async def remove_group(self, group: str) -> None:
        self.table.pop(group, None)

    async def add_user(self, user: str, home: str) -> None:
        self.users.setdefault(user, home)

    async def remove_user(self, user: str) -> None:
        self.users.pop(user, None)
        for group in self.table:
            await self.remove_from_group(user, group)

    async def add_to_groups(self, user: str, groups: tuple[str, ...]) -> None:
        for group in groups:
            self.table[group] = [*self.table[group], user]

    async def remove_from_group(self, user: str, group: str) -> None:
        self.table[group] = [member for member in self.table[group] if member != user]

    async def set_home(self, user: str, home: str) -> None:
        self.users[user] = home

    async def lock(self, user: str) -> None:
        pass

    async def unlock(self, user: str) -> None:
        pass


@attrs.define
class PretendSlurm:
    """Answers like sacctmgr and sacct; every day, fred ran for an hour on one of two nodes."""

    names: set[str] = attrs.field(factory=set)

    async def run(self, words: Sequence[str], *, timeout: float = 60.0, text: str = "") -> Ran:
        name = next((word.removeprefix("name=") for word in words if word.startswith("name=")), "")
        output: dict[str, list[dict[str, object]]] = {"accounts": [], "users": [], "jobs": []}
        if "add" in words:
            self.names.add(name)
        elif words[0] == "sacct":
            day = next(word for word in words if word.startswith("--starttime=")).partition("=")[2]
            start = int(datetime.fromisoformat(day).timestamp())
            time = {"submission": start, "start": start, "end": start + 3600}
            output["jobs"] = [
                {"user": "fred.proj", "time": time, "tres": {"allocated": [{"type": "cpu", "count": 64}]}}
            ]
        elif name in self.names:
            output["accounts"] = output["users"] = [{"name": name}]
        return Ran(tuple(words), 0, json.dumps(output))


class Hops(Observer):
    """Prints each job that an agent takes on."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def handler_started(self, peer: Peer, job: Job) -> None:
        print(f"{self.agent.name:>8}   does {job.instruction} for {peer.name}")

    def job_changed(self, write: Write) -> None:
        agents = write.job.destination.agents
        passes = (
            self.agent.name in agents[1:-1] and agents[agents.index(self.agent.name) + 1] == write.peer.name
        )
        if passes and write.job.status is Status.PENDING:
            print(f"{self.agent.name:>8}   passes it on to {write.peer.name}")


def configurations() -> dict[str, AgentConfig]:
    """Return the configurations of all agents, linked with each other."""
    types = dict(
        zip(PATH, (AgentType.PORTAL, AgentType.PROVIDER, AgentType.PLATFORM, AgentType.INSTANCE), strict=True)
    )
    configs = {
        name: AgentConfig(ServiceConfig.create(name, port=6500 + number), kind)
        for number, (name, kind) in enumerate((types | LEAVES).items())
    }
    for listening, calling in [*pairwise(PATH), *(("shared", leaf) for leaf in LEAVES)]:
        configs[calling].service.add_server(configs[listening].service.add_client(calling, "127.0.0.1"))
    configs["files"].tables = {"user_volumes": {"home": {"roots": [str(Path.cwd())]}}}
    return configs


def handlers() -> dict[str, Handler]:
    """Return the handlers of all agents: the ready-made ones, with stand-ins for what this machine may not have."""

    def files(config: AgentConfig) -> filesystem.Filesystem:
        own = SystemTree(lambda _owner, _group: (os.getuid(), os.getgid()))
        return attrs.evolve(filesystem.Filesystem.from_config(config), tree=own)

    slurm = scheduler.Slurm(Settings(NodeShape({"cpu": 128})), PretendSlurm())
    accounts = Accounts(MemoryAccounts())
    return {
        "waldur": refuse_every_job,
        "brics": provider.handlers,
        "clusters": platform.handlers,
        "shared": instance.handlers,
        "accounts": account.make_handlers(lambda _: accounts),
        "files": filesystem.make_handlers(files),
        "slurm": scheduler.make_handlers(lambda _: slurm),
    }


@asynccontextmanager
async def open_estate() -> AsyncIterator[Agent]:
    """Run all agents; yields the portal when everybody is there."""
    transport = partial(open_service, network=MemoryNetwork())
    table = handlers()
    agents: dict[str, Agent] = {}
    async with trio.open_nursery() as nursery:

        async def run(name: str, config: AgentConfig, *, task_status: trio.TaskStatus[Agent]) -> None:
            async with open_agent(config, table[name], transport=transport) as agent:
                agent.observers.add(Hops(agent))
                task_status.started(agent)
                await trio.sleep_forever()

        for name, config in configurations().items():
            agents[name] = await nursery.start(run, name, config)
        for name, after in pairwise(PATH):
            await agents[name].wait_for(after)
        for kind in LEAVES.values():
            await agents["shared"].wait_for(kind)
        yield agents["waldur"]
        nursery.cancel_scope.cancel(reason="the estate is closed")


async def main() -> None:
    """Add, use, report and remove a user."""
    path = ".".join(PATH)
    async with open_estate() as portal:
        for instruction in (
            "add_project proj.waldur",
            "add_user fred.proj.waldur",
            "get_home_dir fred.proj.waldur",
            "get_usage_report proj.waldur yesterday",
            "remove_user fred.proj.waldur",
        ):
            print(f"  waldur   asks {instruction}")
            answer = await portal.ask(f"{path} {instruction}")
            shown = f"{answer.total_usage.describe()} of a node" if "usage" in instruction else str(answer)
            print(f"  waldur   has the answer: {shown.replace(str(Path.cwd()), '')}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="estate-") as directory:
        os.chdir(directory)
        trio.run(main)
        os.chdir("/")
