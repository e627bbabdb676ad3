import json
from pathlib import Path

import pytest

from paddington import ConfigError, ServiceConfig
from templemeads import AgentConfig, AgentType, Limits
from templemeads.store_url import parse_store

VECTOR = json.loads((Path(__file__).parents[1] / "data" / "wire_vectors.json").read_text())["config"]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_configuration_of_an_existing_agent_loads_as_it_is(tmp_path):
    config = AgentConfig.load(write(tmp_path / "agent.toml", VECTOR["toml"]))
    expect = VECTOR["expect"]
    assert config.agent_type is AgentType(expect["agent"])
    assert (config.name, config.service.port) == (expect["name"], expect["port"])
    assert {key: config.option(key) for key in expect["extras"]} == expect["extras"]
    assert {key: config.secret(key) for key in expect["secrets"]} == expect["secrets"]
    assert config.option("absent", "default") == "default"
    assert config.secret("absent") is None


def test_a_configuration_survives_its_file_and_the_file_keeps_its_comments(tmp_path):
    path = write(tmp_path / "agent.toml", "# ours\n" + VECTOR["toml"] + "\n[bridge] # foreign\nurl = 'x'\n")
    config = AgentConfig.load(path)
    config.extras["more"] = "text"
    config.store = "sqlite:///boards.db"
    config.handler = "package.module:handler"
    config.limits = Limits(handlers=7)
    config.save(path)
    again = AgentConfig.load(path)
    assert again == config
    assert again.limits.handlers == 7
    text = path.read_text()
    assert text.startswith("# ours\n")
    assert "# foreign" in text
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_configuration_is_written_and_read(tmp_path):
    config = AgentConfig(ServiceConfig.create("cluster"), AgentType.INSTANCE)
    config.save(tmp_path / "new.toml")
    assert AgentConfig.load(tmp_path / "new.toml") == config


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('agent = "Provider"', 'agent = "provider"', '"agent" must be one of Portal'),
        ('agent = "Provider"', "", '"agent" is missing'),
        ("[extras]", "[limits]\nhandlers = 0\n[extras]", "handlers"),
        ("[extras]", "[limits]\nhandlres = 1\n[extras]", "no limit 'handlres'"),
        ('"a value"', "5", "plain-option"),
        ("[extras]", 'x = "y\n[extras]', "line"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(tmp_path, before, after, complaint):
    text = VECTOR["toml"].replace(before, after, 1)
    assert text != VECTOR["toml"]
    with pytest.raises(ConfigError, match=complaint):
        AgentConfig.load(write(tmp_path / "agent.toml", text))


def test_a_file_with_keys_that_others_can_read_is_refused_with_the_fix(tmp_path):
    path = write(tmp_path / "agent.toml", VECTOR["toml"])
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        AgentConfig.load(path)
    AgentConfig.load(path, allow_readable=True)


def test_stores_are_named_by_a_setting():
    assert parse_store(None) is None
    assert parse_store("memory:") is None
    assert parse_store("sqlite:///boards.db") == Path("boards.db")
    assert parse_store("sqlite:////var/lib/boards.db") == Path("/var/lib/boards.db")
    for wrong in ("sqlite:///", "boards.db", "mysql://x", ""):
        with pytest.raises(ConfigError, match="is no store"):
            parse_store(wrong)


def test_secrets_and_keys_never_show_in_a_repr(tmp_path):
    config = AgentConfig.load(write(tmp_path / "agent.toml", VECTOR["toml"]))
    shown = repr(config)
    for client in VECTOR["expect"]["clients"]:
        assert client["inner_key"] not in shown
    assert "f7efedca1ca7c2bf" not in shown
