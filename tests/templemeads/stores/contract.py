"""The contract of every store that outlives its process: the tests of each engine inherit it."""

from functools import partial

import attrs
import pytest
import trio

from paddington import Peer
from templemeads import StoreError
from templemeads.jobs.outcome import Erase, Write
from tests.templemeads.values import COMMANDS, NOW, job

PEER, OTHER = Peer("portal"), Peer("portal", "internal")


class StoreContract:
    """Tests over the fixture `open_durable`, which opens a store that is empty when the test begins."""

    async def test_what_is_written_is_committed_and_tickets_rise(self, open_durable):
        async with open_durable("cluster") as store:
            first = store.write([Write(PEER, job(1))])
            second = store.write([Write(PEER, job(2, COMMANDS[1]))])
            assert second > first
            await store.wait_committed(second)
            assert store.is_committed(first)
            assert store.is_committed(second)
            assert store.statistics().changes == 2
            assert store.statistics().waiting == 0

    async def test_a_new_store_is_empty(self, open_durable):
        async with open_durable("cluster") as store:
            assert list(await store.load()) == []

    async def test_everything_is_there_again_in_the_next_process(self, open_durable):
        tombstone = Write(PEER, job(2, COMMANDS[1]), deleted=True)
        elsewhere = Write(OTHER, job(1).completed("x", now=NOW))
        async with open_durable("cluster") as store:
            store.write([Write(PEER, job(1)), tombstone, elsewhere, Write(PEER, job(3))])
            ticket = store.write([Erase(PEER, job(3).id)])
            await store.wait_committed(ticket)
        async with open_durable("cluster") as store:
            assert set(await store.load()) == {Write(PEER, job(1)), tombstone, elsewhere}

    async def test_what_was_written_last_is_committed_when_the_store_closes(self, open_durable):
        async with open_durable("cluster") as store:
            store.write([Write(PEER, job(1))])
        async with open_durable("cluster") as store:
            assert list(await store.load()) == [Write(PEER, job(1))]

    async def test_what_was_written_is_committed_even_if_the_block_is_cancelled(self, open_durable):
        with trio.CancelScope() as scope:
            async with open_durable("cluster") as store:
                store.write([Write(PEER, job(1))])
                scope.cancel()
                await trio.lowlevel.checkpoint()
        async with open_durable("cluster") as store:
            assert list(await store.load()) == [Write(PEER, job(1))]

    async def test_many_writes_share_few_commits(self, open_durable):
        async with open_durable("cluster") as store:
            for number in range(1, 1001):
                ticket = store.write([Write(PEER, job(number))])
            await store.wait_committed(ticket)
            assert store.statistics().commits < 10
            assert store.statistics().changes == 1000

    async def test_a_second_process_is_refused(self, open_durable):
        async with open_durable("cluster"):
            with pytest.raises(StoreError, match="in use by another process"):
                async with open_durable("cluster"):
                    pytest.fail("the store was opened twice")
        async with open_durable("cluster"):
            pass

    async def test_a_waiter_that_is_cancelled_loses_nothing(self, open_durable):
        async with open_durable("cluster") as store:
            with trio.CancelScope() as scope:
                scope.cancel()
                await store.wait_committed(store.write([Write(PEER, job(1))]))
        async with open_durable("cluster") as store:
            assert list(await store.load()) == [Write(PEER, job(1))]

    @pytest.mark.parametrize("steps", range(4))
    async def test_what_is_written_just_before_the_store_closes_is_committed(self, open_durable, steps):
        async with open_durable("cluster") as store:
            await trio.testing.wait_all_tasks_blocked()  # the writer waits for work
            store.write([Write(PEER, job(1))])
            for _ in range(steps):  # it is told, is about to write, writes
                await trio.lowlevel.checkpoint()
        async with open_durable("cluster") as store:
            assert list(await store.load()) == [Write(PEER, job(1))]

    async def test_starts_of_handlers_are_counted_until_the_job_ends(self, open_durable):
        one, two, three = job(1), job(2, COMMANDS[1]), job(3)

        open_it = partial(open_durable, "cluster")
        async with open_it() as store:
            store.write([Write(PEER, each) for each in (one, two, three)])
            assert [await store.count_start(PEER, each.id) for each in (one, one, two, three)] == [1, 2, 1, 1]
        async with open_it() as store:
            await store.load()
            assert await store.count_start(PEER, one.id) == 3
            store.write([Write(PEER, two.pending(now=NOW).completed("x", now=NOW))])
            store.clear_starts(PEER, three.id)
        async with open_it() as store:
            await store.load()
            assert [await store.count_start(PEER, each.id) for each in (one, two, three)] == [4, 1, 1]

    async def test_the_last_of_many_changes_to_one_job_counts(self, open_durable):
        steps = [job(1), job(1).pending(now=NOW), job(1).pending(now=NOW).running("half", now=NOW)]
        async with open_durable("cluster") as store:
            for step in steps:
                store.write([Write(PEER, step)])
            store.write(
                [Write(PEER, job(2)), Erase(PEER, job(2).id), Write(OTHER, job(2)), Erase(OTHER, job(3).id)]
            )
            await store.wait_committed(
                store.write([Write(PEER, job(3)), Erase(PEER, job(3).id), Write(PEER, job(3))])
            )
        async with open_durable("cluster") as store:
            found = {(write.peer, write.job.id): write.job for write in await store.load()}
        assert found == {
            (PEER, job(1).id): steps[-1],
            (OTHER, job(2).id): job(2),
            (PEER, job(3).id): job(3),
        }

    async def test_a_text_without_utf_8_form_is_committed_as_a_harmless_one(self, open_durable):
        odd = attrs.evolve(job(1).running("half", now=NOW), result_text="caf\udce9")
        async with open_durable("cluster") as store:
            await store.wait_committed(store.write([Write(PEER, odd)]))
        async with open_durable("cluster") as store:
            (found,) = await store.load()
        assert found.job.result_text.startswith("caf")
        assert found.job.result_text.encode()

    async def test_odd_texts_come_back_as_they_were(self, open_durable):
        odd = attrs.evolve(job(1).running("half", now=NOW), result_text="\x00\n\t\x7f\u2028é𝄞'\"\\%s")
        async with open_durable("cluster") as store:
            await store.wait_committed(store.write([Write(PEER, odd)]))
        async with open_durable("cluster") as store:
            assert list(await store.load()) == [Write(PEER, odd)]
