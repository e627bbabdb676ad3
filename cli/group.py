"""Groups of commands that are imported on use, and the wall that turns every error into one line.

Exit statuses, the same for every command:

    0    done
    1    failed: the line on standard error says why and what to do; also, without a line, when the reader of
         standard output has gone
    2    the command line is wrong
    3    no agent is running here
    4    the job ended with an error
    5    the job did not finish in the time given
    6    the agent runs, and does not answer
    70   internal error
    130  interrupted
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import click

from .output import harmless

FAILED: Final = 1
NOT_RUNNING: Final = 3
JOB_FAILED: Final = 4
NOT_IN_TIME: Final = 5
NOT_ANSWERING: Final = 6
INTERNAL_ERROR: Final = 70
INTERRUPTED: Final = 130

TRACEBACK_VARIABLE: Final = "TEMPLEMEADS_TRACEBACK"
"""Set to anything to get tracebacks instead of error lines: for people who work on the code."""


class Failure(click.ClickException):
    """An error for people, with the exit status of the command."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(harmless(message))
        setattr(self, "exit_code", status)  # noqa: B010 - click takes it for one of the class, and reads it here


def keep_examples(text: str | None) -> str | None:
    """Mark the paragraphs of a help text that hold indented lines, so that click prints them as they are written."""
    if text is None:
        return None
    paragraphs = [
        part.removeprefix("\\b\n").removeprefix("\b\n") for part in inspect.cleandoc(text).split("\n\n")
    ]
    indented = [any(line.startswith(" ") for line in part.splitlines()) for part in paragraphs]
    return "\n\n".join(
        f"\b\n{part}" if keep else part for part, keep in zip(paragraphs, indented, strict=True)
    )


def lay_out(command: click.Command) -> click.Command:
    """Return a command whose help, and that of its subcommands, shows examples as lines."""
    command.help = keep_examples(command.help)
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        lay_out(each)
    return command


class Group(click.Group):
    """A group of commands that suggests the one that was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; an unknown one is refused with those that it resembles."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            known = self.list_commands(ctx)
            close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)
            advice = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(known)}"
            message = f"There is no command {harmless(name, 60)!r}. {advice}"
            raise click.UsageError(message, ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group whose commands live in modules that are imported on use; the root of every executable.

    Args:
        lazy: By name of the command, where it is and its help in one line. A place is `module:attribute`;
            `.module:attribute` is in this package.
        make_app: Makes what the commands share; completion needs it without running a command.
    """

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, tuple[str, str]],
        make_app: Callable[[], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        self.make_app = make_app
        self.help = keep_examples(self.help)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line, and end the process with one of the statuses above."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        try:
            returned = super().main(args, prog_name, complete_var, False, **extra)
            if sys.stdout is not None:
                sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, EOFError, click.Abort):
            _interrupted()
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            if isinstance(error, OSError):
                _close_output()
            failure = failure_of(error)
            if not isinstance(error, BrokenPipeError):
                failure.show()
            sys.exit(failure.exit_code)
        sys.exit(returned if isinstance(returned, int) else 0)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse arguments that no message, file or terminal could show."""
        for word in args:
            if any("\ud800" <= character <= "\udfff" for character in word):
                message = f"The argument {ascii(word)[:80]} is not valid UTF-8"
                raise click.UsageError(message, ctx)
        return super().parse_args(ctx, args)

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
        return lay_out(command)

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
        """Run a command; every error becomes one line and a status."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            _interrupted()
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            raise failure_of(error) from None


def _interrupted() -> NoReturn:
    click.echo("Interrupted", err=True)
    sys.exit(INTERRUPTED)


def _close_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush does not fail."""
    if sys.stdout is None:
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


_KNOWN: Final = frozenset({"PaddingtonError", "TemplemeadsError"})


def failure_of(error: BaseException) -> Failure:
    """Return the error for people that stands for any other error."""
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
        f"{type(error).__name__}: {str(error)[:300]} (internal error, please report it; "
        f"run the command with {TRACEBACK_VARIABLE}=1 to see where)",
        INTERNAL_ERROR,
    )


def stdout_is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()
