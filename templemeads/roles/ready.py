"""Which ready-made agent a configuration asks for: by its type."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from ..agent.handlers import Handler
from ..agent_type import AgentType
from ..config import AgentConfig
from ..operations.notifications import NotificationHandler


@attrs.frozen
class ReadyAgent:
    """A ready-made agent, for whatever runs it.

    Attributes:
        handler: Its handler of jobs.
        on_notification: Its handler of notifications; None if it only logs them.
    """

    handler: Handler
    on_notification: NotificationHandler | None = None


def _table(module: str) -> Callable[[AgentConfig], ReadyAgent]:
    def make(_: AgentConfig) -> ReadyAgent:
        return ReadyAgent(importlib.import_module(f"{__package__}.{module}").handlers)

    return make


def _bridge(config: AgentConfig) -> ReadyAgent:
    from .bridge.bridge import Bridge
    from .bridge.settings import BridgeSettings

    bridge = Bridge(BridgeSettings.of(config))
    return ReadyAgent(bridge, bridge.notified)


def _portal(_: AgentConfig) -> ReadyAgent:
    from .portal import Portal

    portal = Portal()
    return ReadyAgent(portal, portal.notified)


_AGENTS: Final[Mapping[AgentType, Callable[[AgentConfig], ReadyAgent]]] = {
    AgentType.PORTAL: _portal,
    AgentType.PROVIDER: _table("provider"),
    AgentType.PLATFORM: _table("platform"),
    AgentType.INSTANCE: _table("instance"),
    AgentType.ACCOUNT: _table("account"),
    AgentType.FILESYSTEM: _table("filesystem"),
    AgentType.SCHEDULER: _table("scheduler"),
    AgentType.BRIDGE: _bridge,
}


def make_ready_agent(config: AgentConfig) -> ReadyAgent | None:
    """Make the ready-made agent of a configuration's type; None if there is none of that type.

    Raises:
        ConfigError: One of its settings is wrong.
    """
    make = _AGENTS.get(config.agent_type)
    if make is None:
        return None
    if (check := _CHECKS.get(config.agent_type)) is not None:
        check(config)
    return make(config)


def check_options(config: AgentConfig) -> list[str]:
    """Return what is wrong with the options that the ready-made agent of a configuration reads, as sentences.

    An agent with a handler of its own reads its own options, so nothing is said about them.
    """
    from paddington import ConfigError

    if config.handler is not None:
        return []
    problems = []
    check = _CHECKS.get(config.agent_type)
    try:
        if check is not None:
            check(config)
    except ConfigError as error:
        problems.append(str(error))
    return problems


def unknown_options(config: AgentConfig) -> list[str]:
    """Return the options that the ready-made agent of a configuration does not read, in alphabetical order."""
    if (
        config.handler is not None
        or config.agent_type not in _AGENTS
        or config.agent_type is AgentType.BRIDGE
    ):
        return []
    module = importlib.import_module(f"{__package__}.{config.agent_type.value.lower()}")
    return sorted(set(config.extras) - set(module.OPTIONS))


def _check_account(config: AgentConfig) -> None:
    from .account import open_directory

    open_directory(config)


def _check_filesystem(config: AgentConfig) -> None:
    from .filesystem import Filesystem

    Filesystem.from_config(config)


def _check_scheduler(config: AgentConfig) -> None:
    from .scheduler import read_settings

    read_settings(config)


def _check_bridge(config: AgentConfig) -> None:
    from .bridge.settings import BridgeSettings

    BridgeSettings.of(config)


_CHECKS: Final[Mapping[AgentType, Callable[[AgentConfig], None]]] = {
    AgentType.ACCOUNT: _check_account,
    AgentType.FILESYSTEM: _check_filesystem,
    AgentType.SCHEDULER: _check_scheduler,
    AgentType.BRIDGE: _check_bridge,
}
