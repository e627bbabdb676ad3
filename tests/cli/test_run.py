"""`run`: in this process where nothing is served, in real processes where it is. These are few, since they are slow."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from .invoking import call

ROOT = Path(__file__).parents[2]

HANDLERS = """
from templemeads import Handlers, JobError
from templemeads.grammar import AddUser, GetUsers, RemoveUser

handlers = Handlers(strict=False)

@handlers.add(AddUser)
async def add_user(envelope, user):
    return f"{user.username} of {envelope.sender} in {envelope.zone}"

@handlers.add(RemoveUser)
async def remove_user(envelope, user):
    raise ValueError("no such group")

@handlers.add(GetUsers)
async def get_users(envelope, portal):
    return None
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "handlers.py").write_text(HANDLERS)
    path = tmp_path / "a.toml"
    call("-c", path, "init", "cluster", "-t", "instance", "--handler", "handlers.py:handlers")
    return path


def test_one_shots_call_the_handler_and_print_its_results(config):
    said = call("-c", config, "run", "-o", "add_user fred.proj.org", "-o", "get_users a.b", "-r", "2")
    one = json.dumps("fred of oneshot in one-shot")
    assert said == f"{one}\n{one}\n{{}}\n{{}}\n"
    said = call("-c", config, "run", "-o", "add_user fred.proj.org", "-s", "portal", "-z", "default")
    assert said == '"fred of portal in default"\n'


def test_the_first_one_that_fails_ends_the_program(config):
    shots = ["-o", "remove_user fred.proj.org", "-o", "add_user fred.proj.org"]
    assert call("-c", config, "run", *shots, status=1) == "Error: ValueError: no such group\n"
    assert "Unknown" in call("-c", config, "run", "-o", "is_protected_user fred.proj.org", status=1)
    assert "jump" in call("-c", config, "run", "-o", "jump", status=1)


def test_an_agent_without_peers_says_so_and_ends(config):
    from click.testing import CliRunner

    from templemeads.cli.main import main

    done = CliRunner().invoke(main, ["-c", str(config), "run"])
    assert done.exit_code == 0
    assert "no peers, so there is nothing to run" in done.stderr


def test_a_handler_that_cannot_be_loaded_is_a_line(config):
    assert "there are" in call("-c", config, "run", "--handler", f"{config.parent}/handlers.py:x", status=1)


@contextmanager
def process(*words, **environment):
    """Run the command line in a process of its own; stopped by its id when the block ends."""
    started = subprocess.Popen(
        [sys.executable, "-m", "templemeads.cli", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


@pytest.mark.slow
@pytest.mark.processes
def test_a_running_agent_tells_systemd_answers_and_stops(config, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call("-c", config, "init", "cluster", "-t", "instance", "-p", str(port), "-k", "0", "--force")
    call("-c", config, "client", "add", "portal", "--ip", "127.0.0.1", "-o", tmp_path / "i.toml")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        with process(
            "-c", config, "run", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000"
        ) as agent:
            told = [systemd.recv(200).decode() for _ in range(2)]
            assert any(text.startswith("READY=1\nSTATUS=Instance agent cluster is up") for text in told)
            assert "WATCHDOG=1" in told or systemd.recv(200) == b"WATCHDOG=1"
            assert json.loads(call("-c", config, "status", "--json"))["port"] == port
            assert sorted(path.name for path in tmp_path.glob("a.*")) == [
                "a.db",
                "a.db-shm",
                "a.db-wal",
                "a.db.lock",
                "a.sock",
                "a.toml",
            ]
            with process("-c", config, "run") as second:
                _, said = second.communicate(timeout=30)
                assert second.returncode == 1
                assert said.splitlines()[-1].startswith("Error: ")
                assert "Traceback" not in said
            agent.send_signal(signal.SIGHUP)
            call("-c", config, "client", "add", "other", "--ip", "127.0.0.1", "-o", tmp_path / "o.toml")
            assert "other@default" in call("-c", config, "reload")
            assert json.loads(call("-c", config, "status", "--json"))["config_changed"] is False
            agent.send_signal(signal.SIGTERM)
            _, log = agent.communicate(timeout=30)
            assert agent.returncode == 0
            while systemd.recv(200) != b"STOPPING=1":
                pass  # signs of life before it; the time-out of the socket ends this
    lines = [json.loads(line) for line in log.splitlines()]
    assert any("http://127.0.0.1" in line["message"] for line in lines)
    assert all(line["agent"] == "cluster" for line in lines)
    assert not (tmp_path / "a.sock").exists()


@pytest.mark.slow
@pytest.mark.processes
def test_a_hard_restart_ends_the_process_with_0_and_reload_starts_it_anew(config, tmp_path):
    call("-c", config, "client", "add", "portal", "--ip", "127.0.0.1", "-o", tmp_path / "i.toml")
    text = config.read_text().replace("port = 8042", "port = 0")
    config.write_text(text)
    with process("-c", config, "run", "--reload") as supervisor:
        first = wait_for_pid(config)
        (tmp_path / "handlers.py").write_text(HANDLERS + "\n# changed\n")
        os.utime(tmp_path / "handlers.py", (1, 1))
        assert wait_for_pid(config, other_than=first) != first
        supervisor.send_signal(signal.SIGTERM)
        supervisor.communicate(timeout=30)
    with process("-c", config, "run") as agent:
        wait_for_pid(config)
        call("-c", config, "restart", "--hard", "--yes")
        agent.communicate(timeout=30)
        assert agent.returncode == 0


def wait_for_pid(config, other_than=None):
    """Ask until an agent answers; the clock is the real one, since the processes are."""
    from click.testing import CliRunner

    from templemeads.cli.main import main

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done = CliRunner().invoke(main, ["-c", str(config), "status", "--json"])
        if done.exit_code == 0 and json.loads(done.stdout)["pid"] != other_than:
            return json.loads(done.stdout)["pid"]
        time.sleep(0.05)
    raise AssertionError("no agent has come up")
