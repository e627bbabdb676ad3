"""Two services count down from 1000 to "Blast off!", each sending back one less than it got.

Both in one process:

    python examples/echo.py

Or each in its own process, in either order once the invitation exists:

    python examples/echo.py server --invitation invitation.toml
    python examples/echo.py client --invitation invitation.toml
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import click
import trio

from paddington import Connection, Invite, PaddingtonError, ServiceConfig, open_service

START = 1000
BLAST_OFF = "Blast off!"


async def count_down(connection: Connection, done: trio.Event, *, begin: bool) -> None:
    """Send back one less than what arrives; one of the two sides begins."""
    if begin:
        await connection.send(str(START))
    async for text in connection:
        click.echo(f"{connection.peer.name} says {text}")
        if text == BLAST_OFF:
            done.set()
            return
        number = int(text) - 1
        if number:
            await connection.send(str(number))
        else:
            await connection.send(BLAST_OFF)
            click.echo(BLAST_OFF)
            done.set()
            return


async def run_server(config: ServiceConfig) -> None:
    """Listen, and begin when the client has connected."""
    done = trio.Event()
    async with open_service(config, serve=partial(count_down, done=done, begin=True)):
        await done.wait()


async def run_client(invite: Invite) -> None:
    """Call the service that wrote the invitation, and count with it."""
    config = ServiceConfig.create("client")
    config.add_server(invite)
    done = trio.Event()
    async with open_service(config, serve=partial(count_down, done=done, begin=False)):
        await done.wait()


async def run_both() -> None:
    """Run both sides in one process, on a free port."""
    config = ServiceConfig.create("server", url="ws://127.0.0.1:0", port=0)
    invite = config.add_client("client", "127.0.0.1")
    done = trio.Event()
    async with open_service(config, serve=partial(count_down, done=done, begin=True)) as service:
        await run_client(attrs.evolve(invite, url=f"ws://127.0.0.1:{service.port}"))
        await done.wait()


@click.group(invoke_without_command=True)
@click.option("--verbose", is_flag=True, help="Show the log.")
@click.pass_context
def main(context: click.Context, *, verbose: bool) -> None:
    """Count down from 1000 to "Blast off!" between two services."""
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(message)s")
    if context.invoked_subcommand is None:
        start(run_both)


@main.command()
@click.option("--url", default="http://localhost:6500", show_default=True)
@click.option("--ip", default="127.0.0.1", show_default=True)
@click.option("--port", default=6500, show_default=True)
@click.option("--range", "allowed", default="127.0.0.1", show_default=True, help="Where the client may be.")
@click.option("--invitation", default="invitation.toml", show_default=True, help="File to write.")
def server(url: str, ip: str, port: int, allowed: str, invitation: str) -> None:
    """Write an invitation for the client, then count down with it."""

    async def run() -> None:
        config = ServiceConfig.create("server", url=url, ip=ip, port=port)
        config.add_client("client", allowed).save(invitation)
        click.echo(f"Wrote {invitation}: give it to the client")
        await run_server(config)

    start(run)


@main.command()
@click.option("--invitation", default="invitation.toml", show_default=True, help="What the server wrote.")
def client(invitation: str) -> None:
    """Call the server that wrote the invitation."""

    async def run() -> None:
        await run_client(Invite.load(invitation))

    start(run)


def start(run: Callable[[], Awaitable[None]]) -> None:
    """Run until done; what is wrong with the call is told in one line."""
    try:
        trio.run(run)
    except PaddingtonError as exc:
        raise click.ClickException(str(exc)) from None


if __name__ == "__main__":
    main()
