"""Completion of jobs, peers, paths and instructions in a shell. If something fails, nothing is offered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from .app import App

ANSWER_SECONDS: Final = 2.0
"""How long the running agent may take; a shell that waits longer feels broken."""

MAX_OFFERED_JOBS: Final = 50


def complete_job(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the ids of jobs on the boards, newest first, with their commands."""
    jobs = _ask(ctx, {"do": "jobs", "limit": MAX_OFFERED_JOBS}) or []
    return [
        CompletionItem(job["id"], help=str(job["command"])[:60])
        for job in jobs
        if job["id"].startswith(incomplete)
    ]


def complete_peer(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the peers in the configuration."""
    return [CompletionItem(name) for name in _peers(ctx) if name.startswith(incomplete)]


def complete_client(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the peers that call this agent."""
    return [CompletionItem(name) for name in _peers(ctx, "clients") if name.startswith(incomplete)]


def complete_server(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the peers that this agent calls."""
    return [CompletionItem(name) for name in _peers(ctx, "servers") if name.startswith(incomplete)]


def complete_path(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer paths from this agent to its peers, and to the agents behind them that have reported."""
    return [CompletionItem(path) for path in _paths(ctx) if path.startswith(incomplete)]


def complete_route(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the same paths without this agent, for commands that ask another one."""
    routes = [path.partition(".")[2] for path in _paths(ctx)]
    return [CompletionItem(route) for route in routes if route.startswith(incomplete)]


def complete_command(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer a path, and after it the instructions."""
    words = ctx.params.get(parameter.name or "") or ()
    if not words:
        return complete_path(ctx, parameter, incomplete)
    if len(words) > 1:
        return []
    from templemeads.grammar import instructions

    return [
        CompletionItem(row.keyword, help=(row.__doc__ or "").partition("\n")[0])
        for row in instructions()
        if row.keyword.startswith(incomplete)
    ]


def _app(ctx: click.Context) -> App | None:
    """Make what the commands share from the options that stand before the command; the group itself has not run."""
    from .group import LazyGroup

    root = ctx.find_root()
    if not isinstance(root.command, LazyGroup) or root.command.make_app is None:
        return None
    app: App = root.command.make_app()
    for option in ("config_file", "socket", "allow_readable"):
        if root.params.get(option) is not None:
            setattr(app, option, root.params[option])
    return app


def _ask(ctx: click.Context, request: dict[str, Any]) -> Any:
    """Ask the running agent; None when it does not answer."""
    from .control import ask
    from .group import Failure

    app = _app(ctx)
    try:
        answers = [] if app is None else list(ask(app, request, seconds=ANSWER_SECONDS))
    except (Failure, OSError, ValueError):
        return None
    return answers[-1][1] if answers else None


def _peers(ctx: click.Context, *kinds: str) -> list[str]:
    service = _configuration(ctx).get("service", {})
    entries = [entry for kind in kinds or ("clients", "servers") for entry in service.get(kind, ())]
    return list(dict.fromkeys(str(entry["name"]) for entry in entries if "name" in entry))


def _configuration(ctx: click.Context) -> dict[str, Any]:
    import tomllib

    app = _app(ctx)
    try:
        return {} if app is None else tomllib.loads(app.config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _paths(ctx: click.Context) -> list[str]:
    """Return paths to the agents of the tree that have reported; without a running agent, to the configured peers."""
    tree = _ask(ctx, {"do": "health", "tree": True})
    if tree:
        return list(_paths_in(tree, ""))
    name = _configuration(ctx).get("service", {}).get("name")
    return [] if name is None else [f"{name}.{peer}" for peer in _peers(ctx)]


def _paths_in(tree: Mapping[str, Any], before: str) -> Iterator[str]:
    path = f"{before}{tree['name']}"
    if before:
        yield path
    for inner in tree["peers"].values():
        yield from _paths_in(inner, f"{path}.")
