import trio
from hypothesis import given
from hypothesis import strategies as st

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


async def test_taking_waits_for_something_and_emptied_for_the_taker_to_come_back(autojump_clock):
    outbox = Outbox(2)
    with trio.move_on_after(1) as scope:
        await outbox.take(5)
    assert scope.cancelled_caught
    outbox.add_text("a")
    assert await outbox.take(5) == ["a"]
    with trio.move_on_after(1) as scope:
        await outbox.wait_emptied()
    assert scope.cancelled_caught
    with trio.move_on_after(1):
        await outbox.take(5)
    await outbox.wait_emptied()
