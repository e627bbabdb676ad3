"""The version of this software."""

from __future__ import annotations

from paddington.version import __version__

__all__ = ["__version__"]
