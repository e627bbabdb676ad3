"""A portal and a cluster that cannot reach each other talk through a relay; three processes.

    python examples/relay.py

makes their configurations in a temporary directory, starts all three and runs one job. Or each by itself:

    python examples/relay.py configure DIRECTORY
    python examples/relay.py relay DIRECTORY
    python examples/relay.py cluster DIRECTORY
    python examples/relay.py portal DIRECTORY
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import click
import trio

from paddington import ServiceConfig, open_service
from templemeads import Agent, AgentConfig, AgentType, Envelope, Job, open_agent, run_agent

PAIRS = '\n[policy]\npairs = [["portal", "cluster"]]\n'
PATIENCE_SECONDS = 50


async def handle(envelope: Envelope) -> Job:
    """Answer every job of the portal."""
    return envelope.job.completed("account created, and the relay read nothing of it")


async def relay(directory: Path) -> None:
    """Pass on what the two of each pair send each other."""
    file = directory / "relay.toml"
    pairs = tomllib.loads(file.read_text())["policy"]["pairs"]
    async with open_service(ServiceConfig.load(file), relay_pairs=pairs):
        await trio.sleep_forever()


async def cluster(directory: Path) -> None:
    """Serve the portal's jobs."""
    service = ServiceConfig.load(directory / "cluster.toml")
    await run_agent(AgentConfig(service, AgentType.INSTANCE), handle)


async def portal(directory: Path) -> None:
    """Give the cluster one job."""
    service = ServiceConfig.load(directory / "portal.toml")
    async with open_agent(AgentConfig(service, AgentType.PORTAL)) as agent:
        with trio.fail_after(PATIENCE_SECONDS):
            click.echo(await ask(agent))


async def ask(agent: Agent) -> str:
    """Put a job to the cluster and return its result."""
    peer = await agent.wait_for(AgentType.INSTANCE)
    job = await Job.parse("portal.cluster add_user fred.proj.portal").put(peer)
    job = await job.wait()
    return str(job.result())


def configure(directory: Path, port: int) -> None:
    """Write the three configurations."""
    middle = ServiceConfig.create("relay", url=f"ws://localhost:{port}", port=port)
    one, other = ServiceConfig.create("portal"), ServiceConfig.create("cluster")
    one.add_server(middle.add_client("portal", "127.0.0.1"))
    other.add_server(middle.add_client("cluster", "127.0.0.1"))
    other.add_server(one.add_client("cluster", proxy="relay"))
    for config in (middle, one, other):
        config.save(directory / f"{config.name}.toml")
    with (directory / "relay.toml").open("a") as file:
        file.write(PAIRS)


def show(port: int) -> None:
    """Run all three."""
    with tempfile.TemporaryDirectory() as name:
        configure(Path(name), port)
        others = [
            subprocess.Popen([sys.executable, __file__, role, name], stdin=subprocess.DEVNULL)  # noqa: S603 - ourselves
            for role in ("relay", "cluster")
        ]
        try:
            subprocess.run(  # noqa: S603 - likewise
                [sys.executable, __file__, "portal", name], check=True, timeout=2 * PATIENCE_SECONDS
            )
        finally:
            for process in others:
                process.terminate()
            for process in others:
                process.wait()


@click.command()
@click.argument("role", type=click.Choice(["all", "configure", "relay", "cluster", "portal"]), default="all")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option("--port", default=8042, help="Where the relay listens.")
def main(role: str, directory: Path, port: int) -> None:
    """Talk through a relay."""
    match role:
        case "all":
            show(port)
        case "configure":
            configure(directory, port)
        case _:
            trio.run({"relay": relay, "cluster": cluster, "portal": portal}[role], directory)


if __name__ == "__main__":
    main()
