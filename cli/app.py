"""The frame of every executable: ``templemeads`` itself, and those that users write around a handler of their own."""

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

from cli.group import Failure, LazyGroup
from cli.output import say

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
    "Exit status: 0 done, 1 failed (one line says why), 2 wrong command line, 3 no agent runs here, 4 the job failed, "
    "5 not finished in time, 70 a mistake of ours, 130 interrupted."
)

AGENT_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "client": ("cli.peers:client", "The peers that call this agent."),
    "completion": ("cli.completion:completion", "Print the completion script of a shell."),
    "config": ("cli.configuration:config", "Show and check the configuration."),
    "delete": ("cli.work:delete", "Withdraw a job."),
    "diagnostics": ("cli.operate:diagnostics", "Show what went wrong at an agent, here or further on."),
    "encryption": ("cli.secrets:encryption", "Choose how secrets are protected."),
    "extra": ("cli.secrets:extra", "Plain options of the handler."),
    "health": ("cli.operate:health", "Show how this agent and those behind it are."),
    "init": ("cli.init:init", "Write a new configuration."),
    "job": ("cli.work:job", "Show one job."),
    "jobs": ("cli.work:jobs", "List the jobs on the boards, or follow them."),
    "notify": ("cli.work:notify", "Send a notification along a path."),
    "put": ("cli.work:put", "Put a job, and wait for its result."),
    "restart": ("cli.operate:restart", "Restart an agent, here or further on."),
    "run": ("cli.run:run", "Run the agent."),
    "secret": ("cli.secrets:secret", "Secrets of the handler, encrypted."),
    "server": ("cli.peers:server", "The peers that this agent calls."),
    "status": ("cli.work:status", "Show the running agent, its peers and its boards."),
    "top": ("cli.top:top", "Watch the running agent."),
}


@attrs.frozen(kw_only=True)
class AgentDefaults:
    """What an executable knows of its agent before there is a configuration.

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
        defaults: What it knows of its agent, or None for ``templemeads``.
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

    @click.group(name, cls=LazyGroup, lazy=commands, help=help_text, epilog=STATUSES)
    @click.version_option(package_name="templemeads")
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
        help=f"The agent's control socket (or set {SOCKET_VARIABLE}); beside the configuration by default.",
    )
    @click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        envvar=LEVEL_VARIABLE,
        help=f"The least that is logged (or set {LEVEL_VARIABLE}); info by default.",
    )
    @click.option(
        "--log-format",
        type=click.Choice(["human", "json"]),
        envvar=FORMAT_VARIABLE,
        help=f"How (or set {FORMAT_VARIABLE}); by default human on a terminal, JSON otherwise.",
    )
    @click.option("--allow-readable", is_flag=True, help="Take files with keys in them that others can read.")
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
    r"""Give an executable the same commands as ``templemeads``, around a handler of its own.

    Args:
        defaults: What the agent is.
        handler: Runs its jobs.
        on_notification: Takes its notifications; by default they are logged.
        help_text: What ``--help`` says of the executable.

    Returns:
        The click group, to be called as the executable's main function, or to be given further commands.

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
            f"The {defaults.agent_type} agent {defaults.name}.\n\n\b\nExample:\n"
            f"  init; server add invitation.toml; run"
        )
    return make_group(app, AGENT_COMMANDS, help_text)
