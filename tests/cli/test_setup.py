import errno
import json
import os
import stat
import tomllib

import pytest
from click.testing import CliRunner

from paddington import Invite
from paddington.config.locking import locked
from templemeads import AgentConfig, AgentType, refuse_every_job
from templemeads.cli import AgentDefaults, agent_app
from templemeads.cli.main import main

from .invoking import call


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("TEMPLEMEADS_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def portal(here):
    call("-c", "portal.toml", "init", "portal", "--type", "portal", "--port", "6501")
    return here / "portal.toml"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_init_writes_what_existing_agents_read(portal):
    assert tomllib.loads(portal.read_text()) == {
        "agent": "Portal",
        "service": {
            "name": "portal",
            "url": "ws://localhost:6501/",
            "ip": "127.0.0.1",
            "port": 6501,
            "servers": [],
            "clients": [],
        },
        "extras": {},
    }
    assert mode(portal) == 0o600


def test_init_takes_all_that_a_service_has(here):
    words = "-n agent -t instance -u https://a.example.org:8443/x -i 10.0.0.1 -p 1 -k 8080 -x X-Real-IP --trusted-proxy 10/8"
    call(
        "-c",
        "a.toml",
        "init",
        *words.split(),
        "--handler",
        "h.py:h",
        "--store",
        "memory:",
        "--control",
        "c.sock",
    )
    config = AgentConfig.load(here / "a.toml")
    assert config.service.url == "wss://a.example.org:8443/x"
    assert (config.service.healthcheck_port, config.service.proxy_header) == (8080, "X-Real-IP")
    assert (config.handler, config.store, config.control) == ("h.py:h", "memory:", "c.sock")


def warnings(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_path_that_is_dropped_is_said_by_init_by_server_add_and_by_the_check(here, portal):
    said = warnings("-c", "a.toml", "init", "a", "-t", "instance", "--url", "wss://a.example.org/agent")
    assert "path '/agent' of 'wss://a.example.org/agent' is dropped" in said
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1", "--output", "i.toml")
    invitation = here / "i.toml"
    invitation.write_text(invitation.read_text().replace("ws://localhost:6501/", "ws://localhost/portal"))
    call("-c", "cluster.toml", "init", "cluster", "-t", "instance")
    assert "path '/portal'" in warnings("-c", "cluster.toml", "server", "add", "i.toml")
    portal.write_text(portal.read_text().replace("ws://localhost:6501/", "ws://localhost/portal"))
    assert 'the path "/portal" is dropped' in call("-c", portal, "config", "check")
    assert "dropped" not in call("-c", "cluster.toml", "config", "check")


def test_the_keys_behind_a_link_are_destroyed_too(here, portal):
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1", "--output", "i.toml")
    (here / "link.toml").symlink_to("i.toml")
    call("-c", "cluster.toml", "init", "cluster", "-t", "instance")
    call("-c", "cluster.toml", "server", "add", "link.toml", "--destroy")
    assert {"i.toml", "link.toml"}.isdisjoint(os.listdir(here))


@pytest.mark.parametrize(
    "words", [["client", "add", "new", "--ip", "127.0.0.1"], ["client", "rotate", "cluster"]]
)
def test_no_invitation_is_left_when_the_configuration_cannot_be_written(here, portal, monkeypatch, words):
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1", "--output", "i.toml")
    before = portal.read_text()
    replace = os.replace

    def busy(source, target):
        if os.fspath(target) == os.fspath(portal):
            raise OSError(errno.EBUSY, "Device or resource busy")
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    assert "mounted as a single file" in call("-c", portal, *words, "--output", "new.toml", status=1)
    assert portal.read_text() == before
    assert sorted(os.listdir(here)) == ["i.toml", "portal.toml"]


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon", "1e9"])
def test_a_wait_that_is_no_time_is_refused(portal, monkeypatch, seconds):
    monkeypatch.setenv("TEMPLEMEADS_LOCK_SECONDS", seconds)
    assert "TEMPLEMEADS_LOCK_SECONDS is" in call("-c", portal, "extra", "set", "a", "b", status=1)


def test_an_edit_waits_as_long_as_it_is_told_and_says_for_whom(portal, monkeypatch):
    monkeypatch.setenv("TEMPLEMEADS_LOCK_SECONDS", "0")
    with locked(portal):
        assert f"locked by process {os.getpid()}" in call("-c", portal, "extra", "set", "a", "b", status=1)


def test_init_replaces_nothing_unless_it_is_told_to(portal):
    before = portal.read_text()
    assert "Use --force to replace it" in call("-c", portal, "init", "other", "-t", "portal", status=1)
    assert portal.read_text() == before
    call("-c", portal, "init", "other", "-t", "portal", "--force")
    assert AgentConfig.load(portal).name == "other"


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["init", "a"], 2, "needs a type"),
        (["init", "-t", "portal"], 2, "needs a name"),
        (["init", "a", "-n", "b", "-t", "portal"], 2, "Give one"),
        (["init", "a b", "-t", "portal"], 1, "name"),
        (["init", "a", "-t", "portal", "-i", "1.2.3"], 1, "address"),
        (["init", "a", "-t", "portal", "-u", "nonsense://"], 1, "rl"),
        (["init", "a", "-t", "portal", "--store", "file"], 1, "no store"),
        (["init", "a", "-t", "portal", "-p", "70000"], 2, "range"),
        (["client", "list"], 1, "no configuration"),
        (["client", "add", "a", "--ip", "1.2.3.4"], 1, "no configuration"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_leaves_nothing_behind(here, words, status, why):
    assert why in call("-c", "sub/a.toml", *words, status=status)
    assert list(here.iterdir()) == []


def test_an_invitation_goes_from_one_configuration_into_the_other(portal, here):
    call("-c", portal, "client", "add", "cluster", "--ip", "10.0.0.0/8", "--type", "instance", "-o", "i.toml")
    assert mode(here / "i.toml") == 0o600
    call("-c", "cluster.toml", "init", "cluster", "-t", "instance")
    said = call("-c", "cluster.toml", "server", "add", "i.toml")
    assert "portal@default, called at ws://localhost:6501/, type portal" in said
    assert "delete it" in said
    ours, theirs = (
        AgentConfig.load(portal).service.clients[0],
        AgentConfig.load("cluster.toml").service.servers[0],
    )
    assert (ours.inner_key, ours.outer_key) == (theirs.inner_key, theirs.outer_key)
    assert json.loads(call("-c", portal, "client", "list", "--json")) == [
        {"name": "cluster", "zone": "default", "ip": "10.0.0.0/8", "proxy": None, "type": "instance"}
    ]
    assert "portal" in call("-c", "cluster.toml", "server", "list")


def test_comments_and_order_survive_an_edit(portal):
    text = "# our portal\n" + portal.read_text().replace('name = "portal"', 'name = "portal" # its name')
    portal.write_text(text)
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1")
    call("-c", portal, "client", "remove", "cluster")
    assert portal.read_text().startswith("# our portal\n")
    assert 'name = "portal" # its name' in portal.read_text()


def test_an_invitation_is_never_overwritten_silently(portal, here):
    call("-c", portal, "client", "add", "one", "--ip", "127.0.0.1")
    first = (here / "invite_portal_default.toml").read_text()
    assert "--output" in call("-c", portal, "client", "add", "two", "--ip", "127.0.0.1", status=1)
    assert (here / "invite_portal_default.toml").read_text() == first
    assert [client.name for client in AgentConfig.load(portal).service.clients] == ["one"]
    call("-c", portal, "client", "add", "two", "--ip", "127.0.0.1", "--force")


def test_an_invitation_that_others_can_read_is_refused_unless_that_is_fine(portal, here):
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1", "-o", "i.toml")
    call("-c", "cluster.toml", "init", "cluster", "-t", "instance")
    (here / "i.toml").chmod(0o640)
    assert "chmod 600" in call("-c", "cluster.toml", "server", "add", "i.toml", status=1)
    call("-c", "cluster.toml", "server", "add", "i.toml", "--allow-readable", "--destroy")
    assert not (here / "i.toml").exists()


def test_so_is_a_configuration_with_keys(portal):
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1")
    portal.chmod(0o644)
    assert "chmod 600" in call("-c", portal, "client", "list", status=1)
    assert "cluster" in call("-c", portal, "--allow-readable", "client", "list")
    call("-c", portal, "--allow-readable", "client", "remove", "cluster")
    assert mode(portal) == 0o600


def test_a_peer_is_not_replaced_by_an_invitation_unless_that_is_meant(portal, here):
    call("-c", "cluster.toml", "init", "cluster", "-t", "instance")
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1", "-o", "i.toml")
    call("-c", "cluster.toml", "server", "add", "i.toml")
    assert "server rotate" in call("-c", "cluster.toml", "server", "add", "i.toml", status=1)
    call("-c", "cluster.toml", "server", "add", "i.toml", "--replace")
    assert "not 'other'" in call("-c", "cluster.toml", "server", "add", "i.toml", "-z", "other", status=1)


def test_keys_are_rotated_on_both_sides(portal, here):
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1", "-o", "i.toml")
    call("-c", "cluster.toml", "init", "cluster", "-t", "instance")
    call("-c", "cluster.toml", "server", "add", "i.toml")
    before = AgentConfig.load(portal).service.clients[0]
    call("-c", portal, "client", "rotate", "cluster")
    call("-c", "cluster.toml", "server", "rotate", "rotate_portal_default.toml", "--destroy")
    ours, theirs = (
        AgentConfig.load(portal).service.clients[0],
        AgentConfig.load("cluster.toml").service.servers[0],
    )
    assert (ours.inner_key, ours.outer_key) == (theirs.inner_key, theirs.outer_key)
    assert ours.inner_key != before.inner_key
    assert "no client" in call("-c", portal, "client", "rotate", "nobody", "-o", "r.toml", status=1)
    assert not (here / "r.toml").exists()


def test_the_options_of_existing_agents_do_the_same(portal, here):
    call("-c", portal, "client", "--add", "cluster", "--ip", "127.0.0.1", "--zone", "internal")
    invite = here / "invite_portal_internal.toml"
    assert Invite.load(invite).zone == "internal"
    call("-c", "cluster.toml", "init", "--service", "cluster", "-t", "instance")
    call("-c", "cluster.toml", "server", "--add", invite)
    assert "internal" in call("-c", portal, "client", "--list")
    assert "portal" in call("-c", "cluster.toml", "server", "-l")
    call("-c", portal, "client", "--rotate", "cluster")
    call("-c", "cluster.toml", "server", "--rotate", "rotate_portal_internal.toml")
    call("-c", "cluster.toml", "server", "--remove", "portal")
    call("-c", portal, "client", "--remove", "cluster")
    assert "nothing to remove" in call("-c", portal, "client", "--remove", "cluster")
    assert "Usage" in call("-c", portal, "client")


def test_two_zones_of_one_name_must_be_told_apart(portal):
    for zone in ("a", "b"):
        call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1", "-z", zone)
    assert "several zones" in call("-c", portal, "client", "remove", "cluster", status=1)
    call("-c", portal, "client", "remove", "cluster", "-z", "a")


@pytest.mark.parametrize("name", ["../../x", "a/b", "-", "x" * 300, "a\nb", "a b"])
def test_a_name_that_is_none_reaches_no_file_name(portal, here, name):
    before = portal.read_text()
    call("-c", portal, "client", "add", "--ip", "127.0.0.1", "--", name, status=0 if name == "-" else 1)
    if name != "-":
        assert portal.read_text() == before
        assert sorted(path.name for path in here.iterdir()) == ["portal.toml"]


def test_an_executable_of_ones_own_has_defaults_and_refuses_files_of_other_types(here):
    group = agent_app(
        AgentDefaults(agent_type=AgentType.INSTANCE, name="cluster", config_file="c.toml", port=8091),
        refuse_every_job,
    )
    call("init", group=group)
    config = AgentConfig.load(here / "c.toml")
    assert (config.name, config.agent_type, config.service.port) == ("cluster", AgentType.INSTANCE, 8091)
    assert "leave out --type" in call("-c", "d.toml", "init", "--type", "portal", group=group, status=2)
    call("-c", "p.toml", "init", "portal", "-t", "portal")
    assert "is a Instance agent" in call("-c", "p.toml", "client", "list", group=group, status=1)
    assert "Instance agent cluster" in call("--help", group=group)


def test_its_configuration_is_where_existing_agents_have_theirs(here, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "conf"))
    call(
        "init",
        group=agent_app(AgentDefaults(agent_type=AgentType.INSTANCE, name="cluster"), refuse_every_job),
    )
    assert (here / "conf/openportal/cluster-config.toml").exists()
    call("init", "a", "-t", "portal")
    assert (here / "conf/templemeads/agent.toml").exists()
    assert mode(here / "conf/templemeads") == 0o700


def test_the_check_ends_with_1_exactly_when_the_agent_would_not_start(portal):
    said = call("-c", portal, "config", "check")
    assert "advice: no peers are known" in said
    portal.write_text(portal.read_text().replace("6501", "95010").replace("Portal", "Portall"))
    found = json.loads(call_both(portal))
    assert [(each["line"], each["error"]) for each in found if each["error"]] == [
        (1, True),
        (5, True),
        (7, True),
    ]


def call_both(portal):
    from click.testing import CliRunner

    from templemeads.cli.main import main

    done = CliRunner().invoke(main, ["-c", str(portal), "config", "check", "--json"])
    assert done.exit_code == 1
    assert done.stderr == "Error: 3 problems prevent the agent from starting\n"
    return done.stdout


def test_a_configuration_is_shown_without_its_keys(portal):
    call("-c", portal, "client", "add", "cluster", "--ip", "127.0.0.1")
    call("-c", portal, "encryption", "--simple")
    call("-c", portal, "secret", "set", "pw", stdin="hunter2\n")
    text = portal.read_text()
    for shown in (call("-c", portal, "config", "show"), call("-c", portal, "config", "show", "--json")):
        assert "cluster" in shown
        assert "op-secret" not in shown
        for client in AgentConfig.load(portal).service.clients:
            assert client.inner_key.hex() in text
            assert client.inner_key.hex() not in shown


EXISTING = f"""\
agent = "Instance"

[service]
name = "cluster"
url = "wss://cluster.example.org:8046/"
ip = "0.0.0.0"
port = 8046
heathcheck_port = 8080
proxy_header = "X-Real-IP"

[[service.servers]]
name = "clusters"
url = "wss://clusters.example.org:8045/"
zone = "default"

[service.servers.inner_key]
data = "{"2c" * 32}"

[service.servers.outer_key]
data = "{"c2" * 32}"

[[service.clients]]
name = "freeipa"
zone = "internal"

[service.clients.ip]
IP = "10.0.0.7"

[service.clients.inner_key]
data = "{"01" * 32}"

[service.clients.outer_key]
data = "{"02" * 32}"

[[service.clients]]
name = "slurm"
zone = "internal"

[service.clients.ip]
Range = "10.1.0.0/16"

[service.clients.inner_key]
data = "{"03" * 32}"

[service.clients.outer_key]
data = "{"04" * 32}"

[service.encryption.Environment]
key = "OPENPORTAL_SECRET"

[extras]
some-option = "plain text"
"""


def test_the_file_of_an_existing_agent_works_unchanged(here):
    path = here / "cluster-config.toml"
    path.write_text(EXISTING)
    path.chmod(0o600)
    assert "error" not in call("-c", path, "config", "check")
    assert len(json.loads(call("-c", path, "client", "list", "--json"))) == 2
    call("-c", path, "client", "add", "filesystem", "--ip", "10.0.0.8", "-z", "internal")
    call("-c", path, "client", "remove", "filesystem")
    assert tomllib.loads(path.read_text()) == tomllib.loads(EXISTING)
    assert path.read_text().replace("\n\n\n", "\n\n") == EXISTING  # but for a blank line


def test_two_who_edit_at_once_lose_nothing(portal):
    from concurrent.futures import ThreadPoolExecutor

    from templemeads.cli.app import App

    def add(number):
        with App(program="x", config_file=portal).edit() as config:
            config.service.add_client(f"c{number}", "127.0.0.1")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(16)))
    assert {client.name for client in AgentConfig.load(portal).service.clients} == {
        f"c{n}" for n in range(16)
    }
    assert [path.name for path in portal.parent.iterdir()] == ["portal.toml"]
