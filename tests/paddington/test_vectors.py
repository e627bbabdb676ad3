"""The published vectors of everything that is read from files: invites, configurations, addresses, urls, secrets."""

import json
from pathlib import Path

import pytest

from paddington import ConfigError, Invite, ServiceConfig
from paddington.config.address import Addresses, parse_address
from paddington.config.secrets import decrypt_secret, encrypt_secret
from paddington.config.toml import parse_toml
from paddington.config.url import Url

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "wire_vectors.json").read_text())


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("vector", VECTORS["url"], ids=lambda vector: vector["given"])
def test_what_an_address_becomes_when_a_peer_is_dialled(vector):
    assert str(Url.parse(vector["given"])) == vector["dialled"]


@pytest.mark.parametrize(
    "vector", VECTORS["address"], ids=lambda vector: f"{vector['entry']} {vector['caller']}"
)
def test_whether_an_entry_matches_a_caller(vector):
    entry = Addresses.from_toml({vector["kind"]: vector["entry"]})
    assert (parse_address(vector["caller"]) in entry) == vector["matches"]


@pytest.mark.parametrize("vector", VECTORS["invite"], ids=lambda vector: vector["name"])
def test_invites_are_read_and_written_with_the_same_data(vector, tmp_path):
    invite = Invite.load(private(tmp_path / "invite.toml", vector["toml"]))
    assert (invite.name, invite.url, invite.zone) == (vector["name"], vector["url"], vector["zone"])
    assert (invite.inner_key.hex(), invite.outer_key.hex()) == (vector["inner_key"], vector["outer_key"])
    invite.save(tmp_path / "again.toml")
    assert parse_toml((tmp_path / "again.toml").read_text(), "again") == parse_toml(vector["toml"], "vector")


@pytest.mark.parametrize("vector", VECTORS["bad_invite"], ids=lambda vector: vector["wrong"])
def test_bad_invites_are_refused(vector, tmp_path):
    with pytest.raises(ConfigError):
        Invite.load(private(tmp_path / "invite.toml", vector["toml"]))


def test_a_configuration_says_what_it_says_to_existing_services(tmp_path):
    expect = VECTORS["config"]["expect"]
    service = ServiceConfig.load(private(tmp_path / "agent.toml", VECTORS["config"]["toml"]))
    assert (service.name, service.url, str(service.ip), service.port) == tuple(
        expect[key] for key in ("name", "url", "ip", "port")
    )
    assert (service.healthcheck_port, service.proxy_header) == (
        expect["healthcheck_port"],
        expect["proxy_header"],
    )
    for ours, theirs in zip(service.clients, expect["clients"], strict=True):
        assert (ours.name, ours.zone, str(ours.ip)) == (theirs["name"], theirs["zone"], theirs["ip"])
        assert (ours.inner_key.hex(), ours.outer_key.hex()) == (theirs["inner_key"], theirs["outer_key"])
    for ours, theirs in zip(service.servers, expect["servers"], strict=True):
        assert (ours.name, ours.zone, ours.url) == (theirs["name"], theirs["zone"], theirs["url"])
        assert (ours.inner_key.hex(), ours.outer_key.hex()) == (theirs["inner_key"], theirs["outer_key"])


@pytest.mark.parametrize("vector", VECTORS["secret"], ids=lambda vector: vector["scheme"])
def test_secrets_of_existing_services_open(vector):
    assert decrypt_secret(vector["password_utf8"], vector["text"]) == vector["value"]
    assert (
        decrypt_secret(vector["password_utf8"], encrypt_secret(vector["password_utf8"], vector["value"]))
        == vector["value"]
    )
