"""`bridge`: the file of web portals' clients, and the keys of a bridge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .app import App, pass_app
from .group import Failure, Group
from .output import print_json, print_table, say

if TYPE_CHECKING:
    from paddington.config.files import NewFile
    from templemeads import AgentConfig
    from templemeads.roles.bridge.settings import BridgeSettings

_RESTART = "A running agent uses the keys as they were when it started: restart its process to apply this"

SCOPES = ("read", "submit", "answer")


@click.group(cls=Group)
def bridge() -> None:
    """Write the file with which a web portal's client calls this bridge, and manage keys.

    Example:
      templemeads -c bridge.toml bridge invite openportal.toml
    """


def _settings(config: AgentConfig) -> BridgeSettings:
    from templemeads.roles.bridge.settings import BridgeSettings

    return BridgeSettings.of(config)


@bridge.command("invite")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-f", "--force", is_flag=True, help="Replace the file if it exists.")
@pass_app
def bridge_invite(app: App, file: Path, *, force: bool) -> None:
    """Write the file that the published client openportal loads.

    Example:
      templemeads -c bridge.toml bridge invite openportal.toml
    """
    from paddington.config.files import write_private
    from paddington.config.toml_edit import format_toml

    settings = _settings(app.load())
    if file.exists() and not force:
        raise Failure(f"There is a file {file.absolute()} already. Use --force to replace it")
    write_private(file, format_toml(settings.invite()))
    say(f"Wrote {file.absolute()}: a client that loads it calls {settings.url}")
    say(
        "Copy the file over an encrypted channel (scp); never by mail. Anyone who has it can do all a web portal can"
    )


@bridge.command("rotate")
@pass_app
def bridge_rotate(app: App) -> None:
    """Make a new key for web portals; the present one counts as well until the next rotation.

    Write the clients' file again afterwards, and rotate once more when all clients have it.

    Example:
      templemeads -c bridge.toml bridge rotate
    """
    with app.edit() as config:
        config.tables["bridge"] = _settings(config).with_new_key().to_toml()
    say(
        "Made a new key; the one before it counts until the next rotation. Write the clients' file with: bridge invite FILE"
    )
    say(_RESTART)


@bridge.group("key", cls=Group)
def key() -> None:
    """Manage the named keys of the interface below /v1/.

    Example:
      templemeads -c bridge.toml bridge key add dashboard --scope read
    """


@key.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="What the key allows; can be given more than once.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the key to this new file."
)
@pass_app
def key_add(app: App, name: str, scopes: tuple[str, ...], output: Path | None) -> None:
    """Add a key, and print it once.

    Several keys may have one name: add the new one, hand it out, then remove the old one by its first digits.

    Example:
      templemeads -c bridge.toml bridge key add dashboard --scope read
    """
    import attrs

    from paddington.config.files import NewFile
    from templemeads.roles.bridge.authentication import Scope
    from templemeads.roles.bridge.settings import new_named_key

    files: list[NewFile] = []
    made = new_named_key(name, frozenset(Scope(scope) for scope in scopes))
    if output is not None:
        files.append(NewFile(path=output, text=made.data.hex() + "\n", replace=False))
    with app.edit(files) as config:
        settings = _settings(config)
        config.tables["bridge"] = attrs.evolve(settings, keys=(*settings.keys, made)).to_toml()
    if output is None:
        click.echo(made.data.hex())
    else:
        say(f"Wrote the key {name} to {output.absolute()}")
    say(_RESTART)


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print data for programs.")
@pass_app
def key_list(app: App, *, as_json: bool) -> None:
    """List the named keys by their first digits.

    Example:
      templemeads -c bridge.toml bridge key list
    """
    found = [
        (each.name, each.data.hex()[:8], ", ".join(sorted(scope.value for scope in each.scopes)))
        for each in _settings(app.load()).keys
    ]
    if as_json:
        print_json(
            [{"name": name, "digits": digits, "scopes": scopes.split(", ")} for name, digits, scopes in found]
        )
        return
    print_table(("NAME", "FIRST DIGITS", "SCOPES"), found)


@key.command("remove")
@click.argument("digits", metavar="FIRST_DIGITS")
@pass_app
def key_remove(app: App, digits: str) -> None:
    """Remove a named key by its first digits, as `bridge key list` shows them.

    Example:
      templemeads -c bridge.toml bridge key remove 1f0a77c2
    """
    import attrs

    with app.edit() as config:
        settings = _settings(config)
        fitting = [
            each for each in settings.keys if len(digits) >= 4 and each.data.hex().startswith(digits.lower())
        ]
        if len(fitting) != 1:
            raise Failure(
                f"{len(fitting)} keys begin with {digits[:20]!r}. Give the first 8 digits of one of them, "
                f"as they are listed by: {app.command} bridge key list"
            )
        rest = tuple(each for each in settings.keys if each is not fitting[0])
        config.tables["bridge"] = attrs.evolve(settings, keys=rest).to_toml()
    say(f"Removed a key of {fitting[0].name}")
    say(_RESTART)
