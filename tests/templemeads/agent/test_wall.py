"""Nothing that a handler raises, returns or leaves behind ends its agent or harms another job."""

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress

import attrs
import pytest
import trio

from templemeads import Envelope, Job, JobError, ParseError, Status, UnknownInstruction
from templemeads.errors import StoreError
from templemeads.grammar.results import RawResult
from templemeads.stores.sqlite import open_sqlite_store
from templemeads.testing.networks import open_chain

FRED = "portal.cluster add_user fred.proj.portal"
BOB = "portal.cluster add_user bob.proj.portal"
ODD = os.fsdecode(b"caf\xe9.txt")


class Own(BaseException):
    pass


class WithoutTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class InterruptingTextError(Exception):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


class HalfAJobError(JobError):
    def __init__(self):  # does not call the base class, so there is no kind
        pass


def raising(error):
    async def act(envelope):
        raise error() if isinstance(error, type) else error

    return act


async def exit_in_a_nursery(envelope):
    async def child():
        sys.exit(3)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)


async def deep_group(envelope):
    error = ValueError("x")
    for _ in range(3000):
        error = ExceptionGroup("g", [error])
    raise error


async def recursion(envelope):
    await recursion(envelope)


async def stale_cancellation(envelope):
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.sleep(1)
        except trio.Cancelled as error:
            saved = error
    raise saved


async def stale_cancellation_in_a_group(envelope):
    try:
        await stale_cancellation(envelope)
    except trio.Cancelled as error:
        raise BaseExceptionGroup("several", [error, ValueError()]) from None


UNEXPECTED = {
    "KeyError": raising(KeyError("a secret")),
    "SystemExit": raising(SystemExit(3)),
    "KeyboardInterrupt": raising(KeyboardInterrupt),
    "GeneratorExit": raising(GeneratorExit),
    "StopAsyncIteration": raising(StopAsyncIteration),
    "Own": raising(Own("a secret")),
    "CancelledError": raising(asyncio.CancelledError),
    "WithoutTextError": raising(WithoutTextError),
    "InterruptingTextError": raising(InterruptingTextError),
    "MemoryError": raising(MemoryError),
    "StoreError": raising(StoreError("a secret")),
    "SystemExit in a nursery": exit_in_a_nursery,
    "SystemExit, ValueError": raising(BaseExceptionGroup("g", [SystemExit(1), ValueError("a secret")])),
    "KeyError, JobError": raising(ExceptionGroup("g", [KeyError("a secret"), JobError("no")])),
    "ValueError, in 3000 groups": deep_group,
    "RecursionError": recursion,
    "Cancelled": stale_cancellation,
    "Cancelled, ValueError": stale_cancellation_in_a_group,
}


async def run_both(handler, **more):
    """Run the handler for fred, then for bob, and return both finished jobs."""

    async def choose(envelope):
        return await handler(envelope) if "fred" in envelope.job.command else "fine"

    async with open_chain("portal", "cluster", handler=choose, **more) as chain:
        with trio.fail_after(60):
            fred = await (await chain.first.submit(FRED)).wait()
            bob = await (await chain.first.submit(BOB)).wait()
        connections = chain.first.peers[chain.first.peer("cluster").peer].connections
    assert (bob.status, bob.result_text) == (Status.COMPLETE, '"fine"')
    assert connections == 1
    return fred


@pytest.mark.parametrize("name", UNEXPECTED)
async def test_an_unexpected_exception_fails_its_job_alone_and_its_text_stays_here(autojump_clock, name):
    fred = await run_both(UNEXPECTED[name])
    class_names = name.split(" in ")[0].removesuffix(", in 3000 groups").removesuffix(",")
    assert fred.error_info.message == (
        f"The handler failed ({class_names}); see the log of cluster, job {fred.id}"
    )
    assert (fred.error_info.kind, fred.error_info.origin) == ("run", "cluster")


async def test_the_log_has_the_traceback_that_the_peer_is_not_sent(autojump_clock, caplog):
    with caplog.at_level(logging.ERROR):
        await run_both(raising(KeyError("the password is tea")))
    assert "the password is tea" in caplog.text
    assert "the handler of 'add_user fred.proj.portal' failed" in caplog.text


@pytest.mark.parametrize(
    ("error", "message", "kind", "origin"),
    [
        (JobError("no such group", kind="invalid", origin="ldap"), "no such group", "invalid", "ldap"),
        (JobError(""), "JobError", "run", "cluster"),
        (HalfAJobError(), "HalfAJobError", "run", "cluster"),
        (ParseError("half a name"), "half a name", "run", "cluster"),
        (ExceptionGroup("g", [JobError("a", kind="invalid"), JobError("b")]), "a; b", "invalid", "cluster"),
        (
            UnknownInstruction("make_coffee"),
            "Unknown instruction: make_coffee",
            "unsupported",
            "cluster",
        ),
    ],
)
async def test_errors_that_are_meant_for_the_sender_are_sent(autojump_clock, error, message, kind, origin):
    info = (await run_both(raising(error))).error_info
    assert (info.message, info.kind, info.origin) == (message, kind, origin)


@pytest.fixture(params=["memory", "sqlite"])
def stores(request, tmp_path):
    if request.param == "memory":
        return None

    def store(name):
        return lambda agent: open_sqlite_store(agent, path=tmp_path / f"{name}.db")

    return {name: store(name) for name in ("portal", "cluster")}


async def progress_with(envelope):
    await envelope.progress(f"looking at {ODD}")
    return ODD


async def errored_with(envelope):
    return envelope.job.errored(ODD, kind=ODD, origin=ODD)


async def completed_with(envelope):
    return envelope.job.completed([ODD, "plain"])


async def evolved_with(envelope):
    return attrs.evolve(envelope.job.completed("x"), result_text=f'"{ODD}"')


@pytest.mark.parametrize(
    "act",
    [progress_with, errored_with, completed_with, evolved_with, raising(JobError(ODD, kind=ODD, origin=ODD))],
)
async def test_text_without_a_utf8_form_is_made_harmless(stores, act):
    fred = await run_both(act, stores=stores)
    assert "caf\\udce9.txt" in fred.result_text.replace("\\\\", "\\")
    fred.canonical().encode()


async def other_job(envelope):
    return Job.parse(BOB).pending().completed("fine")


async def same_id_other_command(envelope):
    return attrs.evolve(Job.parse(BOB).pending().completed("fine"), id=envelope.job.id)


def returning(make):
    async def act(envelope):
        return make(envelope.job)

    return act


CYCLE = []
CYCLE.append(CYCLE)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


WRONG_RESULTS = {
    "another job": returning(lambda job: Job.parse(BOB).pending().completed("fine")),
    "another job under this id": same_id_other_command,
    "a job that is not finished": returning(lambda job: job.running("still")),
    "text that is none": returning(lambda job: attrs.evolve(job.completed("x"), result_text=7)),
    "a type that is none": returning(lambda job: attrs.evolve(job.completed("x"), result_type=b"x")),
    "an error that is none": returning(lambda job: attrs.evolve(job.errored("x"), error="x")),
    "a status that is none": returning(lambda job: attrs.evolve(job.completed("x"), status="Complete")),
    "NaN": returning(lambda job: float("nan")),
    "bytes": returning(lambda job: b"x"),
    "a set": returning(lambda job: {"x"}),
    "itself in itself": returning(lambda job: CYCLE),
    "too deep": returning(lambda job: nested(10_000)),
    "a number of 5000 digits": returning(lambda job: 10**5000),
    "a module": returning(lambda job: sys),
    "not awaitable": lambda envelope: None,
}


@pytest.mark.parametrize("name", WRONG_RESULTS)
async def test_a_result_that_is_none_fails_the_job(autojump_clock, caplog, name):
    fred = await run_both(WRONG_RESULTS[name])
    assert fred.status is Status.ERROR
    assert fred.error_info.message.startswith(("The handler failed (", "The handler returned"))
    assert "handler of 'add_user fred.proj.portal'" in caplog.text


async def test_a_result_that_is_too_large_to_send_fails_the_job(autojump_clock):
    fred = await run_both(returning(lambda job: "x" * 20_000_000))
    assert (fred.status, "too large" in fred.result_text) == (Status.ERROR, True)


async def test_a_progress_message_that_is_no_string_is_the_handlers_own_error(autojump_clock):
    async def act(envelope):
        await envelope.progress(42)

    assert "(TypeError)" in (await run_both(act)).result_text


async def test_a_long_progress_message_is_cut(autojump_clock):
    async def act(envelope):
        await envelope.progress("x" * 10_000_000)
        await trio.sleep(1)

    async with open_chain("portal", "cluster", handler=act) as chain:
        job = await chain.first.submit(FRED)
        shown = [now.progress async for now in job.updates()]
    longest = max(len(progress) for progress in shown if progress)
    assert 65_000 < longest < 70_000


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("left", ["scope", "expired scope", "nursery", "nursery with a task"])
@pytest.mark.parametrize("how", ["return", "raise"])
async def test_what_an_async_generator_leaves_open_harms_nobody(autojump_clock, left, how):
    kept = []
    ended = []

    async def leaves_scope():
        with trio.move_on_after(1):
            yield

    async def task():
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    async def leaves_nursery():
        async with trio.open_nursery() as nursery:
            if left != "nursery":
                nursery.start_soon(task)
            yield

    async def act(envelope):
        generator = leaves_scope() if "scope" in left else leaves_nursery()
        kept.append(generator)
        await anext(generator)
        if left == "expired scope":
            await trio.sleep(10)
        if how == "raise":
            raise JobError("no")
        await trio.lowlevel.checkpoint()
        return "done"

    fred = await run_both(act)
    if left == "expired scope":
        assert "(Cancelled)" in fred.result_text
    else:
        assert fred.result_text == ("no" if how == "raise" else '"done"')
    assert len(ended) == (left == "nursery with a task")
    with suppress(BaseException):  # what trio makes of closing it late is not the point here
        await kept[0].aclose()


async def test_a_job_that_was_cancelled_and_fails_in_its_cleanup_has_given_no_answer(autojump_clock, caplog):
    started = trio.Event()

    async def child():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the clean-up")

    async def act(envelope):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            started.set()

    async def choose(envelope: Envelope):
        return await act(envelope) if "fred" in envelope.job.command else "fine"

    async with open_chain("portal", "cluster", handler=choose) as chain:
        job = await chain.first.submit(FRED)
        await started.wait()
        await job.delete()
        assert (await (await chain.first.submit(BOB)).wait()).result() == "fine"
    assert "failed while it was being cancelled" in caplog.text


async def test_a_real_interrupt_still_stops_the_agent():
    async def act(envelope):
        signal.raise_signal(signal.SIGINT)
        for _ in range(1000):  # until the signal's handler runs
            pass

    with pytest.raises(KeyboardInterrupt):
        async with open_chain("portal", "cluster", handler=act) as chain:
            await chain.first.submit(FRED)
            await trio.sleep(5)


async def test_raw_results_of_newer_types_pass(autojump_clock):
    fred = await run_both(returning(lambda job: RawResult("Newer", '{"a": 1}')))
    assert (fred.result_type, fred.result_text) == ("Newer", '{"a": 1}')


@pytest.mark.parametrize("name", UNEXPECTED)
async def test_the_handler_of_a_notification_cannot_end_its_agent_either(autojump_clock, caplog, name):
    received = []

    async def on_notification(envelope):
        received.append(envelope)
        await UNEXPECTED[name](envelope)

    async with open_chain("portal", "cluster", on_notification=on_notification) as chain:
        for _ in range(2):
            chain.first.operations.notify("portal.cluster project_blocked proj.portal")
            await trio.testing.wait_all_tasks_blocked()
    assert len(received) == 2
    assert "the handler of a notification from portal failed" in caplog.text
