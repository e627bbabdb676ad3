"""From a setting to a store."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from ..store_url import parse_store
from .memory import open_memory_store
from .store import DEFAULT_PATIENCE_SECONDS, OpenStore


def open_store(
    setting: str | os.PathLike[str] | None, *, patience: float = DEFAULT_PATIENCE_SECONDS
) -> OpenStore:
    """Return what opens the store that a setting names; call it with the agent's name.

    Args:
        setting: ``memory:`` (or None), ``sqlite:///path``, or the path of an SQLite file as a `Path`.
        patience: Seconds for which a commit is tried again after a failure that may pass.

    Raises:
        ConfigError: It is no such setting.

    """
    place = Path(setting) if isinstance(setting, os.PathLike) else parse_store(setting)
    if place is None:
        return open_memory_store
    from .sqlite import open_sqlite_store

    return partial(open_sqlite_store, path=Path(place), patience=patience)
