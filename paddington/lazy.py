"""Doors of packages: each public name is fetched from its module when it is first asked for (PEP 562).

Whoever imports a package for one name of it, or for one of its modules, then does not wait for all the others and their
libraries. Type checkers see ordinary imports beside the door, under `if TYPE_CHECKING`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def door(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` of a package.

    Args:
        package: Its name.
        homes: Public names, with the module of the package that each comes from; a module itself has an empty text.
    """

    def fetch(name: str) -> object:
        module = sys.modules[package]
        home = homes.get(name)
        if home is None:
            # With these two arguments Python itself suggests the name that was probably meant.
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        if not home:
            return importlib.import_module(f"{package}.{name}")
        value = getattr(importlib.import_module(f"{package}.{home}"), name)
        setattr(module, name, value)  # the next one who asks does not come here
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return fetch, names
