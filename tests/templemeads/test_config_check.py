import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import ConfigError, ServiceConfig
from paddington.config.secrets import looks_like_secret
from templemeads import AgentConfig, AgentType, ParseError
from templemeads.config_check import check_config

BAD = """\
agent = "Portall"
store = "foo"
hanlder = "x:y"

[service]
name = "por tal"
url = "ws://localhost:8040/"
ip = "127.0.0.300"
port = 80400
healthcheck_port = 8080
servers = []

[[service.clients]]
name = "a"
zone = "def ault"
[service.clients.ip]
IPP = "10.0.0.7"
[service.clients.inner_key]
data = "zz"
[service.clients.outer_key]
data = "00"

[[service.clients]]
name = "b"
[service.clients.ip]
IP = "10.0.0.7"

[extras]
x = 3
"""


def test_every_mistake_is_found_at_once_with_its_line():
    problems = check_config(BAD)
    assert [problem.line for problem in problems if problem.is_error] == [
        1,
        2,
        6,
        8,
        9,
        15,
        16,
        18,
        20,
        23,
        23,
        29,
    ]
    advice = {problem.line: problem.text for problem in problems if not problem.is_error}
    assert "did you mean handler?" in advice[3]
    assert "heathcheck_port, without the first l" in advice[10]


def test_no_problem_repeats_a_value_that_may_be_a_key():
    secret = "0123456789abcdef" * 3
    problems = check_config(BAD.replace('"zz"', f'"{secret}"'))
    assert not any(secret[:10] in problem.text for problem in problems)


def sound(tmp_path, **options):
    service = ServiceConfig.create("portal", port=6501)
    service.add_client("cluster", "10.0.0.7")
    AgentConfig(service, AgentType.PORTAL, **options).save(tmp_path / "portal.toml")
    return (tmp_path / "portal.toml").read_text()


def test_a_sound_file_has_no_problems(tmp_path):
    assert check_config(sound(tmp_path)) == []


def test_what_is_wrong_between_entries_shows_when_each_is_sound(tmp_path):
    text = sound(tmp_path)
    entry = text[text.index("[[service.clients]]") : text.index("[extras]")]
    problems = check_config(text.replace(entry, entry + entry))
    assert [("two client" in problem.text, problem.is_error) for problem in problems] == [(True, True)]


def test_what_works_but_deserves_a_look_is_advice(tmp_path):
    text = sound(tmp_path, extras={"old": "00" * 45})
    text = text.replace("servers = []\n", 'servers = []\nproxy_header = "X-Real-IP"\n')
    text += (
        '\n[[service.servers]]\nname = "far"\nurl = "ws://far.example.org:80/"\nzone = "default"\n'
        f'[service.servers.inner_key]\ndata = "{"01" * 32}"\n[service.servers.outer_key]\ndata = "{"02" * 32}"\n'
    )
    text = text.replace("servers = []\n", "")
    problems = check_config(text)
    assert not any(problem.is_error for problem in problems)
    words = " ".join(problem.text for problem in problems)
    assert "proxy_header is ignored until trusted_proxy" in words
    assert "without TLS" in words
    assert "secret reencrypt" in words


def test_broken_toml_names_its_line():
    (problem,) = check_config('agent = "Portal"\n[service\n')
    assert (problem.line, problem.is_error) == (2, True)


@given(st.lists(st.sampled_from(BAD.splitlines()), max_size=12).map("\n".join))
def test_the_check_finds_an_error_exactly_when_the_agent_would_not_start(text):
    try:
        AgentConfig.from_toml(tomllib.loads(text))
    except (ConfigError, ParseError, tomllib.TOMLDecodeError):
        starts = False
    else:
        starts = True
    assert any(problem.is_error for problem in check_config(text)) != starts


@pytest.mark.parametrize(
    ("value", "is_secret"),
    [("op-secret-v1:aa:bb", True), ("ab" * 45, True), ("plain", False), ("ab" * 10, False), ("", False)],
)
def test_secrets_are_told_from_options_by_their_form(value, is_secret):
    assert looks_like_secret(value) is is_secret


@pytest.mark.parametrize(("length", "found"), [(100, []), (101, [2])])
def test_a_path_too_long_for_a_control_socket_is_found(length: int, found: list[int]) -> None:
    service = (
        'name = "portal"\nurl = "ws://localhost:1/"\nip = "127.0.0.1"\nport = 1\nservers = []\nclients = []\n'
    )
    text = f'agent = "Portal"\ncontrol = "/{"c" * (length - 1)}"\n[service]\n{service}'
    assert [problem.line for problem in check_config(text) if problem.is_error] == found
