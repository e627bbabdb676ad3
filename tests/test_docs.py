"""The tutorial, run as a newcomer would run it: its files written, its commands executed, its output compared."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def short_path():
    """A directory whose name leaves room for that of a control socket, which has at most 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="tutorial-") as directory:
        yield Path(directory)


@pytest.mark.slow
@pytest.mark.processes
def test_the_tutorial_does_what_it_says(short_path):
    tmp_path = short_path
    text = (ROOT / "docs" / "tutorial.md").read_text()
    for port, free in zip(("6501", "6502"), free_ports(2), strict=True):
        text = text.replace(port, str(free))
    script = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    expected = []
    blocks = FENCE.findall(text)
    for number, (language, name, body) in enumerate(blocks):
        if language == "sh":
            script += [body, f"echo '=== {number}'"]
        elif language == "python":
            script += [f"cat > {name} <<'END'\n{body}END"]
        elif language == "text":
            expected.append((number - 1, body.splitlines()))
    assert len(expected) >= 6
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    command = bin_directory / "templemeads"
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from templemeads.cli.main import main; main()" "$@"\n'
    )
    command.chmod(0o755)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TEMPLEMEADS_", "NOTIFY", "WATCHDOG"))
    }
    environment |= {"PATH": f"{bin_directory}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=90)
    except subprocess.TimeoutExpired as expired:
        logs = "\n".join(path.read_text() for path in tmp_path.rglob("log"))
        pytest.fail(f"not finished after 90 s:\n{(expired.output or b'').decode()}\n{logs}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    logs = "\n".join(path.read_text() for path in tmp_path.rglob("log"))
    assert process.returncode == 0, output + logs
    parts = re.split(r"^=== (\d+)\n", output, flags=re.MULTILINE)
    by_block = {int(number): before for before, number in zip(parts[0::2], parts[1::2], strict=False)}
    for number, lines in expected:
        for line in lines:
            assert line in by_block[number], (line, by_block[number])
    assert "Traceback" not in output + logs
