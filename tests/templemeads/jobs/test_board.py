import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templemeads import Limits, RefusedError, Status
from templemeads.jobs.board import Board, Change, size_of, winner
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
    assert removed.reinstated is not None
    assert removed.reinstated.id == job(2).id
    assert removed.reinstated.status is Status.PENDING
    assert [one.original_id for one in removed.changed] == [job(2).id]
    ended = board.merge(removed.reinstated.completed("made", now=NOW), NOW).ended
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


def test_expired_jobs_and_their_duplicates_become_errors_and_leave_later():
    board = Board(Limits(finished_seconds=60))
    board.put(job(1), NOW)
    board.put(job(2, lifetime=500), NOW)
    assert board.next_due == NOW + 120
    assert board.sweep(NOW + 119).expired == ()
    expired = board.sweep(NOW + 120).expired
    assert [(one.id, one.result_text, one.error_info.kind) for one in expired] == [
        (job(1).id, "Job expired", "expired"),
        (job(2).id, "Job expired", "expired"),
    ]
    assert board.sweep(NOW + 179).forgotten == ()
    assert board.sweep(NOW + 180).forgotten == (job(1).id,)
    assert board.sweep(NOW + 560).forgotten == (job(2).id,)
    assert len(board) == 0
    assert board.next_due is None


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
