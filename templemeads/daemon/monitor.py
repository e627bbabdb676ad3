"""Warns in the log when the process uses much of its machine (*operations*, section 6). Asks no peers."""

from __future__ import annotations

import logging
from typing import Final, NoReturn

import trio

from ..operations.process import ProcessFigures, ProcessMeter

_log = logging.getLogger("templemeads.monitor")

FIRST_LOOK_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 10.0
MUCH_CPU_PERCENT: Final = 90.0
MUCH_MEMORY: Final = 0.8


def warnings_about(figures: ProcessFigures) -> list[str]:
    """Return what is worth a warning."""
    found = []
    if figures.cpu_percent > MUCH_CPU_PERCENT:
        found.append(f"the process uses {figures.cpu_percent:.0f} % of a processor")
    if figures.memory_bytes > MUCH_MEMORY * figures.system_memory_total:
        found.append(
            f"the process uses {figures.memory_bytes} of {figures.system_memory_total} bytes of memory"
        )
    return found


async def monitor() -> NoReturn:
    """Look every ten seconds."""
    meter = ProcessMeter()
    await trio.sleep(FIRST_LOOK_SECONDS)
    while True:
        for warning in warnings_about(meter.read(trio.current_time())):
            _log.warning("%s", warning)
        await trio.sleep(LOOK_SECONDS)
