"""What all executables share: ``templemeads`` itself, and those that users write around their own handler."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from .group import Failure, LazyGroup
from .output import say

if TYPE_CHECKING:
    # Nothing reads these annotations at run time, and the import costs more than --help may take
    from paddington.config.files import NewFile
    from templemeads import AgentConfig, AgentType, Handler  # noqa: TC004
    from templemeads.operations.notifications import NotificationHandler  # noqa: TC004

CONFIG_VARIABLE: Final = "TEMPLEMEADS_CONFIG"
SOCKET_VARIABLE: Final = "TEMPLEMEADS_SOCKET"
LEVEL_VARIABLE: Final = "TEMPLEMEADS_LOG"
FORMAT_VARIABLE: Final = "TEMPLEMEADS_LOG_FORMAT"
LOCK_VARIABLE: Final = "TEMPLEMEADS_LOCK_SECONDS"
"""How long a command that edits the configuration waits for another one."""
MAX_LOCK_SECONDS: Final = 3600

STATUSES: Final = (
    "Exit status: 0 done, 1 failed (one line says why), 2 wrong command line, 3 no agent is running here, "
    "4 the job failed, 5 not finished in time, 6 the agent does not answer, 70 internal error, 130 interrupted."
)

AGENT_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "client": (".peers:client", "Manage the peers that call this agent."),
    "bridge": (".bridge:bridge", "Manage the HTTP side of a bridge: clients and keys."),
    "completion": (".completion:completion", "Print or install the completion script of a shell."),
    "config": (".configuration:config", "Show and check the configuration."),
    "delete": (".work:delete", "Withdraw a job."),
    "diagnostics": (".operate:diagnostics", "Show failed, slow and expired jobs of this agent or another."),
    "encryption": (".secrets:encryption", "Choose how secrets are protected."),
    "extra": (".secrets:extra", "Manage the handler's options."),
    "health": (".operate:health", "Show the health of this agent and of those behind it."),
    "init": (".init:init", "Write a new configuration."),
    "job": (".work:job", "Show one job."),
    "jobs": (".work:jobs", "List the jobs on the boards, or follow their changes."),
    "notify": (".work:notify", "Send a notification along a path."),
    "put": (".work:put", "Put a job on a board, and wait for its result."),
    "reload": (".operate:reload", "Let the running agent read its configuration again."),
    "restart": (".operate:restart", "Restart this agent or another."),
    "run": (".run:run", "Run the agent."),
    "secret": (".secrets:secret", "Manage the handler's secrets, which are encrypted."),
    "server": (".peers:server", "Manage the peers that this agent calls."),
    "status": (".work:status", "Show the running agent, its peers and its boards."),
    "store": (".store:store", "Look into the store of a stopped agent, repair or move it."),
    "top": (".top:top", "Watch the running agent live."),
}


@attrs.frozen(kw_only=True)
class AgentDefaults:
    """What an executable knows about its agent before there is a configuration.

    Attributes:
        agent_type: What the agent is; a configuration of another type is refused.
        name: Its name, unless ``init`` is given another one.
        config_file: Where its configuration is; by default ``openportal/<name>-config.toml`` in the user's directory of
            configurations.
        url: Where peers call it; by default ``ws://localhost:<port>``.
        ip: Address to listen on.
        port: Port to listen on.

    """

    agent_type: AgentType
    name: str
    config_file: str | os.PathLike[str] | None = None
    url: str | None = None
    ip: str = "127.0.0.1"
    port: int = 8042


@attrs.define(kw_only=True)
class App:
    """What the commands of one executable share: ``ctx.obj``.

    Attributes:
        program: How the executable is called.
        defaults: What it knows about its agent, or None for ``templemeads``.
        handler: Its handler, or None where the command line or the configuration names one.
        on_notification: Its handler of notifications, or None.
        config_file: The configuration that was asked for, or None.
        socket: The control socket that was asked for, or None.
        log_level: The level that was asked for, or None.
        log_format: ``human``, ``json``, or None for what fits the output.
        allow_readable: Whether files with keys may be readable by others.

    """

    program: str
    defaults: AgentDefaults | None = None
    handler: Handler | None = None
    on_notification: NotificationHandler | None = None
    config_file: Path | None = None
    socket: Path | None = None
    log_level: str | None = None
    log_format: str | None = None
    allow_readable: bool = False

    @property
    def config_path(self) -> Path:
        """Where the configuration is."""
        if self.config_file is not None:
            return self.config_file
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        if self.defaults is None:
            return home / "templemeads" / "agent.toml"
        if self.defaults.config_file is not None:
            return Path(self.defaults.config_file)
        return home / "openportal" / f"{self.defaults.name}-config.toml"

    @property
    def command(self) -> str:
        """How this executable is called for the same configuration again, for advice."""
        return self.program if self.config_file is None else f"{self.program} -c {self.config_file}"

    def load(self) -> AgentConfig:
        """Read the configuration."""
        from templemeads import AgentConfig

        if not self.config_path.exists():
            raise Failure(
                f"There is no configuration {self.config_path.absolute()}. "
                f"Write one with '{self.command} init', or name another with --config-file"
            )
        config = AgentConfig.load(self.config_path, allow_readable=self.allow_readable)
        if self.defaults is not None and config.agent_type is not self.defaults.agent_type:
            raise Failure(
                f"{self.config_path.absolute()} configures a {config.agent_type} agent, "
                f"and this executable is a {self.defaults.agent_type} agent"
            )
        return config

    @contextmanager
    def edit(self, files: Sequence[NewFile] = ()) -> Iterator[AgentConfig]:
        """Read the configuration, and write it back with the changes of the `with` block; other editors wait.

        Args:
            files: Files to write together with it, all or none; the block may add to the list.
        """
        from paddington.config.locking import locked

        with locked(
            self.config_path, patience_seconds=_lock_seconds(), notify=lambda text: say(text, err=True)
        ):
            config = self.load()
            yield config
            config.save(self.config_path, keep_group=self.allow_readable, together_with=files)


def _lock_seconds() -> float:
    from paddington.config.locking import PATIENCE_SECONDS

    text = os.environ.get(LOCK_VARIABLE)
    if not text:
        return PATIENCE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_LOCK_SECONDS:
        raise Failure(
            f"{LOCK_VARIABLE} is {text!a}; it must be a number of seconds from 0 to {MAX_LOCK_SECONDS}"
        )
    return seconds


pass_app = click.make_pass_decorator(App)


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from templemeads.version import __version__

        click.echo(f"{ctx.find_root().info_name}, version {__version__}")
        ctx.exit()


def make_group(
    app: Callable[[], App], commands: Mapping[str, tuple[str, str]], help_text: str, name: str | None = None
) -> LazyGroup:
    """Make the group of commands of an executable.

    Args:
        app: Makes what its commands share.
        commands: Where the commands are.
        help_text: What the executable is.
        name: How it is called; by default, as it was started.

    """

    @click.group(name, cls=LazyGroup, lazy=commands, make_app=app, help=help_text, epilog=STATUSES)
    @click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version.",
    )
    @click.option(
        "-c",
        "--config-file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar=CONFIG_VARIABLE,
        help=f"The agent's configuration (or set {CONFIG_VARIABLE}).",
    )
    @click.option(
        "--socket",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar=SOCKET_VARIABLE,
        help=f"The agent's control socket (or set {SOCKET_VARIABLE}); by default beside the configuration.",
    )
    @click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        envvar=LEVEL_VARIABLE,
        help=f"Log messages of this level and above (or set {LEVEL_VARIABLE}); info by default.",
    )
    @click.option(
        "--log-format",
        type=click.Choice(["human", "json"]),
        envvar=FORMAT_VARIABLE,
        help=f"Format of the log (or set {FORMAT_VARIABLE}); by default human on a terminal, JSON otherwise.",
    )
    @click.option("--allow-readable", is_flag=True, help="Accept files with keys that other users can read.")
    @click.pass_context
    def main(ctx: click.Context, /, **options: Any) -> None:
        ctx.obj = app()
        for option, value in options.items():
            setattr(ctx.obj, option, value)

    assert isinstance(main, LazyGroup)
    return main


def agent_app(
    defaults: AgentDefaults,
    handler: Handler,
    *,
    on_notification: NotificationHandler | None = None,
    help_text: str | None = None,
) -> click.Group:
    """Make an executable with the commands of ``templemeads`` and a handler of its own.

    Args:
        defaults: What the agent is.
        handler: Runs its jobs.
        on_notification: Called for each notification; by default they are logged.
        help_text: What ``--help`` says about the executable.

    Returns:
        The click group: call it as the main function of the executable, or add commands to it first.

    Example::

        main = agent_app(AgentDefaults(agent_type=AgentType.INSTANCE, name="cluster", port=8091), handlers)

        if __name__ == "__main__":
            main()

    """

    def app() -> App:
        return App(
            program=Path(sys.argv[0]).name,
            defaults=defaults,
            handler=handler,
            on_notification=on_notification,
        )

    if help_text is None:
        help_text = (
            f"The {defaults.agent_type} agent {defaults.name}.\n\nExample:\n"
            f"  init; server add invitation.toml; run"
        )
    return make_group(app, AGENT_COMMANDS, help_text)
