"""Scripts that found something, kept as they shrank, with what it was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .scripts import Event, Script
from .world import Work

SLOW = Work(seconds=1.0, reports=5, ending="raise")

FOUND = {
    # A result on its way met the end that a soft restart had given; being the later version it replaced that end, on
    # the board and for the sender that had been told.
    "an end that was told is replaced by a later one": Script(
        events=(
            Event("put", number=5, steps=5),
            Event("put elsewhere", seconds=1.0),
            Event("put", seconds=0.01),
            Event("soft restart", 1, seconds=0.01),
        ),
        size=3,
        seed=1,
        works=(Work(0.05, ending="raise", cleanup=1.0), Work(0.0, 1, "raise", 5.0), SLOW),
        slow_line=0.01,
        slow_disk=0.01,
    ),
    # A sender that was down when its job ran out of time could not ask for its end: "has expired before it was put".
    "whoever comes back after the end may ask for it": Script(
        events=(Event("put", steps=2), Event("stop", seconds=0.1), Event("block", seconds=15.0)),
        seed=1,
        works=(Work(1.0),),
        slow_line=0.0,
        slow_disk=0.0,
        lifetime=5.0,
    ),
    # To the agent whose clock is right the job had expired; as part of a Sync it was passed over in silence, and the
    # sender waited until its own clock said the same.
    "a job that has expired for its receiver is answered": Script(
        events=(Event("put elsewhere", steps=5),), size=3, slow_line=0.0, slow_disk=0.01, late=(3, -3600.0)
    ),
    # A sender that had lost its memory of a deletion put the job again: the receiver knew better, and said nothing.
    "who asks for a deleted job is told so": Script(
        events=(
            Event("put elsewhere", 1, 2, seconds=1.0),
            Event("delete", seconds=0.01),
            Event("set back", 1, seconds=1.0),
            Event("put again", seconds=0.1, steps=40),
        ),
        slow_line=0.0,
        slow_disk=0.0,
    ),
    # The store fails while a line is being served: the line's own error hid the store's.
    "a store that fails ends the agent with its error": Script(
        events=(Event("put", steps=40), Event("fail disk", 3), Event("crash", 1, seconds=1.0)),
        seed=1,
        works=(Work(1.0, ending="raise", cleanup=5.0),),
        slow_line=0.01,
        slow_disk=0.01,
    ),
}


@pytest.mark.parametrize("story", FOUND)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(orders=st.random_module())
def test_faults_found_once_stay_fixed(story: str, orders: object):
    FOUND[story].run()
