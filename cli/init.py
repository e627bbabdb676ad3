"""``init``: writes a new configuration."""

from __future__ import annotations

import click

from .app import App, pass_app
from .group import Failure
from .output import say

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
@click.option("-n", "--service", help="The agent's name; the same as NAME.")
@click.option(
    "-t", "--type", "agent_type", type=click.Choice(TYPES, case_sensitive=False), help="What the agent is."
)
@click.option("-u", "--url", help="Where peers call it, such as wss://cluster.example.org/agent.")
@click.option("-i", "--ip", help="Address to listen on; 127.0.0.1 by default.")
@click.option("-p", "--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "-k", "--healthcheck-port", type=click.IntRange(0, 65535), help="Port of the HTTP health endpoint."
)
@click.option("-x", "--proxy-header", help="Header with the caller's real address, such as X-Real-IP.")
@click.option("--trusted-proxy", help="Addresses that are believed about it.")
@click.option("--handler", help="The handler: package.module:name, or file.py:name beside the configuration.")
@click.option(
    "--store",
    help="Where boards are kept: sqlite:///file, or memory:; a file beside the configuration by default.",
)
@click.option("--control", help="The control socket; beside the configuration by default.")
@click.option("-f", "--force", is_flag=True, help="Replace what is there: all its peers and keys are lost.")
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
    *,
    force: bool,
) -> None:
    r"""Write a new configuration, readable by its owner alone.

    \b
    Example:
      templemeads -c cluster.toml init cluster --type instance --url ws://localhost:6502 --port 6502
    """
    from paddington import ServiceConfig
    from templemeads import AgentConfig, AgentType
    from templemeads.config import store_path

    defaults = app.defaults
    if name is not None and service is not None and name != service:
        raise click.UsageError(f"Is the name {name!r} or {service!r}? Give it once")
    chosen = name or service or (None if defaults is None else defaults.name)
    if chosen is None:
        raise click.UsageError(f"The agent needs a name: {app.command} init NAME --type instance")
    if defaults is not None:
        kind = defaults.agent_type
        if agent_type is not None and AgentType.parse(agent_type.lower()) is not kind:
            raise click.UsageError(f"This executable is a {kind} agent; leave --type out")
    elif agent_type is None:
        raise click.UsageError(
            f"The agent needs a type, one of: {', '.join(TYPES)}. Say --type instance, for example"
        )
    else:
        kind = AgentType.parse(agent_type.lower())
    path = app.config_path
    if path.exists() and not force:
        raise Failure(
            f"There is a configuration {path.absolute()} already. --force replaces it, with all keys in it"
        )
    store_path(store)
    made = ServiceConfig.create(
        chosen,
        url=url or (None if defaults is None or port is not None else defaults.url),
        ip=ip or ("127.0.0.1" if defaults is None else defaults.ip),
        port=port if port is not None else 8042 if defaults is None else defaults.port,
        healthcheck_port=healthcheck_port,
        proxy_header=proxy_header,
        trusted_proxy=trusted_proxy,
    )
    if force:
        path.unlink(missing_ok=True)
    AgentConfig(made, kind, handler=handler, store=store, control=control).save(path)
    say(f"Wrote {path.absolute()}: {kind} agent {chosen}, called at {made.url}")
    if proxy_header is not None and trusted_proxy is None:
        say(
            f"The header {proxy_header} is believed from nobody until --trusted-proxy names its proxies",
            err=True,
        )
