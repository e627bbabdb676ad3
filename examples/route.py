"""Four agents in a row, waldur.brics.notebook.shared, and one job that crosses all of them.

Each agent knows only its neighbours. Each can run in its own process; they find each other through invitations in
a shared directory, in any order:

    python examples/route.py shared --directory /tmp/route --port 6504
    python examples/route.py notebook --directory /tmp/route --port 6503
    python examples/route.py brics --directory /tmp/route --port 6502
    python examples/route.py waldur --directory /tmp/route --port 6501

or all four in one process:

    python examples/route.py all --directory /tmp/route
"""

from __future__ import annotations

import logging
from pathlib import Path

import click
import trio

from paddington import Invite, PaddingtonError, ServiceConfig
from templemeads import (
    AgentConfig,
    AgentType,
    Envelope,
    Handlers,
    TemplemeadsError,
    UserIdentifier,
    UserMapping,
    open_agent,
)
from templemeads.grammar import AddUser

ROUTE = {
    "waldur": AgentType.PORTAL,
    "brics": AgentType.PROVIDER,
    "notebook": AgentType.PLATFORM,
    "shared": AgentType.INSTANCE,
}
NAMES = list(ROUTE)
COMMAND = "waldur.brics.notebook.shared add_user fred.proj.waldur"
PATIENCE = 20

handlers = Handlers()


@handlers.add(AddUser)
async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
    """Pretend to make an account: only the last agent of the path runs this."""
    await envelope.progress(f"making a home for {user.username}")
    return UserMapping(user, user.username, user.project)


async def run(name: str, directory: Path, port: int) -> None:
    """Run one of the agents: the first sends the job, the others stay until the one before them has gone."""
    index = NAMES.index(name)
    service = ServiceConfig.create(name, port=port)
    if index + 1 < len(NAMES):
        after = NAMES[index + 1]
        service.add_client(after, "127.0.0.1").save(directory / f"{name}-{after}.toml")
    if index > 0:
        before = NAMES[index - 1]
        service.add_server(await wait_for_invitation(directory / f"{before}-{name}.toml"))
    async with open_agent(AgentConfig(service, ROUTE[name]), handlers) as agent:
        if index > 0:
            await agent.wait_for(before, refusals=3)
            await agent.wait_gone(before)
            return
        job = await agent.submit(COMMAND)
        async for change in job.updates():
            click.echo(change.progress or change.status.value)
        click.echo(change.result())


async def wait_for_invitation(path: Path) -> Invite:
    """Wait for the file that the agent before us writes; files have no events, so look now and then."""
    with trio.move_on_after(PATIENCE):
        while not await trio.Path(path).exists():  # noqa: ASYNC110 - a file has no event
            await trio.sleep(0.1)
    return Invite.load(path)


async def run_all(directory: Path, port: int) -> None:
    """Run all four in this process: nothing of one agent is shared with another."""
    async with trio.open_nursery() as nursery:
        for index, name in enumerate(NAMES):
            nursery.start_soon(run, name, directory, port + index)


@click.command(help=__doc__)
@click.argument("name", type=click.Choice([*NAMES, "all"]))
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), required=True, help="For invitations."
)
@click.option(
    "--port", default=6501, show_default=True, help="Port to listen on; with 'all', the first of four."
)
def main(name: str, directory: Path, port: int) -> None:
    """See the module's docstring."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    directory.mkdir(parents=True, exist_ok=True)
    if name == "all":
        trio.run(run_all, directory, port)
    else:
        trio.run(run, name, directory, port)


if __name__ == "__main__":
    try:
        main()
    except (TemplemeadsError, PaddingtonError) as error:
        raise SystemExit(str(error)) from None
