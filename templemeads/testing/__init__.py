"""Tools for testing agents and handlers: strategies for Hypothesis, and networks of agents in one process.

Strategies need the extra `testing`: `pip install templemeads[testing]`. Once that is installed,
Hypothesis knows the types of the grammar by itself, and `st.from_type(UserIdentifier)` works without
importing anything from here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._handlers import HandlerError as HandlerError
    from ._handlers import check_handler as check_handler
    from ._instructions import commands as commands
    from ._instructions import instructions as instructions
    from ._instructions import notifications as notifications
    from ._instructions import results as results
    from ._instructions import results_of as results_of
    from ._jobs import envelopes as envelopes
    from ._jobs import histories as histories
    from ._jobs import jobs as jobs
    from ._misses import STRANGERS as STRANGERS
    from ._misses import edited as edited
    from ._misses import near_misses as near_misses
    from ._misses import strategy_of as strategy_of

_HOMES = {
    "HandlerError": "_handlers",
    "STRANGERS": "_misses",
    "check_handler": "_handlers",
    "commands": "_instructions",
    "edited": "_misses",
    "envelopes": "_jobs",
    "histories": "_jobs",
    "instructions": "_instructions",
    "jobs": "_jobs",
    "near_misses": "_misses",
    "notifications": "_instructions",
    "results": "_instructions",
    "results_of": "_instructions",
    "strategy_of": "_misses",
}

__all__ = [
    "STRANGERS",
    "HandlerError",
    "check_handler",
    "commands",
    "edited",
    "envelopes",
    "histories",
    "instructions",
    "jobs",
    "near_misses",
    "notifications",
    "results",
    "results_of",
    "strategy_of",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: Hypothesis is slow to import, and an extra."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "hypothesis":
            raise ModuleNotFoundError(
                f"{__name__}.{name} needs Hypothesis: pip install templemeads[testing]", name=error.name
            ) from error
        raise
    globals()[name] = value
    return value
