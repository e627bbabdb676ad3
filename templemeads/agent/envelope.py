"""What a handler receives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import attrs

from ..jobs.job import Job

if TYPE_CHECKING:
    from ..links.peers import AgentPeer  # noqa: TC004 - nothing reads this annotation at run time, and peers need jobs


async def _unreported(_: str | None) -> None:
    """Progress of a job that no agent holds goes nowhere: so handlers can be called directly."""


@attrs.frozen(kw_only=True)
class Envelope:
    """A job that has arrived, with where it came from.

    Attributes:
        job: The job; its handler returns ``job.completed(value)`` or ``job.errored(message)``.
        sender: Name of the neighbour that the job came from.
        recipient: Name of the agent that runs it.
        zone: The zone in which it came.
        peer: The sender as someone that jobs can be put to, or None where no network is running.

    """

    job: Job
    sender: str
    recipient: str
    zone: str = "default"
    peer: AgentPeer | None = attrs.field(default=None, eq=False, repr=False)
    _report: Callable[[str | None], Awaitable[None]] = attrs.field(
        default=_unreported, eq=False, repr=False, alias="report"
    )

    async def progress(self, message: str | None = None) -> None:
        """Tell the job's sender how far the work is; a checkpoint.

        Args:
            message: One line for people. On a slow link only the latest message arrives.

        """
        await self._report(message)
