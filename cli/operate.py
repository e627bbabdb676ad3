"""`health`, `diagnostics` and `restart`: the state of agents, here and on other machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from .app import App, pass_app
from .completing import complete_route
from .control import ask_once
from .group import Failure
from .output import duration, print_json, print_table, say, size, warn

_json = click.option("--json", "as_json", is_flag=True, help="Print data for programs.")


@click.command()
@click.option("--tree", is_flag=True, help="Include the agents behind this one.")
@_json
@pass_app
def health(app: App, *, tree: bool, as_json: bool) -> None:
    """Show the health of this agent, and with --tree of those behind it.

    Example:
      templemeads -c portal.toml health --tree
    """
    found = ask_once(app, {"do": "health", "tree": tree})
    if as_json:
        print_json(found)
    else:
        headers = (
            "AGENT",
            "TYPE",
            "STATE",
            "UP",
            "JOBS",
            "RUNNING",
            "DONE",
            "FAILED",
            "MEDIAN",
            "MEMORY",
            "VERSION",
        )
        print_table(headers, list(_health_rows(found)))


def _health_rows(found: Mapping[str, Any], lead: str = "", branch: str = "") -> Iterator[tuple[object, ...]]:
    yield (
        lead + found["name"],
        found["agent_type"],
        "connected" if found["connected"] else "away",
        duration(found["uptime_seconds"]),
        found["active_jobs"],
        found["running_jobs"],
        found["total_completed"],
        found["total_failed"],
        f"{found['job_time_median_ms']:.0f} ms",
        size(found["memory_bytes"]),
        f"{found['engine']} {found['version']}",
    )
    peers = list(found["peers"].values())
    for number, peer in enumerate(peers, 1):
        last = number == len(peers)
        yield from _health_rows(
            peer, f"{branch}{'└─ ' if last else '├─ '}", f"{branch}{'   ' if last else '│  '}"
        )


@click.command()
@click.argument("path", default="", shell_complete=complete_route)
@_json
@pass_app
def diagnostics(app: App, path: str, *, as_json: bool) -> None:
    """Show what went wrong: failed, slow, expired and running jobs, and the latest log lines.

    PATH names the agents on the way, without this one, such as provider.cluster. Without PATH: this agent.

    Example:
      templemeads -c portal.toml diagnostics provider.cluster
    """
    found = ask_once(app, {"do": "diagnostics", "path": path})
    if as_json:
        print_json(found)
        return
    say(f"{found['agent_name']} at {found['generated_at']}")
    for warning in found["warnings"]:
        warn(str(warning))
    tables = (
        ("failed_jobs", "Failed", ("count", "last_seen", "destination", "instruction", "error_message")),
        ("slowest_jobs", "Slow", ("duration_ms", "completed_at", "destination", "instruction")),
        ("expired_jobs", "Expired", ("count", "expired_at", "destination", "instruction")),
        ("running_jobs", "Running", ("count", "running_for_seconds", "destination", "instruction")),
    )
    for key, title, columns in tables:
        if found[key]:
            click.echo(f"\n{title}:")
            headers = tuple(column.upper().replace("_", " ") for column in columns)
            print_table(headers, [[entry[column] for column in columns] for entry in found[key]])
    if found.get("recent_logs"):
        click.echo("\nLatest log lines:")
        for entry in found["recent_logs"][:20]:
            say(f"{entry['timestamp']} {entry['level']} {entry['target']}: {entry['message']}")


@click.command()
@click.argument("path", default="", shell_complete=complete_route)
@click.option("--hard", is_flag=True, help="End the process; its supervisor starts it again.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@_json
@pass_app
def restart(app: App, path: str, *, hard: bool, yes: bool, as_json: bool) -> None:
    """Restart an agent: running jobs are cancelled, and all connections are opened again.

    PATH leads to the agent, from the next one on, such as provider.cluster; without it, this agent is restarted. A far
    agent does not say whether it did: watch it with 'health --tree'.

    Example:
      templemeads -c portal.toml restart provider.cluster
    """
    kind = "hard" if hard else "soft"
    if not yes:
        what = "All its jobs are cancelled" if not hard else "Its process ends; jobs wait in its store"
        if not click.confirm(f"A {kind} restart of {path or 'this agent'}. {what}. Go on?", err=True):
            raise Failure("Nothing was restarted")
    ask_once(app, {"do": "restart", "path": path, "type": kind})
    if as_json:
        print_json({"path": path, "type": kind})
    else:
        say(f"The {kind} restart of {path or 'this agent'} is " + ("on its way" if path else "done"))


@click.command()
@_json
@pass_app
def reload(app: App, *, as_json: bool) -> None:
    """Let the running agent read its configuration again, as SIGHUP does.

    Peers, keys and the handler's options are taken up; connections that are not concerned go on. What counts only after a
    restart is named.

    Example:
      templemeads -c portal.toml reload
    """
    found = ask_once(app, {"do": "reload"})
    if as_json:
        print_json(found)
        return
    say("Peers changed: " + (", ".join(found["peers"]) or "none"))
    if found["options"]:
        say("Options of the handler changed")
    if found["needs_restart"]:
        warn(f"Only a restart applies what has changed in: {', '.join(found['needs_restart'])}")
