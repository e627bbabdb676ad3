"""`store`: looks into the store of a stopped agent, removes jobs from it, and moves it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .app import App, pass_app
from .group import Group
from .output import print_json, print_line_json, print_table, say
from .run import default_store

if TYPE_CHECKING:
    from templemeads.stores.group_commit import Engine

_store_option = click.option(
    "--store",
    "setting",
    help="The store, such as sqlite:///boards.db or postgresql://host/boards; by default the configured one.",
)


@click.group(cls=Group)
def store() -> None:
    """Look into the store of a stopped agent, remove a job from it, or move it to another database.

    Example:
      templemeads -c cluster.toml store list
    """


def _open(app: App, setting: str | None) -> Engine:
    from templemeads.stores.opening import connect

    config = app.load()
    place = setting or config.store or default_store(app.config_path)
    return connect(place, config.name, must_exist=True)


@store.command("list")
@_store_option
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
@pass_app
def store_list(app: App, setting: str | None, *, as_json: bool) -> None:
    """List the jobs in the store, damaged ones included.

    STARTS is how many times the handler of a job was called without an end, because the process died.

    Example:
      templemeads -c cluster.toml store list
    """
    from templemeads.stores.tools import entries, exported

    with closing(_open(app, setting)) as engine:
        found = list(entries(engine))
    if as_json:
        print_json([exported(entry) for entry in found])
        return
    rows = [
        (
            entry.id,
            entry.peer,
            "damaged" if entry.job is None else "deleted" if entry.deleted else entry.job.status.value,
            entry.starts,
            entry.problem if entry.job is None else entry.job.command,
        )
        for entry in found
    ]
    print_table(("ID", "PEER", "STATE", "STARTS", "COMMAND"), rows)


@store.command("drop")
@click.argument("job_id", metavar="ID")
@click.option("--peer", help="Only from the board of this peer, as name@zone.")
@_store_option
@pass_app
def store_drop(app: App, job_id: str, peer: str | None, setting: str | None) -> None:
    """Remove a job from the store, for example one that ends the agent at every start.

    ID is the job's id or its beginning, as 'store list' shows it. The agent's peers keep their copies: one that still has
    the job unfinished sends it again. Delete it there, too.

    Example:
      templemeads -c cluster.toml store drop 3f2a9c41
    """
    from templemeads.stores.tools import drop

    with closing(_open(app, setting)) as engine:
        for dropped in drop(engine, job_id, peer):
            say(f"Removed {dropped}")


@store.command("export")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file, instead of standard output.")
@_store_option
@pass_app
def store_export(app: App, output: Path | None, setting: str | None) -> None:
    """Write all jobs as JSON, one in a line.

    Example:
      templemeads -c cluster.toml store export --output jobs.jsonl
    """
    import json

    from paddington.config.files import write_private
    from templemeads.stores.tools import entries, exported

    with closing(_open(app, setting)) as engine:
        found = [exported(entry) for entry in entries(engine)]
    if output is None:
        for entry in found:
            print_line_json(entry)
    else:
        write_private(output, "".join(f"{json.dumps(entry)}\n" for entry in found))
        say(f"Wrote {len(found)} jobs to {output.absolute()}")


@store.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@pass_app
def store_copy(app: App, source: str, target: str) -> None:
    """Copy the agent's jobs from one store to another, which must hold none.

    Then write the new store into the configuration. FROM stays as it is.

    Example:
      templemeads -c cluster.toml store copy sqlite:///boards.db postgresql://db.example.org/boards
    """
    from templemeads.stores.opening import connect
    from templemeads.stores.tools import copy

    name = app.load().name
    with closing(connect(source, name, must_exist=True)) as old, closing(connect(target, name)) as new:
        count = copy(old, new)
    say(
        f"Copied {count} jobs. To use the new store, write it as the value of store in {app.config_path.absolute()}"
    )
