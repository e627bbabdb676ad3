"""Two agents in two processes: a portal that sends jobs, and a cluster that runs them.

In one terminal:

    python examples/job.py portal

and in another one, before or after that (the cluster connects when the portal is there):

    python examples/job.py cluster --invitation invitation.toml

The portal asks for an account and has it removed again. Then it asks for something that the cluster refuses, and ends with
status 1. Its jobs name users of its own, such as fred.proj.portal: an agent in between, and the command line, would refuse
to pass on a portal's job for the users of another portal.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path

import click
import trio

from paddington import Invite, PaddingtonError, ServiceConfig
from templemeads import (
    AgentConfig,
    AgentType,
    Envelope,
    Job,
    JobError,
    PeerRefusedError,
    TemplemeadsError,
    UnknownInstruction,
    open_agent,
)
from templemeads.grammar import AddUser, RemoveUser

COMMANDS = (
    "portal.cluster add_user fred.proj.portal",
    "portal.cluster remove_user fred.proj.portal",
    "portal.cluster remove_user jane.admin.portal",
)


async def cluster_runner(envelope: Envelope) -> Job:
    """The cluster's handler: creates and removes accounts, but none of the project `admin`."""
    job = envelope.job
    match job.instruction:
        case AddUser():
            return job.completed("account created")
        case RemoveUser(user) if user.project == "admin":
            return job.errored(f'You are not allowed to remove the account for "{user.username}"')
        case RemoveUser():
            return job.completed("account removed")
        case unknown:
            raise UnknownInstruction(unknown)


async def portal_runner(envelope: Envelope) -> Job:
    """The portal's handler: portals send jobs and run none."""
    raise UnknownInstruction(envelope.job.instruction)


async def run_portal(url: str, ip: str, port: int, client_range: str, invitation: Path) -> None:
    """Invite the cluster, wait for it, and send it one job after the other."""
    service = ServiceConfig.create("portal", url=url, ip=ip, port=port)
    service.add_client("cluster", client_range).save(invitation)
    async with open_agent(AgentConfig(service, AgentType.PORTAL), portal_runner) as agent:
        click.echo(f"The invitation is in {invitation}; waiting for the cluster ...")
        cluster = await agent.wait_for(AgentType.INSTANCE)
        for command in COMMANDS:
            job = await Job.parse(command).put(cluster)
            job = await job.wait()
            click.echo(job.result())


async def run_cluster(invitation: Path, patience: float, *, allow_readable: bool) -> None:
    """Run the cluster until the portal has gone."""
    with trio.move_on_after(patience):
        while not await trio.Path(invitation).exists():  # noqa: ASYNC110 - a file has no event
            await trio.sleep(0.1)
    while not await serve_portal(invitation, allow_readable=allow_readable):
        pass  # the portal was restarted and wrote a new invitation


async def serve_portal(invitation: Path, *, allow_readable: bool) -> bool:
    """Run the cluster with an invitation; return False if that was replaced before the portal answered."""
    invite = Invite.load(invitation, allow_readable=allow_readable)
    service = ServiceConfig.create("cluster")
    service.add_server(invite)
    async with open_agent(AgentConfig(service, AgentType.INSTANCE), cluster_runner) as agent:
        while True:
            with trio.move_on_after(1):
                try:
                    await agent.wait_for("portal", refusals=3)
                    break
                except PeerRefusedError:
                    if Invite.load(invitation, allow_readable=allow_readable) == invite:
                        raise
            if Invite.load(invitation, allow_readable=allow_readable) != invite:
                return False
        await agent.wait_gone("portal")
        return True


@click.group(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@main.command()
@click.option(
    "--url", default="http://localhost:6501", show_default=True, help="Where the cluster calls the portal."
)
@click.option("--ip", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=6501, show_default=True, help="Port to listen on.")
@click.option(
    "--range", "client_range", default="127.0.0.1", show_default=True, help="Where the cluster calls from."
)
@click.option("--invitation", type=Path, default="invitation.toml", show_default=True, help="File to write.")
def portal(url: str, ip: str, port: int, client_range: str, invitation: Path) -> None:
    """Run the portal."""
    try:
        trio.run(run_portal, url, ip, port, client_range, invitation)
    except JobError as error:
        click.echo(error)
        sys.exit(1)


@main.command()
@click.option("--invitation", type=Path, required=True, help="File that the portal has written.")
@click.option("--patience", default=5.0, show_default=True, help="Seconds to wait for that file.")
@click.option("--allow-readable", is_flag=True, help="Accept the file even if other users can read it.")
def cluster(invitation: Path, patience: float, *, allow_readable: bool) -> None:
    """Run the cluster."""
    trio.run(partial(run_cluster, invitation, patience, allow_readable=allow_readable))


if __name__ == "__main__":
    try:
        main()
    except (TemplemeadsError, PaddingtonError) as error:
        raise SystemExit(str(error)) from None
