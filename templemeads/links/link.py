"""One connection to one peer, from its beginning to its end: register, sync, pump.

A link lives in the task that paddington runs for the connection. It opens with ``Register``, then the board in as many
``Sync`` commands as its size asks for, then the jobs that were deleted while the peer was away; after that two loops run
side by side, one for each direction.

Rule 1. Reading never waits for a handler, nor for another peer: a command is applied in the step in which it was read
        (`Agent.receive`). Nothing more is read only while the store is far behind.
Rule 2. Nothing is sent before the store has kept what it tells of.
Rule 3. The order of what is sent about one job is the order in which it changed.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from paddington import ConnectionLostError, PayloadTooLargeError, Peer

from ..errors import ParseError, StoreError
from ..jobs.board import size_of
from ..jobs.commands import Delete, Error, Put, Register, Sync, UnknownCommandError, Update, decode, encode
from ..jobs.job import Job, JobKeeper
from ..jobs.outcome import Kind
from ..logcontext import bound
from .outbox import Outbox, Waiting
from .transport import Connection

if TYPE_CHECKING:
    from ..agent.agent import Agent

_log = logging.getLogger("templemeads.link")

BATCH: Final = 24
"""Commands that are sent in one go: enough to share a frame, few enough to keep both sides busy."""

COMMIT: Final = 256
"""Commands that wait for the store together. Each time takes up to two commits, which many shall share."""

SYNC_CHARACTERS: Final = 60_000
"""Length of the jobs in one ``Sync``: at seven bytes a character (the worst that escaping does) still under 2 MiB frames."""

_COMMANDS: Final[Mapping[Kind, type[Put | Update | Delete]]] = {
    Kind.PUT: Put,
    Kind.UPDATE: Update,
    Kind.DELETE: Delete,
}


class Link:
    """The conversation on one connection."""

    def __init__(self, agent: Agent, connection: Connection) -> None:
        self._agent = agent
        self._connection = connection
        # The object that everything of this agent is filed under: a look-up by it compares nothing.
        self.peer: Peer = agent.peers[connection.peer].peer
        self.is_registered = False
        self.routes_told: dict[str, str] = {}
        self.outbox = Outbox(agent.limits.updates_queued, agent.limits.queued_characters)
        self._known = partial(agent.exchange.numbered, self.peer)
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Serve the connection until it ends."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send, name=f"sending to {self.peer}")
                    await self._receive()
                    nursery.cancel_scope.cancel(reason="the line has ended")
        except* StoreError:
            # The store ends the whole agent with this error; here it only ends the line, before anybody is told more.
            _log.error("the line with %s ends: the store has failed", self.peer)

    def cut(self, reason: str) -> None:
        """End the connection now."""
        self._scope.cancel(reason=reason)

    async def flush(self) -> None:
        """Wait until what is queued has been handed over, then close the connection."""
        await self.outbox.wait_emptied()
        await self._connection.aclose()

    # -- in ------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        with contextlib.suppress(ConnectionLostError):
            while True:
                await self._connection.deliver(self._take_all)
                await self._agent.wait_kept()

    def _take_all(self, texts: Sequence[str]) -> bool:
        keeper = self._agent.peers.handle(self.peer)
        with bound(peer=self.peer):
            for text in texts:
                self._take(text, keeper)
        return not self._agent.is_behind

    def _take(self, text: str, keeper: JobKeeper) -> None:
        try:
            command = decode(text, self._known, keeper)
        except UnknownCommandError as error:
            self._agent.refuse(self.peer, "unknown-command", str(error))
            self.outbox.add_text(encode(Error(str(error))))
        except ParseError as error:
            self._agent.refuse(self.peer, "unreadable", str(error))
            self.outbox.add_text(encode(Error(f"The command cannot be read: {error}")))
        else:
            self._agent.receive(self, command)

    # -- out -----------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        try:
            await self._connection.send_some([encode(self._agent.registration())])
            for text in self._board_texts():
                await self._agent.wait_kept()
                await self._connection.send_some([text])
            while True:
                found = [self._text_of(item) for item in await self.outbox.take(COMMIT)]
                await self._agent.wait_kept()
                texts = [text for text in found if text is not None]
                for at in range(0, len(texts), BATCH):
                    await self._send_texts(texts[at : at + BATCH])
        except ConnectionLostError:
            # The reading side ends with the connection, and with it the link; what was not sent is in the next Sync.
            return

    async def _send_texts(self, texts: Sequence[str]) -> None:
        try:
            await self._connection.send_some(texts)
        except PayloadTooLargeError as error:
            if len(texts) > 1:
                for text in texts:
                    await self._send_texts([text])
            else:
                # Jobs were measured before they were taken: this is a control command, and the peer can live without.
                _log.error("a command for %s is not sent: %s", self.peer, error)

    def _text_of(self, item: str | Waiting) -> str | None:
        if isinstance(item, str):
            return item
        if item.kind is Kind.DELETE:
            return encode(Delete(item.job))
        job = self._agent.exchange.find(self.peer, item.job.id)
        return None if job is None else encode(_COMMANDS[item.kind](job))

    def _board_texts(self) -> Iterator[str]:
        exchange = self._agent.exchange
        most = min(SYNC_CHARACTERS, exchange.surely_fits)
        jobs: list[Job] = []
        size = 0
        sent_any = False
        for job_id in exchange.sync_jobs(self.peer, self._agent.now()):
            job = exchange.find(self.peer, job_id)
            if job is None:
                continue
            length = size_of(job) + 500
            if jobs and (size + length > most or len(jobs) >= self._agent.limits.sync_jobs):
                yield encode(Sync(tuple(jobs)))
                jobs, size, sent_any = [], 0, True
            jobs.append(job)
            size += length
        if jobs or not sent_any:
            yield encode(Sync(tuple(jobs)))
        for job in exchange.deleted_jobs(self.peer):
            yield encode(Delete(job))


def registration_problem(declared: object, registered: Register | None, register: Register) -> str | None:
    """Return why a registration is not taken, or None if it is.

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
