"""When a connection answers a keepalive, and when it is given up."""

from __future__ import annotations

import math

import attrs
from hypothesis import given
from hypothesis import strategies as st

from paddington.keepalive import AnswerDue, Keepalive, Lost

ANSWER, WATCHDOG = 23.0, 300.0
TIMES = st.integers(0, 1_000).map(float)


@attrs.define
class Stream:
    is_held: bool = False
    progress_at: float = -math.inf
    sending_since: float = math.inf


def keepalive(last_heard: float = 0.0) -> Keepalive:
    return Keepalive(ANSWER, WATCHDOG, last_heard=last_heard)


def test_one_answer_is_scheduled_however_many_keepalives_come():
    rules = keepalive()
    assert rules.schedule_answer(10) == 10 + ANSWER
    assert rules.schedule_answer(11) is None
    assert rules.due(10 + ANSWER, Stream()) == AnswerDue()
    assert rules.due(10 + ANSWER, Stream()) is None
    assert rules.schedule_answer(40) == 40 + ANSWER


@given(last_heard=TIMES, progress=TIMES)
def test_a_connection_on_which_nothing_moves_is_given_up_and_bytes_that_move_are_life(last_heard, progress):
    rules, stream = keepalive(last_heard), Stream(progress_at=progress)
    end = max(last_heard, progress) + WATCHDOG
    assert rules.due(end - 0.001, stream) is None
    assert isinstance(rules.due(end, stream), Lost)


@given(now=TIMES)
def test_while_nobody_takes_what_came_silence_does_not_count(now):
    rules, stream = keepalive(), Stream(is_held=True)
    assert rules.due(now + 10 * WATCHDOG, stream) is None
    rules.read_on(now + 10 * WATCHDOG)
    stream.is_held = False
    assert rules.due(now + 11 * WATCHDOG - 0.001, stream) is None
    assert isinstance(rules.due(now + 11 * WATCHDOG, stream), Lost)


def test_a_peer_that_takes_nothing_is_given_up():
    rules, stream = keepalive(last_heard=1_000), Stream(sending_since=900)
    assert rules.due(1_199, stream) is None
    assert rules.due(1_200, stream) == Lost("the peer took nothing for 300 s")


@given(
    last_heard=TIMES,
    progress=TIMES,
    sending=st.one_of(TIMES, st.just(math.inf)),
    held=st.booleans(),
    now=TIMES,
)
def test_nothing_becomes_due_before_the_next_look(last_heard, progress, sending, held, now):
    rules, stream = keepalive(last_heard), Stream(held, progress, sending)
    rules.schedule_answer(now)
    look = rules.next_due(now, stream)
    if look > now:
        assert rules.due(max(now, math.nextafter(look, -math.inf)), stream) is None
