"""Lines between agents, at the level of whole texts: what `paddington.open_service` promises, without what it costs.

A text arrives whole and in order, or not at all; a line that is cut loses what was under way, or delivers it late to an
end that has not noticed; a frozen one swallows everything until somebody's watchdog cuts it. One line at a time joins
two agents: the next begins when both ends have let go of the last, as with the real service.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import attrs
import trio

from paddington import ConnectionLostError, Peer, ServiceConfig
from templemeads import StoreError
from templemeads.links.transport import DialFailed, Serve

DIAL_SECONDS: Final = 0.2
WATCHDOG_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 5.0
QUEUE: Final = 8
REMEMBERED: Final = 40


class Bell:
    """Wakes everyone who waits now."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()


@attrs.define(eq=False)
class Way:
    """One direction of a line."""

    texts: deque[tuple[float, str]] = attrs.field(factory=deque)
    bell: Bell = attrs.field(factory=Bell)
    ended: bool = False  # nothing more will be sent
    broken: bool = False  # what is under way is lost
    swallows: bool = False
    last: float = 0.0

    def close(self, *, broken: bool) -> None:
        self.ended = True
        if broken:
            self.broken = True
            self.texts.clear()
        self.bell.ring()


class End:
    """One end of a line: a `templemeads.transport.Connection`."""

    def __init__(self, wires: Wires, me: str, peer: Peer, out: Way, into: Way) -> None:
        self.peer = peer
        self._wires = wires
        self._me = me
        self._out = out
        self._in = into
        self.left = trio.Event()

    async def send(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        while len(self._out.texts) >= QUEUE and not self._out.ended:
            await self._out.bell.wait()
        self._put(text)

    def send_nowait(self, text: str) -> None:
        if len(self._out.texts) >= QUEUE and not self._out.ended:
            raise trio.WouldBlock
        self._put(text)

    async def send_some(self, texts: Sequence[str]) -> None:
        if self._out.ended:
            raise ConnectionLostError("the line is cut")
        for text in texts:
            await self.send(text)

    async def receive_slice(self) -> list[str]:
        texts = []
        while len(texts) < QUEUE:
            try:
                texts.append(self.receive_nowait())
            except trio.WouldBlock:
                if texts:
                    break
                try:
                    texts.append(await anext(self))
                except StopAsyncIteration:
                    raise ConnectionLostError("the line is cut") from None
        return texts

    def receive_nowait(self) -> str:
        if not self._in.texts or self._in.texts[0][0] > trio.current_time():
            raise trio.WouldBlock
        _, text = self._in.texts.popleft()
        self._in.bell.ring()
        return text

    def _put(self, text: str) -> None:
        if self._out.ended:
            raise ConnectionLostError("the line is cut")
        self._wires.note(self._me, self.peer.name, text)
        if not self._out.swallows:
            self._wires.queue(self._out, text)

    def repeat(self, text: str) -> None:
        """Let an old text arrive once more."""
        if not self._out.ended and not self._out.swallows:
            self._wires.queue(self._out, text)

    def __aiter__(self) -> End:
        return self

    async def __anext__(self) -> str:
        way = self._in
        await trio.lowlevel.checkpoint()
        while True:
            while not way.texts:
                if way.ended:
                    raise StopAsyncIteration
                await way.bell.wait()
            due, text = way.texts[0]
            if due <= trio.current_time():
                way.texts.popleft()
                way.bell.ring()
                return text
            with trio.move_on_at(due):
                await way.bell.wait()

    def leave(self) -> None:
        """Say that nobody uses this end any more."""
        self.left.set()
        self._wires.changed.ring()

    async def aclose(self) -> None:
        self._out.close(broken=False)
        with trio.move_on_after(CLOSE_SECONDS):
            while self._out.texts and not self._out.swallows:
                await self._out.bell.wait()
        self._in.close(broken=True)
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class Line:
    """A line between two agents, from when it is made until both have left it."""

    ends: tuple[End, End]
    ways: tuple[Way, Way]
    over: bool = False

    @property
    def is_up(self) -> bool:
        return not any(way.ended or way.swallows for way in self.ways)

    def cut(self, *, late: bool) -> None:
        """End it: at once, or (`late`) after what is under way has arrived."""
        for way in self.ways:
            way.close(broken=not late)

    async def freeze(self) -> None:
        """Swallow what is sent from now on; the watchdog ends it."""
        for way in self.ways:
            way.swallows = True
            way.texts.clear()
            way.bell.ring()
        await trio.sleep(WATCHDOG_SECONDS)
        self.cut(late=False)

    async def wait_left(self) -> None:
        for end in self.ends:
            await end.left.wait()
        self.over = True


@attrs.define(eq=False)
class Host:
    """An agent that is up."""

    name: str
    serve: Serve
    nursery: trio.Nursery
    fail: Callable[[BaseException], None]
    port: int | None = None
    alive: bool = True
    busy: set[str] = attrs.field(factory=set)

    async def run(self, end: End) -> None:
        """Serve one end, behind the same wall as in the real service."""
        self.busy.add(end.peer.name)
        try:
            await self.serve(end)
        except StoreError:
            pass  # the agent itself ends by it
        except Exception as error:
            self.fail(error)
        finally:
            with trio.CancelScope(shield=True):
                await end.aclose()
            self.busy.discard(end.peer.name)
            end.leave()


class Wires:
    """All lines of one world.

    Args:
        random: Draws delays.
        slowest: Seconds that a text takes at most.
        fail: Called with what nobody expected.
    """

    def __init__(self, random: Random, slowest: float, fail: Callable[[BaseException], None]) -> None:
        self._random = random
        self.slowest = slowest
        self._fail = fail
        self._hosts: dict[str, Host] = {}
        self._blocked: set[frozenset[str]] = set()
        self.changed = Bell()
        self._past: dict[tuple[str, str], deque[str]] = {}
        self.lines: dict[frozenset[str], Line] = {}
        self.texts = 0

    # -- for agents -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def open(
        self, config: ServiceConfig, *, serve: Serve, dial_failed: DialFailed
    ) -> AsyncIterator[Host]:
        """Take the place of `paddington.open_service` (`templemeads.transport.Transport`)."""
        async with trio.open_nursery() as nursery:
            host = Host(config.name, serve, nursery, self._fail)
            self._hosts[config.name] = host
            for server in config.servers:
                nursery.start_soon(self._dial, host, server.peer)
            self.changed.ring()
            try:
                yield host
                host.alive = False
                with trio.move_on_after(CLOSE_SECONDS):
                    async with trio.open_nursery() as closing:
                        for line in self._lines_of(config.name):
                            for end in line.ends:
                                if end._me == config.name:
                                    closing.start_soon(end.aclose)
            finally:
                self.drop(config.name, host)
                nursery.cancel_scope.cancel()

    # -- for scenarios ----------------------------------------------------------------------------------------------

    def drop(self, name: str, host: Host | None = None) -> None:
        """Take an agent off the net at once, as when its process is killed."""
        found = self._hosts.get(name)
        if found is not None and host in {None, found}:
            found.alive = False
            del self._hosts[name]
            for line in self._lines_of(name):
                line.cut(late=False)
            self.changed.ring()

    def cut(self, pair: frozenset[str], *, late: bool) -> None:
        if pair in self.lines:
            self.lines[pair].cut(late=late)

    def block(self, pair: frozenset[str]) -> None:
        self._blocked.add(pair)
        self.cut(pair, late=False)

    async def freeze(self, pair: frozenset[str]) -> None:
        if pair in self.lines:
            await self.lines[pair].freeze()

    def unblock(self, pair: frozenset[str]) -> None:
        self._blocked.discard(pair)
        self.changed.ring()

    def repeat(self, sender: str, receiver: str, back: int) -> bool:
        """Let one of the texts that were sent before, on any line of the two, arrive once more."""
        line, past = self.lines.get(frozenset((sender, receiver))), self._past.get((sender, receiver))
        if line is None or not past:
            return False
        for end in line.ends:
            if end._me == sender:
                end.repeat(past[-1 - back % len(past)])
        return True

    @property
    def are_idle(self) -> bool:
        """Whether nothing is under way."""
        return not any(way.texts for line in self.lines.values() for way in line.ways)

    def is_up(self, pair: frozenset[str]) -> bool:
        return pair in self.lines and self.lines[pair].is_up

    # -- inside ---------------------------------------------------------------------------------------------------------

    def note(self, sender: str, receiver: str, text: str) -> None:
        self.texts += 1
        self._past.setdefault((sender, receiver), deque(maxlen=REMEMBERED)).append(text)

    def queue(self, way: Way, text: str) -> None:
        # Later texts never overtake earlier ones of the same line; those of other lines they do.
        way.last = max(way.last, trio.current_time() + self._random.random() * self.slowest)
        way.texts.append((way.last, text))
        way.bell.ring()

    def _lines_of(self, name: str) -> list[Line]:
        return [line for pair, line in self.lines.items() if name in pair]

    async def _dial(self, host: Host, peer: Peer) -> None:
        pair = frozenset((host.name, peer.name))
        while True:
            there = self._hosts.get(peer.name)
            if (
                there is None
                or not (there.alive and host.alive)
                or pair in self._blocked
                or peer.name in host.busy
                or host.name in there.busy
                or pair in self.lines
            ):
                await self.changed.wait()
                continue
            await trio.sleep(DIAL_SECONDS * self._random.random())
            if self._hosts.get(peer.name) is not there or not there.alive or pair in self._blocked:
                continue
            out, into = Way(), Way()
            ends = (
                End(self, host.name, peer, out, into),
                End(self, peer.name, Peer(host.name, peer.zone), into, out),
            )
            line = self.lines[pair] = Line(ends, (out, into))
            host.nursery.start_soon(host.run, ends[0], name=f"{host.name}: line to {peer}")
            there.nursery.start_soon(there.run, ends[1], name=f"{peer.name}: line to {host.name}")
            try:
                await line.wait_left()
            finally:
                line.cut(late=False)
                if self.lines.get(pair) is line:
                    del self.lines[pair]
                self.changed.ring()
