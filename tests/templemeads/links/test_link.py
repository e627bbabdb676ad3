"""What goes over one connection, seen from a peer that follows the protocol page *wire*, section 5."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from paddington import Limits as ServiceLimits
from paddington import Peer
from templemeads import AgentType, Job, Limits, Status
from templemeads.jobs.commands import Delete, Error, HealthCheck, Put, Register, Sync, Update
from templemeads.stores.memory import MemoryStore
from templemeads.stores.store import StoreStatistics
from templemeads.testing.networks import EPOCH
from tests.templemeads.scripted import open_scripted
from tests.templemeads.values import job

PORTAL = Peer("portal")


def put_job(number: int = 1, command: str = "portal.cluster add_user fred.proj.portal") -> Job:
    return job(number, command, now=int(EPOCH))


async def echo(envelope):
    return envelope.job.completed(str(envelope.job.instruction))


async def test_a_conversation_opens_with_register_and_sync(autojump_clock):
    async with open_scripted() as (agent, peer):
        register, sync = await peer.introduce()
        assert isinstance(register, Register)
        assert (register.agent, register.engine) == (AgentType.INSTANCE, "templemeads")
        assert sync == Sync(())
        assert (await agent.wait_for(AgentType.PORTAL)).name == "portal"


async def test_a_put_is_answered_with_an_update(autojump_clock):
    async with open_scripted(echo) as (_, peer):
        await peer.introduce()
        await peer.say(Put(put_job()))
        update = await peer.hear_kind(Update)
        assert update.job.id == put_job().id
        assert (update.job.version, update.job.result()) == (1002, "add_user fred.proj.portal")


async def test_a_job_that_comes_in_a_sync_is_run_and_the_answer_repeated_on_request(autojump_clock):
    async with open_scripted(echo) as (_, peer):
        await peer.introduce()
        await peer.say(Sync((put_job(),)))
        first = await peer.hear_kind(Update)
        await peer.say(Put(put_job()))
        assert await peer.hear_kind(Update) == first


async def test_an_unknown_command_is_answered_with_an_error_and_survived(autojump_clock):
    async with open_scripted(echo) as (agent, peer):
        await peer.introduce()
        for rubbish in ('{"Teleport":{"to":"mars"}}', "rubbish", '{"Put":5}', '{"Update":{"job":{}}}'):
            await peer.say(rubbish)
            assert isinstance(await peer.hear_kind(Error), Error)
        await peer.say(Error("and you?"), Put(put_job()))
        assert (await peer.hear_kind(Update)).job.status is Status.COMPLETE
        assert agent.statistics().refused["unknown-command"] == 1
        assert agent.statistics().refused["unreadable"] == 3


async def test_jobs_of_a_peer_that_has_not_registered_are_not_run(autojump_clock):
    async with open_scripted(echo) as (agent, peer):
        await peer.hear()
        await peer.say(Put(put_job()))
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(1)
        assert agent.statistics().refused == {"unregistered": 1}
        assert agent.statistics().jobs == 0


@pytest.mark.parametrize(
    ("declared", "says", "taken"),
    [("portal", AgentType.PORTAL, True), ("portal", AgentType.BRIDGE, False), (None, AgentType.BRIDGE, True)],
)
async def test_a_declared_type_is_enforced_and_the_connection_stays(declared, says, taken, autojump_clock):
    async with open_scripted(echo, declared=declared) as (agent, peer):
        await peer.introduce(says)
        await peer.say(Put(put_job()))
        await trio.sleep(1)
        assert bool(agent.get_all("portal")) == taken
        assert agent.statistics().jobs == (1 if taken else 0)
        await peer.say(HealthCheck())  # the line is open


async def test_a_second_type_on_the_same_connection_is_ignored(autojump_clock):
    async with open_scripted() as (agent, peer):
        await peer.introduce(AgentType.PROVIDER)
        await peer.say(Register(AgentType.BRIDGE, "templemeads", "0.32.2"))
        await trio.sleep(1)
        assert [known.agent_type for known in agent.get_all()] == [AgentType.PROVIDER]


async def test_a_board_too_large_for_one_command_goes_over_in_several_syncs(autojump_clock):
    results = {}

    async def fill(agent):
        for number in range(1, 301):
            one = put_job(number, f"portal.cluster add_user u{number}.proj.portal")
            results[one.id] = attrs.evolve(one, version=1002).completed("x" * 500, now=EPOCH)
            agent.exchange.board(PORTAL).merge(results[one.id], EPOCH)

    async with open_scripted(before=fill) as (_, peer):
        await peer.hear_kind(Register)
        heard = {}
        syncs = 0
        while len(heard) < len(results):
            sync = await peer.hear_kind(Sync)
            syncs += 1
            heard |= {one.id: one for one in sync.jobs}
        assert heard == results
        assert syncs > 2


async def test_what_was_deleted_while_the_peer_was_away_is_told_after_the_sync(autojump_clock):
    async def delete_one(agent):
        for number in (1, 2):
            gone = await agent.peer("portal").put_job(
                job(number, f"cluster.portal add_user u{number}.p.q", now=EPOCH)
            )
        await gone.delete()

    async with open_scripted(before=delete_one) as (_, peer):
        await peer.hear_kind(Register)
        sync = await peer.hear()
        assert [one.id.int for one in sync.jobs] == [1]
        delete = await peer.hear()
        assert isinstance(delete, Delete)
        assert delete.job.id.int == 2


async def test_fast_progress_is_coalesced_on_a_slow_line_and_the_result_does_not_wait_behind_it(
    autojump_clock,
):
    many = 5000

    async def chatty(envelope):
        for number in range(many):
            await envelope.progress(f"{number} of {many} " + "x" * 2000)
        return envelope.job.completed("done")

    async with open_scripted(chatty) as (_, peer):
        await peer.introduce()
        await peer.say(Put(put_job()))
        await trio.sleep(60)  # the peer does not read
        heard = 0
        while not (await peer.hear_kind(Update)).job.is_finished:
            heard += 1
        assert heard < many / 10


async def test_control_commands_for_a_peer_that_does_not_read_are_bounded(autojump_clock):
    async with open_scripted(limits=Limits(updates_queued=5)) as (agent, peer):
        await peer.introduce()
        for _ in range(10):
            agent.peers.send(PORTAL, '{"Error":{"error":"x"}}')
        assert agent.statistics().dropped == 5


async def test_text_that_has_no_utf8_form_is_replaced_and_the_connection_stays(autojump_clock):
    async with open_scripted(echo) as (agent, peer):
        await peer.introduce()
        agent.peers.send(PORTAL, '{"Error":{"error":"caf\udce9"}}')
        agent.peers.send(PORTAL, '{"Error":{"error":"next"}}')
        assert await peer.hear_kind(Error) == Error("caf?")
        assert await peer.hear_kind(Error) == Error("next")
        await peer.say(Put(put_job()))
        assert (await peer.hear_kind(Update)).job.status is Status.COMPLETE


class SlowStore(MemoryStore):
    """A store that keeps nothing until the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = trio.Event()

    def is_committed(self, ticket: int) -> bool:
        return self.goes_on.is_set() or ticket == 0

    async def wait_committed(self, ticket: int) -> None:
        if ticket:
            await self.goes_on.wait()

    def statistics(self) -> StoreStatistics:
        return StoreStatistics(waiting=0 if self.goes_on.is_set() else self._ticket)


async def test_a_link_reads_no_more_while_more_than_the_backlog_waits_for_the_store(autojump_clock):
    async def forever(_):
        await trio.sleep_forever()

    store = SlowStore()

    @asynccontextmanager
    async def open_slow_store(agent: str) -> AsyncIterator[SlowStore]:
        yield store

    limits = Limits(store_backlog=3, shutdown_seconds=1)
    async with open_scripted(forever, limits=limits, store=open_slow_store) as (agent, peer):
        await peer.introduce()
        held = []
        for number in range(1, 7):
            await peer.say(Put(put_job(number, f"portal.cluster add_user u{number}.proj.portal")))
            await wait_all_tasks_blocked()
            held.append(agent.statistics().jobs)
        # Three wait and the fourth is taken, which is one too many: the others wait on the line.
        assert held == [1, 2, 3, 4, 4, 4]
        store.goes_on.set()
        await wait_all_tasks_blocked()
        assert agent.statistics().jobs == 6


SMALL = ServiceLimits(dense_frame_bytes=65_536)


async def test_a_result_too_large_for_the_connection_comes_as_an_error_at_once(autojump_clock):
    async def answer(envelope):
        return envelope.job.completed("x" * 70_000)

    async with open_scripted(answer, service_limits=SMALL) as (agent, peer):
        await peer.introduce()
        await peer.say(Put(put_job()))
        job = (await peer.hear_kind(Update)).job
        assert job.status is Status.ERROR
        assert "more than portal@default accepts" in job.error.message
        assert agent.statistics().refused["too-large"] == 1


async def test_a_result_made_while_the_peer_was_away_comes_as_an_error_if_it_is_too_large(autojump_clock):
    started, finished = trio.Event(), trio.Event()

    async def answer(envelope):
        started.set()
        await finished.wait()
        return envelope.job.completed("x" * 70_000)

    async with open_scripted(answer, service_limits=SMALL) as (_, peer):
        await peer.introduce()
        await peer.say(Put(put_job()))
        await started.wait()
        await peer.connection.aclose()
        finished.set()
        await trio.testing.wait_all_tasks_blocked()
        await peer.reconnect()
        assert await peer.introduce()
        job = (await peer.hear_kind(Update)).job
        assert job.status is Status.ERROR
        assert "more than portal@default accepts" in job.error.message
