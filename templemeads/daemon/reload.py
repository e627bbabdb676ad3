"""Takes up a changed configuration file while the agent runs: peers, keys and options, without cutting other connections."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from paddington import ConfigError

from ..agent.agent import Agent
from ..config import AgentConfig

_log = logging.getLogger("templemeads.reload")

SERVICE_KEYS: Final = (
    "name", "url", "ip", "port", "healthcheck_port", "proxy_header", "trusted_proxy", "encryption", "limits",
)  # fmt: skip
ROOT_KEYS: Final = ("agent_type", "pair", "handler", "control", "healthcheck_ip", "limits")


@attrs.frozen(kw_only=True)
class Reloaded:
    """What came of a reload.

    Attributes:
        peers: Peers that were added, changed or removed.
        options: Whether options of the handler have changed.
        needs_restart: What has changed in the file and counts only after a restart.
    """

    peers: tuple[str, ...]
    options: bool
    needs_restart: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return attrs.asdict(self)


class Reloader:
    """Reloads the configuration of a running agent.

    Args:
        agent: The agent.
        path: Its configuration file.
        load: Reads that file.
    """

    def __init__(self, agent: Agent, path: Path, load: Callable[[], AgentConfig]) -> None:
        self._agent = agent
        self._path = path
        self._load = load
        self._stamp = self._current_stamp()
        # The command line completes some settings after reading, so what was read is compared with what is read.
        self._read: AgentConfig | None = None
        self._lock = trio.Lock()

    @property
    def is_stale(self) -> bool:
        """Whether the file has changed since it was read."""
        stamp = self._current_stamp()
        return stamp is not None and stamp != self._stamp

    async def reload(self) -> Reloaded:
        """Take up what has changed.

        Raises:
            ConfigError: The file cannot be read, or is wrong; then everything stays as it is.
        """
        async with self._lock:
            stamp = self._current_stamp()
            config = await trio.to_thread.run_sync(self._load)
            running = self._agent.config
            if config.name != running.name or config.agent_type is not running.agent_type:
                raise ConfigError(
                    "The configuration is that of another agent now: restart the process to run it"
                )
            needs_restart = self._needs_restart(config)
            changed = await self._agent.change_peers(config.service)
            options = config.extras != running.extras
            running.extras.clear()
            running.extras.update(config.extras)
            self._stamp, self._read = stamp, config
            reloaded = Reloaded(
                peers=tuple(sorted(map(str, changed))), options=options, needs_restart=needs_restart
            )
        _log.info("the configuration was read again: %s", _summary(reloaded))
        return reloaded

    def _needs_restart(self, config: AgentConfig) -> tuple[str, ...]:
        before = self._read or self._agent.config
        found = [key for key in ROOT_KEYS if getattr(before, key) != getattr(config, key)]
        if config.store is not None and before.store is not None and config.store != before.store:
            found.append("store")
        old, new = before.service, config.service
        return (*found, *(f"service.{key}" for key in SERVICE_KEYS if getattr(old, key) != getattr(new, key)))

    def _current_stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _summary(reloaded: Reloaded) -> str:
    parts = [f"peers {', '.join(reloaded.peers)}" if reloaded.peers else "no change of peers"]
    if reloaded.options:
        parts.append("options changed")
    if reloaded.needs_restart:
        parts.append(f"only a restart applies {', '.join(reloaded.needs_restart)}")
    return "; ".join(parts)
