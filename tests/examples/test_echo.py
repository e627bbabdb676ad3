"""The first example, as a newcomer runs it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ECHO = [sys.executable, str(ROOT / "examples" / "echo.py")]


@pytest.mark.slow
@pytest.mark.processes
def test_counts_down_in_one_process(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run(ECHO, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:3] == ["server says 1000", "client says 999", "server says 998"]
    assert lines.count("Blast off!") == 1
    assert lines[-1].endswith("Blast off!")
    assert len(lines) == 1002


@pytest.mark.slow
@pytest.mark.processes
def test_counts_down_between_two_processes(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    invitation = ["--invitation", str(tmp_path / "invitation.toml")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = ["--url", f"http://127.0.0.1:{port}", "--port", str(port)]
    with subprocess.Popen(
        [*ECHO, "server", *address, *invitation], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout.readline().startswith("Wrote ")
            client = subprocess.run(
                [*ECHO, "client", *invitation], capture_output=True, text=True, timeout=60, check=False
            )
            output, errors = server.communicate(timeout=30)
        finally:
            server.kill()
    assert (client.returncode, client.stderr) == (0, "")
    assert (server.returncode, errors) == (0, "")
    assert client.stdout.splitlines()[-1] == "server says Blast off!"
    assert output.splitlines()[-1] == "Blast off!"


@pytest.mark.slow
@pytest.mark.processes
def test_a_missing_invitation_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    missing = str(tmp_path / "nowhere.toml")
    done = subprocess.run(
        [*ECHO, "client", "--invitation", missing], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f'Error: Cannot read the invitation "{missing}": No such file or directory\n'
