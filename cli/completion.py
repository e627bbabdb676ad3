"""``completion``: prints the script by which a shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    r"""Print the completion script of a shell.

    \b
    Examples:
      templemeads completion bash > ~/.local/share/bash-completion/completions/templemeads
      templemeads completion zsh > ~/.zfunc/_templemeads
      templemeads completion fish > ~/.config/fish/completions/templemeads.fish
    """
    root = ctx.find_root()
    name = root.info_name or "templemeads"
    variable = f"_{name}_COMPLETE".replace("-", "_").replace(".", "_").upper()
    found = get_completion_class(shell)
    assert found is not None
    # The class's own method would ask which bash is installed; the script is the same.
    shell_completion = found(root.command, {}, name, variable)
    click.echo(shell_completion.source_template % shell_completion.source_vars())
