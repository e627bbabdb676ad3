"""Runs an agent as a process of a machine: signals, control socket, health endpoint, systemd and monitor around it."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from paddington import ConfigError, PaddingtonError

from ..agent.agent import Agent, configured_store, open_agent, refuse_every_job
from ..agent.handlers import Handler
from ..config import AgentConfig
from ..errors import TemplemeadsError
from ..logcontext import RecentLogs
from ..operations.notifications import NotificationHandler
from ..operations.process import patient_collector
from ..stores.store import OpenStore
from .systemd import feed_watchdog, notify, watchdog_seconds
from .waiting import Waiting

if TYPE_CHECKING:
    from .counts import PutCounts
    from .metrics import AgentMetrics
    from .reload import Reloader

_log = logging.getLogger("templemeads.run")

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


async def run_agent(
    config: AgentConfig,
    handler: Handler = refuse_every_job,
    *,
    store: OpenStore | None = None,
    on_notification: NotificationHandler | None = None,
    on_hangup: Callable[[], None] | None = None,
    task_status: trio.TaskStatus[Agent] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run an agent until it is cancelled, or the process gets SIGINT or SIGTERM, or is to restart.

    The first signal stops the agent in order (`open_agent`). A second one hurries: running handlers are cancelled and
    nothing more is sent; a hard restart (`Operations.exit_asked`) does the same. In any case this returns, and unfinished
    jobs stay in the store. A third signal ends the process as if nobody had listened: the way out when a handler shields
    itself for ever. The store is then as after a crash, and it is made for that.

    Since the process belongs to the agent, Python looks for cycles less often (`process.patient_collector`).

    Args:
        config: What the agent is.
        handler: Called for each job that arrives.
        store: Opens the store of its boards; by default the one that the configuration names.
        on_notification: Called for each notification that ends here; by default it is logged.
        on_hangup: Called for each SIGHUP; by default it stops the agent as SIGTERM does.
        task_status: Reports the agent as soon as it is up.

    Raises:
        ConfigError, StoreError, paddington.PaddingtonError: As for `open_agent`.
    """
    with (
        patient_collector(),
        trio.open_signal_receiver(*STOPPING, signal.SIGHUP) as signals,
        trio.CancelScope() as everything,
    ):
        async with trio.open_nursery() as nursery:
            asked_to_stop: trio.Event = await nursery.start(_listen, signals, everything, on_hangup)
            opening = _Opening(everything)
            nursery.start_soon(opening.give_up, asked_to_stop)
            try:
                async with open_agent(config, handler, store=store, on_notification=on_notification) as agent:
                    opening.is_over = True
                    nursery.start_soon(_leave, agent, everything)
                    task_status.started(agent)
                    with agent.watchdog.watching():
                        await asked_to_stop.wait()
            finally:
                nursery.cancel_scope.cancel(reason="the agent has stopped")


@attrs.define
class _Opening:
    """The time before an agent is up, which can be long: one of a pair waits for its turn."""

    everything: trio.CancelScope
    is_over: bool = False

    async def give_up(self, asked_to_stop: trio.Event) -> None:
        """End everything if the process is to stop before the agent is up."""
        await asked_to_stop.wait()
        if not self.is_over:
            self.everything.cancel(reason="the process is to stop before the agent is up")


async def _leave(agent: Agent, everything: trio.CancelScope) -> None:
    await agent.operations.exit_asked.wait()
    everything.cancel(reason="a restart ends the process")


async def _listen(
    signals: AsyncIterator[int],
    everything: trio.CancelScope,
    on_hangup: Callable[[], None] | None,
    *,
    task_status: trio.TaskStatus[trio.Event],
) -> None:
    asked = trio.Event()
    task_status.started(asked)
    async for number in signals:
        name = signal.Signals(number).name
        if number == signal.SIGHUP and on_hangup is not None:
            _log.info("%s: reading the configuration again", name)
            on_hangup()
        elif asked.is_set():
            _log.warning("%s again: stopping at once", name)
            for stop in STOPPING:
                signal.signal(stop, signal.SIG_DFL)
            everything.cancel(reason=f"{name} again")
        else:
            _log.info("%s: stopping", name)
            asked.set()


@attrs.frozen(kw_only=True)
class Daemon:
    """What surrounds the agent of a process.

    Attributes:
        socket: Path of the control socket.
        config_path: The configuration file, to be read again at SIGHUP or when asked; None if there is none.
        load: Reads it.
        recent_logs: The latest log records, for diagnostics.
        on_notification: Called for each notification that ends here; by default it is logged.
    """

    socket: Path
    config_path: Path | None = None
    load: Callable[[], AgentConfig] | None = None
    recent_logs: RecentLogs | None = None
    on_notification: NotificationHandler | None = None

    async def run(self, config: AgentConfig, handler: Handler) -> int:
        """Run an agent with everything around it until it stops; return the exit status of the process.

        Raises:
            ConfigError: The control socket or the health endpoint cannot be served.
            StoreError, paddington.PaddingtonError: As for `open_agent`.
        """
        async with trio.open_nursery() as nursery:
            waiting = Waiting(config) if config.pair else None
            store = configured_store(config, None if waiting is None else waiting.take)
            is_up = trio.Event()
            hangups, reload_asked = trio.open_memory_channel[None](1)

            def on_hangup() -> None:
                with suppress(trio.WouldBlock):
                    hangups.send_nowait(None)

            async def run_it(task_status: trio.TaskStatus[Agent | None]) -> None:
                await run_agent(
                    config,
                    handler,
                    store=store,
                    on_notification=self.on_notification,
                    on_hangup=on_hangup,
                    task_status=task_status,
                )
                notify("STOPPING=1")
                if not is_up.is_set():
                    task_status.started(None)  # it was to stop while it waited
                nursery.cancel_scope.cancel(reason="the agent has stopped")

            if (seconds := watchdog_seconds()) is not None:
                nursery.start_soon(feed_watchdog, seconds)
            if waiting is not None:
                nursery.start_soon(waiting.serve, self.socket)
            agent: Agent | None = await nursery.start(run_it)
            is_up.set()
            if waiting is not None:
                await waiting.stop()
            if agent is not None:
                agent.operations.recent_logs = self.recent_logs
                reloader = await self._surround(agent, nursery)
                nursery.start_soon(_reload_when_asked, reload_asked, reloader)
                notify(f"READY=1\nSTATUS={agent.agent_type} agent {agent.name} is up")
        return 0 if agent is None else agent.operations.exit_status

    async def _surround(self, agent: Agent, nursery: trio.Nursery) -> Reloader | None:
        # Imported here, since a program that only wants `run_agent` needs none of it
        from .control import serve_control
        from .control_socket import ControlLimits
        from .counts import PutCounts
        from .endpoint import DEFAULT_IP, serve_endpoint
        from .http import HttpLimits
        from .monitor import monitor
        from .reload import Reloader

        counts = PutCounts(agent)
        reloader = None
        if self.config_path is not None and self.load is not None:
            reloader = Reloader(agent, self.config_path, self.load)
        limits = agent.limits
        control_limits = ControlLimits(callers=limits.control_callers, answer_seconds=limits.control_seconds)
        await nursery.start(
            partial(
                serve_control, agent, self.socket, counts=counts, reloader=reloader, limits=control_limits
            )
        )
        port = agent.config.service.healthcheck_port
        if port is not None:
            http_limits = HttpLimits(
                connections=limits.http_connections,
                request_seconds=limits.http_seconds,
                answer_seconds=limits.http_seconds,
            )
            ip = agent.config.healthcheck_ip or DEFAULT_IP
            metrics = _metrics(agent, counts)
            url = await nursery.start(partial(serve_endpoint, agent, ip, port, metrics, limits=http_limits))
            _log.info("serving health checks at %s/health", url)
        nursery.start_soon(monitor)
        return reloader


async def _reload_when_asked(asked: trio.MemoryReceiveChannel[None], reloader: Reloader | None) -> None:
    async for _ in asked:
        if reloader is None:
            _log.warning("SIGHUP is ignored: there is no configuration file to read again")
            continue
        notify("RELOADING=1")
        try:
            await reloader.reload()
        except (PaddingtonError, TemplemeadsError) as error:
            _log.error("the configuration stays as it was: %s", error)
        notify("READY=1")


def _metrics(agent: Agent, counts: PutCounts) -> AgentMetrics | None:
    from .metrics import AgentMetrics

    try:
        return AgentMetrics(agent, counts)
    except ConfigError as error:
        _log.warning("/metrics shows nothing: %s", error)
        return None
