"""``config``: shows the configuration without its keys, and checks it."""

from __future__ import annotations

from typing import Any, Final

import click

from cli.app import App, pass_app
from cli.group import Failure
from cli.output import harmless, print_json, say

HIDDEN: Final = "<hidden>"


@click.group()
def config() -> None:
    r"""Show and check the configuration.

    \b
    Example:
      templemeads -c portal.toml config check
    """


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
@pass_app
def show(app: App, *, as_json: bool) -> None:
    r"""Show the configuration as the agent reads it; keys and secrets are hidden.

    \b
    Example:
      templemeads -c portal.toml config show
    """
    from paddington.config.toml_edit import format_toml

    shown = _without_secrets(app.load().to_toml())
    if as_json:
        print_json(shown)
    else:
        for line in format_toml(shown).splitlines():
            click.echo(harmless(line))


@config.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
@pass_app
def check(app: App, *, as_json: bool) -> None:
    r"""Look for every problem, with its line and what to do; ends with status 1 if the agent would not start.

    \b
    Example:
      templemeads -c portal.toml config check
    """
    from paddington import ConfigError
    from paddington.config.files import read_checked
    from templemeads.config_check import Problem, check_config

    file = read_checked(app.config_path, "configuration")
    problems = check_config(file.text)
    if "inner_key" in file.text and not app.allow_readable:
        try:
            file.refuse_readable("configuration")
        except ConfigError as error:
            problems.insert(0, Problem(None, str(error)))
    errors = sum(problem.is_error for problem in problems)
    if as_json:
        print_json([{"line": each.line, "error": each.is_error, "text": each.text} for each in problems])
    for problem in () if as_json else problems:
        place = f"{app.config_path}:{problem.line}" if problem.line else str(app.config_path)
        say(f"{place}: {'error' if problem.is_error else 'advice'}: {problem.text}")
    if errors:
        raise Failure(f"{errors} problem{'s keep' if errors > 1 else ' keeps'} the agent from starting")
    if not as_json and not problems:
        say(f"{app.config_path}: all is well")


def _without_secrets(table: dict[str, Any]) -> dict[str, Any]:
    from templemeads.config_check import looks_like_secret

    def hide(value: Any, key: str = "") -> Any:
        match value:
            case dict():
                return {name: hide(inner, name) for name, inner in value.items() if inner is not None}
            case list():
                return [hide(inner) for inner in value]
            case str() if key == "data" or looks_like_secret(value):
                return HIDDEN
            case _:
                return value

    shown: dict[str, Any] = hide(table)
    return shown
