"""`encryption`, `secret` and `extra`: options of a handler, plain and encrypted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from .app import App, pass_app
from .group import Failure, Group
from .output import print_json, print_table, say, warn

if TYPE_CHECKING:
    from paddington.config.secrets import Encryption, SecretFormat
    from templemeads import AgentConfig

Function = TypeVar("Function", bound=Callable[..., Any])

MAX_SECRET_CHARACTERS = 65_536
"""Characters of a secret that are read."""


def _format_option(function: Function) -> Function:
    return click.option(
        "--format",
        "format_name",
        type=click.Choice(["v0", "v1"]),
        help="v0: agents older than 0.90 read it; v1: better protected. By default as the secrets already there.",
    )(function)


@click.command()
@click.option("-e", "--environment", metavar="VARIABLE", help="The variable that holds the password.")
@click.option(
    "-s",
    "--simple",
    is_flag=True,
    help="Use the agent's name as the password. It hides secrets without protecting them.",
)
@click.option(
    "--reencrypt",
    is_flag=True,
    help="Encrypt the secrets again with the new password, so that they stay readable.",
)
@click.option("-f", "--force", is_flag=True, help="Do it even if secrets can then no longer be read.")
@_format_option
@pass_app
def encryption(
    app: App,
    environment: str | None,
    *,
    simple: bool,
    reencrypt: bool,
    force: bool,
    format_name: str | None,
) -> None:
    """Choose how secrets are protected.

    Example:
      OPENPORTAL_SECRET=... templemeads -c cluster.toml encryption --environment OPENPORTAL_SECRET
    """
    from paddington.config.secrets import EnvironmentEncryption, SimpleEncryption

    if environment is None and not simple:
        raise click.UsageError("Choose one: --environment VARIABLE (the password is its value), or --simple")
    chosen: Encryption = SimpleEncryption() if environment is None else EnvironmentEncryption(environment)
    with app.edit() as config:
        values = _open_all(config) if reencrypt else {}
        config.service.encryption = chosen
        for key, value in values.items():
            config.set_secret(key, value, _format(format_name))
        lost = _unreadable(config)
        if lost and not force:
            raise Failure(
                f"These secrets could not be read with that: {', '.join(lost)}. Nothing was changed. "
                "Use --reencrypt to keep them, or --force to give them up"
            )
    if simple:
        warn(
            "the password is the agent's name, which everybody knows: this hides secrets, it does not protect them"
        )
    if lost:
        warn(f"these secrets can no longer be read: {', '.join(lost)}. Store them again, or go back")
    say(
        "Secrets are protected by "
        + ("the agent's name" if environment is None else f"the variable {environment}")
    )


@click.group(cls=Group, invoke_without_command=True)
@click.option("-k", "--key", hidden=True)
@click.option("-v", "--value", hidden=True)
@click.option("--value-file", type=click.File("r"), hidden=True)
@click.pass_context
def secret(ctx: click.Context, key: str | None, value: str | None, value_file: IO[str] | None) -> None:
    """Manage the handler's secrets. They are stored encrypted in the configuration.

    The options of existing agents work too: secret --key KEY --value VALUE.

    Example:
      templemeads -c cluster.toml secret set freeipa-password < password.txt
    """
    if ctx.invoked_subcommand is None:
        if key is None:
            click.echo(ctx.get_help())
        else:
            ctx.invoke(secret_set, key=key, value=value, value_file=value_file)


@secret.command("set")
@click.argument("key")
@click.option("--value", help="The secret itself. Other users can see it in the list of processes.")
@click.option("--value-file", type=click.File("r"), help="File with the secret; standard input by default.")
@_format_option
@pass_app
def secret_set(
    app: App,
    key: str,
    value: str | None = None,
    value_file: IO[str] | None = None,
    format_name: str | None = None,
) -> None:
    """Store a secret. It is read from standard input, or prompted for on a terminal.

    Example:
      templemeads -c cluster.toml secret set freeipa-password --value-file password.txt
    """
    if value is not None:
        warn("--value shows the secret to everyone who can list processes; without it you are prompted")
    elif value_file is None and sys.stdin is not None and sys.stdin.isatty():
        value = click.prompt("Secret", hide_input=True, confirmation_prompt=True)
    else:
        if value_file is None and sys.stdin is None:
            raise Failure("Standard input is closed: give the secret with --value-file")
        try:
            value = (value_file or sys.stdin).read(MAX_SECRET_CHARACTERS + 1).removesuffix("\n")
        except UnicodeDecodeError:
            raise Failure("The secret is not UTF-8 text. Encode it first, for example with base64") from None
    if not value or len(value) > MAX_SECRET_CHARACTERS:
        raise Failure(f"A secret has 1 to {MAX_SECRET_CHARACTERS} characters")
    with app.edit() as config:
        config.set_secret(key, value, _format(format_name))
    say(f"Stored the secret {key}")


@secret.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
@pass_app
def secret_list(app: App, *, as_json: bool) -> None:
    """List the secrets: name, format, and whether they can be decrypted; never their values.

    Example:
      templemeads -c cluster.toml secret list
    """
    from paddington.config.secrets import is_legacy_secret

    config = app.load()
    lost = set(_unreadable(config))
    rows = [
        {
            "key": key,
            "form": "v0" if is_legacy_secret(config.extras[key]) else "v1",
            "opens": key not in lost,
        }
        for key in _secrets_of(config)
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("KEY", "FORM", "OPENS"),
            [(row["key"], row["form"], "yes" if row["opens"] else "no") for row in rows],
        )


@secret.command("remove")
@click.argument("key")
@pass_app
def secret_remove(app: App, key: str) -> None:
    """Remove a secret.

    Example:
      templemeads -c cluster.toml secret remove freeipa-password
    """
    _remove(app, key, "secret")


@secret.command("reencrypt")
@_format_option
@pass_app
def secret_reencrypt(app: App, format_name: str | None) -> None:
    """Encrypt all secrets again, each in the format that it has, or all in the one given.

    Example:
      templemeads -c cluster.toml secret reencrypt --format v1
    """
    with app.edit() as config:
        values = _open_all(config)
        for key, value in values.items():
            config.set_secret(key, value, _format(format_name))
    say(f"Encrypted again: {', '.join(values) or 'nothing, there are no secrets'}")


@click.group(cls=Group, invoke_without_command=True)
@click.option("-k", "--key", hidden=True)
@click.option("-v", "--value", hidden=True)
@click.pass_context
def extra(ctx: click.Context, key: str | None, value: str | None) -> None:
    """Manage the handler's options in the configuration. They are not encrypted.

    The options of existing agents work too: extra --key KEY --value VALUE.

    Example:
      templemeads -c slurm.toml extra set slurm-cluster cluster1
    """
    if ctx.invoked_subcommand is None:
        if key is None or value is None:
            if (key, value) != (None, None):
                raise click.UsageError("Give both: extra --key KEY --value VALUE")
            click.echo(ctx.get_help())
        else:
            ctx.invoke(extra_set, key=key, value=value)


@extra.command("set")
@click.argument("key")
@click.argument("value")
@pass_app
def extra_set(app: App, key: str, value: str) -> None:
    """Store an option.

    Example:
      templemeads -c slurm.toml extra set slurm-cluster cluster1
    """
    with app.edit() as config:
        config.extras[key] = value
    say(f"Stored the option {key}")


@extra.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
@pass_app
def extra_list(app: App, *, as_json: bool) -> None:
    """List the plain options.

    Example:
      templemeads -c slurm.toml extra list
    """
    config = app.load()
    hidden = set(_secrets_of(config))
    plain = {key: value for key, value in config.extras.items() if key not in hidden}
    if as_json:
        print_json(plain)
    else:
        print_table(("KEY", "VALUE"), list(plain.items()))


@extra.command("remove")
@click.argument("key")
@pass_app
def extra_remove(app: App, key: str) -> None:
    """Remove an option.

    Example:
      templemeads -c slurm.toml extra remove slurm-cluster
    """
    _remove(app, key, "option")


def _remove(app: App, key: str, what: str) -> None:
    with app.edit() as config:
        found = config.extras.pop(key, None)
    if found is None:
        raise Failure(f"There is no {what} {key!r}")
    say(f"Removed the {what} {key}")


def _secrets_of(config: AgentConfig) -> list[str]:
    from paddington.config.secrets import looks_like_secret

    return [key for key, value in config.extras.items() if looks_like_secret(value)]


def _unreadable(config: AgentConfig) -> list[str]:
    from paddington import ConfigError

    lost = []
    for key in _secrets_of(config):
        try:
            config.secret(key)
        except ConfigError:
            lost.append(key)
    return lost


def _format(name: str | None) -> SecretFormat | None:
    from paddington.config.secrets import SecretFormat

    return None if name is None else SecretFormat(name)


def _open_all(config: AgentConfig) -> dict[str, str]:
    """Open every secret, or fail before anything is changed."""
    lost = _unreadable(config)
    if lost:
        raise Failure(
            f"These secrets cannot be decrypted with the current password: {', '.join(lost)}. "
            "Set the right one, or remove them and store them again"
        )
    return {key: value for key in _secrets_of(config) if (value := config.secret(key)) is not None}
