"""What deleting a job does in each state: the table of docs/durability.md, line by line."""

import pytest
import trio

from paddington import Peer
from templemeads import Envelope, Job, JobError, RefusedError, Status
from templemeads.testing.networks import Chain, open_chain

PATH = "waldur.brics.shared"
ADD = f"{PATH} add_user fred.proj.waldur"
PORT_OF_BRICS = 6502


async def at_once(envelope: Envelope) -> Job:
    return envelope.job.completed("done")


def boards(chain: Chain, job: Job) -> dict[str, Status]:
    """Where the job still is."""
    return {
        f"{name} with {peer.name}": kept.status
        for name, agent in chain.agents.items()
        for peer, board in agent.exchange.boards.items()
        if (kept := board.get(job.id)) is not None
    }


async def quiet() -> None:
    await trio.testing.wait_all_tasks_blocked()


class Endless:
    """A handler that says when it began and when it was cancelled."""

    def __init__(self) -> None:
        self.began, self.cancelled = trio.Event(), trio.Event()
        self.calls = 0

    async def __call__(self, envelope: Envelope) -> Job:
        self.calls += 1
        self.began.set()
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled.set()


async def test_a_job_that_waits_for_an_absent_peer_is_never_sent(autojump_clock):
    handler = Endless()
    async with open_chain("waldur", "brics", "shared", handler=handler) as chain:
        chain.network.block(6501)
        chain.network.cut(6501)
        await chain.first.wait_gone("brics")
        job = await chain.first.submit(ADD)
        await job.delete()
        assert boards(chain, job) == {}
        chain.network.unblock(6501)
        await chain.wait_connected()
        await quiet()
        assert boards(chain, job) == {}
        assert handler.calls == 0


async def test_a_job_on_its_way_is_deleted_wherever_it_is(autojump_clock):
    handler = Endless()
    async with open_chain("waldur", "brics", "shared", handler=handler) as chain:
        chain.network.block(PORT_OF_BRICS)
        chain.network.cut(PORT_OF_BRICS)
        await chain["brics"].wait_gone("shared")
        job = await chain.first.submit(ADD)
        await quiet()
        assert "brics with shared" in boards(chain, job)
        await job.delete()
        await quiet()
        assert boards(chain, job) == {}
        chain.network.unblock(PORT_OF_BRICS)
        await chain.wait_connected()
        await quiet()
        assert handler.calls == 0


async def test_a_running_job_is_cancelled_and_every_agent_forgets_it(autojump_clock):
    handler = Endless()
    async with open_chain("waldur", "brics", "shared", handler=handler) as chain:
        job = await chain.first.submit(ADD)
        await handler.began.wait()
        await job.delete()
        await handler.cancelled.wait()
        await quiet()
        assert boards(chain, job) == {}


async def test_a_running_job_is_cancelled_as_soon_as_the_line_is_back(autojump_clock):
    handler = Endless()
    async with open_chain("waldur", "brics", "shared", handler=handler) as chain:
        job = await chain.first.submit(ADD)
        await handler.began.wait()
        chain.network.block(PORT_OF_BRICS)
        chain.network.cut(PORT_OF_BRICS)
        await chain["brics"].wait_gone("shared")
        await job.delete()
        await quiet()
        assert not handler.cancelled.is_set()
        chain.network.unblock(PORT_OF_BRICS)
        await handler.cancelled.wait()


async def test_of_duplicates_the_next_takes_the_place_of_a_deleted_original(autojump_clock):
    handler = Endless()
    async with open_chain("waldur", "brics", "shared", handler=handler) as chain:
        first, second, third = [await chain.first.submit(ADD) for _ in range(3)]
        assert (second.status, third.status) == (Status.DUPLICATE, Status.DUPLICATE)
        await handler.began.wait()
        await first.delete()
        await quiet()
        assert handler.calls == 2  # the second is run, as a job of its own
        assert set(boards(chain, second).values()) == {Status.PENDING}
        assert (await third.update()).original_id == second.id


async def test_deleting_a_duplicate_leaves_the_original_alone(autojump_clock):
    go_on = trio.Event()

    async def slow(envelope: Envelope) -> Job:
        await go_on.wait()
        return envelope.job.completed("done")

    async with open_chain("waldur", "brics", "shared", handler=slow) as chain:
        first, second = [await chain.first.submit(ADD) for _ in range(2)]
        await second.delete()
        go_on.set()
        assert (await first.wait()).result() == "done"
        assert boards(chain, second) == {}


async def test_a_finished_job_is_forgotten_and_whoever_asks_is_told_so(autojump_clock):
    async with open_chain("waldur", "brics", "shared", handler=at_once) as chain:
        job = await (await chain.first.submit(ADD)).wait()
        await job.delete()
        await quiet()
        assert boards(chain, job) == {}
        with pytest.raises(JobError, match="removed from board"):
            await job.update()


async def test_deleting_twice_does_nothing_more_and_a_deleted_job_cannot_be_put_again(autojump_clock):
    async with open_chain("waldur", "brics", "shared", handler=at_once) as chain:
        job = await chain.first.submit(ADD)
        await job.delete()
        await job.delete()
        with pytest.raises(RefusedError, match="was deleted"):
            await job.put(chain.first.peer("brics"))
        await quiet()
        assert boards(chain, job) == {}


async def test_a_deleted_job_is_remembered_until_it_would_have_expired(autojump_clock):
    async with open_chain("waldur", "brics", "shared", handler=at_once) as chain:
        job = await chain.first.submit(ADD, lifetime=60)
        await job.delete()
        board = chain.first.exchange.boards[Peer("brics")]
        assert board.is_deleted(job.id)
        await trio.sleep(61)
        await quiet()
        assert not board.is_deleted(job.id)
