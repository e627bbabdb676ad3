"""``run``: runs the agent, with everything around it."""

from __future__ import annotations

import json
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .app import App, pass_app
from .control import server_socket
from .group import Failure
from .output import harmless, say

if TYPE_CHECKING:
    from templemeads import AgentConfig, Handler
    from templemeads.logcontext import RecentLogs


@click.command()
@click.option("--handler", help="The handler: package.module:name, or path/file.py:name.")
@click.option("--store", help="Where boards are stored: sqlite:///file or memory:.")
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

    Examples:
      templemeads -c cluster.toml run --handler my_cluster.handlers:handlers
      templemeads -c cluster.toml run --handler handlers.py:handlers --reload
      templemeads -c cluster.toml run --handler handlers.py:handlers --one-shot 'add_user fred.proj.portal'
    """
    import trio

    from templemeads.config_check import advise
    from templemeads.logcontext import RecentLogs, bound

    from .log import configure_logging

    config = app.load()
    if reload:
        from .reload import command_without_reload, run_reloading

        sys.exit(trio.run(run_reloading, command_without_reload(), _watched(app, config, handler)))
    configure_logging(app.log_level, app.log_format)
    runner = _handler(app, config, handler)
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
    with bound(agent=config.name):
        status = trio.run(partial(_run, app, config, runner, recent))
    sys.exit(status)


def default_store(config_path: Path) -> str:
    """Return where boards are stored unless the configuration names a place: in a file beside it."""
    return f"sqlite:///{config_path.absolute().with_suffix('.db')}"


async def _run(app: App, config: AgentConfig, handler: Handler, recent: RecentLogs) -> int:
    import trio

    from templemeads import Agent, run_agent
    from templemeads.daemon.control import serve_control
    from templemeads.daemon.monitor import monitor
    from templemeads.daemon.systemd import feed_watchdog, notify, watchdog_seconds

    agent: Agent | None = None
    async with trio.open_nursery() as nursery:

        async def run_it(task_status: trio.TaskStatus[Agent]) -> None:
            await run_agent(config, handler, on_notification=app.on_notification, task_status=task_status)
            notify("STOPPING=1")
            nursery.cancel_scope.cancel(reason="the agent has stopped")

        agent = await nursery.start(run_it)
        assert agent is not None
        agent.operations.recent_logs = recent
        socket = server_socket(app.socket, app.config_path, config.control)
        await nursery.start(serve_control, agent, socket)
        if config.service.healthcheck_port is not None:
            await _serve_endpoint(nursery, agent)
        nursery.start_soon(monitor)
        if (seconds := watchdog_seconds()) is not None:
            nursery.start_soon(feed_watchdog, seconds)
        notify(f"READY=1\nSTATUS={agent.agent_type} agent {agent.name} is up")
        logging.getLogger("templemeads").info("ask how it is with: %s status", app.command)
    return 0 if agent is None else agent.operations.exit_status


async def _serve_endpoint(nursery: object, agent: object) -> None:
    import trio

    from paddington import ConfigError
    from templemeads import Agent
    from templemeads.daemon.endpoint import serve_endpoint
    from templemeads.daemon.metrics import AgentMetrics

    assert isinstance(nursery, trio.Nursery)
    assert isinstance(agent, Agent)
    service = agent.config.service
    assert service.healthcheck_port is not None
    log = logging.getLogger("templemeads")
    try:
        metrics = AgentMetrics(agent)
    except ConfigError as error:
        log.warning("/metrics has nothing to tell: %s", error)
        metrics = None
    urls: list[str] = await nursery.start(
        serve_endpoint, agent, str(service.ip), service.healthcheck_port, metrics
    )
    log.info("health is told at %s/health", urls[0])


def _handler(app: App, config: AgentConfig, named: str | None) -> Handler:
    from templemeads import refuse_every_job

    from .loading import load_handler

    if named is not None:
        return load_handler(named, Path.cwd())
    if app.handler is not None:
        return app.handler
    if config.handler is not None:
        return load_handler(config.handler, app.config_path.absolute().parent, search_base=True)
    return refuse_every_job


def _watched(app: App, config: AgentConfig, named: str | None) -> list[Path]:
    from .loading import source_of

    base = Path.cwd() if named is not None else app.config_path.absolute().parent
    spec = named or config.handler
    found = None if spec is None else source_of(spec, base)
    program = [Path(sys.argv[0]).resolve()] if app.handler is not None else []
    return [app.config_path.absolute(), *program, *([] if found is None else [found])]


async def _run_one_shots(
    config: AgentConfig, handler: Handler, commands: list[str], sender: str, zone: str
) -> None:
    from templemeads import Envelope, Job, JobError

    for command in commands:
        job = Job.parse(f"{sender}.{config.name} {command}").pending()
        envelope = Envelope(job=job, sender=sender, recipient=config.name, zone=zone)
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
