"""The example of a relay, with its three processes."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

RELAY = Path(__file__).parents[2] / "examples" / "relay.py"


@pytest.mark.slow
@pytest.mark.processes
def test_a_job_goes_through_the_relay():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, str(RELAY), "--port", str(port)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "account created, and the relay read nothing of it" in done.stdout
