import os
import subprocess
import sys
from pathlib import Path

import pytest

from templemeads import AgentConfig, AgentType

from .invoking import call

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _import_nothing_for_others(monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield
    for module in [name for name in sys.modules if name.partition(".")[0] == "my_agent"]:
        del sys.modules[module]


def test_a_project_has_a_sound_configuration_and_a_unit(tmp_path):
    call("new", "my-agent", "-d", tmp_path / "p", "-t", "account", "-p", "7000")
    config = AgentConfig.load(tmp_path / "p/agent.toml")
    assert (config.name, config.agent_type, config.service.port) == ("my-agent", AgentType.ACCOUNT, 7000)
    call("-c", tmp_path / "p/agent.toml", "config", "check")
    assert (
        call("-c", tmp_path / "p/agent.toml", "run", "-o", "add_user fred.proj.portal")
        == '"fred.proj.portal:fred:proj"\n'
    )
    unit = (tmp_path / "p/my-agent.service").read_text()
    assert "Type=notify" in unit
    assert "EnvironmentFile=-/etc/templemeads/my-agent.env" in unit
    assert "$" not in unit
    assert "agent.toml" in (tmp_path / "p/.gitignore").read_text()
    assert "not empty" in call("new", "my-agent", "-d", tmp_path / "p", status=1)


@pytest.mark.parametrize(
    "name",
    [
        "1 2",
        "class",
        "async",
        "match",
        "types",
        "json",
        "site",
        "trio",
        "templemeads",
        "tests",
        "\u00e9tude",
        "_x",
        "__main__",
        "",
    ],
)
def test_a_name_that_python_or_the_project_cannot_live_with_is_refused(tmp_path, name):
    assert "cannot be the name" in call("new", name, "-d", tmp_path / "p", status=1)
    assert not (tmp_path / "p").exists()


@pytest.mark.slow
@pytest.mark.processes
def test_the_tests_of_a_new_project_pass_and_its_executable_works(tmp_path):
    call("new", "my_agent", "-d", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(tests, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    command = [sys.executable, "-m", "my_agent", "run", "--one-shot", "add_user fred.proj.portal"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, '"fred.proj.portal:fred:proj"\n'), done.stderr


def test_the_shared_unit_is_the_one_of_new_projects():
    from templemeads.cli.unit import SERVICE_UNIT

    shared = (ROOT / "examples/operations/templemeads@.service").read_text()
    ours = SERVICE_UNIT.substitute(name="%i", program="/opt/templemeads/bin/templemeads")
    assert shared[shared.index("[Unit]") :] == ours[ours.index("[Unit]") :]
