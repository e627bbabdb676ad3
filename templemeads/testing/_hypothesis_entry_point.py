"""What Hypothesis calls when it is imported where templemeads is installed.

It makes `st.from_type(UserIdentifier)` and its like work. Strategies themselves are built, and their
modules imported, only when somebody asks for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_TYPES = (
    *("Allocation", "AwardDetails", "Command", "DailyProjectUsageReport", "Date", "DateRange", "Destination"),
    *(
        "Destinations",
        "DomainPattern",
        "Instruction",
        "Link",
        "MembershipControl",
        "Node",
        "Note",
        "Notification",
    ),
    *("PortalIdentifier", "ProjectIdentifier", "ProjectMapping", "ProjectStorageReport", "ProjectTemplate"),
    *("ProjectUsageReport", "Quota", "QuotaLimit", "StorageReport", "StorageSize", "Timestamp", "Usage"),
    *("UsageReport", "UserIdentifier", "UserMapping", "UserUsageReport", "Volume"),
)


def register() -> None:
    """Tell Hypothesis how to make each type of the grammar."""
    from hypothesis import strategies as st

    from .. import grammar

    for kind in (*(getattr(grammar, name) for name in _TYPES), *grammar.instructions()):
        st.register_type_strategy(kind, _strategy)


def _strategy(kind: type[Any]) -> SearchStrategy[Any]:
    from ._misses import strategy_of

    return strategy_of(kind)
