import json

import pytest

from paddington.config.secrets import PREFIX
from paddington.protocol.crypto import Key, seal
from templemeads import AgentConfig

from .invoking import call


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("THE_PASSWORD", "correct horse")
    path = tmp_path / "a.toml"
    call("-c", path, "init", "portal", "-t", "portal")
    call("-c", path, "encryption", "-e", "THE_PASSWORD")
    return path


def test_a_secret_is_stored_encrypted_from_standard_input_file_or_argument(config, tmp_path):
    (tmp_path / "value").write_text("from a file\n")
    call("-c", config, "secret", "set", "one", stdin="from stdin\n")
    call("-c", config, "secret", "set", "two", "--value-file", tmp_path / "value")
    call("-c", config, "secret", "-k", "three", "-v", "from an argument")
    loaded = AgentConfig.load(config)
    assert [loaded.secret(key) for key in ("one", "two", "three")] == [
        "from stdin",
        "from a file",
        "from an argument",
    ]
    assert "from" not in config.read_text()
    assert json.loads(call("-c", config, "secret", "list", "--json")) == [
        {"key": key, "form": "v1", "opens": True} for key in ("one", "two", "three")
    ]
    call("-c", config, "secret", "remove", "one")
    assert "no secret 'one'" in call("-c", config, "secret", "remove", "one", status=1)


def test_an_empty_or_endless_secret_is_refused(config):
    call("-c", config, "secret", "set", "x", stdin="\n", status=1)
    call("-c", config, "secret", "set", "x", stdin="y" * 70_000, status=1)


def test_without_a_scheme_or_its_variable_there_is_a_line_with_the_remedy(config, monkeypatch):
    monkeypatch.delenv("THE_PASSWORD")
    said = call("-c", config, "secret", "set", "x", stdin="y\n", status=1)
    assert "THE_PASSWORD" in said
    assert "correct horse" not in said
    call("-c", config, "init", "portal", "-t", "portal", "--force")
    assert "encryption --environment" in call("-c", config, "secret", "set", "x", stdin="y\n", status=1)
    assert "Choose one" in call("-c", config, "encryption", status=2)


def test_a_secret_of_an_existing_agent_opens_and_is_brought_to_the_new_form(config):
    call("-c", config, "encryption", "--simple")
    key = Key.from_hex("b13ba2e21ce7f24954be9cb923b8925602283165f52bbb30e999394039bb1a7d")
    call("-c", config, "extra", "set", "old", seal(key, b'"s3cret and more than that"').hex())
    assert json.loads(call("-c", config, "secret", "list", "--json")) == [
        {"key": "old", "form": "v0", "opens": True}
    ]
    call("-c", config, "secret", "reencrypt", "--format", "v1")
    loaded = AgentConfig.load(config)
    assert loaded.secret("old") == "s3cret and more than that"
    assert loaded.extras["old"].startswith(PREFIX)


def test_another_scheme_names_the_secrets_that_it_orphans_or_takes_them_along(config, monkeypatch):
    call("-c", config, "secret", "set", "pw", stdin="hunter2\n")
    monkeypatch.setenv("OTHER", "battery staple")
    before = config.read_text()
    refusal = call("-c", config, "encryption", "-e", "OTHER", status=1)
    assert "could not be read with that: pw. Nothing was changed. Use --reencrypt" in refusal
    assert config.read_text() == before
    call("-c", config, "encryption", "-e", "OTHER", "--force")
    assert json.loads(call("-c", config, "secret", "list", "--json"))[0]["opens"] is False
    assert "cannot be decrypted" in call("-c", config, "secret", "reencrypt", status=1)
    call("-c", config, "encryption", "-e", "THE_PASSWORD")
    call("-c", config, "encryption", "-e", "OTHER", "--reencrypt")
    assert AgentConfig.load(config).secret("pw") == "hunter2"


def test_when_reencrypting_fails_the_old_file_stays(config, monkeypatch):
    call("-c", config, "secret", "set", "pw", stdin="hunter2\n")
    before = config.read_text()
    assert "OTHER" in call("-c", config, "encryption", "-e", "OTHER", "--reencrypt", status=1)
    assert config.read_text() == before


def test_plain_options_are_listed_and_secrets_are_not_among_them(config):
    call("-c", config, "extra", "-k", "cluster", "-v", "c1")
    call("-c", config, "secret", "set", "pw", stdin="hunter2\n")
    assert json.loads(call("-c", config, "extra", "list", "--json")) == {"cluster": "c1"}
    call("-c", config, "extra", "remove", "cluster")
    call("-c", config, "extra", "-k", "cluster", status=2)
    assert AgentConfig.load(config).option("cluster") is None


def forms(config):
    return {row["key"]: row["form"] for row in json.loads(call("-c", config, "secret", "list", "--json"))}


def test_a_secret_is_written_in_the_format_that_its_readers_know(config):
    call("-c", config, "secret", "set", "first", "--format", "v0", stdin="one\n")
    call("-c", config, "secret", "set", "second", stdin="two\n")
    assert forms(config) == {"first": "v0", "second": "v0"}
    call("-c", config, "secret", "set", "second", "--format", "v1", stdin="two\n")
    call("-c", config, "secret", "set", "first", stdin="another\n")
    call("-c", config, "secret", "set", "third", stdin="three\n")
    assert forms(config) == {"first": "v0", "second": "v1", "third": "v1"}
    call("-c", config, "secret", "reencrypt")
    assert forms(config) == {"first": "v0", "second": "v1", "third": "v1"}
    call("-c", config, "secret", "reencrypt", "--format", "v0")
    assert set(forms(config).values()) == {"v0"}
    loaded = AgentConfig.load(config)
    assert [loaded.secret(key) for key in ("first", "second", "third")] == ["another", "two", "three"]
    call("-c", config, "secret", "reencrypt", "--format", "v1")
    assert set(forms(config).values()) == {"v1"}


def test_the_first_secret_of_a_file_has_the_better_format(config):
    call("-c", config, "secret", "set", "pw", stdin="hunter2\n")
    assert forms(config) == {"pw": "v1"}


@pytest.mark.parametrize(
    "words",
    [
        ["extra", "set", "key", "\udcff"],
        ["extra", "set", "\udcff", "value"],
        ["secret", "set", "key", "--value", "\udcff"],
        ["secret", "set", "\udcff", "--value", "x"],
        ["encryption", "--environment", "\udcff"],
        ["client", "add", "\udcff", "--ip", "127.0.0.1"],
        ["client", "add", "x", "--ip", "\udcff"],
        ["client", "add", "x", "--ip", "127.0.0.1", "--zone", "\udcff"],
        ["client", "add", "x", "--proxy", "\udcff"],
        ["server", "add", "\udcff"],
    ],
)
def test_words_that_are_not_utf8_are_refused_in_a_line_and_change_nothing(config, words):
    before = config.read_text()
    assert "not valid UTF-8" in call("-c", config, *words, status=2)
    assert config.read_text() == before


def test_a_secret_file_that_is_not_text_is_refused_in_a_line(config, tmp_path):
    (tmp_path / "value").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in call(
        "-c", config, "secret", "set", "k", "--value-file", tmp_path / "value", status=1
    )
