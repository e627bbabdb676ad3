"""`completion`: prints or installs the script by which a shell completes commands, options, jobs and paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from click.shell_completion import get_completion_class

from .output import say

SHELLS: Final = ("bash", "zsh", "fish")

_ADVICE: Final[Mapping[str, str]] = {
    "bash": "It works in new shells when the package bash-completion is installed.",
    "zsh": "If ~/.zshrc does not do so already, add there: fpath+=(~/.zfunc); autoload -Uz compinit; compinit",
    "fish": "It works in new shells.",
}


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option(
    "--install", is_flag=True, help="Write the script to the directory where the shell looks for it."
)
@click.pass_context
def completion(ctx: click.Context, shell: str | None, *, install: bool) -> None:
    """Print the completion script of a shell, or install it. Without SHELL, it is for the one in $SHELL.

    Examples:
      templemeads completion --install
      templemeads completion zsh > ~/.zfunc/_templemeads
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise click.UsageError(f"Name the shell, one of: {', '.join(SHELLS)}")
    root = ctx.find_root()
    name = root.info_name or "templemeads"
    variable = f"_{name}_COMPLETE".replace("-", "_").replace(".", "_").upper()
    found = get_completion_class(shell)
    assert found is not None
    # The class's own method would ask which bash is installed; the script is the same.
    shell_completion = found(root.command, {}, name, variable)
    script = shell_completion.source_template % shell_completion.source_vars()
    if not install:
        click.echo(script)
        return
    path = _script_path(shell, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script + "\n", encoding="utf-8")
    say(f"Wrote {path}. {_ADVICE[shell]}")


def _script_path(shell: str, name: str) -> Path:
    home = Path.home()
    if shell == "zsh":
        return home / ".zfunc" / f"_{name}"
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return config / "fish" / "completions" / f"{name}.fish"
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "bash-completion" / "completions" / name
