"""`bridge`: the clients' file and the keys, and what `init` writes for a bridge."""

from __future__ import annotations

import stat
import tomllib

import pytest

from templemeads import AgentConfig
from templemeads.roles.bridge.settings import BridgeSettings
from tests.cli.invoking import call

INIT = ["init", "bridge", "--type", "bridge", "--url", "ws://localhost:8044", "--port", "8044"]


@pytest.fixture
def bridge(tmp_path):
    path = tmp_path / "bridge.toml"
    call(
        "-c",
        path,
        "init",
        "bridge",
        "--type",
        "bridge",
        "--url",
        "ws://localhost:8044",
        "--port",
        "8044",
        "--bridge-port",
        "3001",
    )
    return path


def settings(path):
    return BridgeSettings.of(AgentConfig.load(path))


def test_init_writes_what_a_bridge_needs(bridge):
    assert settings(bridge).url == "http://localhost:3001/"
    assert (settings(bridge).ip, settings(bridge).port) == ("127.0.0.1", 3001)
    assert settings(bridge).signal_url is None


def test_what_a_bridge_cannot_use_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "bridge.toml"
    error = call("-c", path, *INIT, "--signal-url", "ftp://localhost", status=1)
    assert "ftp://localhost" in error
    assert not path.exists()


def test_the_clients_file_is_its_owners_alone_and_holds_the_url_and_the_key(bridge, tmp_path):
    file = tmp_path / "openportal.toml"
    call("-c", bridge, "bridge", "invite", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tomllib.loads(file.read_text()) == settings(bridge).invite()
    assert "--force" in call("-c", bridge, "bridge", "invite", str(file), status=1)


def test_after_a_rotation_the_key_before_it_counts(bridge):
    old = settings(bridge).key
    call("-c", bridge, "bridge", "rotate")
    assert settings(bridge).previous_key == old
    assert settings(bridge).key != old


def test_a_named_key_is_added_listed_and_removed(bridge):
    key = call("-c", bridge, "bridge", "key", "add", "dashboard", "--scope", "read").split()[0]
    assert [each.data.hex() for each in settings(bridge).keys] == [key]
    listed = call("-c", bridge, "bridge", "key", "list")
    assert key[:8] in listed
    assert key not in listed
    call("-c", bridge, "bridge", "key", "remove", key[:8])
    assert settings(bridge).keys == ()


@pytest.mark.parametrize("digits", ["", "00", "zzzzzzzz"])
def test_digits_that_fit_no_key_are_refused(bridge, digits):
    assert "bridge key list" in call("-c", bridge, "bridge", "key", "remove", digits, status=1)
