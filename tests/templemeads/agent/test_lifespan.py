"""Start-up and shut-down of what handlers use."""

from contextlib import asynccontextmanager

import pytest
import trio

from templemeads import Handlers, RefusedError
from templemeads.grammar import AddUser
from templemeads.testing.networks import open_chain

ADD = "portal.cluster add_user fred.proj.portal"


def table(events, *, function=None, seconds=1):
    handlers = Handlers(strict=False)
    if function is not None:
        handlers.lifespan(function)

    @handlers.add(AddUser)
    async def add_user(envelope, user):
        events.append("handler")
        try:
            await trio.sleep(seconds)
        finally:
            events.append("handler ended")

    return handlers


async def test_it_begins_before_the_first_handler_and_ends_after_the_last(autojump_clock):
    events = []

    async def lifespan(agent):
        events.append(f"open {agent.name}")
        await trio.sleep(5)
        events.append("opened")
        yield
        events.append("closed")

    async with open_chain("portal", "cluster", handler=table(events, function=lifespan)) as chain:
        await chain.first.submit(ADD)
        await trio.sleep(0.5)
    assert events == ["open cluster", "opened", "handler", "handler ended", "closed"]


async def test_a_context_manager_serves_as_well_and_several_nest(autojump_clock):
    events = []

    def named(name):
        @asynccontextmanager
        async def lifespan(agent):
            events.append(f"open {name}")
            yield
            events.append(f"close {name}")

        return lifespan

    handlers = table(events)
    handlers.lifespan(named("outer"))
    handlers.lifespan(named("inner"))
    async with open_chain("portal", "cluster", handler=handlers):
        pass
    assert events == ["open outer", "open inner", "close inner", "close outer"]


async def test_jobs_that_come_before_it_has_begun_wait_for_it(autojump_clock):
    events = []

    async def lifespan(agent):
        portal = await agent.wait_for("portal")
        await trio.sleep(30)
        assert portal.name == "portal"
        events.append("opened")
        yield

    async with open_chain("portal", "cluster", handler=table(events, function=lifespan)) as chain:
        job = await chain.first.submit(ADD)
        await job.wait()
    assert events[:2] == ["opened", "handler"]


async def test_handlers_that_are_cancelled_have_ended_before_it_ends(autojump_clock):
    events = []

    async def lifespan(agent):
        yield
        events.append("closed")

    async with open_chain(
        "portal", "cluster", handler=table(events, function=lifespan, seconds=3600)
    ) as chain:
        await chain.first.submit(ADD)
        await trio.sleep(0.5)
    assert events == ["handler", "handler ended", "closed"]


async def test_what_it_raises_ends_the_agent_and_is_seen(autojump_clock):
    async def lifespan(agent):
        raise OSError("the directory does not answer")
        yield

    with pytest.raises(OSError, match="the directory does not answer"):
        async with open_chain("portal", "cluster", handler=table([], function=lifespan)):
            pass


async def test_what_is_no_lifespan_is_refused_with_what_to_write(autojump_clock):
    with pytest.raises(TypeError, match="must be an async generator function that yields once"):
        async with open_chain("portal", "cluster", handler=table([], function=lambda agent: None)):
            pass


async def test_a_stopping_agent_takes_no_questions_from_it(autojump_clock):
    problems = []

    async def lifespan(agent):
        yield
        with pytest.raises(RefusedError) as caught:
            await agent.submit("cluster.portal get_offerings")
        problems.append(str(caught.value))

    async with open_chain("portal", "cluster", handler=table([], function=lifespan)):
        pass
    assert "stopping" in problems[0]
