"""Who leads: thousands of schedules of crash, pause, partition, clock jump and late messages.

The database is one row, a lock and a log of commits; statements reach it in any order and late, also when their sender has
died. The decisions are those of `templemeads.stores.lease`.
"""

from __future__ import annotations

import math
from random import Random

import attrs
import pytest

from templemeads.stores.lease import LeaseRow, LeaseWatch, Verdict

LEASE = 1.5
NAMES = ("db1:1", "db2:2", "db3:3")


@attrs.define(eq=False)
class Process:
    """One of several with one name; it knows only what the database has answered."""

    name: str
    offset: float = 0.0
    rate: float = 1.0
    paused: bool = False
    cut: bool = False
    watch: LeaseWatch = attrs.field(factory=lambda: LeaseWatch(LEASE))
    fence: int | None = None
    number: int = 0
    loaded: list[tuple[str, int]] = attrs.field(factory=list)
    confirmed: list[tuple[str, int]] = attrs.field(factory=list)
    next_value: int = 0
    has_session: bool = True


class Leases:
    """Two or three processes and their database, on one schedule that is drawn from a seed."""

    def __init__(self, seed):
        self.draw = Random(seed)
        self.time = 0.0
        self.row = LeaseRow()
        self.log: list[tuple[str, int]] = []
        self.fences: list[int] = []
        self.holder: Process | None = None
        self.processes = [Process(name) for name in NAMES[: self.draw.choice((2, 2, 3))]]
        self.late: list[tuple[int, int, tuple[str, int]]] = []
        self.ever_confirmed: list[tuple[str, int]] = []

    def run(self, steps):
        faults = [
            self.lose_a_message, self.pause_in_a_commit, self.crash, self.pause_or_go_on, self.partition_or_heal,
            self.jump_clock, self.wait, self.restart_database, self.stop_in_order,
        ]  # fmt: skip
        for _ in range(steps):
            if self.draw.random() < 0.15:
                self.draw.choice(faults)()
            else:
                self.work()
            self.check()
        self.heal()

    def pick(self):
        return self.draw.choice(self.processes)

    def clock(self, process):
        return process.offset + process.rate * self.time

    def end_session(self, process):
        process.has_session = False
        if self.holder is process:
            self.holder = None

    def reconnect(self, process):
        if not process.has_session:
            process.has_session = True
            process.watch.restart()

    def look(self, process):
        """One turn of `PostgresqlEngine.try_to_lead`."""
        self.reconnect(process)
        is_free = self.holder is None or self.holder is process
        verdict = process.watch.saw(self.row, self.clock(process), is_free=is_free)
        if verdict is Verdict.EVICT and self.holder is not None:
            self.end_session(self.holder)
        elif verdict is Verdict.CLAIM:
            self.claim(process, self.row)

    def claim(self, process, seen):
        claimed = self.row.claimed(seen, process.name, LEASE)
        assert claimed is not None
        self.row, self.holder = claimed, process
        process.fence, process.number = claimed.fence, claimed.commits
        process.loaded = list(self.log)
        process.confirmed = []

    def execute(self, number, fence, entry):
        after = self.row.committed(number, fence)
        if after is None:
            return False
        self.row = after
        self.log.append(entry)
        self.fences.append(fence)
        return True

    def commit(self, process, *, arrives=True, answered=True):
        """One commit: it may arrive late, and its answer may be lost."""
        entry = (process.name, process.next_value)
        process.next_value += 1
        if not process.has_session:
            if self.row.fence != process.fence or self.holder not in (None, process):
                process.fence = None if self.row.fence != process.fence else process.fence
                return
            process.has_session, self.holder = True, process
        if not arrives:
            self.late.append((process.number + 1, process.fence, entry))
            self.end_session(process)
            return
        if not self.execute(process.number + 1, process.fence, entry):
            self.end_session(process)
            process.fence = None  # it stops, and is started again
            return
        if answered:
            process.number += 1
            process.confirmed.append(entry)
            self.ever_confirmed.append(entry)
        else:
            self.end_session(process)
            process.fence = None

    # -- what happens ---------------------------------------------------------------------------------------------------

    def work(self):
        process = self.pick()
        if not process.paused and not process.cut:
            if process.fence is None:
                self.look(process)
            else:
                self.commit(process)
        self.time += 0.1
        if self.late and self.draw.random() < 0.2:
            # A statement that was under way reaches the database, whatever has become of its sender.
            self.execute(*self.late.pop(self.draw.randrange(len(self.late))))

    def lose_a_message(self):
        process = self.pick()
        if process.fence is not None and not process.paused and not process.cut:
            self.commit(process, arrives=self.draw.random() < 0.5, answered=False)

    def pause_in_a_commit(self):
        process = self.pick()
        if process.fence is not None and process.has_session and not process.paused and not process.cut:
            self.late.append((process.number + 1, process.fence, (process.name, process.next_value)))
            process.next_value += 1
            process.paused = True

    def crash(self):
        process = self.pick()
        self.end_session(process)
        process.fence, process.paused, process.confirmed = None, False, []

    def pause_or_go_on(self):
        process = self.pick()
        process.paused = not process.paused

    def partition_or_heal(self):
        process = self.pick()
        process.cut = not process.cut
        if process.cut and self.draw.random() < 0.5:
            self.end_session(process)

    def jump_clock(self):
        process = self.pick()
        process.offset += self.draw.uniform(-100, 100)
        process.rate = self.draw.uniform(0.5, 2)

    def wait(self):
        self.time += self.draw.uniform(0, 5)

    def restart_database(self):
        for process in self.processes:
            self.end_session(process)

    def stop_in_order(self):
        process = self.pick()
        if process.fence is not None and process.has_session and process.fence == self.row.fence:
            self.row = attrs.evolve(self.row, leader=None)
            self.end_session(process)
            process.fence = None

    # -- what holds -----------------------------------------------------------------------------------------------------

    def check(self):
        assert self.fences == sorted(self.fences), "two leaders have both committed"
        assert len(set(self.log)) == len(self.log) == self.row.commits
        assert set(self.ever_confirmed) <= set(self.log), "a confirmed commit is lost"
        for process in self.processes:
            if process.fence == self.row.fence:
                own = [e for e, fence in zip(self.log, self.fences, strict=True) if fence == process.fence]
                assert process.loaded + own == self.log, "who leads has not seen everything"

    def heal(self):
        """When everything is healed, one process leads and commits before long."""
        for process in self.processes:
            process.paused = process.cut = False
            process.rate = 1.0
        before = self.row.commits
        for _ in range(int(4 * LEASE / 0.1)):
            for process in self.processes:
                if process.fence is None:
                    self.look(process)
                else:
                    self.commit(process)
                self.check()
            self.time += 0.1
        assert self.row.commits > before
        assert sum(process.fence == self.row.fence for process in self.processes) == 1


def test_two_leaders_never_both_commit_over_thousands_of_schedules():
    changes = 0
    for seed in range(2_000):
        leases = Leases(seed)
        try:
            leases.run(150)
        except AssertionError as error:
            raise AssertionError(f"schedule {seed}: {error}") from error
        changes += leases.row.fence
    assert changes > 5_000  # the schedules do change leaders


def times(count, step=0.25):
    return [index * step for index in range(count)]


def test_the_end_of_a_session_is_taken_up_at_once():
    watch, row = LeaseWatch(LEASE), LeaseRow(7, 1, "db1:1", LEASE)
    assert watch.saw(row, 0.0, is_free=False) is Verdict.WAIT
    assert watch.saw(row, 0.1, is_free=True) is Verdict.CLAIM


def test_a_silent_leader_is_evicted_after_its_lease_and_within_two_seconds():
    watch, row = LeaseWatch(LEASE), LeaseRow(7, 1, "db1:1", LEASE)
    verdicts = [watch.saw(row, now, is_free=False) for now in times(8)]
    assert verdicts == [Verdict.WAIT] * 6 + [Verdict.EVICT] * 2


def test_a_leader_that_commits_is_never_evicted():
    watch = LeaseWatch(LEASE)
    for number, now in enumerate(times(100)):
        assert watch.saw(LeaseRow(number // 3, 1, "db1:1", LEASE), now, is_free=False) is Verdict.WAIT


@pytest.mark.parametrize("gap", [LEASE, 3600.0, -3600.0, math.inf])
def test_who_was_asleep_or_whose_clock_jumped_watches_for_a_whole_lease_again(gap):
    watch, row = LeaseWatch(LEASE), LeaseRow(7, 1, "db1:1", LEASE)
    for now in times(4):
        watch.saw(row, now, is_free=False)
    assert watch.saw(row, 0.75 + gap, is_free=False) is Verdict.WAIT


def test_after_a_restart_of_the_database_the_leader_has_its_lease_to_come_back():
    watch, row = LeaseWatch(LEASE), LeaseRow(7, 1, "db1:1", LEASE)
    watch.saw(row, 0.0, is_free=False)
    watch.restart()
    assert [watch.saw(row, now, is_free=True) for now in times(7)] == [Verdict.WAIT] * 6 + [Verdict.CLAIM]


def test_after_an_orderly_stop_nobody_waits():
    assert LeaseWatch(LEASE).saw(LeaseRow(7, 1, None, LEASE), 0.0, is_free=True) is Verdict.CLAIM


def test_a_leader_without_a_lease_is_never_evicted():
    watch, row = LeaseWatch(LEASE), LeaseRow(7, 1, "db1:1", None)
    assert {watch.saw(row, now, is_free=False) for now in times(100)} == {Verdict.WAIT}
