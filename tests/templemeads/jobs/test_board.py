import uuid
from collections import Counter

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templemeads import Limits, RefusedError, Status
from templemeads.jobs.board import SPARE_DEADLINES, Board, Change, Swept, size_of, winner
from tests.templemeads.values import COMMANDS, NOW, copies, job


def state(board: Board) -> tuple[dict, set]:
    return {one.id: one for one in board}, {one.id for one in board.tombstones}


def apply(board: Board, action: str, one) -> None:
    if action == "remove":
        board.remove(one, NOW)
    else:
        board.merge(one, NOW)


ACTIONS = st.tuples(st.sampled_from(["merge", "merge", "merge", "remove"]), copies())


@given(st.lists(ACTIONS, max_size=12), st.randoms(use_true_random=False), st.data())
def test_boards_that_have_seen_the_same_in_any_order_and_number_are_equal(actions, random, data):
    one, other = Board(), Board()
    for action, copy in actions:
        apply(one, action, copy)
    shuffled = actions + (data.draw(st.lists(st.sampled_from(actions), max_size=6)) if actions else [])
    random.shuffle(shuffled)
    for action, copy in shuffled:
        apply(other, action, copy)
    assert state(one) == state(other)


@given(copies(st.just(1)), copies(st.just(1)), copies(st.just(1)))
def test_the_order_of_copies_is_total(one, two, three):
    assert winner(one, two) == winner(two, one)
    assert winner(one, one) == one
    assert winner(winner(one, two), three) == winner(one, winner(two, three))


@given(st.lists(copies(), max_size=12))
def test_a_finished_job_never_becomes_unfinished(history):
    board = Board()
    finished = set()
    for copy in history:
        board.merge(copy, NOW)
        finished |= {one.id for one in board if one.is_finished}
        assert all(one.is_finished for one in board if one.id in finished)


def test_a_copy_with_another_command_is_refused_whether_the_job_is_there_or_deleted():
    board = Board()
    board.merge(job(1, COMMANDS[0]), NOW)
    with pytest.raises(RefusedError, match="another command"):
        board.merge(job(1, COMMANDS[1]), NOW)
    board.remove(job(1, COMMANDS[0]), NOW)
    with pytest.raises(RefusedError, match="another command"):
        board.merge(job(1, COMMANDS[1]), NOW)
    with pytest.raises(RefusedError, match="another command"):
        board.remove(job(1, COMMANDS[1]), NOW)


def test_a_full_board_refuses_new_jobs_and_takes_updates_of_known_ones():
    board = Board(Limits(board_jobs=2))
    board.merge(job(1), NOW)
    board.merge(job(2, COMMANDS[1]), NOW)
    with pytest.raises(RefusedError, match="full"):
        board.merge(job(3, COMMANDS[2]), NOW)
    assert board.merge(job(1).completed("x", now=NOW), NOW).change is Change.NEWER


@pytest.mark.parametrize("version", [2**60, 2**60 + 1, 2**63, 2**64 - 1])
def test_versions_above_the_limit_are_refused(version):
    board = Board()
    copy = attrs.evolve(job(1), version=version)
    if version <= 2**60:
        assert board.merge(copy, NOW).change is Change.NEW
    else:
        with pytest.raises(RefusedError, match=str(version)):
            board.merge(copy, NOW)
        with pytest.raises(RefusedError, match=str(version)):
            board.put(copy, NOW)
        board.remove(job(1), NOW)
        with pytest.raises(RefusedError, match=str(version)):
            board.merge(copy, NOW)


def test_the_same_instruction_on_the_same_path_becomes_a_duplicate_and_takes_over_the_result():
    board = Board()
    board.put(job(1), NOW)
    merged = board.put(job(2), NOW)
    assert merged.job.status is Status.DUPLICATE
    assert merged.job.original_id == job(1).id
    ended = board.merge(job(1).completed("made", now=NOW), NOW).ended
    assert [one.result() for one in ended] == ["made"]
    assert board.get(job(2).id) == ended[0]


def test_another_path_or_instruction_is_no_duplicate():
    board = Board()
    board.put(job(1), NOW)
    assert board.put(job(2, COMMANDS[1]), NOW).job.status is Status.PENDING
    assert (
        board.put(job(3, COMMANDS[0].replace("portal.cluster", "other.cluster")), NOW).job.status
        is Status.PENDING
    )


def test_a_finished_running_or_expired_job_is_no_original():
    for other in (job(1).completed("x", now=NOW), job(1).running(now=NOW), job(1, lifetime=1, now=NOW - 10)):
        board = Board()
        board.merge(other, NOW - 5)
        assert board.put(job(2), NOW).job.status is Status.PENDING


@pytest.mark.parametrize("excess", [0, 1])
def test_no_more_duplicates_of_one_job_than_the_limit(excess):
    board = Board(Limits(duplicates=3))
    board.put(job(1), NOW)
    for number in range(2, 5 + excess):
        last = board.put(job(number), NOW).job
    assert last.status is (Status.ERROR if excess else Status.DUPLICATE)
    if excess:
        assert last.result_text.startswith("TooManyDuplicatesError{")


@pytest.mark.parametrize("excess", [0, 1])
def test_no_duplicates_of_a_job_that_is_older_than_the_limit(excess):
    board = Board(Limits(duplicate_age_seconds=100))
    board.put(job(1, lifetime=1000), NOW)
    last = board.put(job(2), NOW + 100 + excess).job
    assert last.status is (Status.ERROR if excess else Status.DUPLICATE)


def test_duplicates_of_a_deleted_job_go_on_with_one_of_them_as_the_original():
    board = Board()
    for number in (1, 2, 3):
        board.put(job(number), NOW)
    removed = board.remove(job(1), NOW)
    assert removed.released.first is not None
    assert removed.released.first.id == job(2).id
    assert removed.released.first.status is Status.PENDING
    assert [one.original_id for one in removed.released.others] == [job(2).id]
    ended = board.merge(removed.released.first.completed("made", now=NOW), NOW).ended
    assert [one.id for one in ended] == [job(3).id]


def test_a_deleted_job_stays_deleted_until_it_would_have_expired():
    board = Board()
    board.put(job(1), NOW)
    board.remove(job(1), NOW)
    assert board.merge(job(1).completed("late", now=NOW), NOW).change is Change.DELETED
    assert board.sweep(NOW + 119).forgotten == ()
    assert board.sweep(NOW + 120).forgotten == (job(1).id,)
    assert not board.is_deleted(job(1).id)


def test_no_more_tombstones_than_the_limit():
    board = Board(Limits(tombstones=2))
    forgotten = [board.remove(job(number), NOW).forgotten for number in (1, 2, 3)]
    assert forgotten == [(), (), (job(1).id,)]
    assert [one.id for one in board.tombstones] == [job(2).id, job(3).id]


def test_expired_jobs_become_errors_and_leave_later():
    board = Board(Limits(finished_seconds=60))
    board.put(job(1), NOW)
    assert board.next_due == NOW + 120
    assert board.sweep(NOW + 119).expired == ()
    expired = board.sweep(NOW + 120).expired
    assert [(one.id, one.result_text, one.error_info.kind) for one in expired] == [
        (job(1).id, "Job expired", "expired")
    ]
    assert board.sweep(NOW + 179).forgotten == ()
    assert board.sweep(NOW + 180).forgotten == (job(1).id,)
    assert len(board) == 0
    assert board.next_due is None


@pytest.mark.parametrize("how", ["here", "there"])
def test_of_the_duplicates_of_an_expired_job_those_with_time_left_go_on(how):
    board = Board()
    for number, lifetime in ((1, 100), (2, 100), (3, 500), (4, 600)):
        board.put(job(number, lifetime=lifetime), NOW)
    if how == "here":
        swept = board.sweep(NOW + 100)
        (released,), expired = swept.released, swept.expired
    else:
        error = job(1, lifetime=100).errored("Job expired", kind="expired", now=NOW + 100)
        merged = board.merge(error, NOW + 100)
        released, expired = merged.released, (merged.job, *merged.ended)
    assert [one.id.int for one in expired] == [1, 2]
    assert released.first is not None
    assert (released.first.id.int, released.first.status) == (3, Status.PENDING)
    assert [(one.id.int, one.original_id) for one in released.others] == [(4, job(3).id)]
    result = board.get(job(3).id).completed("done", now=NOW + 200)
    assert [one.result() for one in board.merge(result, NOW + 200).ended] == ["done"]


def test_a_duplicate_that_comes_after_its_original_has_expired_is_a_job_of_its_own():
    board = Board()
    board.merge(job(1).errored("Job expired", kind="expired", now=NOW + 120), NOW + 119)
    late = job(2, lifetime=500).duplicate_of(job(1).id, now=NOW)
    board.merge(late, NOW + 120)
    assert board.reinstate(late.id, NOW + 120).job.status is Status.PENDING


SET = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 30), st.sampled_from([10, 300, 3600, 100_000])),
    st.tuples(st.just("remove"), st.integers(1, 30), st.just(3600)),
    st.tuples(st.just("finish"), st.integers(1, 30), st.just(0)),
    st.tuples(st.just("sweep"), st.sampled_from([1, 40, 400]), st.just(0)),
    st.tuples(st.just("clock"), st.sampled_from([-7200, -30, 30, 7200]), st.just(0)),
)


@settings(deadline=None)
@given(st.lists(SET, max_size=200), st.integers(1, 10))
def test_everything_that_a_board_holds_is_bounded_by_the_jobs_that_it_remembers(events, tombstones):
    board, now = Board(Limits(tombstones=tombstones)), float(NOW)
    ids = 0
    for event, number, lifetime in events:
        one = job(abs(number), COMMANDS[number % 3], lifetime=lifetime or 300)
        match event:
            case "put":
                board.put(one, now)
            case "remove":
                ids += 1
                for more in range(20):
                    stranger = attrs.evolve(one, id=uuid.UUID(int=1000 * ids + more + 1000))
                    board.remove(stranger, now)
                board.remove(one, now)
            case "finish" if (there := board.get(one.id)) is not None and not there.is_finished:
                board.merge(there.errored("x", now=now), now)
            case "sweep":
                now += number
                board.sweep(now)
            case "clock":
                now += number
                board.clock.seconds += number
        remembered = len(board) + len(board.tombstones)
        assert len(board.tombstones) <= tombstones
        for name in ("_jobs", "_tombstones", "_deadlines", "_pending", "_waiting"):
            assert len(getattr(board, name)) <= remembered, name
        assert len(board._due) <= 2 * remembered + SPARE_DEADLINES
        assert len(board._room._shares) <= len(board)
        assert board.characters == sum(map(size_of, (*board, *board.tombstones)))
        assert board.unfinished == sum(not one.is_finished for one in board)
        if remembered:
            assert board.next_due is not None


@pytest.mark.parametrize("step", [-7200, -300, 300, 7200])
def test_a_job_on_the_board_lives_as_long_as_before_when_somebody_sets_the_clock(step):
    board = Board()
    board.put(job(1), NOW)
    board.remove(job(2, COMMANDS[2]), NOW)
    board.clock.seconds += step
    now = NOW + step
    assert not board.is_expired(job(1), now + 119)
    assert board.next_due == now + 120
    assert board.sweep(now + 119) == Swept()
    swept = board.sweep(now + 120)
    assert [one.id for one in swept.expired] == [job(1).id]
    assert swept.forgotten == (job(2).id,)


def test_a_job_that_comes_after_the_clock_was_set_is_measured_by_the_new_time():
    board = Board()
    board.clock.seconds += 7200
    now = NOW + 7200
    assert board.is_expired(job(1), now)
    board.merge(job(2, now=now), now)
    assert not board.is_expired(job(2, now=now), now + 119)
    assert board.is_expired(job(2, now=now), now + 120)


def origin_job(number, origin):
    return job(number, f"{origin}.provider.cluster add_user u{number}.proj.{origin}", lifetime=3600)


def refused(board, number, origin):
    try:
        board.put(origin_job(number, origin), NOW)
    except RefusedError as error:
        return str(error)
    return None


LIMITS_OF_A_BOARD = [
    Limits(board_jobs=200),
    Limits(jobs_in_flight=200),
    Limits(board_characters=200 * size_of(origin_job(100, "a"))),
]


@pytest.mark.parametrize("limits", LIMITS_OF_A_BOARD)
def test_one_origin_leaves_a_reserve_and_gets_its_places_back(limits):
    board = Board(limits)
    numbers = iter(range(100, 1000))
    held = 0
    while (problem := refused(board, next(numbers), "a")) is None:
        held += 1
    assert 178 <= held <= 182
    assert "'a'" in problem
    assert "reserved for jobs from elsewhere" in problem
    assert refused(board, next(numbers), "b") is None
    gone = next(iter(board))
    board.remove(gone, NOW)
    board.sweep(NOW + 3600 if limits.board_characters < 10**6 else NOW)


@pytest.mark.parametrize("limits", LIMITS_OF_A_BOARD[:2])
@given(busy=st.integers(2, 6), turns=st.integers(300, 600))
@settings(max_examples=20, deadline=None)
def test_origins_that_want_all_get_equal_shares_in_the_long_run(limits, busy, turns):
    board = Board(limits)
    numbers = iter(range(100, 10**6))
    while refused(board, next(numbers), "p0") is None:
        pass
    origins = [f"p{n}" for n in range(busy)]
    for turn in range(turns):
        oldest = next(iter(board))
        board.remove(oldest, NOW)
        for at in range(busy):
            refused(board, next(numbers), origins[(turn + at) % busy])
    counts = Counter(one.destination.agents[0] for one in board)
    assert max(counts.values()) - min(counts.values()) <= 0.1 * len(board) + 2
    assert refused(board, next(numbers), "newcomer") is None


@pytest.mark.parametrize(
    ("created", "expires", "deadline"),
    [
        (NOW, NOW + 120, NOW + 120),
        (NOW, NOW + 10_000_000_000, NOW + 3600),
        (NOW - 3000, NOW + 10_000, NOW + 600),
        (NOW + 5_000_000_000, NOW + 5_000_000_120, NOW + 3600),
        (NOW, NOW - 1, NOW - 1),
    ],
)
def test_no_job_lives_longer_than_the_longest_lifetime(created, expires, deadline):
    board = Board()
    one = attrs.evolve(job(1), created=created, expires=expires)
    assert board.is_expired(one, NOW) == (deadline <= NOW)
    board.merge(one, NOW)
    assert board.next_due == deadline


@pytest.mark.parametrize("later", [-10, 50])
def test_a_later_copy_with_another_expiry_does_not_move_the_deadline(later):
    board = Board()
    board.put(job(1), NOW)
    copy = attrs.evolve(job(1).running("half", now=NOW), expires=job(1).expires + later)
    assert board.merge(copy, NOW).change is Change.NEWER
    deadline = job(1).expires
    assert not board.is_expired(attrs.evolve(copy, expires=deadline + 1000), deadline - 1)
    assert board.sweep(deadline - 1).expired == ()
    (expired,) = board.sweep(deadline).expired
    assert expired.error_info.kind == "expired"


@given(
    st.lists(st.tuples(st.sampled_from(["put", "merge", "remove", "sweep", "later"]), copies()), max_size=30)
)
def test_a_board_knows_the_length_and_number_of_what_it_holds(actions):
    board = Board()
    now = float(NOW)
    for action, one in actions:
        now += 20
        match action:
            case "put":
                board.put(one, now)
            case "merge":
                board.merge(one, now)
            case "later":
                board.merge(attrs.evolve(one, expires=one.expires + 77), now)
            case "remove":
                board.remove(one, now)
            case _:
                board.sweep(now)
        assert board.characters == sum(map(size_of, (*board, *board.tombstones)))
        assert board.unfinished == sum(not each.is_finished for each in board)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["put", "merge", "remove", "sweep"]), copies()), max_size=30))
def test_the_indexes_never_outgrow_the_board(actions):
    board = Board()
    now = float(NOW)
    for action, one in actions:
        now += 10
        match action:
            case "put":
                board.put(one, now)
            case "merge":
                board.merge(one, now)
            case "remove":
                board.remove(one, now)
            case _:
                board.sweep(now)
    board.sweep(now + 10_000_000)
    assert len(board) == 0
    assert not board.tombstones
    assert not board._deadlines
    assert not board._pending
    assert not board._waiting
    assert not board._due


def test_a_duplicate_from_elsewhere_whose_original_is_not_here_runs_on_its_own():
    board = Board()
    board.merge(job(2).duplicate_of(job(1).id, now=NOW), NOW)
    settled = board.reinstate(job(2).id, NOW)
    assert settled is not None
    assert settled.job.status is Status.PENDING


def test_a_duplicate_from_elsewhere_takes_over_the_result_that_is_here():
    board = Board()
    board.merge(job(1).completed("made", now=NOW), NOW)
    board.merge(job(2).duplicate_of(job(1).id, now=NOW), NOW)
    settled = board.reinstate(job(2).id, NOW)
    assert settled is not None
    assert settled.job.result() == "made"
