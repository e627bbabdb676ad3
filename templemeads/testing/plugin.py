"""Fixtures for pytest: networks of agents in one process, on a clock that jumps.

Installed with templemeads. A test that asks for `agent_pair` or `agent_chain` is run by trio under a mock
clock, whether it is marked so or not: an hour of waiting takes no time, and nothing depends on how busy the
machine is.
"""

from __future__ import annotations

import importlib.util
import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from ..agent.handlers import Handler
    from .networks import Chain

_FIXTURES = frozenset({"agent_pair", "agent_chain"})


@pytest.fixture
def agent_pair() -> Callable[[Handler], AbstractAsyncContextManager[Chain]]:
    """Run a portal and a cluster that are connected with each other; the cluster runs the handler.

    >>> async def test_accounts_are_made(agent_pair):
    ...     async with agent_pair(handler) as chain:
    ...         job = await chain.first.submit("portal.cluster add_user fred.proj.portal")
    ...         assert (await job.wait()).result() == UserMapping.parse("fred.proj.portal:fred:proj")
    """
    from .networks import open_chain

    return lambda handler, **options: open_chain("portal", "cluster", handler=handler, **options)


@pytest.fixture
def agent_chain() -> Callable[..., AbstractAsyncContextManager[Chain]]:
    """Run agents in a row, each connected with the next: `templemeads.testing.networks.open_chain`.

    >>> async def test_a_job_crosses_three_agents(agent_chain):
    ...     async with agent_chain("portal", "clusters", "shared", handler=handler) as chain:
    ...         job = await chain.first.submit(f"{chain.path} add_user fred.proj.portal")
    """
    from .networks import open_chain

    return open_chain


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Return the tests that use these fixtures a mock clock.

    Raises:
        UsageError: There are some, but no pytest-trio to run them.
    """
    for item in items:
        if not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) and inspect.iscoroutinefunction(
            getattr(item, "obj", None)
        ):
            if importlib.util.find_spec("pytest_trio") is None:
                raise pytest.UsageError(f"{item.nodeid} needs pytest-trio: pip install templemeads[testing]")
            item.add_marker(pytest.mark.trio(run=_run), append=False)


def _run(main: Callable[[], Awaitable[Any]], *, clock: Any = None, instruments: Any = ()) -> Any:
    import trio
    from trio.testing import MockClock

    return trio.run(main, clock=clock or MockClock(autojump_threshold=0), instruments=instruments)
