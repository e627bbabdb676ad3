"""Runs an agent as a process does: until it is told to stop."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator

import trio

from ..agent.agent import Agent, open_agent, refuse_every_job
from ..agent.handlers import Handler
from ..config import AgentConfig
from ..operations.notifications import NotificationHandler
from ..operations.process import patient_collector
from ..stores.store import OpenStore

_log = logging.getLogger("templemeads.run")


async def run_agent(
    config: AgentConfig,
    handler: Handler = refuse_every_job,
    *,
    store: OpenStore | None = None,
    on_notification: NotificationHandler | None = None,
    task_status: trio.TaskStatus[Agent] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run an agent until it is cancelled, or the process gets SIGINT or SIGTERM, or is to restart.

    The first signal stops the agent in order (`open_agent`); a second one hurries: handlers that still run are cancelled
    and nothing more is sent; so does a hard restart (`Operations.exit_asked`). In any case this returns, and jobs that
    are not finished stay in the store. A third signal ends the process as if nobody had listened, which is the way out
    where a handler shields itself for ever; the store is as after a crash, and that it is made for.

    Since the process is the agent's own, Python is asked to look for cycles less often (`process.patient_collector`).

    Args:
        config: What the agent is.
        handler: Called for each job that arrives.
        store: Opens the store of its boards; by default the one that the configuration names.
        on_notification: Called for each notification that ends here; by default it is logged.
        task_status: Told of the agent as soon as it is up.

    Raises:
        ConfigError, StoreError, paddington.PaddingtonError: As for `open_agent`.

    """
    with (
        patient_collector(),
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        trio.CancelScope() as everything,
    ):
        async with trio.open_nursery() as nursery:
            asked_to_stop: trio.Event = await nursery.start(_listen, signals, everything)
            try:
                async with open_agent(config, handler, store=store, on_notification=on_notification) as agent:
                    nursery.start_soon(_leave, agent, everything)
                    task_status.started(agent)
                    await asked_to_stop.wait()
            finally:
                nursery.cancel_scope.cancel(reason="the agent has stopped")


async def _leave(agent: Agent, everything: trio.CancelScope) -> None:
    await agent.operations.exit_asked.wait()
    everything.cancel(reason="a restart ends the process")


async def _listen(
    signals: AsyncIterator[int],
    everything: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[trio.Event],
) -> None:
    asked = trio.Event()
    task_status.started(asked)
    async for number in signals:
        name = signal.Signals(number).name
        if asked.is_set():
            _log.warning("%s again: the agent stops at once", name)
            for stop in (signal.SIGINT, signal.SIGTERM):
                signal.signal(stop, signal.SIG_DFL)
            everything.cancel(reason=f"{name} again")
        else:
            _log.info("%s: the agent stops", name)
            asked.set()
