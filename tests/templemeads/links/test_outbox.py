import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from templemeads.jobs.board import size_of
from templemeads.jobs.outcome import Kind
from templemeads.links.outbox import Outbox, Waiting
from tests.templemeads.values import job


async def drain(outbox: Outbox) -> list:
    taken = []
    while outbox:
        taken += await outbox.take(2)
    return taken


@given(st.lists(st.tuples(st.sampled_from(Kind), st.integers(1, 5)), max_size=20))
def test_each_job_waits_once_in_the_order_in_which_it_first_changed(requests):
    outbox = Outbox(10)
    for kind, number in requests:
        outbox.add_job(kind, job(number))
    taken = trio.run(drain, outbox)
    numbers = [waiting.job.id.int for waiting in taken]
    assert numbers == list(dict.fromkeys(number for _, number in requests))
    for waiting in taken:
        kinds = [kind for kind, number in requests if number == waiting.job.id.int]
        assert waiting.kind is (Kind.DELETE if Kind.DELETE in kinds else kinds[0])


async def test_texts_go_first_and_are_bounded():
    outbox = Outbox(2)
    outbox.add_job(Kind.PUT, job(1))
    assert [outbox.add_text(text) for text in "abc"] == [True, True, False]
    assert outbox.dropped == 1
    assert await outbox.take(3) == ["a", "b", Waiting(Kind.PUT, job(1))]


async def test_taking_waits_for_something(autojump_clock):
    outbox = Outbox(2)
    with trio.move_on_after(1) as scope:
        await outbox.take(5)
    assert scope.cancelled_caught
    outbox.add_text("a")
    assert await outbox.take(5) == ["a"]


async def test_a_closed_outbox_is_taken_to_its_end_and_queues_nothing_more():
    outbox = Outbox(2)
    outbox.add_text("a")
    outbox.add_job(Kind.PUT, job(1))
    outbox.close()
    assert not outbox.add_text("b")
    outbox.add_job(Kind.PUT, job(2))
    assert await outbox.take(5) == ["a", Waiting(Kind.PUT, job(1))]
    with pytest.raises(trio.EndOfChannel):
        await outbox.take(5)


async def test_what_waits_is_taken_in_parts_and_a_job_that_changes_meanwhile_waits_once():
    outbox = Outbox(2)
    for number in range(1, 5):
        outbox.add_job(Kind.UPDATE, job(number))
    assert await outbox.take(2) == [Waiting(Kind.UPDATE, job(1)), Waiting(Kind.UPDATE, job(2))]
    changed = job(3).pending(2_000_000_000)
    outbox.add_job(Kind.UPDATE, changed)
    assert len(outbox) == 2
    assert await outbox.take(5) == [Waiting(Kind.UPDATE, changed), Waiting(Kind.UPDATE, job(4))]
    assert len(outbox) == 0


async def test_what_deleted_jobs_hold_is_bounded_and_free_again_once_taken():
    outbox = Outbox(2, characters=2 * size_of(job(1)))
    for number in range(1, 4):
        outbox.add_job(Kind.DELETE, job(number))
    assert outbox.dropped == 1
    assert len(await outbox.take(5)) == 2
    outbox.add_job(Kind.DELETE, job(3))
    assert outbox.dropped == 1
