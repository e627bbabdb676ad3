"""`client` and `server`: the peers of an agent, and the invitations between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .app import App, pass_app
from .completing import complete_client, complete_server
from .group import Failure, Group
from .init import TYPES, warn_of_dropped_path
from .output import print_json, print_table, say, warn

if TYPE_CHECKING:
    from paddington import Invite
    from paddington.config.files import NewFile

_RESTART = "Restart the agent's process to apply this."

_COPY = "Copy the file over an encrypted channel (scp), never by mail: anyone who has it can connect as that peer."

Function = TypeVar("Function", bound=Callable[..., Any])


def _zone_option(function: Function) -> Function:
    return click.option("-z", "--zone", help="The zone; needed if the name is in several.")(function)


def _json_option(function: Function) -> Function:
    return click.option("--json", "as_json", is_flag=True, help="Print data for programs.")(function)


# -- clients ----------------------------------------------------------------------------------------------------------


@click.group(cls=Group, invoke_without_command=True)
@click.option("-a", "--add", "added", hidden=True)
@click.option("-r", "--remove", "removed", hidden=True)
@click.option("-R", "--rotate", "rotated", hidden=True)
@click.option("-l", "--list", "listed", is_flag=True, hidden=True)
@click.option("-i", "--ip", hidden=True)
@click.option("-z", "--zone", hidden=True)
@click.option("--proxy", hidden=True)
@click.option("--type", "peer_type", hidden=True)
@click.pass_context
def client(
    ctx: click.Context,
    added: str | None,
    removed: str | None,
    rotated: str | None,
    ip: str | None,
    zone: str | None,
    proxy: str | None,
    peer_type: str | None,
    *,
    listed: bool,
) -> None:
    """Manage the peers that call this agent, and their invitations.

    The options of existing agents work too: client --add NAME --ip ADDRESS, --list, --remove NAME, --rotate NAME.

    Example:
      templemeads -c portal.toml client add cluster --ip 10.0.0.7 --output cluster-invitation.toml
    """
    if ctx.invoked_subcommand is not None:
        return
    if listed:
        ctx.invoke(client_list)
    elif added is not None:
        ctx.invoke(client_add, name=added, ip=ip, zone=zone, proxy=proxy, peer_type=peer_type)
    elif removed is not None:
        ctx.invoke(client_remove, name=removed, zone=zone)
    elif rotated is not None:
        ctx.invoke(client_rotate, name=rotated, zone=zone)
    else:
        click.echo(ctx.get_help())


@client.command("add")
@click.argument("name")
@click.option(
    "-i",
    "--ip",
    help="Where it calls from: an address, a range such as 10.0.0.0/8, or several separated by commas.",
)
@click.option("-z", "--zone", help="The zone of the connection; 'default' by default.")
@click.option("--proxy", help="The relay through which it connects, instead of an address.")
@click.option("--type", "peer_type", type=click.Choice(TYPES), help="What it must register as.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File for the invitation.")
@click.option("--force", is_flag=True, help="Replace that file if it exists.")
@pass_app
def client_add(
    app: App,
    name: str,
    ip: str | None,
    zone: str | None = None,
    proxy: str | None = None,
    peer_type: str | None = None,
    output: Path | None = None,
    *,
    force: bool = False,
) -> None:
    """Add a peer, and write the invitation that lets it call.

    Example:
      templemeads -c portal.toml client add cluster --ip 10.0.0.7 --type instance --output cluster-invitation.toml
    """
    if ip is None and proxy is None:
        raise click.UsageError("Say where the peer calls from: --ip 10.0.0.7, or --ip 10.0.0.0/8")
    files: list[NewFile] = []
    with app.edit(files) as config:
        invite = config.service.add_client(
            name, ip, zone or "default", proxy=proxy, type=peer_type, own_type=config.agent_type.value.lower()
        )
        path = output or Path(invite.file_name)
        files.append(_invite_file(invite, path, force=force))
    say(f"Added the client {name}@{invite.zone}")
    say(f"Wrote {path.absolute()}. {_COPY} There, run: server add FILE")
    if proxy is not None:
        say(
            f"{name} is connected through the relay {proxy}: this agent needs the relay's invitation too (server add)"
        )
    if peer_type is None:
        warn(f"{name} may register as any type; to allow only one, add --type, such as --type instance")
    say(_RESTART)


@client.command("list")
@_json_option
@pass_app
def client_list(app: App, *, as_json: bool = False) -> None:
    """List the peers that call this agent.

    Example:
      templemeads -c portal.toml client list --json
    """
    clients = app.load().service.clients
    rows = [
        {
            "name": each.name,
            "zone": each.zone,
            "ip": None if each.ip is None else str(each.ip),
            "proxy": each.proxy,
            "type": each.type,
        }
        for each in clients
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("NAME", "ZONE", "CALLS FROM", "TYPE"),
            [
                (row["name"], row["zone"], row["ip"] or f"relay {row['proxy']}", row["type"] or "any")
                for row in rows
            ],
        )


@client.command("remove")
@click.argument("name", shell_complete=complete_client)
@_zone_option
@pass_app
def client_remove(app: App, name: str, zone: str | None = None) -> None:
    """Remove a peer: its invitation no longer lets it connect.

    Example:
      templemeads -c portal.toml client remove cluster
    """
    with app.edit() as config:
        found = config.service.remove_client(name, zone)
    say(
        f"Removed the client {name}. {_RESTART}" if found else f"There is no client {name}: nothing to remove"
    )


@client.command("rotate")
@click.argument("name", shell_complete=complete_client)
@_zone_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File for the new keys.")
@click.option("--force", is_flag=True, help="Replace that file if it exists.")
@pass_app
def client_rotate(
    app: App, name: str, zone: str | None = None, output: Path | None = None, *, force: bool = False
) -> None:
    """Give a peer new keys; it imports them with: server rotate FILE.

    Example:
      templemeads -c portal.toml client rotate cluster --output cluster-rotation.toml
    """
    files: list[NewFile] = []
    with app.edit(files) as config:
        invite = config.service.rotate_client_keys(name, zone, own_type=config.agent_type.value.lower())
        path = output or Path(f"rotate_{invite.name}_{invite.zone}.toml")
        files.append(_invite_file(invite, path, force=force))
    say(f"The client {name}@{invite.zone} has new keys")
    say(f"Wrote {path.absolute()}. {_COPY} There, run: server rotate FILE")
    say(
        "Restart both agents to apply this. Old and new keys are never both valid: between the two restarts the agents "
        "cannot connect, and jobs wait."
    )


def _invite_file(invite: Invite, path: Path, *, force: bool) -> NewFile:
    if (path.exists() or path.is_symlink()) and not force:
        raise Failure(
            f"There is a file {path.absolute()} already. Name another with --output, or use --force"
        )
    return invite.new_file(path, replace=force)


# -- servers ----------------------------------------------------------------------------------------------------------


@click.group(cls=Group, invoke_without_command=True)
@click.option("-a", "--add", "added", type=click.Path(path_type=Path), hidden=True)
@click.option("-r", "--remove", "removed", hidden=True)
@click.option("-R", "--rotate", "rotated", type=click.Path(path_type=Path), hidden=True)
@click.option("-l", "--list", "listed", is_flag=True, hidden=True)
@click.option("-z", "--zone", hidden=True)
@click.pass_context
def server(
    ctx: click.Context,
    added: Path | None,
    removed: str | None,
    rotated: Path | None,
    zone: str | None,
    *,
    listed: bool,
) -> None:
    """Manage the peers that this agent calls.

    The options of existing agents work too: server --add FILE, --list, --remove NAME, --rotate FILE.

    Example:
      templemeads -c cluster.toml server add cluster-invitation.toml
    """
    if ctx.invoked_subcommand is not None:
        return
    if listed:
        ctx.invoke(server_list)
    elif added is not None:
        ctx.invoke(server_add, file=added, zone=zone)
    elif removed is not None:
        ctx.invoke(server_remove, name=removed, zone=zone)
    elif rotated is not None:
        ctx.invoke(server_rotate, file=rotated)
    else:
        click.echo(ctx.get_help())


def _invite_options(function: Function) -> Function:
    function = click.option(
        "--allow-readable", is_flag=True, help="Accept the file even if others can read it."
    )(function)
    return click.option("--destroy", is_flag=True, help="Delete the file once its keys are imported.")(
        function
    )


@server.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-z", "--zone", help="The zone that the invitation must be for.")
@click.option("--replace", is_flag=True, help="Replace the peer of the same name and zone.")
@_invite_options
@pass_app
def server_add(
    app: App,
    file: Path,
    zone: str | None = None,
    *,
    replace: bool = False,
    allow_readable: bool = False,
    destroy: bool = False,
) -> None:
    """Import an invitation: this agent then calls the agent that wrote it.

    Example:
      templemeads -c cluster.toml server add cluster-invitation.toml --destroy
    """
    invite = _load_invite(app, file, allow_readable=allow_readable)
    if zone is not None and zone != invite.zone:
        raise Failure(f"The invitation is for the zone {invite.zone!r}, not {zone!r}")
    with app.edit() as config:
        known = any(each.peer == invite.peer for each in config.service.servers)
        if known and not replace:
            raise Failure(
                f"There is a server {invite.peer} already. To import new keys: server rotate {file}. "
                "To replace it: --replace"
            )
        if known:
            config.service.remove_server(invite.name, invite.zone)
        config.service.add_server(invite)
    say(
        f"Added the server {invite.peer}, called at {invite.url or f'the relay {invite.proxy}'}, type {invite.type or 'any'}"
    )
    if url := _raw_url(file):
        warn_of_dropped_path(url)
    _after_import(file, destroy=destroy)


@server.command("list")
@_json_option
@pass_app
def server_list(app: App, *, as_json: bool = False) -> None:
    """List the peers that this agent calls.

    Example:
      templemeads -c cluster.toml server list
    """
    rows = [
        {"name": each.name, "zone": each.zone, "url": each.url, "proxy": each.proxy, "type": each.type}
        for each in app.load().service.servers
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("NAME", "ZONE", "URL", "TYPE"),
            [
                (row["name"], row["zone"], row["url"] or f"relay {row['proxy']}", row["type"] or "any")
                for row in rows
            ],
        )


@server.command("remove")
@click.argument("name", shell_complete=complete_server)
@_zone_option
@pass_app
def server_remove(app: App, name: str, zone: str | None = None) -> None:
    """Remove a peer: this agent no longer calls it.

    Example:
      templemeads -c cluster.toml server remove portal
    """
    with app.edit() as config:
        found = config.service.remove_server(name, zone)
    say(
        f"Removed the server {name}. {_RESTART}" if found else f"There is no server {name}: nothing to remove"
    )


@server.command("rotate")
@click.argument("file", type=click.Path(path_type=Path))
@_invite_options
@pass_app
def server_rotate(app: App, file: Path, *, allow_readable: bool = False, destroy: bool = False) -> None:
    """Import new keys of a peer; its url stays as it is.

    Example:
      templemeads -c cluster.toml server rotate cluster-rotation.toml --destroy
    """
    invite = _load_invite(app, file, allow_readable=allow_readable)
    with app.edit() as config:
        config.service.rotate_server_keys(invite)
    say(f"Imported the keys of the server {invite.peer}")
    _after_import(file, destroy=destroy)


def _load_invite(app: App, file: Path, *, allow_readable: bool) -> Invite:
    from paddington import Invite

    return Invite.load(file, allow_readable=allow_readable or app.allow_readable)


def _after_import(file: Path, *, destroy: bool) -> None:
    if not destroy:
        say(f"{file.absolute()} still holds the keys: delete it. {_RESTART}")
        return
    try:
        if file.is_symlink():
            file.resolve().unlink()  # the keys are there
        file.unlink()
    except OSError as error:
        raise Failure(
            f"The keys are imported, but {file.absolute()} cannot be deleted ({error.strerror}). Delete it yourself"
        ) from None
    say(f"Deleted {file.absolute()}. {_RESTART}")


def _raw_url(file: Path) -> str:
    """Return the url of an invitation as written there, or an empty string."""
    from paddington.config.files import read_checked
    from paddington.config.toml import parse_toml

    url = parse_toml(read_checked(file, "invitation").text, "The invitation").get("url")
    return url if isinstance(url, str) else ""
