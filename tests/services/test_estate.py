"""A whole estate on real parts: portal, provider, platform, instance, and real accounts, directories and a real Slurm."""

from __future__ import annotations

import datetime as dt
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import pytest
import trio

from paddington import ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import AgentConfig, AgentType, JobError, open_agent
from templemeads.grammar import DateRange
from templemeads.grammar.usage import Usage
from templemeads.roles import account, filesystem, instance, platform, provider, scheduler
from tests.services.slurm import Cluster, obstacle

NODE = '{"cpus": 1, "mem": 100}'
PATH = "waldur.brics.clusters.shared"


@pytest.fixture(scope="module")
def cluster():
    if (reason := obstacle()) is not None:
        pytest.skip(f"no real Slurm here: {reason}")
    with Cluster.started() as running:
        yield running


def configs(cluster):
    """The configurations of all agents; the leaf agents reach the machine through the namespace of the cluster."""
    types = {
        "waldur": AgentType.PORTAL,
        "brics": AgentType.PROVIDER,
        "clusters": AgentType.PLATFORM,
        "shared": AgentType.INSTANCE,
        "accounts": AgentType.ACCOUNT,
        "files": AgentType.FILESYSTEM,
        "slurm": AgentType.SCHEDULER,
    }
    made = {
        name: AgentConfig(ServiceConfig.create(name, port=7100 + number), kind)
        for number, (name, kind) in enumerate(types.items())
    }
    links = [*pairwise(["waldur", "brics", "clusters", "shared"]),
             *(("shared", leaf) for leaf in ("accounts", "files", "slurm"))]  # fmt: skip
    for listening, calling in links:
        made[calling].service.add_server(made[listening].service.add_client(calling, "127.0.0.1"))
    prefix = " ".join(cluster.inside)
    programs = ("useradd", "userdel", "groupadd", "groupdel", "usermod", "getent", "gpasswd")
    made["accounts"].extras |= {name: f"{prefix} {name}" for name in programs}
    made["files"].extras["exec-prefix"] = prefix
    home, work = cluster.directory / "home", cluster.directory / "srv"
    made["files"].tables = {
        "user_volumes": {"home": {"roots": [str(home)], "permissions": "0700"}},
        "project_volumes": {"work": {"roots": [str(work)]}},
    }
    made["slurm"].extras |= {"slurm-default-node": NODE, "slurm-cluster": "linux"}
    made["slurm"].extras |= {name: f"{prefix} {name}" for name in ("sacct", "sacctmgr", "scancel")}
    return made


@asynccontextmanager
async def estate(cluster):
    tables = {"brics": provider, "clusters": platform, "shared": instance, "accounts": account,
              "files": filesystem, "slurm": scheduler}  # fmt: skip
    transport = partial(open_service, network=MemoryNetwork())
    agents = {}
    async with trio.open_nursery() as nursery:

        async def run(config, handlers, *, task_status):
            options = {} if handlers is None else {"handler": handlers}
            async with open_agent(config, transport=transport, **options) as agent:
                task_status.started(agent)
                await trio.sleep_forever()

        for name, config in configs(cluster).items():
            module = tables.get(name)
            agents[name] = await nursery.start(run, config, None if module is None else module.handlers)
        for name, after in pairwise(PATH.split(".")):
            await agents[name].wait_for(after)
        for kind in (AgentType.ACCOUNT, AgentType.FILESYSTEM, AgentType.SCHEDULER):
            await agents["shared"].wait_for(kind)
        yield lambda instruction: agents["waldur"].ask(f"{PATH} {instruction}")
        nursery.cancel_scope.cancel()


async def finished_job(cluster, user):
    """Submit a job as a user, and wait until accounting knows its end."""
    script = "#!/bin/sh\nsleep 2\n"
    words = [
        *cluster.inside,
        "runuser",
        "-u",
        user,
        "--",
        "sbatch",
        "--parsable",
        "--chdir=/tmp",
        "--output=/dev/null",
    ]
    done = await trio.run_process(
        words, stdin=script.encode(), capture_stdout=True, capture_stderr=True, check=False
    )
    assert done.returncode == 0, done.stderr
    number = done.stdout.decode().strip().split(";")[0]
    with trio.fail_after(60):
        while "COMPLETED" not in cluster.run("sacct", "-n", "-X", "-j", number, "-o", "state"):  # noqa: ASYNC110 - accounting tells nobody
            await trio.sleep(0.5)


async def test_a_user_is_added_works_is_reported_limited_blocked_and_removed(cluster):
    began = dt.date.today()  # noqa: DTZ011 - Slurm's days are local
    async with estate(cluster) as ask:
        project = await ask("add_project proj.waldur")
        assert str(project) == "proj.waldur:waldur.proj"
        user = await ask("add_user fred.proj.waldur")
        assert str(user) == "fred.proj.waldur:fred.proj:waldur.proj"
        home = await ask("get_home_dir fred.proj.waldur")
        assert cluster.run("stat", "-c", "%U:%G %a", home).strip() == "fred.proj:waldur.proj 700"
        assert f":{home}:/bin/bash" in cluster.run("getent", "passwd", "fred.proj")
        assert (
            cluster.run("stat", "-c", "%U:%G %a", f"{cluster.directory}/srv/proj").strip()
            == "root:waldur.proj 2770"
        )
        assert await ask("add_user fred.proj.waldur") == user, "the same again"

        await finished_job(cluster, "fred.proj")
        days = DateRange.parse(f"{began}:{dt.date.today()}")  # noqa: DTZ011
        report = await ask(f"get_usage_report proj.waldur {days}")
        assert report.total.num_jobs == 1
        assert 1 <= report.total_usage.seconds <= 30
        assert report.unmapped_users == ()

        assert await ask("set_limit proj.waldur 10 hours") == Usage.of(hours=10)
        assert await ask("get_limit proj.waldur") == Usage.of(hours=10)
        assert "cpu=600" in cluster.run(
            "sacctmgr", "-n", "-P", "show", "assoc", "account=waldur.proj", "format=GrpTRESMins"
        )

        await ask("block_user fred.proj.waldur")
        assert await ask("is_blocked_user fred.proj.waldur") is True
        assert cluster.run("getent", "shadow", "fred.proj").split(":")[1].startswith("!")
        await ask("unblock_user fred.proj.waldur")
        assert await ask("is_blocked_user fred.proj.waldur") is False

        await ask("remove_user fred.proj.waldur")
        assert "fred.proj" not in cluster.run("getent", "passwd", "fred.proj", check=False)
        await ask("remove_project proj.waldur")
        assert cluster.run("getent", "group", "waldur.proj", check=False) == ""
        assert not (cluster.directory / "srv" / "proj").exists()
        assert (cluster.directory / "srv" / ".recycle" / "proj").is_dir()


async def test_accounts_of_this_machine_are_not_touched(cluster):
    with open("/etc/passwd") as file:  # noqa: ASYNC230
        before = file.read()
    async with estate(cluster) as ask:
        await ask("add_user jane.other.waldur")
        with open("/etc/passwd") as file:  # noqa: ASYNC230
            assert file.read() == before
        with pytest.raises(JobError, match="Project does not exist"):
            await ask("get_limit nosuch.waldur")
        await ask("remove_user jane.other.waldur")
