"""The portal agent: submits jobs for its web portal, and answers other portals that ask for resources it offers.

    web portal -> bridge -> portal -> provider -> …          `submit`
    other portal -> portal -> bridge -> web portal           instructions for an offered resource

A bridge may submit and change offerings, and nothing else. Another portal may ask about a resource that is offered to it,
for identifiers that are its own: which portal asks follows from the zone of the link, `<asking portal>><this portal>`.
Errors have the texts of existing portals, since web portals read them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio

from paddington import Peer

from ..agent.agent import Agent
from ..agent.envelope import Envelope
from ..agent.handlers import Handlers
from ..agent_type import AgentType
from ..config import AgentConfig
from ..errors import JobError, ParseError, PeerNotFoundError
from ..grammar import (
    AddOfferings,
    CreateProject,
    Destination,
    Destinations,
    GetAward,
    GetAwards,
    GetOfferings,
    GetProject,
    GetProjectMapping,
    GetProjects,
    GetStorageReport,
    GetStorageReports,
    GetUsageReport,
    GetUsageReports,
    GetUsers,
    Instruction,
    RemoveOfferings,
    RemoveProject,
    Submit,
    SyncOfferings,
    UpdateProject,
)
from ..grammar.notifications import Forward
from ..grammar.results import RawResult
from ..jobs.job import Job, Status
from ..operations.notifications import NotificationEnvelope
from ..text import quoted
from .subordinates import promised
from .virtual import FIND_SECONDS, OfferingsFile, accepted, offerings_path, passed_on, virtual_peers

if TYPE_CHECKING:
    from ..links.agent_peer import AgentPeer

_log = logging.getLogger("templemeads.roles.portal")

OPTIONS: Final = ("offerings-file",)
"""The options under `[extras]`."""

AWARD_EVENTS: Final = {
    CreateProject: "award_added",
    UpdateProject: "award_changed",
    RemoveProject: "award_removed",
}
"""What the asking portal is notified of, by instruction."""

FOR_RESOURCES: Final[tuple[type[Instruction], ...]] = (
    *AWARD_EVENTS,
    *(GetProject, GetAward, GetAwards, GetProjects, GetProjectMapping, GetUsers),
    *(GetUsageReport, GetUsageReports, GetStorageReport, GetStorageReports),
)
"""What other portals may ask of an offered resource."""

FOR_BRIDGES: Final = (Submit, GetOfferings, SyncOfferings, AddOfferings, RemoveOfferings)
"""What a bridge may ask."""

handlers: Final = Handlers()
"""Further handlers of the portal, by instruction; add your own before running the agent."""


class Portal:
    """A portal: the handler of its jobs and notifications. One for each agent.

    Args:
        table: Handlers that come before those of the portal.
    """

    hosts_virtual_agents = True

    def __init__(self, table: Handlers = handlers) -> None:
        self.handlers = table
        self._agent: Agent
        self._file: OfferingsFile
        self._offerings: tuple[Destination, ...] = ()
        self._lock = trio.Lock()

    # -- its life -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def open_lifespan(self, agent: Agent) -> AsyncIterator[None]:
        """Offer what was offered before, and tell each bridge that registers."""
        self._agent = agent
        self._file = OfferingsFile(offerings_path(agent.config))
        self._offerings = await trio.to_thread.run_sync(self._file.read)
        agent.offer(virtual_peers(self._offerings))
        async with self.handlers.open_lifespan(agent), trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_bridges, name="offerings for bridges")
            yield
            nursery.cancel_scope.cancel(reason="the agent stops")

    async def _tell_bridges(self) -> None:
        while True:
            bridge = await self._agent.wait_for(AgentType.BRIDGE)
            if self._offerings:
                with trio.move_on_after(FIND_SECONDS):
                    try:
                        await self._tell(bridge, self._offerings)
                    except JobError as error:
                        _log.warning("%s does not accept the offerings: %s", bridge.name, error)
            await self._agent.wait_gone(AgentType.BRIDGE)

    async def _tell(self, bridge: AgentPeer, offerings: Sequence[Destination]) -> None:
        listed = Destinations(offerings)
        await self._agent.ask(f"{self._agent.name}.{bridge.name} sync_offerings {listed}", zone=bridge.zone)

    # -- jobs -----------------------------------------------------------------------------------------------------

    async def __call__(self, envelope: Envelope) -> Job:
        """Run a job for the bridge or for another portal."""
        instruction = envelope.job.instruction
        if type(instruction) in self.handlers:
            return await self.handlers(envelope)
        sender = None if envelope.peer is None else envelope.peer.agent_type
        if sender is AgentType.BRIDGE and envelope.recipient == self._agent.name:
            return await self._for_bridge(envelope)
        if not isinstance(instruction, FOR_RESOURCES):
            raise JobError(
                f"Invalid instruction: {instruction}. Portal agents do not accept this instruction",
                kind="unsupported",
            )
        if envelope.recipient == self._agent.name:
            raise JobError(
                f"Invalid instruction: {instruction}. It must be addressed to a resource that is offered",
                kind="invalid",
            )
        check_asker(envelope, sender)
        value = await self._ask_web_portal(
            envelope, envelope.recipient, instruction, envelope.job.destination
        )
        return envelope.job.completed(value)

    async def _for_bridge(self, envelope: Envelope) -> Job:
        match envelope.job.instruction:
            case Submit(destination, instruction):
                return await self._submit(envelope, destination, instruction)
            case GetOfferings():
                return envelope.job.completed(Destinations(self._offerings))
            case SyncOfferings(wanted):
                return await self._sync(envelope, tuple(wanted))
            case AddOfferings(more):
                return await self._sync(envelope, (*self._offerings, *more))
            case RemoveOfferings(fewer):
                gone = set(fewer)
                return await self._sync(envelope, tuple(each for each in self._offerings if each not in gone))
            case unknown:
                raise JobError(
                    f"Invalid instruction: {unknown}. Only bridge agents can send instructions to the portal",
                    kind="unsupported",
                )

    # -- offerings ------------------------------------------------------------------------------------------------

    async def _sync(self, envelope: Envelope, wanted: tuple[Destination, ...]) -> Job:
        """Replace the offerings: first the bridge, so that nothing is offered that it refuses; then the file, then here.

        The answer does not wait for the jobs that have waited for a resource.
        """
        offerings = accepted(wanted, self._agent.name)
        async with self._lock:
            bridge = await self._find_bridge()
            await self._tell(bridge, offerings)
            await self._file.write(offerings)
            self._offerings = offerings
            self._agent.offer(virtual_peers(offerings))
        return envelope.job.completed(Destinations(offerings))

    async def _find_bridge(self) -> AgentPeer:
        found = await self._find(AgentType.BRIDGE)
        if found is None:
            raise JobError("Cannot run the job because there is no bridge agent", kind="unroutable")
        return found

    async def _find(self, wanted: AgentType | str, zone: str | None = None) -> AgentPeer | None:
        """Return a peer of a type or name, at best of a zone; one that is away but was here gets the job when it is back.

        Waits `FIND_SECONDS` for one that has not been here since the portal started.
        """
        peers = self._agent.peers
        known = [state for state in peers.select(wanted) if state.agent_type is not None]
        if known:
            best = max(known, key=lambda state: (state.is_ready, state.peer.zone == zone))
            return peers.handle(best.peer)
        with trio.move_on_after(FIND_SECONDS):
            try:
                return await self._agent.wait_for(wanted)
            except PeerNotFoundError:
                await trio.sleep_forever()
        return None

    # -- for other portals ----------------------------------------------------------------------------------------

    async def _ask_web_portal(
        self, envelope: Envelope, resource: str, instruction: Instruction, asked: Destination
    ) -> Any:
        bridge = await self._find_bridge()
        path = Destination.parse(f"{self._agent.name}.{bridge.name}.{resource}")
        async with passed_on(envelope, bridge, path, instruction, forwarded_for=asked) as job:
            answer = (await job.wait()).result()
        value = checked_answer(answer, instruction)
        if (event := AWARD_EVENTS.get(type(instruction))) is not None:
            subject = str(instruction).split(" ", 2)[1]
            self._notify(f"{asked.reverse()} {event} {subject}")
        return value

    def _notify(self, text: str) -> None:
        try:
            self._agent.operations.notify(text)
        except PeerNotFoundError as error:
            _log.warning("cannot notify: %s", error)

    # -- submit ---------------------------------------------------------------------------------------------------

    async def _submit(self, envelope: Envelope, destination: Destination, instruction: Instruction) -> Job:
        me = self._agent.name
        if destination.agents[0] != me:
            raise JobError(
                f"Invalid instruction: {envelope.job.instruction}. "
                f"First agent in destination should be this portal ({me})",
                kind="invalid",
            )
        if len(destination.agents) == 2 and Peer(destination.agents[1], f"{me}>{me}") in virtual_peers(
            self._offerings
        ):
            return await self._submit_to_self(envelope, destination, instruction)
        peer = await self._next_agent(envelope, destination)
        try:
            async with passed_on(envelope, peer, destination, instruction, check_portal_rule=True) as job:
                await envelope.progress("Job registered - processing...")
                async for state in job.updates():
                    if state.status is Status.RUNNING and state.progress is not None:
                        await envelope.progress(state.progress)
                    job = state  # noqa: PLW2901 - the last one is its end
        except ParseError as error:
            raise JobError(str(error), kind="invalid") from error
        return submitted_result(envelope.job, job)

    async def _submit_to_self(
        self, envelope: Envelope, destination: Destination, instruction: Instruction
    ) -> Job:
        if not isinstance(instruction, FOR_RESOURCES):
            raise JobError(
                f"RuntimeError{{Invalid instruction: {instruction}. Portal agents do not accept this instruction}}"
            )
        await envelope.progress("Job registered - processing...")
        try:
            value = await self._ask_web_portal(envelope, destination.agents[1], instruction, destination)
        except JobError as error:
            raise JobError(wrapped(error.kind, str(error)), kind=error.kind) from error
        return envelope.job.completed(value)

    async def _next_agent(self, envelope: Envelope, destination: Destination) -> AgentPeer:
        """Find the second agent of a path: in the zone in which this portal asks another one, or in any."""
        name = destination.agents[1]
        found = await self._find(name, zone=f"{self._agent.name}>{name}")
        if found is None:
            raise JobError(
                f"Invalid instruction: {envelope.job.instruction}. Cannot find next agent in destination {destination}",
                kind="unroutable",
            )
        return found

    # -- notifications --------------------------------------------------------------------------------------------

    async def notified(self, envelope: NotificationEnvelope) -> None:
        """Pass a notification on: what the bridge forwards to where it belongs, everything else to the bridge."""
        notification = envelope.notification
        is_bridge = any(peer.name == envelope.sender for peer in self._agent.get_all(AgentType.BRIDGE))
        if not is_bridge:
            bridge = await self._find_bridge()
            self._agent.operations.send_notification(notification, bridge.peer)
            return
        if not isinstance(notification.event, Forward):
            _log.warning(
                "the bridge sent a notification that is none to forward: %s", quoted(str(notification))
            )
            return
        inner = notification.event.notification
        path = inner.destination.agents
        index = path.index(self._agent.name) if self._agent.name in path else -1
        if index == 0:
            await self._notify_by_name(inner, path[1])
        elif index == 1 and any(path[0] == each.agents[0] for each in self._offerings):
            if len(path) > 2:
                await self._notify_by_name(inner, path[2])
            else:
                bridge = await self._find_bridge()
                self._agent.operations.send_notification(inner, bridge.peer)
        else:
            _log.error("a notification with this path cannot be forwarded: %s", quoted(str(inner)))

    async def _notify_by_name(self, notification: Any, name: str) -> None:
        with trio.move_on_after(FIND_SECONDS):
            try:
                found = await self._agent.wait_for(name)
            except PeerNotFoundError as error:
                _log.warning("cannot forward a notification: %s", error)
                return
            self._agent.operations.send_notification(notification, found.peer)


# -- rules (pure) --------------------------------------------------------------------------------------------------------


def check_asker(envelope: Envelope, sender: AgentType | None) -> None:
    """Check that a portal asks, and for an identifier of its own.

    Raises:
        JobError: Something else asks, or for somebody else's project.
    """
    instruction = envelope.job.instruction
    if sender is not AgentType.PORTAL:
        raise JobError(
            f"Invalid instruction: {instruction}. Only portals can send instructions for a resource",
            kind="invalid",
        )
    asking = envelope.zone.partition(">")[0]
    owner = owner_of(instruction)
    if owner is not None and owner != asking:
        raise JobError(
            f"Invalid instruction: {instruction}. It concerns the portal {quoted(owner)}, but {quoted(asking)} asks",
            kind="invalid",
        )


def owner_of(instruction: Instruction) -> str | None:
    """Return the portal that the identifier of an instruction belongs to."""
    for name in type(instruction).__match_args__:
        value = getattr(instruction, name)
        if (portal := getattr(value, "portal", None)) is not None:
            return str(portal)
    return None


def checked_answer(value: Any, instruction: Instruction) -> Any:
    """Return a web portal's answer as the type that the instruction promises.

    Raises:
        JobError: It is of another form, or there is none.
    """
    if value is None:
        raise JobError("No result available", kind="invalid")
    try:
        return promised(value, instruction)
    except JobError as error:
        raise JobError(f"Invalid {instruction.result_type()}: {str(value)[:500]}", kind="invalid") from error


def wrapped(kind: str, message: str | None) -> str:
    """Return an error's text as web portals expect it from a portal."""
    if kind == "expired":
        return "ExpirationError{{}}"
    return "UnknownError{{}}" if not message else f"RuntimeError{{{message}}}"


def submitted_result(submitted: Job, inner: Job) -> Job:
    """Return the submitted job with the end of the job that was put for it; also of types that nobody knows."""
    if inner.status is Status.COMPLETE:
        if inner.result_text is None:
            return submitted.completed()
        return submitted.completed(RawResult(inner.result_type or "", inner.result_text))
    info = inner.error_info
    kind = "unknown" if info is None else info.kind
    origin = None if info is None else info.origin
    return submitted.errored(wrapped(kind, inner.result_text), kind=kind, origin=origin)


async def run(config: AgentConfig) -> None:
    """Run a portal agent until it is stopped.

    Raises:
        ConfigError: The configuration is of another type, or the list of offerings cannot be read.
    """
    from ..daemon.run import run_agent
    from .role import require_type

    require_type(config, AgentType.PORTAL)
    portal = Portal()
    await run_agent(config, portal, on_notification=portal.notified)
