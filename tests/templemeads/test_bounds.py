"""What an agent takes on, and what it says at each limit: to its own callers, and to peers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington import Limits as LineLimits
from paddington import Peer, ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import (
    Agent,
    AgentConfig,
    AgentType,
    Envelope,
    Handler,
    Job,
    Limits,
    RefusedError,
    Status,
    StoreError,
    open_agent,
)
from templemeads.jobs.commands import Put, Update
from templemeads.testing.networks import calendar, chain_configs, open_chain
from tests.simulation.disks import Disk

from .scripted import open_scripted


def add(user: str, path: str = "portal.cluster") -> str:
    return f"{path} add_user {user}.proj.{path.split('.', maxsplit=1)[0]}"


async def never(envelope: Envelope) -> Job:
    await trio.sleep_forever()


async def at_once(envelope: Envelope) -> Job:
    return envelope.job.completed("done")


async def test_jobs_in_flight_at_the_sender(autojump_clock):
    async with open_chain("portal", "cluster", handler=never, limits=Limits(jobs_in_flight=3)) as chain:
        for number in range(3):
            await chain.first.submit(add(f"u{number}"))
        with pytest.raises(RefusedError, match="3 jobs are under way with this peer already"):
            await chain.first.submit(add("u3"))


async def test_jobs_in_flight_at_the_receiver_are_answered_and_room_comes_back(autojump_clock):
    go_on = trio.Event()

    async def slow(envelope: Envelope) -> Job:
        await go_on.wait()
        return envelope.job.completed("done")

    async with open_scripted(slow, limits=Limits(jobs_in_flight=2)) as (agent, peer):
        await peer.introduce()
        jobs = [Job.parse(add(f"u{number}"), now=agent.now()).pending(agent.now()) for number in range(3)]
        await peer.say(*map(Put, jobs))
        refused = await peer.hear_kind(Update)
        assert refused.job.id == jobs[2].id
        assert "under way with this peer already, which is the limit" in refused.job.result_text
        go_on.set()
        assert {(await peer.hear_kind(Update)).job.result() for _ in range(2)} == {"done"}
        another = Job.parse(add("u4"), now=agent.now()).pending(agent.now())
        await peer.say(Put(another))
        assert (await peer.hear_kind(Update)).job.result() == "done"


async def test_jobs_for_an_absent_peer_are_kept_up_to_the_limit_and_the_next_is_refused(autojump_clock):
    limits = Limits(jobs_for_absent=3)
    async with open_chain("portal", "cluster", handler=at_once, limits=limits) as chain:
        chain.network.block(6501)
        chain.network.cut(6501)
        await chain.first.wait_gone("cluster")
        jobs = [await chain.first.submit(add(f"u{number}")) for number in range(3)]
        with pytest.raises(RefusedError, match="cluster@default is away, and 3 jobs wait for it already"):
            await chain.first.submit(add("u3"))
        assert (await jobs[0].put(chain.first.peer("cluster"))).id == jobs[0].id  # what it has, it keeps
        chain.network.unblock(6501)
        for job in jobs:
            assert (await job.wait()).result() == "done"


async def test_an_agent_on_the_way_answers_for_a_peer_that_is_away(autojump_clock):
    limits = Limits(jobs_for_absent=2)
    async with open_chain("waldur", "brics", "shared", handler=at_once, limits=limits) as chain:
        chain.network.block(6502)
        chain.network.cut(6502)
        await chain["brics"].wait_gone("shared")
        path = "waldur.brics.shared"
        kept = [await chain.first.submit(add(f"u{number}", path)) for number in range(2)]
        refused = await (await chain.first.submit(add("u2", path))).wait()
        assert refused.error_info.kind == "unroutable"
        assert "shared@default is away, and 2 jobs wait for it already" in refused.result_text
        chain.network.unblock(6502)
        for job in kept:
            assert (await job.wait()).result() == "done"


async def test_a_full_board_refuses_new_jobs_and_finishes_those_it_has(autojump_clock):
    limits = Limits(board_jobs=3, finished_seconds=1)
    async with open_chain("portal", "cluster", handler=at_once, limits=limits) as chain:
        jobs = [await chain.first.submit(add(f"u{number}")) for number in range(3)]
        with pytest.raises(RefusedError, match="The board is full: it holds 3 jobs"):
            await chain.first.submit(add("u3"))
        for job in jobs:
            assert (await job.wait()).result() == "done"
        await trio.sleep(130)  # they leave once they would have expired
        assert (await (await chain.first.submit(add("u3"))).wait()).result() == "done"


LINE = LineLimits(frame_bytes=4 * 8192 + 372)
"""A line on which 8 KiB of JSON fit into a frame."""


@asynccontextmanager
async def open_narrow_chain(handler: Handler) -> AsyncIterator[tuple[Agent, MemoryNetwork]]:
    """Run two agents with a line that takes small frames only."""
    network, configs = MemoryNetwork(), chain_configs(("portal", "cluster"))
    for config in configs.values():
        config.service.limits = LINE
        config.service.dense_framing = False
    transport = partial(open_service, network=network, unix_time=calendar)
    async with (
        open_agent(configs["portal"], transport=transport, clock=calendar) as portal,
        open_agent(configs["cluster"], handler, transport=transport, clock=calendar),
    ):
        await portal.wait_for("cluster")
        yield portal, network


@given(st.integers(6500, 8500), st.sampled_from(["x", '"', "é", "\n"]))
@settings(max_examples=25, deadline=None)
def test_a_result_fits_into_a_frame_or_is_an_error_that_names_the_size(size, character):
    text = character * (size if character == "x" else size // 4)

    async def large(envelope: Envelope) -> Job:
        return envelope.job.completed(text)

    async def main() -> Job:
        async with open_narrow_chain(large) as (portal, _):
            job = await (await portal.submit(add("fred"))).wait()
            assert portal.peers[Peer("cluster")].connections == 1, "the line was lost"
            return job

    job = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    if job.status is Status.ERROR:
        assert "too large to send: its JSON text has" in job.result_text
    else:
        assert job.result() == text


async def test_the_largest_result_that_fits_outlives_a_line(autojump_clock):
    largest = 0

    async def grow(envelope: Envelope) -> Job:
        size = int(envelope.job.instruction.user.username[1:])
        return envelope.job.completed("x" * size)

    async with open_narrow_chain(grow) as (portal, network):
        low, high = 7000, 8192  # fits, does not
        while high - low > 1:
            middle = (low + high) // 2
            job = await (await portal.submit(add(f"u{middle}"))).wait()
            low, high = (middle, high) if job.status is Status.COMPLETE else (low, middle)
        largest = low
        job = await portal.submit(add(f"u{largest}"))
        network.cut()
        assert len((await job.wait()).result()) == largest
        for _ in range(3):
            await portal.wait_for("cluster")
            await trio.testing.wait_all_tasks_blocked()
            network.cut()
            await portal.wait_gone("cluster")
        known = portal.peers[Peer("cluster")]
        await portal.wait_for("cluster")
        connections = known.connections
        await trio.sleep(60)
        assert known.connections == connections, "the line is lost again and again"


def test_both_sides_of_that_limit_are_reached():
    async def ends(size: int) -> Status:
        async def large(envelope: Envelope) -> Job:
            return envelope.job.completed("x" * size)

        async with open_narrow_chain(large) as (portal, _):
            return (await (await portal.submit(add("fred"))).wait()).status

    found = [
        trio.run(ends, size, clock=trio.testing.MockClock(autojump_threshold=0)) for size in (7000, 8192)
    ]
    assert found == [Status.COMPLETE, Status.ERROR]


async def test_a_job_that_fits_no_frame_is_refused_where_it_is_put(autojump_clock):
    beyond = ".".join("a" * 60 + str(number) for number in range(150))
    async with open_narrow_chain(at_once) as (portal, _):
        with pytest.raises(RefusedError, match="The job is too large to send"):
            await portal.submit(f"portal.cluster.{beyond} add_user fred.proj.portal")
        assert (await (await portal.submit(add("fred"))).wait()).result() == "done"


# -- a store that fails ------------------------------------------------------------------------------------------------


async def test_an_agent_whose_store_fails_stops_with_that_error_and_keeps_what_it_confirmed(autojump_clock):
    disk = Disk(Random(0), 0.01, lambda write: None)
    service = ServiceConfig.create("portal", port=6501)
    service.add_client("cluster", "127.0.0.1")
    config = AgentConfig(service, AgentType.PORTAL)
    confirmed = []
    with pytest.raises(StoreError, match="The disk is full"):
        async with open_agent(config, store=disk.open) as agent:
            confirmed.append(await agent.submit(add("u0")))
            disk.fails = True
            with pytest.raises(StoreError, match="The disk is full"):
                await agent.submit(add("u1"))
            with pytest.raises(StoreError):
                await agent.submit(add("u2"))
            await trio.sleep_forever()
    disk.fails = False
    async with open_agent(config, store=disk.open) as agent:
        board = agent.exchange.boards[Peer("cluster")]
        assert [job.id for job in board] == [job.id for job in confirmed]
