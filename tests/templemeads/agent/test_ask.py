"""Handlers that ask other agents: the value comes back, errors keep their origin, and nothing outlives the asking job."""

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
import trio

from paddington import ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads import (
    AgentConfig,
    AgentType,
    Envelope,
    Handlers,
    JobError,
    ParseError,
    StateError,
    UserIdentifier,
    UserMapping,
    open_agent,
)
from templemeads.grammar import AddLocalUser, AddUser, GetLocalHomeDir
from templemeads.testing.networks import calendar

ADD = "portal.cluster add_user fred.proj.portal"
ASK = "cluster.accounts add_local_user fred.proj.portal:fred:proj"


@asynccontextmanager
async def open_site(cluster, accounts, *, zones=("default",)):
    """Run `portal - cluster - accounts`, where the cluster has invited its account agent."""
    network = MemoryNetwork()
    configs = {
        name: AgentConfig(ServiceConfig.create(name, port=6501 + number), agent_type)
        for number, (name, agent_type) in enumerate(
            [
                ("portal", AgentType.PORTAL),
                ("cluster", AgentType.INSTANCE),
                ("accounts", AgentType.ACCOUNT),
            ]
        )
    }
    invite = configs["portal"].service.add_client("cluster", "127.0.0.1")
    configs["cluster"].service.add_server(invite)
    for zone in zones:
        invite = configs["cluster"].service.add_client("accounts", "127.0.0.1", zone)
        configs["accounts"].service.add_server(invite)
    handlers = {"portal": Handlers(), "cluster": cluster, "accounts": accounts}
    async with AsyncExitStack() as stack:
        agents = {}
        for name, config in configs.items():
            agents[name] = await stack.enter_async_context(
                open_agent(
                    config,
                    handlers[name],
                    transport=partial(open_service, network=network, unix_time=calendar),
                    clock=calendar,
                )
            )
        await agents["portal"].wait_for("cluster")
        await agents["cluster"].wait_for("accounts")
        yield agents


def accounts_that(answer):
    handlers = Handlers(strict=False)

    @handlers.add(AddLocalUser)
    async def add_local_user(envelope, mapping):
        return await answer(envelope, mapping)

    return handlers


def cluster_that(answer):
    handlers = Handlers(strict=False)

    @handlers.add(AddUser)
    async def add_user(envelope, user):
        return await answer(envelope, user)

    return handlers


async def test_a_handler_asks_another_agent_and_gets_the_value_with_its_type(autojump_clock):
    asked = []

    async def ask_home(envelope, user):
        asked.append(
            await envelope.agent.ask("cluster.accounts get_local_home_dir fred.proj.portal:fred:proj")
        )
        return UserMapping(user, "fred", "proj")

    accounts = Handlers(strict=False)

    @accounts.add(GetLocalHomeDir)
    async def home(envelope, mapping):
        return f"/home/{mapping.local_user}"

    async with open_site(cluster_that(ask_home), accounts) as agents:
        job = await (await agents["portal"].submit(ADD)).wait()
    assert asked == ["/home/fred"]
    assert job.result() == UserMapping(UserIdentifier.parse("fred.proj.portal"), "fred", "proj")


async def test_an_error_of_the_asked_agent_keeps_its_origin_all_the_way(autojump_clock):
    caught = []

    async def ask(envelope, user):
        try:
            return await envelope.agent.ask(ASK)
        except JobError as error:
            caught.append((str(error), error.origin))
            raise

    async def refuse(envelope, mapping):
        raise JobError("no such group")

    async with open_site(cluster_that(ask), accounts_that(refuse)) as agents:
        job = await (await agents["portal"].submit(ADD)).wait()
    assert caught == [("no such group", "accounts")]
    assert (job.error_info.message, job.error_info.origin) == ("no such group", "accounts")


@pytest.mark.parametrize("lifetime", [None, 5, 3000])
async def test_what_is_asked_expires_no_later_than_the_job_that_asks(autojump_clock, lifetime):
    expiries = []

    async def ask(envelope, user):
        await trio.sleep(10)
        expiries.append(envelope.job.expires)
        return await envelope.agent.ask(ASK, lifetime=lifetime)

    async def answer(envelope, mapping):
        expiries.append(envelope.job.expires)

    async with open_site(cluster_that(ask), accounts_that(answer)) as agents:
        await (await agents["portal"].submit(ADD, lifetime=600)).wait()
        asking, asked = expiries
        assert asked == (asking if lifetime != 5 else asking - 600 + 15)


async def test_an_expired_job_can_ask_nothing(autojump_clock):
    problems = []

    async def ask(envelope, user):
        with trio.CancelScope(shield=True):
            await trio.sleep(700)
            with pytest.raises(JobError, match="has expired") as caught:
                await envelope.agent.ask(ASK)
            problems.append(caught.value.kind)

    async with open_site(cluster_that(ask), accounts_that(None)) as agents:
        await (await agents["portal"].submit(ADD, lifetime=600)).wait()
        await trio.sleep(200)
    assert problems == ["expired"]


@pytest.mark.parametrize("how", ["deleted", "expired", "handler gives up"])
async def test_what_is_asked_is_deleted_when_the_asking_handler_is_cancelled(autojump_clock, how):
    started, cancelled = trio.Event(), trio.Event()

    async def ask(envelope, user):
        async with trio.open_nursery() as nursery:  # a task of the handler asks like the handler itself
            nursery.start_soon(envelope.agent.ask, ASK)
            if how == "handler gives up":
                await started.wait()
                nursery.cancel_scope.cancel()

    async def sleep(envelope, mapping):
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with open_site(cluster_that(ask), accounts_that(sleep)) as agents:
        job = await agents["portal"].submit(ADD, lifetime=60)
        await started.wait()
        if how == "deleted":
            await job.delete()
        with trio.fail_after(100):
            await cancelled.wait()
        await trio.testing.wait_all_tasks_blocked()
        board = agents["cluster"].exchange.boards[agents["cluster"].peer("accounts").peer]
        assert len(board) == 0 or (how == "expired" and all(job.is_finished for job in board))


async def test_a_task_that_outlives_the_handler_asks_on_its_own_account(autojump_clock):
    answers = []
    handlers = Handlers(strict=False)
    nurseries = []

    @handlers.lifespan
    async def lifespan(agent):
        async with trio.open_nursery() as nursery:
            nurseries.append(nursery)
            yield

    async def later(agent):
        await trio.sleep(700)
        answers.append(await agent.ask(ASK))

    @handlers.add(AddUser)
    async def add_user(envelope, user):
        nurseries[0].start_soon(later, envelope.agent)

    async def answer(envelope, mapping):
        return None

    async with open_site(handlers, accounts_that(answer)) as agents:
        await (await agents["portal"].submit(ADD, lifetime=600)).wait()
        await trio.sleep(800)
    assert answers == [None]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("cluster.nobody add_local_user fred.proj.portal:fred:proj", "no single peer 'nobody'"),
        ("other.accounts add_local_user fred.proj.portal:fred:proj", "does not begin with this agent"),
    ],
)
async def test_what_cannot_be_sent_is_a_job_error_of_this_agent(autojump_clock, command, problem):
    async with open_site(Handlers(), Handlers()) as agents:
        with pytest.raises(JobError, match=problem) as caught:
            await agents["cluster"].ask(command)
        assert (caught.value.kind, caught.value.origin) == ("unroutable", "cluster")
        with pytest.raises(ParseError):
            await agents["cluster"].ask("cluster.accounts make_coffee")


async def test_the_zone_of_the_asking_job_comes_first(autojump_clock):
    zones = []

    async def ask(envelope, user):
        await envelope.agent.ask(ASK)
        await envelope.agent.ask(ASK, zone="night")

    async def answer(envelope, mapping):
        zones.append(envelope.zone)

    async with open_site(cluster_that(ask), accounts_that(answer), zones=("night", "default")) as agents:
        job = await (await agents["portal"].submit(ADD)).wait()
        assert job.result() is None
        with pytest.raises(JobError, match="no single peer"):  # in two zones, and there is no asking job
            await agents["cluster"].ask(ASK)
    assert zones == ["default", "night"]


async def test_a_handler_reads_the_configuration_of_its_agent(autojump_clock):
    found = []

    async def look(envelope, user):
        found.append((envelope.config.name, envelope.config.option("quota", "none")))

    async with open_site(cluster_that(look), Handlers()) as agents:
        await (await agents["portal"].submit(ADD)).wait()
    assert found == [("cluster", "none")]


def test_an_envelope_without_an_agent_says_how_to_get_one():
    from templemeads import Job

    envelope = Envelope(job=Job.parse(ADD).pending(), sender="portal", recipient="cluster")
    with pytest.raises(StateError, match="has no agent"):
        envelope.config  # noqa: B018 - the access raises
