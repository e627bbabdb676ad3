"""Which ready-made agent runs for a configuration, from the command line and from Python."""

from __future__ import annotations

import importlib

import pytest
from click.testing import CliRunner

from paddington import ConfigError
from templemeads import Handlers
from templemeads.agent_type import AgentType
from templemeads.cli.main import main
from templemeads.roles import account, filesystem, instance, platform, portal, provider, scheduler
from templemeads.roles.ready import check_options, make_ready_agent, unknown_options

from .fakes import FakeAgent, make_config, run_job

MODULES = {
    AgentType.PROVIDER: provider,
    AgentType.PLATFORM: platform,
    AgentType.INSTANCE: instance,
    AgentType.ACCOUNT: account,
    AgentType.FILESYSTEM: filesystem,
    AgentType.SCHEDULER: scheduler,
}


@pytest.mark.parametrize("agent_type", MODULES)
def test_the_table_of_the_type_runs(agent_type):
    node = {"slurm_default_node": '{"cpus": 1}'} if agent_type is AgentType.SCHEDULER else {}
    assert make_ready_agent(make_config("x", agent_type, **node)).handler is MODULES[agent_type].handlers


def test_there_is_no_ready_made_virtual_agent():
    assert make_ready_agent(make_config("x", AgentType.VIRTUAL)) is None


@pytest.mark.parametrize("agent_type", MODULES)
async def test_a_role_refuses_a_configuration_of_another_type(agent_type):
    with pytest.raises(ConfigError, match=f"of type Virtual, not {agent_type.value}"):
        await MODULES[agent_type].run(make_config("x", AgentType.VIRTUAL))


@pytest.mark.parametrize("module", [provider, platform])
async def test_agents_that_only_pass_on_run_no_job(module):
    agent = FakeAgent(make_config("x", AgentType.PROVIDER))
    job = await run_job(module.handlers, "add_user fred.proj.portal", agent)
    assert job.error.kind == "unsupported"


def test_options_are_checked_for_the_agent_that_will_run():
    config = make_config("slurm", AgentType.SCHEDULER, sacct="sacct", typo="x")
    assert "slurm-default-node" in check_options(config)[0]
    assert unknown_options(config) == ["typo"]
    config.handler = "mine.py:handlers"
    assert check_options(config) == []
    assert unknown_options(config) == []


def test_the_command_line_checks_options_and_runs_one_shots_of_the_ready_made_agent(tmp_path):
    file = str(tmp_path / "files.toml")

    def call(*words):
        return CliRunner().invoke(main, ["-c", file, *words])

    assert call("init", "--type", "filesystem", "--service", "files").exit_code == 0
    with (tmp_path / "files.toml").open("a") as opened:
        opened.write('\n[user_volumes.home]\nroots = ["/srv/home"]\n')
    question = "get_local_home_dir fred.proj.portal:fred.proj:portal.proj"
    answered = call("--log-level", "error", "run", "--one-shot", question)
    assert answered.output.strip() == '"/srv/home/proj/fred.proj"', answered.output
    assert call("config", "check").exit_code == 0
    with (tmp_path / "files.toml").open("a") as opened:
        opened.write('\n[user_volumes.scratch]\nroots = ["relative"]\n')
    checked = call("config", "check")
    assert checked.exit_code == 1
    assert "absolute paths" in checked.output


def test_every_role_has_run_and_all_but_the_bridge_a_table():
    names = ("portal", "provider", "platform", "instance", "account", "filesystem", "scheduler", "bridge")
    for name in names:
        module = importlib.import_module(f"templemeads.roles.{name}")
        assert callable(module.run)
        assert name == "bridge" or isinstance(module.handlers, Handlers)


async def test_a_portal_refuses_a_configuration_of_another_type():
    with pytest.raises(ConfigError, match="of type Virtual, not Portal"):
        await portal.run(make_config("x", AgentType.VIRTUAL))


def test_each_portal_has_a_handler_of_its_own_for_jobs_and_notifications():
    first, second = (make_ready_agent(make_config("x", AgentType.PORTAL)) for _ in range(2))
    assert first.handler is not second.handler
    assert first.on_notification is not None
