"""Where an agent's boards are, as the setting `store` says it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from paddington import ConfigError

POSTGRESQL_PREFIXES: Final = ("postgresql://", "postgres://")
_SQLITE_PREFIX: Final = "sqlite:///"


def parse_store(setting: str | None) -> Path | str | None:
    """Return the file of a `sqlite:///path` setting, a PostgreSQL URL as it is, or None for boards in memory.

    In `sqlite:///` three slashes are followed by a path relative to the working directory, four by an absolute one.

    Raises:
        ConfigError: It is no such setting.
    """
    if setting is None or setting in {"memory", "memory:", "memory://"}:
        return None
    if setting.startswith(POSTGRESQL_PREFIXES):
        return setting
    if not setting.startswith(_SQLITE_PREFIX) or len(setting) == len(_SQLITE_PREFIX):
        raise ConfigError(
            f"{setting[:100]!a} is no store: write sqlite:///boards.db, sqlite:////var/lib/agent/boards.db, "
            f"postgresql://user@host/database or memory:"
        )
    return Path(setting[len(_SQLITE_PREFIX) :])
