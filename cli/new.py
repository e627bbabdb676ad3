"""`new`: starts a project around a handler."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from pathlib import Path
from string import Template
from typing import Final

import click

from .group import Failure
from .init import TYPES
from .output import say
from .unit import SERVICE_UNIT

HANDLERS: Final = Template('''\
"""What the agent $name does: one function for each instruction that it understands.

Each gets the envelope (the job, and who sent it) and the fields of its instruction. It returns the result that the
instruction promises; if it raises, the job ends with an error. `templemeads grammar` lists all instructions.

In an async function, run programs with `trio.run_process` and blocking calls with `trio.to_thread.run_sync`; a blocking
call would stop the whole agent. A plain `def` runs in a thread of its own.
"""

from templemeads import Envelope, Handlers, JobError, UserIdentifier, UserMapping
from templemeads.grammar import AddUser, RemoveUser

handlers = Handlers()


@handlers.add(AddUser)
async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
    """Create an account. It may exist already: after a crash an agent can be asked twice for the same."""
    await envelope.progress(f"creating a home directory for {user.username}")
    return UserMapping(user, user.username, user.project)


@handlers.add(RemoveUser)
async def remove_user(_: Envelope, user: UserIdentifier) -> UserMapping:
    """Remove an account, unless it belongs to the project admin."""
    if user.project == "admin":
        raise JobError(f"The account of {user} is protected", kind="invalid")
    return UserMapping(user, user.username, user.project)
''')

TESTS: Final = '''\
"""Tests the handlers with every kind of job that they can get."""

import pytest

from {package}.handlers import handlers
from templemeads import JobError
from templemeads.testing import check_handler


def test_the_handlers_answer_every_job():
    check_handler(handlers)


async def test_an_account_is_created(agent_pair):
    async with agent_pair(handlers) as chain:
        job = await chain.first.submit(f"{{chain.path}} add_user fred.proj.portal")
        assert str((await job.wait()).result()) == "fred.proj.portal:fred:proj"


async def test_accounts_of_admin_are_protected(agent_pair):
    async with agent_pair(handlers) as chain:
        job = await chain.first.submit(f"{{chain.path}} remove_user fred.admin.portal")
        with pytest.raises(JobError, match="protected"):
            (await job.wait()).result()
'''

MAIN: Final = Template('''\
"""The executable `$name`: the commands of `templemeads`, with this handler built in."""

from templemeads import AgentType
from templemeads.cli import AgentDefaults, agent_app

from .handlers import handlers

main = agent_app(
    AgentDefaults(agent_type=AgentType.$type, name="$name", config_file="agent.toml", port=$port), handlers
)

if __name__ == "__main__":
    main()
''')

PROJECT: Final = Template("""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["templemeads[http,metrics]"]

[project.optional-dependencies]
test = ["templemeads[testing]"]

[project.scripts]
$name = "$package.__main__:main"

[tool.hatch.build.targets.wheel]
packages = ["$package"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
trio_mode = true
""")

README: Final = Template("""\
# $name

    python -m pip install -e '.[test]'
    python -m pytest
    templemeads -c agent.toml server add invitation.toml
    templemeads -c agent.toml run --reload

The handlers are in `$package/handlers.py`. The agent's configuration is `agent.toml`: it holds keys, keep it out of the
repository. `$name.service` runs it under systemd.
""")

IGNORED: Final = (
    "agent.toml\n*.db\n*.db-*\n*.lock\n*.sock\ninvit*.toml\nrotat*.toml\n__pycache__/\n.hypothesis/\n"
)


def _check_name(name: str, package: str) -> None:
    """Refuse a name that Python, the tests of the project or another module could not live with."""
    reason = None
    if not (name.isascii() and name[:1].isalpha() and package.isidentifier()):
        reason = "use ASCII letters, digits, - and _, and begin with a letter"
    elif keyword.iskeyword(package) or keyword.issoftkeyword(package):
        reason = "it is a keyword of Python"
    elif package in sys.stdlib_module_names or package in {"tests", "conftest"}:
        reason = f"the module {package} would hide another one"
    elif importlib.util.find_spec(package) is not None:
        reason = f"the module {package} would hide one that is installed"
    if reason is not None:
        raise Failure(f"{name!r} cannot be the name of a project: {reason}")


@click.command()
@click.argument("name")
@click.option(
    "-t",
    "--type",
    "agent_type",
    type=click.Choice(TYPES),
    default="instance",
    show_default=True,
    help="What the agent is.",
)
@click.option(
    "-p", "--port", type=click.IntRange(0, 65535), default=8042, show_default=True, help="Port to listen on."
)
@click.option(
    "-d", "--directory", type=click.Path(path_type=Path), help="Directory of the project; by default NAME."
)
def new(name: str, agent_type: str, port: int, directory: Path | None) -> None:
    """Start a project: handler, tests, configuration, systemd unit.

    Example:
      templemeads new my_agent && cd my_agent && python -m pytest
    """
    from paddington import ServiceConfig
    from templemeads import AgentConfig, AgentType

    where = Path(name) if directory is None else directory
    package = name.replace("-", "_").lower()
    if where.exists() and any(where.iterdir()):
        raise Failure(f"{where.absolute()} already exists and is not empty")
    _check_name(name, package)
    kind = AgentType.parse(agent_type)
    service = ServiceConfig.create(name, port=port)
    words = {"name": name, "package": package, "type": kind.name, "port": str(port)}
    words["program"] = f"/opt/{name}/bin/templemeads"
    files = {
        "pyproject.toml": PROJECT.substitute(words),
        "README.md": README.substitute(words),
        ".gitignore": IGNORED,
        f"{package}/__init__.py": f'"""The agent {name}."""\n',
        f"{package}/__main__.py": MAIN.substitute(words),
        f"{package}/handlers.py": HANDLERS.substitute(words),
        "tests/test_handlers.py": TESTS.format(package=package),
        f"{name}.service": SERVICE_UNIT.substitute(words),
    }
    for path, text in files.items():
        (where / path).parent.mkdir(parents=True, exist_ok=True)
        (where / path).write_text(text)
    AgentConfig(service, kind, handler=f"{package}.handlers:handlers").save(where / "agent.toml")
    say(f"Wrote {where.absolute()}")
    say(f"Next: cd {where}; python -m pytest; then read README.md")
