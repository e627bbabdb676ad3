"""From a setting to a store."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from paddington import ConfigError

from ..store_url import parse_store
from .group_commit import Engine
from .memory import open_memory_store
from .store import DEFAULT_PATIENCE_SECONDS, OpenStore


def open_store(
    setting: str | os.PathLike[str] | None,
    *,
    patience: float = DEFAULT_PATIENCE_SECONDS,
    lease_seconds: float | None = None,
    on_waiting: Callable[[str], None] | None = None,
) -> OpenStore:
    """Return what opens the store that a setting names; call it with the agent's name.

    Args:
        setting: `memory:` (or None), `sqlite:///path`, `postgresql://…`, or the path of an SQLite file as a `Path`.
        patience: Seconds for which a commit is tried again after a failure that may pass.
        lease_seconds: If not None, several processes share the store, as `open_postgresql_store` says.
        on_waiting: Called with the name of the process that leads, while this one waits.

    Raises:
        ConfigError: It is no such setting, or cannot be shared.
    """
    place = Path(setting) if isinstance(setting, os.PathLike) else parse_store(setting)
    if lease_seconds is not None and not isinstance(place, str):
        raise ConfigError("Only a PostgreSQL store can be shared by a pair: set store, or remove pair")
    if place is None:
        return open_memory_store
    if isinstance(place, Path):
        from .sqlite import open_sqlite_store

        return partial(open_sqlite_store, path=place, patience=patience)
    from .postgresql import open_postgresql_store

    return partial(
        open_postgresql_store,
        url=place,
        patience=patience,
        lease_seconds=lease_seconds,
        on_waiting=on_waiting,
    )


def connect(setting: str, agent: str, *, must_exist: bool = False) -> Engine:
    """Open the engine of a setting directly, without an agent, for tools.

    Args:
        setting: As for `open_store`, but not memory.
        agent: The agent's name.
        must_exist: Refuse a store that is not there.

    Raises:
        ConfigError: It is no such setting.
        StoreError: It is in use, is not there, or cannot be opened.
    """
    place = parse_store(setting)
    if place is None:
        raise ConfigError("Boards in memory end with the agent, so there is no store to open")
    if isinstance(place, Path):
        from .sqlite import connect_sqlite

        return connect_sqlite(place, agent, must_exist=must_exist)
    from .postgresql import connect_postgresql

    return connect_postgresql(place, agent, must_exist=must_exist)
