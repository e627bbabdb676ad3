"""The command ``templemeads``. Subcommands are imported when they are used, so that ``--help`` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final

import click

from templemeads.version import __version__

_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("cli.demo:demo", "Run the examples in real processes and watch."),
    "grammar": ("cli.grammar:grammar", "Explain the instructions that agents understand."),
    "parse": ("cli.grammar:parse", "Show what a line means."),
}


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="templemeads")
def main() -> None:
    r"""Networks of agents that send each other jobs over encrypted peer-to-peer connections.

    \b
    Example: templemeads demo
    """
