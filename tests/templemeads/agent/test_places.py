"""Handler places are shared out by where a job comes from, not only by the neighbour that passes it on."""

from collections import Counter

import pytest
import trio

from paddington import Peer
from templemeads import Envelope, Job, Limits
from templemeads.agent.runner import Runner

PROVIDER = Peer("provider")


@pytest.fixture
async def place(nursery):
    """Start jobs by peer and origin, and count which of them run."""
    jobs = {}
    running = Counter()

    async def handler(envelope):
        running[str(envelope.job.destination.agents[0])] += 1
        await trio.sleep_forever()

    def make_envelope(peer, job_id):
        return Envelope(job=jobs[job_id], sender=peer.name, recipient="cluster")

    runner = Runner(handler, Limits(handlers=100, handlers_per_peer=50), make_envelope, print, print)

    async def start(peer, origin, count):
        for number in range(count):
            job = Job.parse(f"{origin}.provider.cluster add_user u{number}.proj.{origin}").pending()
            jobs[job.id] = job
            runner.start(peer, job.id, origin)
        await trio.testing.wait_all_tasks_blocked()
        return running

    async with runner.at_work():
        start.runner = runner
        yield start


async def test_slow_jobs_of_one_portal_leave_room_for_another_behind_the_same_provider(place):
    await place(PROVIDER, "busy", 60)
    assert await place(PROVIDER, "honest", 3) == {"busy": 50, "honest": 3}
    assert place.runner.waiting == 10


async def test_a_peer_that_makes_origins_up_leaves_room_for_other_peers(place):
    for number in range(20):
        await place(PROVIDER, f"made{number}", 10)
    assert place.runner.running == 75
    assert (await place(Peer("portal"), "portal", 30))["portal"] == 25


async def test_a_queued_job_that_is_cancelled_leaves_its_queue(place):
    await place(PROVIDER, "busy", 50)
    job = Job.parse("busy.provider.cluster add_user last.proj.busy").pending()
    place.runner.start(PROVIDER, job.id, "busy")
    assert place.runner.waiting == 1
    place.runner.cancel(PROVIDER, job.id, "the job was deleted")
    assert place.runner.waiting == 0
