"""The version of this software: the only place where it is written down; the packaging reads it from here."""

from __future__ import annotations

__version__ = "0.1.0"
