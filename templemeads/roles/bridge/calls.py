"""What the bridge does for a web portal, whatever the form of the request.

Each method is one call: it checks what the caller wrote, speaks to the portal agent where it must, and returns a value.
Source: the protocol page *bridge*, section 4.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import attrs
import trio

from paddington import Peer
from paddington.waiters import Waiters

from ...agent.agent import Agent
from ...agent_type import AgentType
from ...errors import ParseError, RefusedError, TemplemeadsError
from ...grammar import Destination, Notification
from ...grammar.notifications import Forward
from ...jobs.job import Job
from ...links.agent_peer import AgentPeer
from ...text import quoted
from .notices import Notices
from .web_board import Answered, WebBoard

_log = logging.getLogger("templemeads.bridge")

PORTAL_SECONDS: Final = 5.0
"""How long a call waits for the portal agent to connect."""

SUBMIT_SECONDS: Final = 300.0
"""Lifetime of a job that the portal agent is asked to submit."""

DIRECT_SECONDS: Final = 120.0
"""Lifetime of a job for the portal agent itself."""


Report = Callable[[str | None], Awaitable[None]]
"""Takes progress."""


class UnavailableError(TemplemeadsError):
    """No portal agent is connected: the caller may try again."""


class ConflictError(TemplemeadsError):
    """What the caller asks for contradicts what it asked for before."""


class NotThereError(TemplemeadsError):
    """There is no job or notification with the id that the caller names."""


@attrs.define(eq=False)
class Calls:
    """The calls of a web portal.

    Attributes:
        agent: The running agent.
        board: The jobs that wait for the web portal.
        notices: The notifications that wait for it.

    """

    agent: Agent
    board: WebBoard
    notices: Notices
    _answered: dict[UUID, Waiters] = attrs.field(factory=dict, init=False)

    async def portal(self) -> AgentPeer:
        """Return the portal agent, after waiting for it a little.

        Raises:
            UnavailableError: None is connected.

        """
        with trio.move_on_after(PORTAL_SECONDS):
            return await self.agent.wait_for(AgentType.PORTAL)
        raise UnavailableError("No portal agent is connected; try again when it is")

    # -- asking the network ---------------------------------------------------------------------------------------

    async def run(self, text: str) -> Job:
        """Put a command on its way through the portal agent, and return its job as it was put.

        Raises:
            ParseError: The text is no command, or an identifier in it belongs to another portal than the path.
            RefusedError: The path begins neither at the portal agent nor at this bridge, or the job is too large.
            UnavailableError: No portal agent is connected.

        """
        job = Job.parse(text, lifetime=DIRECT_SECONDS, check_portal_rule=True, now=self.agent.now())
        portal = await self.portal()
        return await portal.put_job(self._as_put(job, portal.name))

    async def run_once(self, text: str, job_id: UUID) -> tuple[Job, bool]:
        """Put a command under an id of the caller's, unless that was done before.

        Returns:
            The job as it is now, and whether it was put by this call.

        Raises:
            ConflictError: The id stands for another command.
            ParseError, RefusedError, UnavailableError: As for `run`.

        """
        job = Job.parse(text, lifetime=DIRECT_SECONDS, check_portal_rule=True, now=self.agent.now())
        portal = await self.portal()
        wanted = attrs.evolve(self._as_put(job, portal.name), id=job_id)
        try:
            there = await self.status(job_id)
        except NotThereError:
            return await portal.put_job(wanted), True
        if there.command != wanted.command:
            raise ConflictError(f"The key stands for another command already: {quoted(there.command)}")
        return there, False

    def _as_put(self, job: Job, portal: str) -> Job:
        agents = job.destination.agents
        if agents[0] == self.agent.name:
            if agents[1:] != (portal,):
                raise RefusedError(
                    f"The path {quoted(str(job.destination))} must be {self.agent.name}.{portal}: "
                    "a bridge speaks to its portal agent alone"
                )
            return job
        if agents[0] != portal:
            raise RefusedError(
                f"The path {quoted(str(job.destination))} must begin with {portal!r}, the portal agent of this bridge"
            )
        submit = f"{self.agent.name}.{portal} submit {job.command}"
        return Job.parse(submit, lifetime=SUBMIT_SECONDS, now=self.agent.now())

    async def status(self, job_id: UUID) -> Job:
        """Return a job that was put, as it is now.

        Raises:
            NotThereError: There is no job with this id, or it is long over.

        """
        return self._found(job_id)[1]

    def jobs(self) -> list[Job]:
        """Return the jobs that were put and are not long over, in no particular order."""
        return [
            job
            for board in self.agent.boards.values()
            for job in board
            if job.destination.agents[0] == self.agent.name
        ]

    async def wait(self, job: Job) -> Job:
        """Wait until a job is finished.

        Raises:
            NotThereError: There is no such job.
            JobError: It was deleted meanwhile.

        """
        peer, found = self._found(job.id)
        return await found.kept_by(self.agent.peer(peer.name, peer.zone)).wait()

    async def delete(self, job_id: UUID) -> None:
        """Delete a job here and along its path.

        Raises:
            NotThereError: There is no such job.

        """
        peer, found = self._found(job_id)
        await found.kept_by(self.agent.peer(peer.name, peer.zone)).delete()

    def _found(self, job_id: UUID) -> tuple[Peer, Job]:
        for peer, board in self.agent.boards.items():
            job = board.get(job_id)
            if job is not None and job.destination.agents[0] == self.agent.name:
                return peer, job
        raise NotThereError(f"There is no job {job_id}: it never was, or it is long over")

    async def offerings(self, keyword: str, entries: Sequence[str] | None = None) -> list[str]:
        """Ask the portal agent for its offerings, or change them.

        Args:
            keyword: ``get_offerings``, ``sync_offerings``, ``add_offerings`` or ``remove_offerings``.
            entries: Destinations ``<resource>.<local portal>.<remote portal>``.

        Returns:
            The offerings after that.

        Raises:
            ParseError: An entry is no destination.
            JobError: The portal agent refuses.
            UnavailableError: No portal agent is connected.

        """
        portal = await self.portal()
        argument = "" if entries is None else " " + _destinations(entries)
        found = await self.agent.ask(
            f"{self.agent.name}.{portal.name} {keyword}{argument}", lifetime=DIRECT_SECONDS
        )
        return [str(entry) for entry in found]

    async def health(self) -> dict[str, Any]:
        """Return the health of this agent and of those behind it."""
        return (await self.agent.operations.health()).to_json()

    async def diagnostics(self, path: str) -> dict[str, Any]:
        """Return the report of an agent.

        Raises:
            RefusedError: The path leads nowhere, or no report has come.

        """
        return await self.agent.operations.diagnostics(self._relative(path))

    async def restart(self, path: str, restart_type: str) -> None:
        """Ask an agent to restart.

        Raises:
            RefusedError: The path leads nowhere, or there is no such type of restart.

        """
        await self.agent.operations.restart(self._relative(path), restart_type)

    def _relative(self, path: str) -> str:
        # Existing bridges skip empty elements.
        return ".".join(element for element in path.split(".") if element)

    async def notify(self, text: str) -> None:
        """Send a notification through the portal agent.

        Raises:
            ParseError: The text is no notification, or its path does not lead through the portal agent.
            UnavailableError: No portal agent is connected.

        """
        notification = Notification.parse(text)
        portal = await self.portal()
        if portal.name not in notification.destination.agents:
            raise ParseError(
                f"The path {quoted(str(notification.destination))} must lead through {portal.name!r}, the portal agent of "
                "this bridge"
            )
        destination = Destination.parse(f"{self.agent.name}.{portal.name}")
        self.agent.operations.notify(Notification(destination, Forward(notification)))

    # -- jobs for the web portal ------------------------------------------------------------------------------------

    def waiting(self) -> tuple[Job, ...]:
        """Return the jobs that wait for the web portal."""
        return self.board.waiting(self.agent.now())

    def fetch(self, job_id: UUID) -> Job:
        """Return a job that waits for the web portal.

        Raises:
            NotThereError: None of this id does.

        """
        job = self.board.find(job_id, self.agent.now())
        if job is None:
            raise NotThereError(f"No job {job_id} waits for the web portal")
        return job

    async def answer(self, job: Job) -> Answered:
        """Take an answer of the web portal, or its progress; the first final answer stands."""
        answered = self.board.answer(job)
        if answered is Answered.TAKEN and (waiter := self._answered.get(job.id)) is not None:
            waiter.wake()
            # The answer is committed before the web portal is told that it was taken.
            await trio.lowlevel.checkpoint()
            await self.agent.wait_committed()
        return answered

    async def answer_of(self, job: Job, report: Report) -> Job:
        """Put a job on the board and wait for its answer; cancelled, it leaves the board.

        Args:
            job: The job.
            report: Called with what the web portal says on the way.

        Raises:
            RefusedError: It is there already, or too many are.

        """
        self.board.add(job)
        waiter = self._answered[job.id] = Waiters()
        try:
            seen = job
            while not seen.is_finished:
                await waiter.wait()
                current = self.board.current(job.id)
                assert current is not None
                if not current.is_finished:
                    await report(current.progress)
                seen = self.board.current(job.id) or current
            return seen
        finally:
            del self._answered[job.id]
            self.board.remove(job.id)


def _destinations(entries: Iterable[str]) -> str:
    checked = [str(Destination.parse(entry)) for entry in entries]
    return checked[0] if len(checked) == 1 else f"[{', '.join(checked)}]"
