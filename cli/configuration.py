"""`config`: shows the configuration without its keys, and checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .app import App, pass_app
from .group import Failure, Group
from .output import harmless, print_json, say

if TYPE_CHECKING:
    from templemeads.config_check import Problem

HIDDEN: Final = "<hidden>"


@click.group(cls=Group)
def config() -> None:
    """Show and check the configuration.

    Example:
      templemeads -c portal.toml config check
    """


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
@pass_app
def show(app: App, *, as_json: bool) -> None:
    """Show the configuration as the agent reads it. Keys and secrets are hidden.

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
    """Find all problems, with line numbers and advice. Exit status 1 if the agent would not start.

    Example:
      templemeads -c portal.toml config check
    """
    from paddington import ConfigError
    from paddington.config.files import read_checked
    from templemeads.config_check import Problem, check_config

    file = read_checked(app.config_path, "configuration")
    problems = check_config(file.text)
    if not any(problem.is_error for problem in problems):
        problems += _check_role(file.text)
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
        raise Failure(f"{errors} problem{'s prevent' if errors > 1 else ' prevents'} the agent from starting")
    if not as_json and not problems:
        say(f"{app.config_path}: no problems found")


def _check_role(text: str) -> list[Problem]:
    from paddington.config.toml import parse_toml
    from templemeads import AgentConfig
    from templemeads.config_check import Problem
    from templemeads.roles.ready import check_options, unknown_options
    from templemeads.text import quoted

    config = AgentConfig.from_toml(parse_toml(text, "The file"), "The file")
    kind = config.agent_type.value.lower()
    return [
        *(Problem(None, problem) for problem in check_options(config)),
        *(
            Problem(None, f"the option {quoted(option)} is not read by the {kind} agent", is_error=False)
            for option in unknown_options(config)
        ),
    ]


def _without_secrets(table: dict[str, Any]) -> dict[str, Any]:
    from paddington.config.secrets import looks_like_secret

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
