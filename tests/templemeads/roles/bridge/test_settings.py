"""The table `[bridge]`: as existing bridges write it, and with what ours add."""

from __future__ import annotations

import tomllib

import pytest

from paddington import ConfigError, ServiceConfig
from templemeads import AgentConfig, AgentType
from templemeads.roles.bridge.authentication import Scope
from templemeads.roles.bridge.settings import (
    MAIN_KEY,
    BridgeSettings,
    allows_invalid_certificates,
    new_named_key,
)

EXISTING = """
agent = "Bridge"

[service]
name = "bridge"
url = "ws://localhost:8044/"
ip = "127.0.0.1"
port = 8044
servers = []
clients = []

[bridge]
url = "http://localhost:3000/"
ip = "127.0.0.1"
port = 3000
signal_url = "http://localhost/signal"
notification_url = "http://localhost/notification?a=b"

[bridge.key]
data = "000102030405060708090A0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
"""


def table(**changed):
    return {**tomllib.loads(EXISTING)["bridge"], **changed}


def test_the_file_of_an_existing_bridge_is_read_as_it_is(tmp_path):
    path = tmp_path / "bridge.toml"
    path.write_text(EXISTING)
    path.chmod(0o600)
    settings = BridgeSettings.of(AgentConfig.load(path))
    assert (settings.port, settings.signal_url) == (3000, "http://localhost/signal")
    assert settings.signing_keys()[0].data == bytes(range(32))
    assert settings.invite()["url"] == "http://localhost:3000/"


def test_settings_survive_their_file(tmp_path):
    settings = BridgeSettings.create(
        port=3001, keys=(new_named_key("dashboard", frozenset({Scope.READ})),), max_jobs=7
    ).with_new_key()
    config = AgentConfig(ServiceConfig.create("bridge", port=8044), AgentType.BRIDGE)
    config.tables["bridge"] = settings.to_toml()
    config.save(tmp_path / "bridge.toml")
    assert BridgeSettings.of(AgentConfig.load(tmp_path / "bridge.toml")) == settings


def test_while_a_new_key_is_distributed_the_old_one_counts():
    old = BridgeSettings.from_toml(table())
    new = old.with_new_key()
    assert [key.name for key in new.signing_keys()] == [MAIN_KEY, f"{MAIN_KEY} (previous)"]
    assert new.signing_keys()[1].data == old.signing_keys()[0].data


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"url": "ws://localhost"}, "url"),
        ({"url": "http://[x"}, "url"),
        ({"ip": "localhost"}, "localhost"),
        ({"port": 70_000}, "port"),
        ({"key": {"data": "00"}}, "64"),
        ({"key": "00"}, "key"),
        ({"signal_url": "ftp://localhost"}, "ftp://localhost"),
        ({"notification_url": "http://"}, "http://"),
        ({"tls_key": "key.pem"}, "tls_certificate"),
        ({"max_jobs": 0}, "max_jobs"),
        ({"keys": [{"name": "x", "data": "00" * 32, "scopes": ["rule"]}]}, "read, submit, answer"),
        ({"keys": ["x"]}, "entry 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(changed, complaint):
    with pytest.raises(ConfigError, match=complaint):
        BridgeSettings.from_toml(table(**changed))


def test_a_configuration_without_the_table_says_what_to_do():
    with pytest.raises(ConfigError, match="templemeads init"):
        BridgeSettings.of(AgentConfig(ServiceConfig.create("bridge", port=8044), AgentType.BRIDGE))


def test_keys_do_not_show():
    settings = BridgeSettings.from_toml(table())
    assert "0001" not in repr(settings)
    assert "0001" not in repr(settings.signing_keys())


@pytest.mark.parametrize(
    ("value", "allows"), [(None, False), ("", False), ("TRUE", True), ("true", True), ("1", False)]
)
def test_certificates_are_checked_unless_the_environment_says_otherwise(value, allows):
    variable = "OPENPORTAL_ALLOW_INVALID_SSL_CERTS"
    assert allows_invalid_certificates({} if value is None else {variable: value}) is allows
