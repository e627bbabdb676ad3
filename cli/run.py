"""`run`: runs the agent, with everything around it."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import click

from .app import App, pass_app
from .control import server_socket
from .group import Failure
from .output import harmless, say

if TYPE_CHECKING:
    from templemeads import Agent, AgentConfig, Handler
    from templemeads.roles.ready import ReadyAgent


@click.command()
@click.option("--handler", help="The handler: package.module:name, or path/file.py:name.")
@click.option(
    "--store", help="Where boards are stored: sqlite:///file, postgresql://host/database or memory:."
)
@click.option(
    "--reload", is_flag=True, help="Start the agent again when its handler or configuration changes."
)
@click.option(
    "-o",
    "--one-shot",
    "commands",
    multiple=True,
    help="Run one instruction without a network, and exit; may be repeated.",
)
@click.option(
    "-r", "--repeat", type=click.IntRange(1), default=1, help="Run each instruction N times.", metavar="N"
)
@click.option("-s", "--sender", default="oneshot", help="Name of the agent that sends them.")
@click.option("-z", "--zone", default="one-shot", help="Zone of the sender.")
@pass_app
def run(
    app: App,
    handler: str | None,
    store: str | None,
    commands: tuple[str, ...],
    repeat: int,
    sender: str,
    zone: str,
    *,
    reload: bool,
) -> None:
    """Run the agent until it is interrupted.

    Without a handler the ready-made agent of the configuration's type runs.

    Examples:
      templemeads -c slurm-config.toml run
      templemeads -c cluster.toml run --handler my_cluster.handlers:handlers
      templemeads -c cluster.toml run --handler handlers.py:handlers --reload
      templemeads -c cluster.toml run --handler handlers.py:handlers --one-shot 'add_user fred.proj.portal'
    """
    import trio

    from templemeads.config_check import advise
    from templemeads.daemon.first_process import leave_first_process
    from templemeads.daemon.run import Daemon
    from templemeads.logcontext import RecentLogs, bound

    from .log import configure_logging

    open_standard_streams()
    config = app.load()
    if reload:
        from .reload import command_without_reload, run_reloading

        sys.exit(trio.run(run_reloading, command_without_reload(), _watched(app, config, handler)))
    if not commands:
        leave_first_process()  # before there are threads
    configure_logging(app.log_level, app.log_format)
    ready = _ready(app, config, handler)
    runner = ready.handler
    if commands:
        trio.run(_run_one_shots, config, runner, [c for c in commands for _ in range(repeat)], sender, zone)
        return
    if not config.service.clients and not config.service.servers:
        say(
            f"{config.name} has no peers, so there is nothing to run: use '{app.command} client add' here, "
            "or 'server add' with an invitation",
            err=True,
        )
        return
    for advice in advise(config):
        logging.getLogger("templemeads").warning("%s", advice)
    recent = RecentLogs()
    logging.getLogger().addHandler(recent)
    config.store = store or config.store or default_store(app.config_path)
    daemon = Daemon(
        socket=server_socket(app.socket, app.config_path, config.control),
        config_path=app.config_path.absolute(),
        load=app.load,
        recent_logs=recent,
        on_notification=app.on_notification or ready.on_notification,
    )
    with bound(agent=config.name):
        logging.getLogger("templemeads").info("see how it is doing with: %s status", app.command)
        sys.exit(trio.run(daemon.run, config, runner))


def open_standard_streams() -> None:
    """Open those of the three standard streams that are closed: a store must not get the number of standard error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def default_store(config_path: Path) -> str:
    """Return where boards are stored unless the configuration names a place: in a file beside it."""
    return f"sqlite:///{config_path.absolute().with_suffix('.db')}"


def _ready(app: App, config: AgentConfig, named: str | None) -> ReadyAgent:
    """Return the handler that was named, or else the ready-made agent of the configuration's type."""
    from templemeads import refuse_every_job
    from templemeads.roles.ready import ReadyAgent, make_ready_agent

    from .loading import load_handler

    if named is not None:
        return ReadyAgent(load_handler(named, Path.cwd()))
    if app.handler is not None:
        return ReadyAgent(app.handler)
    if config.handler is not None:
        base = app.config_path.absolute().parent
        return ReadyAgent(load_handler(config.handler, base, search_base=True))
    return make_ready_agent(config) or ReadyAgent(refuse_every_job)


def _watched(app: App, config: AgentConfig, named: str | None) -> list[Path]:
    from .loading import source_of

    base = Path.cwd() if named is not None else app.config_path.absolute().parent
    spec = named or config.handler
    found = None if spec is None else source_of(spec, base)
    program = [Path(sys.argv[0]).resolve()] if app.handler is not None else []
    return [app.config_path.absolute(), *program, *([] if found is None else [found])]


class _OneShotAgent:
    """What a handler sees of its agent when there is no network: its configuration, and nobody to ask."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.name = config.name

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()

    async def ask(self, command: str, *, zone: str | None = None, lifetime: float | None = None) -> NoReturn:
        """Refuse: a question needs a network."""
        from templemeads import JobError

        raise JobError(
            f"A one-shot runs without a network, so nobody can be asked: {command}", kind="unroutable"
        )


async def _run_one_shots(
    config: AgentConfig, handler: Handler, commands: list[str], sender: str, zone: str
) -> None:
    from templemeads import Envelope, Job, JobError

    for command in commands:
        job = Job.parse(f"{sender}.{config.name} {command}").pending()
        agent = cast("Agent", _OneShotAgent(config))
        envelope = Envelope(job=job, sender=sender, recipient=config.name, zone=zone, agent=agent)
        try:
            returned: object = await handler(envelope)
            job = returned if isinstance(returned, Job) else job.completed(returned)
            job.result()
        except JobError as error:
            raise Failure(str(error)) from None
        except Exception as error:
            logging.getLogger("templemeads").debug("the handler failed", exc_info=True)
            raise Failure(f"{type(error).__name__}: {error}") from None
        _print_result(job.result_text)


def _print_result(text: str | None) -> None:
    if text is None:
        click.echo("{}")
        return
    try:
        value = json.loads(text)
    except ValueError:
        click.echo(harmless(text))
    else:
        click.echo(json.dumps(value, indent=2))
