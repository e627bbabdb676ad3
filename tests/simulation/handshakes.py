"""Lines of paddington in memory, handshake and frames included: slower than `wires`, and nothing of them is made up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from paddington import ServiceConfig, open_service
from paddington.testing import MemoryNetwork
from templemeads.links.transport import DialFailed, Serve
from templemeads.testing.networks import FIRST_PORT, calendar


class Handshakes:
    """What `wires.Wires` is to a world, over a `MemoryNetwork`.

    Args:
        names: The agents in their row; each listens for the next one.
    """

    slowest = 0.0

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._network = MemoryNetwork()

    def open(
        self, config: ServiceConfig, *, serve: Serve, dial_failed: DialFailed
    ) -> AbstractAsyncContextManager[Any]:
        return open_service(
            config, serve=serve, dial_failed=dial_failed, network=self._network, unix_time=calendar
        )

    def drop(self, name: str) -> None:
        index = self._names.index(name)
        for port in (FIRST_PORT + index - 1, FIRST_PORT + index):
            self._network.cut(port)
        # Its socket dies with it, though the tasks of a simulated process take some steps to end.
        self._network._world.listeners.pop(FIRST_PORT + index, None)

    def cut(self, pair: frozenset[str], *, late: bool) -> None:
        self._network.cut(self._port(pair))

    async def freeze(self, pair: frozenset[str]) -> None:
        self._network.freeze(self._port(pair))

    def block(self, pair: frozenset[str]) -> None:
        self._network.block(self._port(pair))
        self._network.cut(self._port(pair))

    def unblock(self, pair: frozenset[str]) -> None:
        self._network.unblock(self._port(pair))

    def repeat(self, sender: str, receiver: str, back: int) -> bool:
        """Nothing arrives twice on these lines: that is what the numbers in the frames are for."""
        return False

    def _port(self, pair: frozenset[str]) -> int:
        return FIRST_PORT + min(self._names.index(name) for name in pair)
