"""A job whose handler ends the process is started a few times and no more; a handler left in good order does not count."""

from contextlib import asynccontextmanager

import pytest
import trio

from templemeads import Handlers, Job, Limits
from templemeads.grammar import AddUser
from templemeads.jobs.outcome import Write
from templemeads.stores.memory import MemoryStore
from templemeads.testing.networks import calendar, open_chain


class OutlivingStore(MemoryStore):
    """Outlives its agent, as a file does, but commits without threads, so that the mock clock can run."""

    def __init__(self):
        super().__init__()
        self.rows = {}

    def write(self, changes):
        for change in changes:
            if isinstance(change, Write):
                self.rows[change.peer, change.job.id] = change
            else:
                self.rows.pop((change.peer, change.job_id), None)
        return super().write(changes)

    async def load(self):
        return list(self.rows.values())


@pytest.fixture
def estate():
    """Open a portal and a cluster, whose handler is given, with stores that outlive them."""
    stores = {name: OutlivingStore() for name in ("portal", "cluster")}

    @asynccontextmanager
    async def open_one(agent):
        yield stores[agent]

    def open_it(handler, starts=3):
        handlers = Handlers()
        handlers.add(AddUser)(handler)
        limits = Limits(handler_starts=starts)
        return open_chain(
            "portal", "cluster", handler=handlers, stores=dict.fromkeys(stores, open_one), limits=limits
        )

    return open_it


async def count_deaths(chain, job, times):
    """Leave in the cluster's store what deaths of its process would have left."""
    executor = chain["cluster"]._executor
    for _ in range(times):
        await executor._store.count_start(chain["cluster"].peer("portal").peer, job.id)


@pytest.mark.parametrize(("deaths", "runs"), [(0, True), (1, True), (2, True), (3, False)])
async def test_the_limit_of_starts(autojump_clock, estate, deaths, runs):
    async def add_user(envelope, user) -> Job:
        return envelope.job.completed("added")

    async with estate(add_user) as chain:
        job = Job.parse("portal.cluster add_user fred.proj.portal", now=calendar())
        await count_deaths(chain, job, deaths)
        job = await (await chain["portal"].peer("cluster").put_job(job)).wait()
        if runs:
            assert job.result() == "added"
        else:
            assert "started 3 times" in job.error.message
            report = await chain["cluster"].operations.diagnostics("")
            assert "started 3 times" in str(report)
            assert chain["cluster"].operations.recorder.totals["failed"] == 1


@pytest.mark.parametrize("ending", ["delete", "stop"])
async def test_a_handler_that_was_cancelled_does_not_count(autojump_clock, estate, ending):
    started = []

    async def add_user(envelope, user) -> Job:
        started.append(envelope.job.id)
        await trio.sleep_forever()

    async with estate(add_user, 1) as chain:
        job = await chain["portal"].submit("portal.cluster add_user fred.proj.portal", lifetime=3000)
        await trio.sleep(1)
        peer, store = chain["cluster"].peer("portal").peer, chain["cluster"]._executor._store
        assert started == [job.id]
        assert store.starts(peer, job.id) == 1
        if ending == "delete":
            await job.delete()
            await trio.sleep(1)
            assert store.starts(peer, job.id) == 0
            return
    async with estate(add_user, 1) as chain:
        await trio.sleep(1)
        assert started == [job.id] * 2


async def test_jobs_on_their_last_start_run_one_at_a_time(autojump_clock, estate):
    running = []

    async def add_user(envelope, user) -> Job:
        running.append(user.username)
        await trio.sleep(10)
        assert running == [user.username]
        running.remove(user.username)
        return envelope.job.completed("added")

    async with estate(add_user) as chain:
        jobs = [
            Job.parse(f"portal.cluster add_user fred{number}.proj.portal", now=calendar())
            for number in range(5)
        ]
        for job in jobs:
            await count_deaths(chain, job, 2)
        put = [await chain["portal"].peer("cluster").put_job(job) for job in jobs]
        assert [(await job.wait()).result() for job in put] == ["added"] * 5
