"""What a process of a pair shows while another one leads: it has no agent yet, and answers only who leads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import trio

from ..config import AgentConfig
from ..errors import RefusedError
from .control_socket import Request, Send, serve_socket
from .systemd import notify


@attrs.define
class Waiting:
    """The state of a process that waits for its turn.

    Attributes:
        config: Its configuration.
        leader: Which process leads, as `host:pid`; empty until that is known.
    """

    config: AgentConfig
    leader: str = attrs.field(default="", init=False)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _gone: trio.Event = attrs.field(factory=trio.Event, init=False)

    def take(self, leader: str) -> None:
        """Note who leads, and tell systemd."""
        self.leader = leader
        notify(f"READY=1\nSTATUS=waiting: {leader} leads")

    async def answer(self, request: Request, send: Send) -> Any:
        """Answer the command `status`; everything else needs the leader.

        Raises:
            RefusedError: It is another command.
        """
        if request.text("do") != "status":
            raise RefusedError(
                f"this process waits to take over and has no jobs: ask the one that leads, {self.leader}"
            )
        await trio.lowlevel.checkpoint()
        return {
            "agent": self.config.name,
            "type": self.config.agent_type.value,
            "pid": os.getpid(),
            "waiting": True,
            "leader": self.leader,
        }

    async def serve(self, path: Path) -> None:
        """Serve the control socket until `stop` is called.

        Raises:
            ConfigError: The socket cannot be made there, or another process serves it.
        """
        try:
            with self._scope:
                await serve_socket(path, self.answer)
        finally:
            self._gone.set()

    async def stop(self) -> None:
        """Serve no longer, and wait until the path of the socket is free for the agent."""
        self._scope.cancel(reason="this process leads now")
        await self._gone.wait()
