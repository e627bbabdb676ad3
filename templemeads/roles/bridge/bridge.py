"""The bridge as an agent: the handler of the jobs for the web portal, and the HTTP server while it runs.

    web portal -> api | v1 -> calls -> portal agent -> … -> calls.answer_of -> web portal

Source: the protocol pages *roles*, section 4, and *bridge*, sections 5 and 6.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, NoReturn

import trio
from starlette.applications import Starlette

from paddington import Peer
from paddington.waiters import Waiters

from ...agent.agent import Agent
from ...agent.envelope import Envelope
from ...agent.handlers import Handlers
from ...agent_type import AgentType
from ...config import AgentConfig
from ...daemon.asgi import Tls, serve_asgi
from ...daemon.run import run_agent
from ...errors import JobError, UnknownInstruction
from ...grammar import (
    CreateProject,
    Destinations,
    GetAward,
    GetAwards,
    GetProject,
    GetProjectMapping,
    GetProjects,
    GetStorageReport,
    GetStorageReports,
    GetUsageReport,
    GetUsageReports,
    GetUsers,
    Instruction,
    RemoveProject,
    SyncOfferings,
    UpdateProject,
)
from ...grammar.notifications import Forward
from ...jobs.job import Job
from ...operations.notifications import NotificationEnvelope
from ..virtual import accepted
from .api import make_app
from .authentication import Authenticator
from .calls import Calls
from .dashboard import make_page_routes
from .door import Door
from .feed import BridgeFeed
from .notices import Notices
from .openapi import make_document
from .settings import BridgeSettings, allows_invalid_certificates
from .signals import (
    JOB_TIMEOUT_SECONDS,
    JOB_TRIES,
    NOTIFICATION_TIMEOUT_SECONDS,
    NOTIFICATION_TRIES,
    Get,
    HttpGet,
    signal,
    signal_url,
)
from .v1 import OPERATIONS, make_routes
from .web_board import WebBoard

_log = logging.getLogger("templemeads.bridge")

FOR_THE_WEB_PORTAL: Final[tuple[type[Instruction], ...]] = (
    CreateProject,
    RemoveProject,
    UpdateProject,
    GetProject,
    GetProjects,
    GetAward,
    GetAwards,
    GetProjectMapping,
    GetUsers,
    GetUsageReport,
    GetUsageReports,
    GetStorageReport,
    GetStorageReports,
)
"""What the web portal can be asked (protocol page *bridge*, section 5)."""


class Bridge:
    """A bridge: a handler for `open_agent` whose lifespan is that of its HTTP server.

    Args:
        settings: The table ``[bridge]``.
        get: Calls the web portal.
        unix_time: Seconds since 1970 UTC, by which the dates of requests are judged.

    Attributes:
        hosts_virtual_agents: Tells the agent that it answers to the names of what is offered.
        handlers: Further handlers of the bridge agent; a user's own can be added.
        url: Where the HTTP server listens, once it does.

    """

    hosts_virtual_agents = True

    def __init__(
        self, settings: BridgeSettings, *, get: Get | None = None, unix_time: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.handlers = Handlers()
        self.url = ""
        self._offered: dict[Peer, list[Peer]] = {}
        self._get: Get = HttpGet(verify=not allows_invalid_certificates()) if get is None else get
        self._unix_time = unix_time
        self._notices = Notices(settings.max_notifications)
        self._noticed = Waiters()
        self._calls: Calls
        self._feed: BridgeFeed

    # -- jobs ------------------------------------------------------------------------------------------------------

    async def __call__(self, envelope: Envelope) -> Job:
        """Ask the web portal, and return its answer; the web portal is signalled meanwhile.

        Raises:
            UnknownInstruction: The instruction is none for a web portal, and there is no handler for it.
            JobError: The sender may not ask this: portals ask under the name of a resource that they offer.

        """
        instruction = envelope.job.instruction
        if type(instruction) in self.handlers:
            return await self.handlers(envelope)
        sender = None if envelope.peer is None else envelope.peer.agent_type
        if envelope.recipient == envelope.agent.name:
            return self._from_portal(envelope, is_portal=sender is AgentType.PORTAL)
        if sender is not AgentType.PORTAL:
            raise JobError(
                f"Invalid instruction: {instruction}. Only portals can send instructions for a resource",
                kind="invalid",
            )
        if not isinstance(instruction, FOR_THE_WEB_PORTAL):
            raise UnknownInstruction(instruction)
        answered: Job | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._signal_job, envelope.job)
            self._feed.add("inbox-job", envelope.job.to_json())
            answered = await self._calls.answer_of(envelope.job, envelope.progress)
            nursery.cancel_scope.cancel(reason="the web portal has answered")
        assert answered is not None
        return envelope.job.ended_as(answered, origin=envelope.recipient, now=self._calls.agent.now())

    def _from_portal(self, envelope: Envelope, *, is_portal: bool) -> Job:
        """Run a job that is addressed to the bridge itself: a portal says what it offers."""
        match envelope.job.instruction:
            case unknown if not is_portal:
                raise JobError(
                    f"Invalid instruction: {unknown}. "
                    f"Only virtual agents can submit instructions to a bridge",
                    kind="invalid",
                )
            case SyncOfferings(wanted):
                offerings = accepted(wanted, envelope.sender)
                portal = Peer(envelope.sender, envelope.zone)
                self._offered[portal] = [Peer(offering.agents[0], portal.zone) for offering in offerings]
                envelope.agent.offer(peer for peers in self._offered.values() for peer in peers)
                return envelope.job.completed(Destinations(offerings))
            case unknown:
                raise JobError(
                    f"Invalid instruction: {unknown}. "
                    f"Only sync_offerings instructions can be sent from a portal agent to a bridge",
                    kind="invalid",
                )

    async def _signal_job(self, job: Job) -> None:
        base = self.settings.signal_url
        if base is None:
            return
        url = signal_url(base, "job_id", job.id)
        if not await signal(self._get, url, tries=JOB_TRIES, seconds=JOB_TIMEOUT_SECONDS):
            # The job waits on: the web portal may find it by itself, and an answer counts whenever it comes.
            _log.error("the web portal was signalled %d times in vain that job %s waits", JOB_TRIES, job.id)

    # -- notifications -----------------------------------------------------------------------------------------------

    async def notified(self, envelope: NotificationEnvelope) -> None:
        """Keep a notification for the web portal (an agent's ``on_notification``)."""
        notification = envelope.notification
        if isinstance(notification.event, Forward):
            notification = notification.event.notification
        dropped = self._notices.add(notification)
        if dropped is not None:
            _log.warning(
                "%d notifications wait for the web portal: the oldest is dropped", len(self._notices)
            )
        self._feed.add("notification", notification.to_json())
        self._noticed.wake()

    async def _signal_notifications(self, base: str) -> NoReturn:
        while True:
            while (notification := self._notices.next()) is None:
                await self._noticed.wait()
            url = signal_url(base, "notification_id", notification.id)
            taken = await signal(
                self._get, url, tries=NOTIFICATION_TRIES, seconds=NOTIFICATION_TIMEOUT_SECONDS
            )
            if not taken:
                _log.error("the web portal was signalled in vain that notification %s waits", notification.id)
            self._notices.settle(notification.id, taken=taken)

    # -- its life ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def open_lifespan(self, agent: Agent) -> AsyncIterator[None]:
        """Serve HTTP for as long as the agent runs (`agent.lifespan`)."""
        settings = self.settings
        self._calls = Calls(agent, WebBoard(settings.max_jobs), self._notices)
        self._feed = BridgeFeed(agent.name, uuid.uuid4().hex[:12], agent.wait_committed)
        async with self.handlers.open_lifespan(agent), trio.open_nursery() as nursery:
            with agent.observers.observing(self._feed):
                nursery.start_soon(self._feed.run, name="events of the bridge")
                if settings.notification_url is not None:
                    nursery.start_soon(self._signal_notifications, settings.notification_url)
                tls = None
                if settings.tls_certificate is not None and settings.tls_key is not None:
                    tls = Tls(settings.tls_certificate, settings.tls_key)
                serving = partial(
                    serve_asgi, self._app(), settings.ip, settings.port, what="The bridge", tls=tls
                )
                self.url = await nursery.start(serving)
                _log.info("serving web portals at %s", self.url)
                try:
                    yield
                finally:
                    self._feed.close()
                    nursery.cancel_scope.cancel(reason="the agent stops")

    def _app(self) -> Starlette:
        settings = self.settings
        authenticator = Authenticator(settings.signing_keys())
        door = Door(authenticator, self._unix_time, time.monotonic, settings.trusted_proxy)
        app = make_app(self._calls, door)
        document: dict[str, Any] = make_document(OPERATIONS)
        app.router.routes.extend(make_routes(self._calls, settings.keys, self._feed, document))
        app.router.routes.extend(make_page_routes())
        return app


async def run(config: AgentConfig, handlers: Handlers | None = None) -> None:
    """Run a bridge until it is told to stop.

    Args:
        config: Its configuration, with the table ``[bridge]``.
        handlers: Further handlers.

    Raises:
        ConfigError: The configuration is no bridge's, or its address cannot be listened on.

    """
    bridge = Bridge(BridgeSettings.of(config))
    if handlers is not None:
        bridge.handlers = handlers
    await run_agent(config, bridge, on_notification=bridge.notified)


__all__ = ["Bridge", "JobError", "run"]
