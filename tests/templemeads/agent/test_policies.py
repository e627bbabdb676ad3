"""What is declared where a handler is entered, and handlers that run in threads."""

import logging
import threading
import time
from contextlib import asynccontextmanager

import pytest
import trio

from templemeads import Envelope, Handlers, Job, JobError, Limits, Retry, UserMapping
from templemeads.agent.wall import WrongResultError
from templemeads.grammar import AddUser, GetUsers, RemoveUser
from templemeads.testing.networks import open_chain

ADD = "portal.cluster add_user fred.proj.portal"


def table(function, *instructions, **policies):
    handlers = Handlers()
    handlers.add(*instructions or [AddUser], **policies)(function)
    return handlers


def mapping(user):
    return UserMapping(user, "fred", "proj")


async def results(chain, count=1, **options):
    """Put jobs all at once; return their final results."""
    jobs = [await chain.first.submit(ADD.replace("fred", f"fred{n}"), **options) for n in range(count)]
    return [await job.wait() for job in jobs]


async def test_at_once_is_the_most_calls_of_a_function_at_a_time(autojump_clock):
    running = most = 0

    async def add_user(envelope, user):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return mapping(user)

    async with open_chain("portal", "cluster", handler=table(add_user, at_once=4)) as chain:
        began = trio.current_time()
        assert len(await results(chain, 12)) == 12
        assert most == 4
        assert trio.current_time() - began == pytest.approx(3, abs=0.5)


async def test_a_call_that_takes_longer_than_its_timeout_ends_the_job(autojump_clock):
    async def add_user(envelope, user):
        await trio.sleep(61)

    async with open_chain("portal", "cluster", handler=table(add_user, timeout=60)) as chain:
        (job,) = await results(chain, lifetime=600)
        assert job.error.message == "The handler was cancelled: it took longer than 60 s"


@pytest.mark.parametrize(("failures", "calls", "is_good"), [(0, 1, True), (2, 3, True), (3, 3, False)])
async def test_a_retry_shows_as_progress(autojump_clock, failures, calls, is_good):
    called, shown = [], []

    async def add_user(envelope, user):
        called.append(trio.current_time())
        if len(called) <= failures:
            raise ExceptionGroup("both", [ConnectionResetError("password is tea"), ConnectionError("x")])
        return mapping(user)

    retry = Retry(times=3, first=1, factor=2, on=(ConnectionError,))
    async with open_chain("portal", "cluster", handler=table(add_user, retry=retry)) as chain:
        job = await chain.first.submit(ADD)
        async for change in job.updates():
            job = change
            if job.progress is not None:
                shown.append(job.progress)
        assert (job.error is None) is is_good
        assert len(called) == calls
        if failures:
            assert called[1] - called[0] == pytest.approx(1)
            assert called[2] - called[1] == pytest.approx(2)
            assert "Call 1 of 3 failed (ExceptionGroup); next call in 1 s" in shown
            assert "tea" not in str(shown)


async def test_another_exception_is_not_retried_and_expiry_ends_all(autojump_clock):
    called = []

    async def wrong(envelope, user):
        called.append(user)
        raise ConnectionError if user.username == "fred0" else KeyError("x")

    retry = Retry(times=1000, first=10, factor=1)
    async with open_chain("portal", "cluster", handler=table(wrong, retry=retry)) as chain:
        jobs = await results(chain, 2, lifetime=60)
        assert [job.error.kind for job in jobs] == ["expired", "run"]
        calls = len(called)
        assert 6 <= calls - 1 <= 7
        await trio.sleep(100)
        assert len(called) == calls


async def test_around_is_entered_once_a_job_in_order():
    handlers, seen = Handlers(), []

    def named(name):
        @handlers.around
        @asynccontextmanager
        async def around(envelope):
            seen.append(f"{name} in")
            yield
            seen.append(f"{name} out")

    named("outer")
    named("inner")

    @handlers.add("add_user")
    async def add_user(envelope, user) -> UserMapping:
        seen.append("handler")
        return mapping(user)

    await handlers(Envelope(job=Job.parse(ADD).pending(), sender="portal", recipient="cluster"))
    assert seen == ["outer in", "inner in", "handler", "inner out", "outer out"]


@pytest.mark.parametrize("options", [{"at_once": 0}, {"timeout": 0}, {"timeout": -1}])
def test_policies_are_above_zero(options):
    with pytest.raises(ValueError, match="must be above 0"):
        Handlers().add(AddUser, **options)
    with pytest.raises(ValueError, match="must be a number above 0"):
        Retry(times=0)


# -- right or an error ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "added", True, []])
async def test_a_wrong_value_ends_the_job_with_an_error_and_is_logged(autojump_clock, caplog, value):
    async def add_user(envelope, user) -> UserMapping:
        return value

    async with open_chain("portal", "cluster", handler=table(add_user)) as chain:
        (job,) = await results(chain)
        assert "but add_user promises UserMapping" in job.error.message
        assert "returned a wrong result" in caplog.text
        caplog.clear()


async def test_a_table_that_is_not_strict_takes_any_value():
    handlers = Handlers(strict=False)

    @handlers.add(AddUser)
    async def add_user(envelope, user) -> str:
        return "added"

    job = await handlers(Envelope(job=Job.parse(ADD).pending(), sender="portal", recipient="cluster"))
    assert job.result() == job.result(str) == "added"
    with pytest.raises(JobError, match="is a String, not a UserMapping"):
        job.result(UserMapping)


async def test_one_who_asks_gets_no_wrong_value(autojump_clock, caplog):
    handlers = Handlers(strict=False)

    @handlers.add(AddUser)
    async def add_user(envelope, user):
        return "added"

    async with open_chain("portal", "cluster", handler=handlers) as chain:
        with pytest.raises(JobError, match="is a String, not a UserMapping") as caught:
            await chain.first.ask(ADD, expected=UserMapping)
        assert caught.value.origin == "portal"
        assert "is a String, not a UserMapping" in caplog.text
        assert await chain.first.ask(ADD) == await chain.first.ask(ADD, expected=str) == "added"


def test_lists_are_expected_by_their_type():
    job = Job.parse("portal.cluster get_users proj.portal").pending().completed([])
    assert job.result(list[UserMapping]) == []
    with pytest.raises(JobError, match=r"not a list\[str\]"):
        job.result(list[str])


def test_errors_at_registration_name_the_line():
    async def too_few(envelope):
        return None

    where = rf"too_few \(.*test_policies\.py:{too_few.__code__.co_firstlineno}\)"
    with pytest.raises(TypeError, match=where):
        Handlers().add(AddUser)(too_few)
    for wrong in (too_few, 3, object):
        with pytest.raises(TypeError, match=r"write @handlers\.add\(AddUser\) or"):
            Handlers().add(wrong)
    with pytest.raises(TypeError, match="Name the instructions"):
        Handlers().add()


# -- threads --------------------------------------------------------------------------------------------------------


async def test_a_plain_function_runs_in_a_thread_and_reports_progress():
    shown, threads = [], []

    def add_user(envelope, user) -> UserMapping:
        threads.append(threading.current_thread())
        envelope.progress("half")
        assert (envelope.sender, envelope.recipient, envelope.zone) == ("portal", "cluster", "default")
        assert envelope.config.service.name == "cluster"
        assert not envelope.is_cancelled
        return mapping(user)

    async with open_chain("portal", "cluster", handler=table(add_user)) as chain:
        job = await chain.first.submit(ADD)
        async for change in job.updates():
            job = change
            shown.append(job.progress)
        assert job.result(UserMapping).local_user == "fred"
        assert "half" in shown
        assert threads != [threading.main_thread()]


async def test_threads_have_a_limit_of_their_own():
    running, most, lock = 0, 0, threading.Lock()

    def add_user(envelope, user):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return mapping(user)

    async with open_chain(
        "portal", "cluster", handler=table(add_user), limits=Limits(handler_threads=2)
    ) as chain:
        await results(chain, 6)
        assert most == 2


async def test_a_thread_is_abandoned_when_its_job_is_deleted(caplog):
    began, go_on, ended = trio.Event(), threading.Event(), []
    token = trio.lowlevel.current_trio_token()

    def add_user(envelope, user):
        trio.from_thread.run_sync(began.set, trio_token=token)
        go_on.wait(10)
        assert envelope.is_cancelled
        for call in (envelope.progress, lambda: envelope.ask(ADD)):
            with pytest.raises(JobError, match="was deleted or has expired"):
                call()
        ended.append(True)
        trio.from_thread.run_sync(done.set, trio_token=token)

    done = trio.Event()
    async with open_chain("portal", "cluster", handler=table(add_user)) as chain:
        job = await chain.first.submit(ADD)
        await began.wait()
        caplog.set_level(logging.WARNING)
        await job.delete()
        with trio.fail_after(5):
            while chain["cluster"].statistics().running:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert "its thread cannot be, and goes on until it returns" in caplog.text
        go_on.set()
        with trio.fail_after(5):
            await done.wait()
        assert ended == [True]


async def test_a_wrong_value_is_its_own_error():
    handlers = table(lambda envelope, user: 1, AddUser, RemoveUser)
    with pytest.raises((WrongResultError, TypeError)):
        await handlers(Envelope(job=Job.parse(ADD).pending(), sender="portal", recipient="cluster"))
    assert set(handlers) == {AddUser, RemoveUser}
    assert GetUsers not in handlers
