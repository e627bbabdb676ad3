"""`init`: writes a new configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from .app import App, pass_app
from .group import Failure
from .output import say, warn

TYPES = (
    "portal",
    "provider",
    "platform",
    "instance",
    "bridge",
    "account",
    "filesystem",
    "scheduler",
    "virtual",
)


@click.command()
@click.argument("name", required=False)
@click.option("-n", "--service", help="The agent's name, the same as NAME.")
@click.option(
    "-t", "--type", "agent_type", type=click.Choice(TYPES, case_sensitive=False), help="What the agent is."
)
@click.option("-u", "--url", help="Where peers call it, such as wss://cluster.example.org:8443/agent.")
@click.option("-i", "--ip", help="Address to listen on; 127.0.0.1 by default.")
@click.option("-p", "--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "-k", "--healthcheck-port", type=click.IntRange(0, 65535), help="Port of the HTTP health endpoint."
)
@click.option("-x", "--proxy-header", help="Header with the caller's real address, such as X-Real-IP.")
@click.option("--trusted-proxy", help="Addresses of the proxies that may set this header.")
@click.option("--handler", help="The handler: package.module:name, or file.py:name beside the configuration.")
@click.option(
    "--store",
    help="Where boards are stored: sqlite:///file, postgresql://host/database or memory:; by default a file here.",
)
@click.option("--control", help="The control socket; by default beside the configuration.")
@click.option(
    "-r", "--bridge-url", help="For a bridge: where web portals call it, such as https://bridge.example.org/."
)
@click.option("-b", "--bridge-ip", help="For a bridge: address of its HTTP server; 127.0.0.1 by default.")
@click.option(
    "-q",
    "--bridge-port",
    type=click.IntRange(0, 65535),
    help="For a bridge: port of its HTTP server; 3000 by default.",
)
@click.option("-s", "--signal-url", help="For a bridge: called when a job waits for the web portal.")
@click.option(
    "-N", "--notification-url", help="For a bridge: called when a notification waits for the web portal."
)
@click.option(
    "-f", "--force", is_flag=True, help="Replace an existing configuration; its peers and keys are lost."
)
@pass_app
def init(
    app: App,
    name: str | None,
    service: str | None,
    agent_type: str | None,
    url: str | None,
    ip: str | None,
    port: int | None,
    healthcheck_port: int | None,
    proxy_header: str | None,
    trusted_proxy: str | None,
    handler: str | None,
    store: str | None,
    control: str | None,
    bridge_url: str | None,
    bridge_ip: str | None,
    bridge_port: int | None,
    signal_url: str | None,
    notification_url: str | None,
    *,
    force: bool,
) -> None:
    """Write a new configuration, readable only by its owner.

    Example:
      templemeads -c cluster.toml init cluster --type instance --url ws://localhost:6502 --port 6502
    """
    from paddington import ServiceConfig
    from templemeads import AgentConfig, AgentType
    from templemeads.store_url import parse_store

    defaults = app.defaults
    if name is not None and service is not None and name != service:
        raise click.UsageError(f"Two names are given, {name!r} and {service!r}. Give one")
    chosen = name or service or (None if defaults is None else defaults.name)
    if chosen is None:
        raise click.UsageError(f"The agent needs a name: {app.command} init NAME --type instance")
    if defaults is not None:
        kind = defaults.agent_type
        if agent_type is not None and AgentType.parse(agent_type.lower()) is not kind:
            raise click.UsageError(f"This executable is a {kind} agent; leave out --type")
    elif agent_type is None:
        raise click.UsageError(
            f"The agent needs a type, one of: {', '.join(TYPES)}. For example: --type instance"
        )
    else:
        kind = AgentType.parse(agent_type.lower())
    path = app.config_path
    if path.exists() and not force:
        raise Failure(
            f"There is a configuration {path.absolute()} already. Use --force to replace it; all keys in it are lost"
        )
    parse_store(store)
    made = ServiceConfig.create(
        chosen,
        url=url or (None if defaults is None or port is not None else defaults.url),
        ip=ip or ("127.0.0.1" if defaults is None else defaults.ip),
        port=port if port is not None else 8042 if defaults is None else defaults.port,
        healthcheck_port=healthcheck_port,
        proxy_header=proxy_header,
        trusted_proxy=trusted_proxy,
    )
    config = AgentConfig(made, kind, handler=handler, store=store, control=control)
    web = {
        "url": bridge_url,
        "ip": bridge_ip,
        "port": bridge_port,
        "signal_url": signal_url,
        "notification_url": notification_url,
    }
    given = {name: value for name, value in web.items() if value is not None}
    if kind is AgentType.BRIDGE:
        config.tables["bridge"] = _bridge_table(given)
    elif given:
        raise click.UsageError(f"--bridge-… and --signal-url are for bridges; {chosen} is a {kind} agent")
    config.create(path, replace=force)
    say(f"Wrote {path.absolute()}: {kind} agent {chosen}; peers call it at {made.url}")
    if url is not None:
        warn_of_dropped_path(url)
    _warn_of_owner(path)
    if proxy_header is not None and trusted_proxy is None:
        warn(f"the header {proxy_header} is ignored until --trusted-proxy names the proxies that may set it")


def _bridge_table(given: dict[str, Any]) -> dict[str, Any]:
    from templemeads.roles.bridge.settings import BridgeSettings

    if "url" not in given and "port" in given:
        given["url"] = f"http://localhost:{given['port']}/"
    # Read back as a file is read, so that what is wrong is found now.
    return BridgeSettings.from_toml(BridgeSettings.create(**given).to_toml()).to_toml()


def warn_of_dropped_path(url: str) -> None:
    """Say that the path of an address on the default port is not used."""
    from paddington.config.url import Url, dropped_path

    path = dropped_path(url)
    if path is not None:
        port = Url.parse(url).port
        warn(
            f"the path {path!a} of {url!a} is dropped, as existing agents do on the default port {port}: serve the agent "
            "at the root of that host, or on another port"
        )


def _warn_of_owner(path: Path) -> None:
    """Say so if root wrote a file that the owner of the directory cannot read."""
    owner = path.absolute().parent.stat().st_uid
    if os.geteuid() == 0 and owner != 0 and path.stat().st_uid == 0:
        warn(
            f"{path.absolute()} belongs to root; if the agent runs as user {owner}: chown {owner} {path.absolute()}"
        )
