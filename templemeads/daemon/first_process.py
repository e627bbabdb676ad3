"""What the first process of a container owes to the others: it passes signals on, and takes orphans off the process table.

An agent must not do that itself, since it would take the children of `trio.run_process` away. So the first process
becomes a small parent that does nothing else, and the agent is its child.
"""

from __future__ import annotations

import os
import signal
from typing import Final

PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def leave_first_process() -> None:
    """In the first process of a machine or container, go on in a child and do not return in the parent.

    Call it before there are threads. The parent ends with the status of the child.
    """
    if os.getpid() != 1:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    child = os.fork()
    if child:
        for number in PASSED_ON:
            signal.signal(number, lambda received, _: _pass_on(child, received))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        os._exit(_reap_until_end(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def _pass_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return  # it has just ended, and `_reap_until_end` returns next


def _reap_until_end(child: int) -> int:
    """Take every process off the table that ends; return the exit status of one of them when that one ends."""
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
