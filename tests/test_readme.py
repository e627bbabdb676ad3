"""The README's code is run as it stands there, but for the lines that would never end."""

import re
from functools import partial
from pathlib import Path

import pytest
import trio

from paddington import Invite, ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import AgentConfig, AgentType, Handlers, Job, open_agent
from templemeads.grammar import UserMapping
from templemeads.testing.networks import open_chain

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_handler_has_about_ten_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 10


async def test_the_handler_of_the_readme_does_what_it_says(autojump_clock):
    names: dict[str, object] = {}
    code, _, last_line = BLOCKS[0].partition("trio.run(")
    assert last_line.startswith("run_agent, AgentConfig.load(")
    exec(code, names)
    handlers = names["handlers"]
    assert isinstance(handlers, Handlers)
    async with open_chain("portal", "cluster", handler=handlers) as chain:
        job = await chain.first.submit("portal.cluster add_user fred.proj.portal")
        assert (await job.wait()).result() == UserMapping.parse("fred.proj.portal:fred:proj")


async def test_the_portal_of_the_readme_sends_its_job(tmp_path, monkeypatch, capsys, autojump_clock):
    monkeypatch.chdir(tmp_path)
    network = MemoryNetwork()
    transport = partial(open_service, network=network)

    async def cluster_runner(envelope):
        return envelope.job.completed("account created")

    body = BLOCKS[1].replace(".add_client(", ".add_client(", 1)
    head, _, tail = body.partition("async with ")
    code = "async def portal():\n" + "".join(
        f"    {line}\n" for line in (head + "async with " + tail).splitlines()
    )
    names = {
        "ServiceConfig": ServiceConfig,
        "AgentConfig": AgentConfig,
        "AgentType": AgentType,
        "Job": Job,
        "open_agent": partial(open_agent, transport=transport),
    }
    exec(code, names)

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def cluster() -> None:
            await trio.testing.wait_all_tasks_blocked()
            service = ServiceConfig.create("cluster")
            service.add_server(Invite.load("invitation.toml"))
            async with open_agent(
                AgentConfig(service, AgentType.INSTANCE), cluster_runner, transport=transport
            ) as agent:
                await agent.wait_for("portal")
                await agent.wait_gone("portal")

        await names["portal"]()
    assert capsys.readouterr().out == "account created\n"


@pytest.mark.parametrize(
    "name", re.findall(r"`((?:docs|examples)/[a-z_]+\.(?:md|py))`|\((docs/[a-z]+\.md)\)", README)
)
def test_every_file_that_the_readme_names_is_there(name):
    assert (Path(__file__).parents[1] / "".join(name)).is_file()
