"""The parent that stands in for an init: a real process, since forking and signals are what it does."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
from templemeads.daemon.first_process import leave_first_process

own = os.getpid()
os.getpid = lambda: {number}
leave_first_process()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(os.getppid() == own, flush=True)
signal.pause()
"""


def started(number):
    program = PROGRAM.replace("{number}", number)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


@pytest.mark.processes
@pytest.mark.parametrize(("number", "is_child"), [("1", "True"), ("own", "False")])
def test_only_the_first_process_gets_a_parent_that_passes_signals_and_the_status_on(number, is_child):
    with started(number) as process:
        assert process.stdout.readline().strip() == is_child
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 7


@pytest.mark.processes
def test_an_agent_that_is_killed_by_a_signal_ends_its_parent_with_128_and_the_number():
    with started("1") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGUSR1)
        assert process.wait(20) == 128 + signal.SIGUSR1
