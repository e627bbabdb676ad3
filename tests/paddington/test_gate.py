"""Places for strangers, against a model; and how refusals are counted and logged."""

import itertools
from collections import Counter
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import HandshakeError, Limits
from paddington.gate import Gate, holding
from paddington.refusals import QUIET_SECONDS, Refusals

ADDRESSES = [
    ip_address(text) for text in ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1")
]
BLOCKS = {ADDRESSES[3]: ADDRESSES[2]}  # of one network of 64 bits

moves = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from(ADDRESSES), st.booleans()),
        st.tuples(st.just("leave"), st.integers(0, 20), st.just(value=False)),
    ),
    max_size=60,
)


@given(moves, st.integers(1, 8), st.integers(1, 4))
def test_places_are_counted_in_all_and_by_address(script, total, each):
    gate = Gate(Limits(unauthenticated_connections=total, unauthenticated_per_address=each))
    inside = []
    for what, value, shared in script:
        if what == "leave":
            if value < len(inside):
                ticket, _ = inside.pop(value)
                ticket.give_back()
                ticket.give_back()
        else:
            block = None if shared else BLOCKS.get(value, value)
            taken = Counter(block for _, block in inside)
            room = len(inside) < total and (block is None or taken[block] < each)
            if room:
                inside.append((gate.enter(value, shared=shared), block))
            else:
                with pytest.raises(HandshakeError) as caught:
                    gate.enter(value, shared=shared)
                assert caught.value.reason == ("crowded" if len(inside) >= total else "crowded-address")
        assert gate.inside == len(inside)


def test_a_place_is_given_back_whatever_happens():
    gate = Gate(Limits())
    with pytest.raises(ZeroDivisionError), holding(gate.enter(ADDRESSES[0])):
        assert gate.inside == 1
        raise ZeroDivisionError
    assert gate.inside == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 20)), max_size=60))
def test_every_refusal_is_counted_and_few_are_logged(script):
    now = 0.0
    lines = []

    class Log:
        def warning(self, message, *arguments):
            lines.append((now, arguments[0], message % arguments))

    refusals = Refusals(Log(), lambda: now)
    for reason, pause in script:
        now += pause
        refusals.note(reason, "%s is refused", reason)
    assert refusals.counts == Counter(reason for reason, _ in script)
    for reason in "abc":
        times = [when for when, which, _ in lines if which == reason]
        assert all(after - before >= QUIET_SECONDS for before, after in itertools.pairwise(times))
        told = len(times) + sum(
            int(text.split("(and ")[1].split()[0])
            for _, which, text in lines
            if which == reason and "(and " in text
        )
        # What was left out since the last line is told with the next one.
        assert told <= refusals.counts.get(reason, 0)
        if times:
            assert times[0] <= now
