"""Tells systemd that the agent is ready, that it lives, and that it stops (`Type=notify`, `sd_notify(3)`)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import NoReturn

import trio


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send a state such as `READY=1`; return whether anybody listens.

    Args:
        state: Assignments, separated by newlines.
        environment: Where `NOTIFY_SOCKET` says who listens; nobody does where it is missing.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)  # a queue that nobody empties must not stop the agent
        try:
            sender.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
            sender.send(state.encode())
        except OSError:
            return False  # whoever started us has gone, or does not listen; that is no reason to fail
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return how often the watchdog wants a sign of life, in seconds; None if it wants none."""
    wanted = environment.get("WATCHDOG_USEC", "")
    for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(wanted) / 2e6 if wanted.isdecimal() and int(wanted) and for_us else None


async def feed_watchdog(seconds: float, environment: Mapping[str, str] = os.environ) -> NoReturn:
    """Give a sign of life again and again; when the loop hangs it stays away, and systemd starts the agent anew."""
    while True:
        notify("WATCHDOG=1", environment)
        await trio.sleep(seconds)
