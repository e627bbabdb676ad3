"""Places for strangers, against a model; and how refusals are counted and logged."""

import itertools
from collections import Counter
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import Limits
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


@given(moves, st.integers(1, 8), st.integers(1, 4), st.floats(0, 1))
def test_a_newcomer_always_gets_in_and_one_of_the_older_half_makes_room(script, total, each, draw):
    gate = Gate(
        Limits(unauthenticated_connections=total, unauthenticated_per_address=each), random=lambda: draw
    )
    inside, dropped = [], []
    for what, value, shared in script:
        if what == "leave":
            if value < len(inside):
                ticket, _ = inside.pop(value)
                ticket.give_back()
                ticket.give_back()
        else:
            block = "shared" if shared else BLOCKS.get(value, value)
            before = list(inside)
            number = len(dropped)
            ticket = gate.enter(value, lambda: dropped.append(None), shared=shared)
            inside = [(held, of) for held, of in inside if held.dropped is None]
            gone = [(held, of) for held, of in before if held.dropped is not None]
            assert len(gone) == len(dropped) - number <= 1
            taken = Counter(of for _, of in before)
            if block != "shared" and taken[block] >= each:
                assert [(held.dropped, of) for held, of in gone] == [("crowded-address", block)]
            elif len(before) >= total:
                ((held, of),) = gone
                assert held.dropped == "crowded"
                assert taken[of] == max(taken.values())
            else:
                assert not gone
            for held, of in gone:
                peers = [other for other, block_of in before if block_of == of]
                assert peers.index(held) < (len(peers) + 1) // 2
            inside.append((ticket, block))
        assert gate.inside == len(inside)
        assert gate.inside <= total


def test_who_has_proved_a_key_is_dropped_for_nobody():
    gate = Gate(Limits(unauthenticated_per_address=1))
    ticket = gate.enter(ADDRESSES[0], lambda: pytest.fail("it was dropped"))
    ticket.give_back()
    for _ in range(5):
        gate.enter(ADDRESSES[0])
    assert ticket.dropped is None


@pytest.mark.parametrize(
    ("descriptors", "reserved", "peers", "places"),
    [
        (None, 256, 900, 2048),
        (1024, 256, 0, 768),
        (1024, 256, 100, 668),
        (1024, 0, 0, 1024),
        (256, 256, 0, 128),
        (256, 256, 200, 1),
        (100_000, 256, 0, 2048),
    ],
)
def test_strangers_leave_descriptors_to_peers_handlers_and_the_store(descriptors, reserved, peers, places):
    gate = Gate(
        Limits(reserved_descriptors=reserved, unauthenticated_per_address=10_000),
        descriptors=descriptors,
        others=lambda: peers,
    )
    for _ in range(places + 3):
        gate.enter(ADDRESSES[0])
    assert gate.inside == places


def test_a_place_is_always_released():
    gate = Gate(Limits())
    with pytest.raises(ZeroDivisionError), holding(gate.enter(ADDRESSES[0])):
        assert gate.inside == 1
        raise ZeroDivisionError
    assert gate.inside == 0
    assert not gate.drop_one()


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
