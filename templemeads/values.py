"""Values that a job makes by the dozen.

A frozen class of attrs sets each field through `object.__setattr__`: making one of 15 fields takes 1,800 ns, and without
300 ns (Python 3.11). These are frozen for the type checker alone, which holds all code of ours to it; `Job`, which other
people's handlers are given, is frozen in earnest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as hot_value
else:
    from functools import partial

    import attrs

    hot_value = partial(attrs.define, unsafe_hash=True, on_setattr=None)

__all__ = ["hot_value"]
