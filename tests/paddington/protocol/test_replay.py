import os
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paddington.peer import Peer
from paddington.protocol.replay import (
    MAX_NUMBER,
    EpochWindows,
    InfoMemory,
    Numbers,
    Stamp,
    Window,
    is_number,
)

PEER, OTHER = Peer("portal"), Peer("portal", "other")

numbers = st.integers(0, 60) | st.integers(0, MAX_NUMBER) | st.integers(MAX_NUMBER - 60, MAX_NUMBER)


@pytest.mark.parametrize(
    ("sequence", "taken"),
    [
        ([0, 1, 1], [True, True, False]),
        ([5, 3, 4, 3], [True, True, True, False]),
        ([0, 1524, 0, 501, 501, 500], [True, True, False, True, False, False]),
        ([5, 2**64 - 1, 5, 2**64 - 1], [True, True, False, False]),
        ([1024, 0], [True, False]),
        ([1023, 0], [True, True]),
    ],
)
def test_the_window_follows_the_published_sequences(sequence: list[int], taken: list[bool]) -> None:
    window = Window()
    assert [window.accept(number) for number in sequence] == taken


@given(st.lists(numbers, max_size=60), st.integers(1, 40))
def test_the_window_takes_what_a_list_of_all_numbers_would(sequence: list[int], size: int) -> None:
    window, seen = Window(size), set[int]()
    for number in sequence:
        expected = number not in seen and (not seen or number > max(seen) - size)
        assert window.allows(number) == expected
        assert window.accept(number) == expected
        if expected:
            seen.add(number)


def test_a_gap_of_2_to_the_63_takes_neither_memory_nor_time() -> None:
    window = Window()
    begun = time.process_time()
    for number in (0, 2**63, 2**64 - 1):
        assert window.accept(number)
        assert sys.getsizeof(window._seen) < 300
    assert time.process_time() - begun < 0.1


@pytest.mark.parametrize("value", [0, 1, 2**53, 2**53 + 1, 2**63, 2**64 - 1])
def test_unsigned_64_bit_integers_are_numbers(value: int) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [-1, 2**64, 1.0, 1e3, "1", True, False, None, [1], {}])
def test_nothing_else_is_a_number(value: object) -> None:
    assert not is_number(value)


def test_neighbours_beyond_2_to_the_53_differ() -> None:
    window = Window()
    assert window.accept(2**53)
    assert window.accept(2**53 + 1)


class EpochModel(RuleBasedStateMachine):
    """The windows of one peer against plain lists of what was seen."""

    EPOCHS = 3
    SIZE = 8

    def __init__(self) -> None:
        super().__init__()
        self.windows = EpochWindows(size=self.SIZE, epochs=self.EPOCHS)
        self.recent: list[int] = []
        self.seen: dict[int, set[int]] = {}

    def allowed(self, epoch: int, number: int) -> bool:
        seen = self.seen.get(epoch, set())
        return number not in seen and (not seen or number > max(seen) - self.SIZE)

    @rule(epoch=st.integers(0, 6), number=st.integers(0, 20))
    def commit(self, epoch: int, number: int) -> None:
        expected = self.allowed(epoch, number)
        stamp = Stamp(number, epoch)
        assert self.windows.allows(PEER, stamp) == expected
        assert self.windows.commit(PEER, [stamp]) == expected
        if expected:
            self.seen.setdefault(epoch, set()).add(number)
        if epoch in self.recent:
            self.recent.remove(epoch)
        self.recent.append(epoch)
        while len(self.recent) > self.EPOCHS:
            self.seen.pop(self.recent.pop(0))

    @rule(epoch=st.integers(0, 6), number=st.integers(0, 20))
    def look(self, epoch: int, number: int) -> None:
        assert self.windows.allows(PEER, Stamp(number, epoch)) == self.allowed(epoch, number)

    @rule(number=st.integers(0, 20))
    def peers_without_epoch_are_never_refused(self, number: int) -> None:
        assert self.windows.allows(PEER, Stamp(number, None))
        assert self.windows.commit(PEER, [Stamp(number, None), Stamp(number + 1, None)])

    @rule()
    def legacy_peers_are_never_refused(self) -> None:
        assert self.windows.commit(PEER, [Stamp(None, None), Stamp(None, 5)])

    @precondition(lambda self: self.seen)
    @rule()
    def forget(self) -> None:
        self.windows.forget(PEER)
        self.recent.clear()
        self.seen.clear()

    @invariant()
    def another_zone_is_another_peer(self) -> None:
        assert self.windows.allows(OTHER, Stamp(0, 0))


TestEpochWindows = EpochModel.TestCase


def test_both_numbers_of_one_handshake_without_epoch_must_differ() -> None:
    assert not EpochWindows().commit(PEER, [Stamp(7, None), Stamp(7, None)])


def test_600_reconnects_then_50_restarts_are_all_taken() -> None:
    windows = EpochWindows()
    for epoch, attempts in [(0, 600), *((e, 1) for e in range(1, 51))]:
        for attempt in range(attempts):
            stamps = [Stamp(2 * attempt, epoch), Stamp(2 * attempt + 1, epoch)]
            assert all(windows.allows(PEER, stamp) for stamp in stamps)
            assert windows.commit(PEER, stamps)
    assert not windows.allows(PEER, Stamp(0, 50))
    assert not windows.allows(PEER, Stamp(0, 43))


def test_20_epochs_of_one_peer_leave_8_windows() -> None:
    windows = EpochWindows()
    for epoch in range(20):
        assert windows.commit(PEER, [Stamp(0, epoch)])
    assert [epoch for epoch in range(20) if not windows.allows(PEER, Stamp(0, epoch))] == list(range(12, 20))


def test_looking_keeps_no_epoch_alive() -> None:
    windows = EpochWindows(epochs=2)
    windows.commit(PEER, [Stamp(5, 1)])
    windows.commit(PEER, [Stamp(5, 2)])
    assert not windows.allows(PEER, Stamp(5, 1))
    windows.commit(PEER, [Stamp(5, 3)])
    assert windows.allows(PEER, Stamp(5, 1))


def test_a_downgrade_is_noticed_until_the_peer_is_forgotten() -> None:
    windows = EpochWindows()
    assert not windows.note_support(PEER, supports=False)
    assert not windows.note_support(PEER, supports=True)
    assert windows.note_support(PEER, supports=False)
    assert not windows.note_support(OTHER, supports=False)
    windows.forget(PEER)
    assert not windows.note_support(PEER, supports=False)


@given(st.lists(st.floats(0, 1e10), min_size=1, max_size=50))
def test_our_numbers_rise_whatever_the_clock_does(clock: list[float]) -> None:
    mine = Numbers()
    drawn = [mine.draw(PEER, seconds) for seconds in clock]
    assert drawn == sorted(set(drawn))
    assert all(number >= int(seconds) for number, seconds in zip(drawn, clock, strict=True))


def test_our_numbers_rise_across_a_restart_and_per_peer() -> None:
    before, after = Numbers(), Numbers()
    last = [before.draw(PEER, 1000 + attempt) for attempt in range(600)][-1]
    assert after.draw(PEER, 1000 + 600) > last
    assert after.draw(OTHER, 5) == 5


@given(st.lists(st.sampled_from([os.urandom(16) for _ in range(20)]), max_size=40))
def test_the_memory_of_infos_is_a_set(fingerprints: list[bytes]) -> None:
    memory, model = InfoMemory(), set[bytes]()
    for fingerprint in fingerprints:
        assert (fingerprint in memory) == (fingerprint in model)
        assert memory.add(fingerprint) == (fingerprint not in model)
        model.add(fingerprint)
    assert len(memory) == len(model)


halves = st.sampled_from([b"a" * 8, b"b" * 8, b"c" * 8])


@given(st.lists(st.builds(bytes.__add__, halves, halves), max_size=60))
def test_chosen_infos_that_overlap_are_still_distinguished(fingerprints: list[bytes]) -> None:
    class OneBucket(InfoMemory):
        _BUCKETS = 1

    memory, model = OneBucket(), set[bytes]()
    for fingerprint in fingerprints:
        assert memory.add(fingerprint) == (fingerprint not in model)
        model.add(fingerprint)


def test_the_memory_is_full_at_its_limit_and_not_before() -> None:
    memory = InfoMemory(3)
    for count in range(3):
        assert not memory.full
        assert memory.add(bytes([count]) * 16)
    assert memory.full


def test_an_info_takes_about_16_bytes() -> None:
    memory = InfoMemory()
    for _ in range(100_000):
        memory.add(os.urandom(16))
    held = sum(map(sys.getsizeof, memory._buckets.values()))
    assert held < 100_000 * 16 * 1.3 + 4096 * 100
