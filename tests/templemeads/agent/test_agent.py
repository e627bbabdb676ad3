import logging

import pytest
import trio

from paddington import Peer
from templemeads import (
    AgentStoppedError,
    AgentType,
    Envelope,
    Handlers,
    Job,
    JobError,
    Limits,
    ParseError,
    PeerNotFoundError,
    RefusedError,
    Status,
    UnknownInstruction,
    UserIdentifier,
)
from templemeads.grammar import AddUser, GetUsers, RemoveUser
from templemeads.testing.networks import open_chain

ADD = "portal.cluster add_user fred.proj.portal"


async def cluster_runner(envelope: Envelope) -> Job:
    job = envelope.job
    match job.instruction:
        case AddUser():
            return job.completed("account created")
        case RemoveUser(user) if user.project == "admin":
            return job.errored(f'You are not allowed to remove the account for "{user.username}"')
        case RemoveUser():
            return job.completed("account removed")
        case unknown:
            raise UnknownInstruction(unknown)


async def test_a_job_goes_there_and_its_result_comes_back(autojump_clock):
    async with open_chain("portal", "cluster", handler=cluster_runner) as chain:
        cluster = await chain.first.wait_for(AgentType.INSTANCE)
        job = await Job.parse(ADD, now=cluster.now()).put(cluster)
        assert (job.status, job.version) == (Status.PENDING, 2)
        job = await job.wait()
        assert (job.result(), job.version) == ("account created", 1002)


async def test_a_refusal_of_the_handler_is_the_jobs_error(autojump_clock):
    async with open_chain("portal", "cluster", handler=cluster_runner) as chain:
        job = await chain.first.submit("portal.cluster remove_user jane.admin.portal")
        with pytest.raises(JobError, match='not allowed to remove the account for "jane"'):
            (await job.wait()).result()


async def test_an_instruction_without_a_handler_is_an_unknown_instruction(autojump_clock):
    async with open_chain("portal", "cluster", handler=cluster_runner) as chain:
        job = await (await chain.first.submit("portal.cluster get_users proj.portal")).wait()
        assert job.result_text == "Unknown instruction: get_users proj.portal"
        assert job.error_info.kind == "unsupported"
        assert job.error_info.origin == "cluster"


async def test_an_agent_without_a_handler_refuses_every_job(autojump_clock):
    async with open_chain("portal", "cluster") as chain:
        job = await (await chain.first.submit(ADD)).wait()
        assert job.error_info.kind == "unsupported"


async def test_a_job_crosses_four_agents(autojump_clock):
    async with open_chain("waldur", "brics", "notebook", "shared", handler=cluster_runner) as chain:
        job = await chain.first.submit(f"{chain.path} add_user fred.proj.waldur")
        assert (await job.wait()).result() == "account created"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda job: job, "not finished"),
        (lambda job: job.running("half way"), "not finished"),
        (lambda job: Job.parse(ADD).pending().completed("another"), "not finished"),
        (lambda job: job.completed(object()), "The handler failed (TypeError); see the log of cluster"),
    ],
)
async def test_a_handler_that_returns_nonsense_makes_an_error_result(autojump_clock, returned, message):
    async def strange(envelope):
        return returned(envelope.job)

    async with open_chain("portal", "cluster", handler=strange) as chain:
        job = await (await chain.first.submit(ADD)).wait()
        assert job.status is Status.ERROR
        assert message in job.result_text


async def test_a_plain_value_completes_the_job(autojump_clock):
    async def plain(envelope):
        return "here"

    async with open_chain("portal", "cluster", handler=plain) as chain:
        assert (await (await chain.first.submit(ADD)).wait()).result() == "here"


async def test_progress_travels_back_and_can_be_iterated(autojump_clock):
    steps = [trio.Event() for _ in range(2)]

    async def slow(envelope: Envelope) -> Job:
        for number, step in enumerate(steps):
            await envelope.progress(f"step {number}")
            await step.wait()
        return envelope.job.completed("done")

    async with open_chain("waldur", "brics", "shared", handler=slow) as chain:
        job = await chain.first.submit(f"{chain.path} add_user fred.proj.waldur")
        seen = []
        async for change in job.updates():
            seen.append(change.progress or change.status.value)
            if change.progress is not None:
                steps[int(change.progress[-1])].set()
        assert seen == ["Pending", "step 0", "step 1", "Complete"]


async def test_a_job_put_to_an_absent_peer_is_sent_when_it_comes(autojump_clock):
    async with open_chain("portal", "cluster", handler=cluster_runner) as chain:
        chain.network.block(6501)
        chain.network.cut()
        await chain.first.wait_gone("cluster")
        job = await chain.first.submit(ADD)
        chain.network.unblock(6501)
        assert (await job.wait()).result() == "account created"


async def test_a_line_that_is_cut_in_the_middle_of_a_job_loses_nothing_and_runs_it_once(autojump_clock):
    started, go_on = trio.Event(), trio.Event()
    calls = 0

    async def slow(envelope: Envelope) -> Job:
        nonlocal calls
        calls += 1
        started.set()
        await go_on.wait()
        return envelope.job.completed("done")

    async with open_chain("portal", "cluster", handler=slow) as chain:
        job = await chain.first.submit(ADD)
        await started.wait()
        chain.network.cut()
        await chain.first.wait_gone("cluster")
        go_on.set()
        assert (await job.wait()).result() == "done"
        assert calls == 1


async def test_the_same_instruction_put_twice_runs_once_and_both_get_the_result(autojump_clock):
    go_on = trio.Event()
    calls = 0

    async def slow(envelope: Envelope) -> Job:
        nonlocal calls
        calls += 1
        await go_on.wait()
        return envelope.job.completed(f"call {calls}")

    async with open_chain("portal", "cluster", handler=slow) as chain:
        first, second = await chain.first.submit(ADD), await chain.first.submit(ADD)
        assert second.status is Status.DUPLICATE
        go_on.set()
        assert (await first.wait()).result() == (await second.wait()).result() == "call 1"
        assert calls == 1


async def test_deleting_a_job_cancels_its_handler_and_tells_who_waits(autojump_clock):
    started, cancelled = trio.Event(), trio.Event()

    async def endless(envelope: Envelope) -> Job:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_chain("waldur", "brics", "shared", handler=endless) as chain:
        job = await chain.first.submit(f"{chain.path} add_user fred.proj.waldur")
        await started.wait()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def wait() -> None:
                with pytest.raises(JobError, match="Job removed from board"):
                    await job.wait()

            await trio.testing.wait_all_tasks_blocked()
            await job.delete()
        await cancelled.wait()
        with pytest.raises(JobError, match="removed"):
            await job.update()


async def test_an_expired_job_is_an_error_and_its_handler_is_cancelled(autojump_clock):
    cancelled = trio.Event()

    async def endless(envelope: Envelope) -> Job:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_chain("portal", "cluster", handler=endless) as chain:
        began = trio.current_time()
        job = await (await chain.first.submit(ADD, lifetime=300)).wait()
        assert trio.current_time() - began == pytest.approx(300, abs=1)
        assert (job.result_text, job.error_info.kind) == ("Job expired", "expired")
        await cancelled.wait()


async def test_no_more_handlers_run_at_once_than_the_limit_and_none_starves(autojump_clock):
    running = most = 0

    async def counting(envelope: Envelope) -> Job:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return envelope.job.completed("done")

    async with open_chain("portal", "cluster", handler=counting, limits=Limits(handlers=3)) as chain:
        jobs = [
            await chain.first.submit(f"portal.cluster add_user u{number}.proj.portal") for number in range(10)
        ]
        for job in jobs:
            assert (await job.wait()).result() == "done"
        assert most == 3


async def test_handlers_that_run_finish_before_the_agent_stops_and_their_results_are_sent(autojump_clock):
    async def slow(envelope: Envelope) -> Job:
        await trio.sleep(5)
        return envelope.job.completed("done")

    async with open_chain("portal", "cluster", handler=slow) as chain:
        job = await chain.first.submit(ADD)
        await trio.sleep(1)
        stopping = chain.last._stop()
        await stopping
        assert (await job.wait()).result() == "done"


async def test_waiting_ends_with_the_agent(autojump_clock):
    async def endless(envelope: Envelope) -> Job:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        async with open_chain("portal", "cluster", handler=endless) as chain:
            agent = chain.first
            job = await agent.submit(ADD)

            @nursery.start_soon
            async def wait_for_result() -> None:
                with pytest.raises(AgentStoppedError):
                    await job.wait()

            await trio.testing.wait_all_tasks_blocked()
            chain.last._executor.runner.cancel_all("the test ends")


async def test_the_portal_rule_and_the_path_are_checked_on_submission(autojump_clock):
    async with open_chain("portal", "cluster") as chain:
        with pytest.raises(ParseError, match="portal"):
            await chain.first.submit("portal.cluster add_user fred.proj.other")
        with pytest.raises(RefusedError, match="does not begin with this agent"):
            await chain.first.submit("other.cluster add_user fred.proj.other")
        with pytest.raises(PeerNotFoundError, match="'nowhere' is not configured"):
            await chain.first.submit("portal.nowhere add_user fred.proj.portal")
        with pytest.raises(PeerNotFoundError, match="cluster@default"):
            await chain.first.wait_for("clutser")


async def test_peers_are_found_by_type_name_and_zone(autojump_clock):
    async with open_chain("portal", "cluster") as chain:
        (cluster,) = chain.first.get_all(AgentType.INSTANCE)
        assert str(cluster) == "cluster@default"
        assert cluster.peer == Peer("cluster")
        assert chain.first.get_all("cluster@default") == [cluster]
        assert chain.first.get_all(AgentType.PORTAL) == []
        assert await chain.last.wait_for("portal") == chain.last.peer("portal")


async def test_agents_of_one_process_share_nothing(autojump_clock):
    async with (
        open_chain("portal", "cluster", handler=cluster_runner) as one,
        open_chain("portal", "cluster") as other,
    ):
        assert (await (await one.first.submit(ADD)).wait()).result() == "account created"
        assert (await (await other.first.submit(ADD)).wait()).error_info.kind == "unsupported"
        assert other.first.statistics().jobs == 1


async def test_the_log_shows_the_steps_of_a_job_at_level_debug(autojump_clock, caplog):
    caplog.set_level(logging.DEBUG, logger="templemeads")
    async with open_chain("portal", "cluster", handler=cluster_runner) as chain:
        await (await chain.first.submit(ADD)).wait()
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith(f"put {{{ADD}}}: version=2,") for line in lines)
    assert any("state=Pending to cluster from portal" in line for line in lines)
    assert any(line.startswith(f"update {{{ADD}}}: version=1002,") for line in lines)
    assert any(
        line.startswith("received update") and "state=Complete to portal from cluster" in line
        for line in lines
    )


async def test_an_error_of_the_block_comes_out_as_it_is(autojump_clock):
    with pytest.raises(LookupError, match="mine"):
        async with open_chain("portal", "cluster"):
            raise LookupError("mine")


async def test_handlers_are_a_table_and_a_handler(autojump_clock):
    handlers = Handlers(strict=False)

    @handlers.add(AddUser)
    async def add_user(envelope: Envelope, user: UserIdentifier) -> str:
        return f"{user.username} for {envelope.sender}"

    async with open_chain("portal", "cluster", handler=handlers) as chain:
        assert (await (await chain.first.submit(ADD)).wait()).result() == "fred for portal"
        job = await (await chain.first.submit("portal.cluster get_users proj.portal")).wait()
        assert job.error_info.kind == "unsupported"
    assert AddUser in handlers
    assert GetUsers not in handlers
