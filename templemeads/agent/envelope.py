"""What a handler receives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import attrs
import trio

from ..errors import StateError
from ..jobs.job import Job
from ..links.agent_peer import AgentPeer

if TYPE_CHECKING:
    from ..config import AgentConfig
    from .agent import Agent  # noqa: TC004 - nothing reads this at run time, and the agent imports this


async def _unreported(_: str | None) -> None:
    """Drop the progress of a job that no agent holds, so that handlers can be called directly."""


@attrs.frozen(kw_only=True)
class Envelope:
    """A job that has arrived, with where it came from.

    Attributes:
        job: The job; its handler returns ``job.completed(value)`` or ``job.errored(message)``.
        sender: Name of the neighbour that the job came from.
        recipient: Name of the agent that runs it.
        zone: The zone in which it came.
        peer: The sender as a peer that jobs can be put to, or None if no network is running.

    """

    job: Job
    sender: str
    recipient: str
    zone: str = "default"
    peer: AgentPeer | None = attrs.field(default=None, eq=False, repr=False)
    _report: Callable[[str | None], Awaitable[None]] = attrs.field(
        default=_unreported, eq=False, repr=False, alias="report"
    )
    _agent: Agent | None = attrs.field(default=None, eq=False, repr=False, alias="agent")

    @property
    def agent(self) -> Agent:
        """The running agent, to ask other agents with: ``await envelope.agent.ask("cluster.accounts add_local_user …")``.

        Raises:
            StateError: The handler was called without an agent, as in a unit test.

        """
        if self._agent is None:
            raise StateError(
                "This envelope has no agent: the handler was called without one. "
                "In a test, pass Envelope(agent=…) or run the handler in templemeads.testing.networks.open_chain"
            )
        return self._agent

    @property
    def config(self) -> AgentConfig:
        """The configuration of the agent: ``envelope.config.option("quota")``, ``envelope.config.secret("password")``.

        Raises:
            StateError: The handler was called without an agent.

        """
        return self.agent.config

    @property
    def thread_limiter(self) -> trio.CapacityLimiter | None:
        """How many threads plain `def` handlers of the agent use at once; None (trio's default) without an agent."""
        return None if self._agent is None else self._agent.handler_threads

    async def progress(self, message: str | None = None) -> None:
        """Report to the job's sender how far the work is; a checkpoint.

        Args:
            message: One line for people. On a slow connection only the latest message arrives.

        """
        await self._report(message)
