"""Virtual agents of portals and bridges: resources that are offered to other portals, and jobs that are passed on for them.

An offering `<resource>.<portal>.<remote portal>` lets the remote portal send instructions for the resource. At the portal
it is a virtual agent `<resource>` in zone `<remote portal>><portal>`, at the bridge one in the zone of the link with the
portal. Offerings are written to a file beside the boards, so they are there again after a restart.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from paddington import ConfigError, Peer
from paddington.config.files import read_checked, write_private

from ..agent.envelope import Envelope
from ..config import AgentConfig
from ..errors import JobError, ParseError, RefusedError
from ..grammar import Destination, Destinations, Instruction
from ..jobs.job import Job
from .role import SUB_JOB_SECONDS

if TYPE_CHECKING:
    from ..links.agent_peer import AgentPeer

_log = logging.getLogger("templemeads.roles.virtual")

MAX_OFFERINGS: Final = 1000
"""Offerings of one agent."""

FIND_SECONDS: Final = 5.0
"""How long to wait for the next agent of a path, or for the bridge."""

_DELETE_SECONDS: Final = 1.0


def zone_of(offering: Destination) -> str:
    """Return the zone in which the remote portal of an offering asks."""
    return f"{offering.agents[2]}>{offering.agents[1]}"


def accepted(wanted: Iterable[Destination], portal: str) -> tuple[Destination, ...]:
    """Return the offerings that a portal can make: three names, the middle one its own; each once, in order.

    Raises:
        JobError: There are too many.
    """
    kept: dict[Destination, None] = {}
    for offering in wanted:
        if len(offering.agents) != 3 or offering.agents[1] != portal:
            _log.error("%s is not an offering of %s, and is left out", str(offering)[:200], portal)
        else:
            kept[offering] = None
    if len(kept) > MAX_OFFERINGS:
        raise JobError(
            f"{len(kept)} offerings are more than the {MAX_OFFERINGS} that are allowed", kind="invalid"
        )
    return tuple(kept)


def offerings_path(config: AgentConfig) -> Path | None:
    """Return the file of the offerings: by the option `offerings-file`, or beside an SQLite store; None if in memory."""
    if (option := config.option("offerings-file")) is not None:
        return Path(option)
    prefix = "sqlite:///"
    if config.store is not None and config.store.startswith(prefix):
        return Path(config.store[len(prefix) :]).with_suffix(".offerings.json")
    return None


@attrs.define(eq=False)
class OfferingsFile:
    """Offerings that outlive the process.

    Attributes:
        path: The file; None: they do not.
    """

    path: Path | None

    def read(self) -> tuple[Destination, ...]:
        """Return the offerings.

        Raises:
            ConfigError: The file cannot be read, or holds something else.
        """
        if self.path is None or not self.path.exists():
            return ()
        text = read_checked(self.path, "list of offerings").text
        try:
            return tuple(Destinations.from_json(json.loads(text)))
        except (ValueError, ParseError, RecursionError) as error:
            raise ConfigError(f"The list of offerings {str(self.path)!r} cannot be read: {error}") from None

    async def write(self, offerings: Iterable[Destination]) -> None:
        """Replace the offerings.

        Raises:
            JobError: They cannot be written.
        """
        if self.path is None:
            return
        text = json.dumps([str(offering) for offering in offerings], indent=1) + "\n"
        try:
            await trio.to_thread.run_sync(write_private, self.path, text)
        except (ConfigError, OSError) as error:
            raise JobError(f"The offerings cannot be saved: {error}") from error


@asynccontextmanager
async def passed_on(
    envelope: Envelope,
    peer: AgentPeer,
    destination: Destination,
    instruction: Instruction,
    *,
    forwarded_for: Destination | None = None,
    check_portal_rule: bool = False,
) -> AsyncIterator[Job]:
    """Put a job for another one, and delete it if that one is cancelled; yields the job that was put.

    Args:
        envelope: The job for which it is.
        peer: The next agent.
        destination: The path of the new job.
        instruction: What it asks for.
        forwarded_for: The path of the job for which it is, for web portals.
        check_portal_rule: Whether the identifier must belong to the first agent of the path.

    Raises:
        ParseError: The portal rule forbids it.
        JobError: The job cannot be put.
    """
    now = envelope.agent.now()
    job = Job.parse(
        f"{destination} {instruction}", lifetime=SUB_JOB_SECONDS, check_portal_rule=check_portal_rule, now=now
    )
    job = attrs.evolve(job, expires=min(job.expires, envelope.job.expires), forwarded_for=forwarded_for)
    try:
        job = await peer.put_job(job)
    except RefusedError as error:
        raise JobError(str(error), kind="unroutable", origin=envelope.agent.name) from error
    try:
        yield job
    except trio.Cancelled:
        with trio.CancelScope(shield=True), trio.move_on_after(_DELETE_SECONDS):
            await peer.delete_job(job)
        raise


def virtual_peers(offerings: Iterable[Destination]) -> frozenset[Peer]:
    """Return the virtual agents of a portal with these offerings."""
    return frozenset(Peer(offering.agents[0], zone_of(offering)) for offering in offerings)
