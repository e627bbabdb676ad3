"""Files and secrets on the command line: nobody else reads them, and nothing is trusted for its name."""

from __future__ import annotations

import os
import stat

import pytest
from click.testing import CliRunner

from templemeads.cli.main import main


@pytest.fixture
def home(tmp_path):
    """A directory with nothing beside it."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def run(home, monkeypatch):
    """Run a command with a configuration of its own, under a umask that hides nothing."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("AGENT_PASSWORD", "correct horse")
    before = os.umask(0)

    def run(*arguments, text=None, status=0):
        result = CliRunner().invoke(main, ["-c", "agent.toml", *arguments], input=text)
        assert result.exit_code == status or (status is None and result.exit_code), result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.output

    try:
        run("init", "portal", "--type", "portal")
        yield run
    finally:
        os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.case("F9")
def test_what_the_command_line_writes_is_its_owners_alone(run, home):
    run("client", "add", "cluster", "--ip", "127.0.0.1", "--output", "cluster.toml")
    run("encryption", "--environment", "AGENT_PASSWORD")
    run("secret", "set", "token", text="s3cret-value")
    assert {path.name: mode(path) for path in home.iterdir() if path.suffix == ".toml"} == {
        "agent.toml": 0o600,
        "cluster.toml": 0o600,
    }
    (home / "agent.toml").chmod(0o644)
    run("client", "add", "other", "--ip", "127.0.0.1", status=None)
    (home / "agent.toml").chmod(0o600)


@pytest.mark.case("33.19")
@pytest.mark.case("P77")
def test_a_secret_comes_from_standard_input_and_is_never_printed(run, home):
    run("encryption", "--environment", "AGENT_PASSWORD")
    told = run("secret", "set", "token", text="s3cret-value\n")
    told += run("secret", "list") + run("secret", "list", "--json")
    assert "s3cret-value" not in told + (home / "agent.toml").read_text()
    warned = run("secret", "--key", "other", "--value", "second-value")
    assert "processes" in warned
    assert "second-value" not in warned


@pytest.mark.case("33.31")
@pytest.mark.case("33.30")
def test_changing_the_encryption_names_the_secrets_that_can_no_longer_be_read(run, monkeypatch):
    run("encryption", "--environment", "AGENT_PASSWORD")
    run("secret", "set", "token", text="s3cret-value")
    monkeypatch.setenv("OTHER_PASSWORD", "battery staple")
    assert "token" in run("encryption", "--environment", "OTHER_PASSWORD", status=1)
    assert "no" not in run("secret", "list").split()
    assert "token" in run("encryption", "--environment", "OTHER_PASSWORD", "--force")
    assert "no" in run("secret", "list")


@pytest.mark.case("F1")
@pytest.mark.case("P73")
@pytest.mark.parametrize("name", ["../../x", "a/b", "..", ".", "", "a\\b", "x" * 300, "a\nb", "a\x1b[31m"])
def test_a_name_leads_to_no_file_elsewhere(run, home, name):
    zones = [("--zone", name, "--", "cluster")] if name else []  # no zone is the default zone
    for arguments in (("--", name), *zones):
        output = run("client", "add", "--ip", "127.0.0.1", *arguments, status=None)
        assert "\x1b" not in output
    assert {path.name for path in home.iterdir()} <= {"agent.toml"}
    assert [path.name for path in home.parent.iterdir()] == ["home"]


@pytest.mark.case("P73")
@pytest.mark.case("P76")
def test_an_invitation_replaces_neither_a_file_nor_a_peer_unasked(run, home):
    run("client", "add", "cluster", "--ip", "127.0.0.1", "--output", "cluster.toml")
    before = (home / "cluster.toml").read_text()
    run("client", "add", "other", "--ip", "127.0.0.1", "--output", "cluster.toml", status=None)
    assert (home / "cluster.toml").read_text() == before
    whole = (home / "agent.toml").read_text()
    run("client", "add", "cluster", "--ip", "127.0.0.1", "--output", "again.toml", status=None)
    assert (home / "agent.toml").read_text() == whole
