"""The version of this software."""

from paddington.version import __version__

__all__ = ["__version__"]
