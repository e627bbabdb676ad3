"""The examples, run as the README says, in processes of their own."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 30

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", str(EXAMPLES / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.parametrize("first", ["portal", "cluster"])
def test_a_portal_and_a_cluster_in_either_order(first, tmp_path):
    port, invitation = free_port(), str(tmp_path / "invitation.toml")
    commands = {
        "portal": ("portal", "--url", f"http://localhost:{port}", "--port", port, "--invitation", invitation),
        "cluster": ("cluster", "--invitation", invitation),
    }
    second = "cluster" if first == "portal" else "portal"
    processes = {name: start("job.py", *commands[name]) for name in (first, second)}
    portal_status, portal_out, portal_err = finish(processes["portal"])
    cluster_status, _, cluster_err = finish(processes["cluster"])
    assert portal_status == 1
    assert portal_out.splitlines()[-3:] == [
        "account created",
        "account removed",
        'You are not allowed to remove the account for "jane"',
    ]
    assert cluster_status == 0
    assert "cluster@default is registered as Instance" in portal_err
    assert "portal@default is registered as Portal" in cluster_err
    assert Path(invitation).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "No such file"), ('name = "portal"\n', '"url" is missing'), ("name = \n", "invitation.toml")],
)
def test_a_missing_or_damaged_invitation_is_one_clear_line(text, complaint, tmp_path):
    invitation = tmp_path / "invitation.toml"
    if text is not None:
        invitation.write_text(text)
        invitation.chmod(0o600)
    status, out, err = finish(
        start("job.py", "cluster", "--invitation", str(invitation), "--patience", "0.2")
    )
    assert status == 1
    assert complaint in err
    assert len((out + err).strip().splitlines()) == 1


def test_an_invitation_with_wrong_keys_is_a_clear_line_and_an_error_status(tmp_path):
    port, good, bad = free_port(), tmp_path / "good.toml", tmp_path / "bad.toml"
    portal = start(
        "job.py", "portal", "--url", f"http://localhost:{port}", "--port", port, "--invitation", str(good)
    )
    try:
        assert portal.stdout is not None
        assert "The invitation is in" in portal.stdout.readline()
        bad.write_text(re.sub(r'data = "....', 'data = "0123', good.read_text()))
        bad.chmod(0o600)
        status, _, err = finish(start("job.py", "cluster", "--invitation", str(bad)))
    finally:
        portal.kill()
        portal.communicate()
    assert status == 1
    assert "portal refuses the connection" in err.splitlines()[-1]


def test_a_job_crosses_four_processes(tmp_path):
    names = ("shared", "waldur", "notebook", "brics")
    processes = {
        name: start("route.py", name, "--directory", str(tmp_path), "--port", free_port()) for name in names
    }
    ended = {name: finish(process) for name, process in processes.items()}
    assert {name: status for name, (status, _, _) in ended.items()} == dict.fromkeys(names, 0)
    assert ended["waldur"][1].splitlines()[-1] == "fred.proj.waldur:fred:proj"


def test_a_job_crosses_four_agents_of_one_process(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = min(probe.getsockname()[1], 65_000)
    status, out, _ = finish(start("route.py", "all", "--directory", str(tmp_path), "--port", str(port)))
    assert status == 0
    assert out.splitlines()[-1] == "fred.proj.waldur:fred:proj"


def test_the_demo_ends_well_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = subprocess.run(
        [sys.executable, "-m", "templemeads.cli", "demo"],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    lines = process.stdout.splitlines()
    assert lines[:7] == [
        "A portal sends three jobs to a cluster, which must refuse the last",
        " portal | account created",
        " portal | account removed",
        ' portal | You are not allowed to remove the account for "jane"',
        "A job crosses four agents: waldur.brics.notebook.shared",
        "  waldur | fred.proj.waldur:fred:proj",
        "A whole estate, with stand-ins for accounts and Slurm: a user is added, used, reported, removed",
    ]
    assert sum("passes it on" in line for line in lines) == 10, "two agents pass each of five jobs on"
    assert lines[-1] == "estate |   waldur   has the answer: fred.proj.waldur:fred.proj:waldur.proj"
    assert process.stderr == ""
    assert list(tmp_path.iterdir()) == []
