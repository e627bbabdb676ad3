"""A handler that blocks the event loop is named in the log, and counted."""

import time

import trio

from templemeads import Handlers, Limits, UserMapping
from templemeads.agent.watchdog import LoopWatchdog
from templemeads.grammar import AddUser
from templemeads.testing.networks import open_chain


async def test_a_handler_that_blocks_the_loop_is_named_and_counted(caplog):
    handlers = Handlers()

    @handlers.add(AddUser)
    async def add_user(envelope, user):
        time.sleep(0.5)  # noqa: ASYNC251 - that is what is to be noticed
        return UserMapping(user, "fred", "proj")

    limits = Limits(stall_seconds=0.1)
    async with open_chain("portal", "cluster", handler=handlers, limits=limits) as chain:
        with chain["cluster"].watchdog.watching():
            job = await chain.first.submit("portal.cluster add_user fred.proj.portal")
            await job.wait()
            await trio.sleep(0.2)
        assert chain["cluster"].statistics().stalls == 1
    line = next(record.getMessage() for record in caplog.records if "has been blocked" in record.getMessage())
    assert f"the handler of 'add_user fred.proj.portal', job {job.id}" in line
    assert "test_watchdog.py" in line
    assert "add_user" in line.rsplit(" > ", 1)[-1]
    assert "\n" not in line
    assert "the event loop goes on after 0." in caplog.text


async def test_a_loop_that_goes_on_is_not_reported(caplog):
    watchdog = LoopWatchdog(0.2)
    with watchdog.watching():
        await trio.sleep(0.5)
    assert watchdog.stalls == 0
    assert "blocked" not in caplog.text


async def test_what_is_not_a_handler_is_said_to_be_none(caplog):
    watchdog = LoopWatchdog(0.1)
    with watchdog.watching():
        time.sleep(0.4)  # noqa: ASYNC251 - that is what is to be noticed
        await trio.sleep(0.1)
    assert watchdog.stalls == 1
    assert "by something that is not a handler" in caplog.text
