"""One connection to one peer, from its beginning to its end: register, sync, then both directions at once.

A link lives in the task that paddington runs for the connection. It opens with ``Register``, then the board in as many
``Sync`` commands as its size needs, then the jobs that were deleted while the peer was away; after that two loops run
side by side, one for each direction.

Rule 1. Reading never waits for a handler, nor for another peer: a command is applied in the step in which it was read
        (`LinkOwner.receive`). No more slices are taken only while the store is far behind.
Rule 2. Nothing is sent before the store has committed what it tells.
Rule 3. What is sent about one job is sent in the order in which the job changed.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, Protocol
from uuid import UUID

import trio

from paddington import ConnectionLostError, PayloadError, PayloadTooLargeError

from ..errors import ParseError, StoreError
from ..jobs.board import size_of
from ..jobs.commands import (
    BadPut,
    Command,
    Delete,
    Error,
    Put,
    Register,
    Sync,
    UnknownCommandError,
    Update,
    decode,
    encode,
)
from ..jobs.exchange import Exchange
from ..jobs.job import Job, JobKeeper
from ..jobs.outcome import Kind
from ..limits import Limits
from ..logcontext import bound
from .outbox import Outbox, Waiting
from .peers import Channel, PeerState
from .transport import Connection

_log = logging.getLogger("templemeads.link")

MAX_COMMANDS_PER_WRITE: Final = 24
"""Commands that are sent in one go: enough to share a frame, few enough to keep both sides busy."""

MAX_COMMANDS_PER_COMMIT: Final = 256
"""Commands that wait for the store together: a wait takes up to two commits, so many commands should share one."""

SYNC_CHARACTERS: Final = 60_000
"""Length of the jobs in one ``Sync``: at seven bytes a character (the most that escaping makes) below 2 MiB frames."""


class LinkOwner(Protocol):
    """What a link asks of the agent that it belongs to."""

    @property
    def limits(self) -> Limits:
        """The limits of the agent."""

    @property
    def exchange(self) -> Exchange:
        """The boards: what a ``Sync`` carries, and the newest state of each job."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the store that links should read no more until it has caught up."""

    def now(self) -> float:
        """Seconds since 1970 UTC."""

    def registration(self) -> Register:
        """Return what each peer is sent about this agent."""

    def holder(self, state: PeerState) -> JobKeeper:
        """Return what jobs of this peer are bound to."""

    def receive(self, state: PeerState, command: Command | BadPut) -> None:
        """Apply a command of the peer, in one step."""

    def refuse_from(self, state: PeerState, reason: str, message: str) -> None:
        """Count and log that something of the peer was not accepted."""

    def cannot_send(self, state: PeerState, job: Job) -> None:
        """End a job that is too large for the peer with an error."""

    async def wait_committed(self) -> None:
        """Wait until the store has committed everything that has happened so far."""


class Link:
    """The conversation on one connection.

    Args:
        connection: The connection.
        state: The facts about its peer; the link enters its sending side there.
        owner: The agent that it belongs to.

    """

    def __init__(self, connection: Connection, state: PeerState, owner: LinkOwner) -> None:
        self._connection = connection
        self._state = state
        self._owner = owner
        # The object that everything of this agent is filed under: looking it up compares nothing.
        self._peer = state.peer
        self._outbox = Outbox(owner.limits.updates_queued, owner.limits.queued_characters)
        self._look_up = partial(owner.exchange.numbered, self._peer)
        self._scope = trio.CancelScope()
        self._everything_sent = trio.Event()
        self.channel = Channel(self._outbox, self._flush, self._cut, self._fits)

    async def run(self) -> None:
        """Serve the connection until it ends."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send, name=f"sending to {self._peer}")
                    await self._receive()
                    nursery.cancel_scope.cancel(reason="the connection has ended")
        except* StoreError:
            # The store ends the whole agent with this error; here it only ends the connection, so nothing more is sent.
            _log.error("closing the connection with %s: the store has failed", self._peer)

    def _cut(self, reason: str) -> None:
        self._scope.cancel(reason=reason)

    def _fits(self, text: str) -> bool:
        try:
            return self._connection.max_payload_fits(text)
        except PayloadError:
            return False

    async def _flush(self) -> None:
        self._outbox.close()
        await self._everything_sent.wait()
        await self._connection.aclose()

    # -- in ------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        with contextlib.suppress(ConnectionLostError):
            while True:
                self._take_all(await self._connection.receive_slice())
                if self._owner.is_behind:
                    await self._owner.wait_committed()

    def _take_all(self, texts: Sequence[str]) -> None:
        holder = self._owner.holder(self._state)
        with bound(peer=self._peer):
            for text in texts:
                self._take(text, holder)

    def _take(self, text: str, holder: JobKeeper) -> None:
        try:
            command = decode(text, self._look_up, holder)
        except UnknownCommandError as error:
            self._owner.refuse_from(self._state, "unknown-command", str(error))
            self._outbox.add_text(encode(Error(str(error))))
        except ParseError as error:
            self._owner.refuse_from(self._state, "unreadable", str(error))
            self._outbox.add_text(encode(Error(f"The command cannot be read: {error}")))
        else:
            self._owner.receive(self._state, command)

    # -- out -----------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        try:
            await self._connection.send_some([encode(self._owner.registration())])
            for text in self._board_texts():
                await self._owner.wait_committed()
                await self._connection.send_some([text])
            while True:
                found = [self._text_of(item) for item in await self._outbox.take(MAX_COMMANDS_PER_COMMIT)]
                await self._owner.wait_committed()
                texts = [text for text in found if text is not None]
                for at in range(0, len(texts), MAX_COMMANDS_PER_WRITE):
                    await self._send_texts(texts[at : at + MAX_COMMANDS_PER_WRITE])
        except (ConnectionLostError, trio.EndOfChannel):
            # The connection is lost: what was not sent is in the next Sync. Or the outbox was closed, and all of it is sent.
            return
        finally:
            self._everything_sent.set()

    async def _send_texts(self, texts: Sequence[str]) -> None:
        try:
            await self._connection.send_some(texts)
        except PayloadTooLargeError as error:
            if len(texts) > 1:
                for text in texts:
                    await self._send_texts([text])
            else:
                # Jobs were measured: this is a control command, which the peer can do without.
                _log.error("a command for %s is not sent: %s", self._peer, error)
        except PayloadError:
            # Half a surrogate pair, from the file name or the error message of somebody else's code, has no UTF-8 form.
            _log.warning(
                "a command for %s has characters without a UTF-8 form: sending '?' for them", self._peer
            )
            await self._send_texts([text.encode("utf-8", "replace").decode() for text in texts])

    def _text_of(self, item: str | Waiting) -> str | None:
        if isinstance(item, str):
            return item
        if item.kind is Kind.DELETE:
            return encode(Delete(self._deleted(item.job)))
        job = self._sendable(item.job.id)
        return None if job is None else encode(Put(job) if item.kind is Kind.PUT else Update(job))

    def _sendable(self, job_id: UUID) -> Job | None:
        """Return a job of the board, or None if it is gone or the peer cannot receive it, which ends it."""
        exchange = self._owner.exchange
        job = exchange.find(self._peer, job_id)
        if job is not None and exchange.is_too_large(self._peer, job):
            self._owner.cannot_send(self._state, job)
            return None
        return job

    def _deleted(self, job: Job) -> Job:
        """Return a deleted job as it can be sent: without its result if that is too large."""
        exchange = self._owner.exchange
        if not exchange.is_too_large(self._peer, job):
            return job
        return job.unsendable("Job was deleted", origin=exchange.name, now=self._owner.now())

    def _board_texts(self) -> Iterator[str]:
        exchange = self._owner.exchange
        most = min(SYNC_CHARACTERS, exchange.surely_fits)
        jobs: list[Job] = []
        size = 0
        sent_any = False
        for job_id in exchange.sync_jobs(self._peer, self._owner.now()):
            job = self._sendable(job_id)
            if job is None:
                continue
            length = size_of(job) + 500
            if jobs and (size + length > most or len(jobs) >= self._owner.limits.sync_jobs):
                yield encode(Sync(tuple(jobs)))
                jobs, size, sent_any = [], 0, True
            jobs.append(job)
            size += length
        if jobs or not sent_any:
            yield encode(Sync(tuple(jobs)))
        for job in exchange.deleted_jobs(self._peer):
            yield encode(Delete(self._deleted(job)))


def registration_problem(declared: object, registered: Register | None, register: Register) -> str | None:
    """Return why a registration is not accepted, or None if it is.

    Args:
        declared: The type that the configuration gives the peer, or None.
        registered: What it registered as before on this connection, or None.
        register: What it says now.

    """
    if declared is not None and register.agent is not declared:
        return f"it registers as {register.agent}, but the configuration declares it to be {declared}"
    if registered is not None and register.agent is not registered.agent:
        return f"it registers as {register.agent}, after {registered.agent} on the same connection"
    return None
