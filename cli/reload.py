"""`run --reload`: starts the agent again when its handler or configuration changes. For development."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import trio

from .output import say

POLL_SECONDS: Final = 0.5
"""Between two checks of the files: the standard library has no event for them."""

SUFFIXES: Final = (".py", ".toml")
MAX_WATCHED_FILES: Final = 10_000


async def run_reloading(command: list[str], watched: list[Path]) -> int:
    """Run a command until it is interrupted, and start it again after each change of a file.

    Args:
        command: The command and its arguments.
        watched: Files, and directories of which Python and TOML files count.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        while True:
            before = await trio.to_thread.run_sync(_times, watched)
            process = await trio.lowlevel.open_process(command)
            caught: list[int] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_signal, signals, caught, nursery.cancel_scope)
                nursery.start_soon(_until_change, watched, before, nursery.cancel_scope)
            # Ctrl-C reaches the whole group; a second signal would hurry the agent.
            if process.returncode is None and signal.SIGINT not in caught:
                process.send_signal(signal.SIGTERM)
            with trio.CancelScope(shield=True):
                status = await process.wait()
            if caught:
                return status
            say("A file has changed: restarting the agent", err=True)


async def _until_signal(signals: AsyncIterator[int], caught: list[int], scope: trio.CancelScope) -> None:
    async for number in signals:
        caught.append(number)
        scope.cancel(reason="interrupted")


async def _until_change(watched: list[Path], before: dict[Path, float], scope: trio.CancelScope) -> None:
    while await trio.to_thread.run_sync(_times, watched) == before:  # noqa: ASYNC110 - files have no event
        await trio.sleep(POLL_SECONDS)
    scope.cancel(reason="a file has changed")


def command_without_reload() -> list[str]:
    """Return the command that was given, without `--reload`."""
    return [sys.executable, *(word for word in sys.orig_argv[1:] if word != "--reload")]


def _times(watched: list[Path]) -> dict[Path, float]:
    times: dict[Path, float] = {}
    for place in watched:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in SUFFIXES and len(times) < MAX_WATCHED_FILES:
                try:
                    times[path] = path.stat().st_mtime
                except OSError:
                    continue  # it is being replaced
    return times
