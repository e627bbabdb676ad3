"""How handlers and agents stop: in order, in a hurry, softly, and what of it everybody sees."""

import logging
from functools import partial

import pytest
import trio

from paddington import Peer, open_service
from paddington.testing import MemoryNetwork
from templemeads import Envelope, Job, JobError, Limits, RefusedError, Status, open_agent
from templemeads.jobs.commands import Delete, Put, Sync, Update
from templemeads.testing.networks import calendar, chain_configs, open_chain

from .scripted import open_scripted
from .values import NOW

ADD = "portal.cluster add_user fred.proj.portal"
LONG_ADD = "waldur.brics.shared add_user fred.proj.waldur"


def open_at(config, network, handler=None, **options):
    """Open an agent on a network in memory."""
    transport = partial(open_service, network=network, unix_time=calendar)
    arguments = () if handler is None else (handler,)
    return open_agent(config, *arguments, transport=transport, clock=calendar, **options)


# -- handlers -----------------------------------------------------------------------------------------------------------


async def test_a_handler_that_shields_itself_is_reported_by_name_after_its_deadline(autojump_clock, caplog):
    started = trio.Event()

    async def stubborn(envelope: Envelope) -> Job:
        started.set()
        with trio.CancelScope(shield=True):
            await trio.sleep(60)
        return envelope.job.completed("too late")

    limits = Limits(handler_cleanup_seconds=10)
    async with open_chain("portal", "cluster", handler=stubborn, limits=limits) as chain:
        job = await chain.first.submit(ADD)
        await started.wait()
        await job.delete()
        deleted = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert not caplog.records
        await trio.sleep_until(deleted + 10.1)
        (line,) = [record.getMessage() for record in caplog.records]
        assert "'add_user fred.proj.portal' has not ended 10 s after it was cancelled" in line
        assert chain.last.statistics().running == 1  # it is counted for as long as it runs
        await trio.sleep(60)
        assert chain.last.statistics().running == 0
        assert chain.first.statistics().jobs == 0


async def test_shielded_clean_up_within_its_deadline_is_nobodys_business(autojump_clock, caplog):
    cleaned = trio.Event()

    async def tidy(envelope: Envelope) -> Job:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            cleaned.set()

    async with open_chain("portal", "cluster", handler=tidy) as chain:
        job = await chain.first.submit(ADD)
        await trio.sleep(1)
        await job.delete()
        await cleaned.wait()
        await trio.sleep(30)
        assert not caplog.records


async def test_expiry_cancels_the_handler_and_ends_the_job_on_every_board(autojump_clock):
    cancelled = trio.Event()

    async def endless(envelope: Envelope) -> Job:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_chain("waldur", "brics", "shared", handler=endless) as chain:
        job = await chain.first.submit(LONG_ADD, lifetime=30)
        assert (await job.wait()).error_info.kind == "expired"
        await cancelled.wait()
        await trio.testing.wait_all_tasks_blocked()
        for agent in chain.agents.values():
            for board in agent.exchange.boards.values():
                assert board.get(job.id).result_text == "Job expired"


# -- an agent stops ---------------------------------------------------------------------------------------------------


async def test_a_handler_that_outlasts_the_deadline_is_cancelled_and_its_job_run_again_later(autojump_clock):
    network, limits = MemoryNetwork(), Limits(shutdown_seconds=7)
    configs = chain_configs(("portal", "cluster"), limits=limits)
    calls = 0

    async def slow(envelope: Envelope) -> Job:
        nonlocal calls
        calls += 1
        await trio.sleep(100 if calls == 1 else 1)
        return envelope.job.completed(f"call {calls}")

    async with open_at(configs["portal"], network) as portal:
        async with open_at(configs["cluster"], network, slow):
            await portal.wait_for("cluster")
            job = await portal.submit(ADD, lifetime=600)
            await trio.sleep(1)
            stopped = trio.current_time()
        assert trio.current_time() - stopped == pytest.approx(7, abs=0.5)
        async with open_at(configs["cluster"], network, slow):
            assert (await job.wait()).result() == "call 2"


async def test_an_answer_that_comes_after_the_deadline_is_kept_all_the_same(autojump_clock, tmp_path):
    network, limits = MemoryNetwork(), Limits(shutdown_seconds=2)
    configs = chain_configs(("portal", "cluster"), limits=limits)
    configs["cluster"].store = f"sqlite:///{tmp_path}/boards.db"
    calls = 0

    async def shielded(envelope: Envelope) -> Job:
        nonlocal calls
        calls += 1
        with trio.CancelScope(shield=True):
            await trio.sleep(20)
        return envelope.job.completed(f"call {calls}")

    # Threads and a clock that jumps do not mix: the store's commits must not race against deadlines.
    autojump_clock.autojump_threshold = 0.2
    async with open_at(configs["portal"], network) as portal:
        async with open_at(configs["cluster"], network, shielded):
            await portal.wait_for("cluster")
            job = await portal.submit(ADD, lifetime=600)
            await trio.sleep(1)
        async with open_at(configs["cluster"], network, shielded):
            assert (await job.wait()).result() == "call 1"


async def test_a_stopping_agent_takes_no_more_jobs_and_says_so(autojump_clock):
    refused: list[str] = []

    async def slow(envelope: Envelope) -> Job:
        await trio.sleep(5)
        return envelope.job.completed("done")

    network, configs = MemoryNetwork(), chain_configs(("portal", "cluster"))
    async with trio.open_nursery() as nursery, open_at(configs["portal"], network) as portal:
        async with open_at(configs["cluster"], network, slow) as cluster:
            await portal.wait_for("cluster")
            job = await portal.submit(ADD)
            await trio.sleep(1)

            @nursery.start_soon
            async def submit_late() -> None:
                await trio.sleep(1)
                with pytest.raises(RefusedError, match="'cluster' is stopping") as caught:
                    await cluster.submit("cluster.portal add_user fred.proj.cluster")
                refused.append(str(caught.value))

        assert (await job.wait()).result() == "done"
        assert refused


async def test_a_job_that_comes_while_the_agent_stops_is_run_by_its_next_life(autojump_clock):
    calls: list[str] = []

    async def slow(envelope: Envelope) -> Job:
        calls.append(envelope.job.instruction.user.username)
        await trio.sleep(5)
        return envelope.job.completed("done")

    network, configs = MemoryNetwork(), chain_configs(("portal", "cluster"))
    late: list[Job] = []
    async with trio.open_nursery() as nursery, open_at(configs["portal"], network) as portal:
        async with open_at(configs["cluster"], network, slow):
            await portal.wait_for("cluster")
            await portal.submit(ADD)
            await trio.sleep(1)

            @nursery.start_soon
            async def submit_late() -> None:
                await trio.sleep(1)
                late.append(await portal.submit("portal.cluster add_user jane.proj.portal"))

        assert calls == ["fred"]
        async with open_at(configs["cluster"], network, slow):
            assert (await late[0].wait()).result() == "done"
        assert calls == ["fred", "jane"]


# -- soft restart -------------------------------------------------------------------------------------------------------


async def test_a_soft_restart_ends_what_is_unfinished_cancels_handlers_and_comes_back(autojump_clock):
    cancelled = trio.Event()
    running = 0

    async def endless(envelope: Envelope) -> Job:
        nonlocal running
        running += 1
        if running > 1:
            return envelope.job.completed("afresh")
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_chain("waldur", "brics", "shared", handler=endless) as chain:
        job = await chain.first.submit(LONG_ADD)
        await trio.sleep(1)
        await chain["brics"].soft_restart()
        ended = await job.wait()
        assert ended.result_text == "Agent soft restart - job cancelled"
        assert ended.error_info.origin == "brics"
        await cancelled.wait()
        await chain.wait_connected()
        assert (await (await chain.first.submit(LONG_ADD)).wait()).result() == "afresh"


async def test_finished_jobs_outlive_a_soft_restart(autojump_clock):
    calls = 0

    async def counting(envelope: Envelope) -> Job:
        nonlocal calls
        calls += 1
        return envelope.job.completed("done")

    async with open_chain("waldur", "brics", "shared", handler=counting) as chain:
        job = await (await chain.first.submit(LONG_ADD)).wait()
        for agent in chain.agents.values():
            await agent.soft_restart()
        await chain.wait_connected()
        assert (await job.update()).result() == "done"
        again = await job.put(chain.first.peer("brics"))
        assert again.result() == "done"
        assert calls == 1


async def test_during_a_soft_restart_jobs_are_turned_away_with_a_reason(autojump_clock):
    async with open_scripted(name="portal") as (agent, peer):
        await peer.introduce()
        await trio.testing.wait_all_tasks_blocked()
        agent._executor.is_restarting = True  # a restart takes no time here: nothing is slow
        job = Job.parse(ADD, now=agent.now()).pending(agent.now())
        await peer.say(Put(job), Delete(job), Sync((job,)))
        update = await peer.hear_kind(Update)
        await trio.testing.wait_all_tasks_blocked()
        assert update.job.result_text == "Agent is performing a soft restart - please retry"
        assert agent.statistics().refused["restarting"] == 2
        assert agent.statistics().jobs == 0
        with pytest.raises(RefusedError, match="soft restart - please retry"):
            await agent.submit("cluster.portal add_user fred.proj.cluster")


# -- standby --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", [False, True], ids=["seen", "unseen"])
async def test_the_second_instance_takes_over_within_two_seconds_with_the_jobs(autojump_clock, silent):
    network = MemoryNetwork()
    configs = chain_configs(("portal", "cluster"))
    lives: list[str] = []

    def instance(name: str):
        async def handler(envelope: Envelope) -> Job:
            lives.append(name)
            await trio.sleep(1000 if name == "first" else 1)
            return envelope.job.completed(f"done by the {name}")

        return handler

    async with open_at(configs["portal"], network) as portal, trio.open_nursery() as nursery:
        first = trio.CancelScope()

        @nursery.start_soon
        async def run_first() -> None:
            with first:
                async with open_at(configs["cluster"], network, instance("first")):
                    await trio.sleep_forever()

        await portal.wait_for("cluster")
        async with open_at(configs["cluster"], network, instance("second")):
            job = await portal.submit(ADD, lifetime=3000)
            await trio.sleep(600)
            # When both are fine nothing flaps.
            assert [known.connections for known in portal.peers.states] == [1]
            assert lives == ["first"]
            if silent:
                # A process that hangs, or a cable that is cut: nobody sees an end, the watchdog must.
                network.lines[0].freeze()
                first.cancel()
                frozen = trio.current_time()
                await portal.wait_gone("cluster")
                assert trio.current_time() - frozen <= 300
            else:
                first.cancel()
                await portal.wait_gone("cluster")
            died = trio.current_time()
            await portal.wait_for("cluster")
            assert trio.current_time() - died < 2
            assert (await job.wait()).result() == "done by the second"


# -- what a peer sees of it ---------------------------------------------------------------------------------------------


async def test_progress_is_coalesced_on_a_slow_line_and_never_delays_the_result(autojump_clock):
    reports = 1000

    async def chatty(envelope: Envelope) -> Job:
        for number in range(reports):
            await envelope.progress(f"step {number}")
        return envelope.job.completed("done")

    async with open_scripted(chatty, name="portal") as (agent, peer):
        await peer.introduce()
        # A peer that reads nothing: whatever the line holds fills up, then the reports wait, all in one place.
        await peer.say(Put(Job.parse(ADD, now=agent.now()).pending(agent.now())))
        await trio.testing.wait_all_tasks_blocked()
        (state,) = agent.peers.states
        assert state.queued <= 1
        heard = 0
        while not (update := await peer.hear_kind(Update)).job.is_finished:
            heard += 1
        assert update.job.result() == "done"
        assert heard < 400  # what the line itself holds, not what was reported


async def test_every_report_reaches_a_sender_that_keeps_up(autojump_clock):
    async def steady(envelope: Envelope) -> Job:
        for number in range(5):
            await envelope.progress(f"step {number}")
            await trio.sleep(1)
        return envelope.job.completed("done")

    async with open_chain("waldur", "brics", "notebook", "shared", handler=steady) as chain:
        job = await chain.first.submit(f"{chain.path} add_user fred.proj.waldur")
        seen = [change.progress or change.status.value async for change in job.updates()]
        assert seen == ["Pending", *(f"step {number}" for number in range(5)), "Complete"]


async def test_the_same_job_put_again_joins_the_running_one_then_gets_the_stored_answer(autojump_clock):
    calls = 0

    async def slow(envelope: Envelope) -> Job:
        nonlocal calls
        calls += 1
        await trio.sleep(5)
        return envelope.job.completed(f"call {calls}")

    async with open_chain("portal", "cluster", handler=slow) as chain:
        cluster = chain.first.peer("cluster")
        job = Job.parse(ADD, now=cluster.now())
        first = await job.put(cluster)
        await trio.sleep(1)
        second = await job.put(cluster)
        assert (await first.wait()).result() == (await second.wait()).result() == "call 1"
        assert (await job.put(cluster)).result() == "call 1"
        assert calls == 1


async def test_a_registration_against_the_declared_type_is_ignored_and_told_once_a_minute(
    autojump_clock, caplog
):
    caplog.set_level(logging.WARNING)
    async with open_scripted(name="portal", declared="provider") as (agent, peer):
        for _ in range(3):
            await peer.introduce() if not caplog.records else await peer.say(Sync(()))
            await trio.testing.wait_all_tasks_blocked()
        assert agent.get_all() == []
        assert agent.statistics().refused["registration"] == 1
        assert [record.levelname for record in caplog.records if "registration" in record.getMessage()] == [
            "ERROR"
        ]
        # The connection stays open, and nothing it says of jobs is taken.
        await peer.say(Put(Job.parse(ADD, now=NOW).pending(NOW)))
        await trio.testing.wait_all_tasks_blocked()
        assert agent.exchange.boards.get(Peer("portal")) is None
        assert agent.peers[Peer("portal")].is_connected


async def test_a_job_error_names_the_agent_and_a_status(autojump_clock):
    async def failing(envelope: Envelope) -> Job:
        raise JobError("no such group", kind="invalid")

    async with open_chain("portal", "cluster", handler=failing) as chain:
        job = await (await chain.first.submit(ADD)).wait()
        assert (job.status, job.error_info.kind, job.error_info.origin) == (
            Status.ERROR,
            "invalid",
            "cluster",
        )


async def test_a_job_that_is_asked_for_again_while_its_handler_cleans_up_runs_after_it(autojump_clock):
    running = most = 0

    async def tidy(envelope: Envelope) -> Job:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await trio.sleep(5)
            return envelope.job.completed("done")
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            running -= 1

    async with open_chain("portal", "cluster", handler=tidy) as chain:
        job = await chain.first.submit(ADD)
        await trio.sleep(1)
        runner, portal = chain.last._executor.runner, Peer("portal")
        runner.cancel(portal, job.id, "for the sake of it")
        runner.start(portal, job.id)
        runner.start(portal, job.id)
        assert (await job.wait()).result() == "done"
        assert most == 1
        assert chain.last.statistics().waiting == 0
