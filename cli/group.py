"""Groups of commands that are imported on use, and the wall that turns every error into one line.

Exit statuses, the same for every command:

    0    it was done
    1    it was not: the line on standard error says why and what to do
    2    the command line is wrong
    3    no agent runs here that could be asked
    4    the job ended with an error
    5    the job did not end in the time that was given
    70   a mistake of ours
    130  interrupted
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from .output import harmless

FAILED: Final = 1
NOT_RUNNING: Final = 3
JOB_FAILED: Final = 4
NOT_IN_TIME: Final = 5
OUR_MISTAKE: Final = 70
INTERRUPTED: Final = 130

TRACEBACK_VARIABLE: Final = "TEMPLEMEADS_TRACEBACK"
"""Set to anything, errors pass as they are: for those who work on the code."""


class Failure(click.ClickException):
    """An error for people, with the status that the command ends with."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(harmless(message))
        setattr(self, "exit_code", status)  # noqa: B010 - click takes it for one of the class, and reads it here


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on use.

    Args:
        lazy: By name of the command, where it is and its help in one line. A place is ``module:attribute``;
            ``.module:attribute`` is in this package.

    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*self._lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module, __package__), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        rows = []
        for name in self.list_commands(ctx):
            if name in self._lazy:
                rows.append((name, self._lazy[name][1]))
            elif (command := super().get_command(ctx, name)) is not None:
                rows.append((name, command.get_short_help_str(limit=80)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever goes wrong becomes one line and a status."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            raise failure_of(error) from None


_KNOWN: Final = frozenset({"PaddingtonError", "TemplemeadsError"})


def failure_of(error: BaseException) -> Failure:
    """Return the error for people that stands for any other."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, BaseExceptionGroup):
        failures = [failure_of(inner) for inner in error.exceptions]
        status = max(failure.exit_code for failure in failures)
        return Failure("; ".join(failure.message for failure in failures), status)
    if isinstance(error, Failure):
        return error
    # By name: the classes themselves would have to be imported for every command.
    if not _KNOWN.isdisjoint(base.__name__ for base in type(error).__mro__):
        return Failure(str(error))
    if isinstance(error, OSError):
        place = f" {error.filename!s}" if error.filename is not None else ""
        return Failure(f"{(error.strerror or type(error).__name__)}{place}")
    return Failure(
        f"{type(error).__name__}: {str(error)[:300]} (a mistake of ours, please report it; "
        f"{TRACEBACK_VARIABLE}=1 in front of the command shows where)",
        OUR_MISTAKE,
    )


def stdout_is_terminal() -> bool:
    """Whether somebody watches."""
    return sys.stdout.isatty()
