"""The commands that ask a running agent: two agents over lines in memory, in a thread, with a real control socket."""

import io
import json
import socket
import threading

import pytest
import trio
from click.testing import CliRunner

from templemeads import Envelope, Handlers, JobError, UserIdentifier, UserMapping
from templemeads.cli.main import main
from templemeads.daemon.control import serve_control
from templemeads.grammar import AddUser, RemoveUser
from templemeads.testing.networks import open_chain

from .invoking import call

handlers = Handlers()


@handlers.add(AddUser)
async def add_user(envelope: Envelope, user: UserIdentifier) -> UserMapping:
    await envelope.progress(f"making a home for {user.username}")
    if user.username == "slow":
        await trio.sleep_forever()
    return UserMapping(user, user.username, user.project)


@handlers.add(RemoveUser)
async def remove_user(_: Envelope, user: UserIdentifier) -> UserMapping:
    raise JobError("protected\x1b[2J\nforged line", kind="invalid")


class InThread:
    """Agents in a thread of their own, as another process would have them."""

    def __init__(self, path):
        self.path = path
        self.ready = threading.Event()
        self.thread = threading.Thread(target=trio.run, args=(self.main,))

    async def main(self):
        async with (
            open_chain("portal", "cluster", handler=handlers) as self.chain,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(serve_control, self.chain.first, self.path)
            self.token, self.scope = trio.lowlevel.current_trio_token(), nursery.cancel_scope
            self.ready.set()
            await trio.sleep_forever()

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(20)
        return self

    def __exit__(self, *error):
        self.token.run_sync_soon(self.scope.cancel)
        self.thread.join(20)


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "a.sock"
    with InThread(path) as running:

        def ask(*words, **options):
            return call("--socket", path, *words, **options)

        ask.chain = running.chain
        ask.socket = path
        yield ask


ADD = "portal.cluster add_user fred.proj.portal"


def test_put_waits_and_prints_the_result(agent):
    assert agent("put", ADD, "--wait") == "fred.proj.portal:fred:proj\n"


def test_put_needs_no_quotes(agent):
    assert agent("put", *ADD.split(), "--wait") == "fred.proj.portal:fred:proj\n"


def completions(agent, line):
    words = ["templemeads", "--socket", str(agent.socket), *line.split(" ")]
    environment = {
        "_TEMPLEMEADS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    output = CliRunner().invoke(main, [], env=environment, prog_name="templemeads").output
    return [each.partition(",")[2] for each in output.splitlines() if each]


def test_tab_offers_jobs_agents_and_instructions(agent):
    job_id = agent("put", *ADD.split()).strip()
    assert job_id in completions(agent, "job ")
    assert completions(agent, f"delete {job_id[:13]}") == [job_id]
    assert "portal.cluster" in completions(agent, "put ")
    assert completions(agent, "diagnostics clu") == ["cluster"]
    assert completions(agent, "put portal.cluster add_us") == ["add_user"]


def test_tab_offers_nothing_and_complains_of_nothing_without_an_agent(tmp_path):
    class Nobody:
        socket = tmp_path / "nobody.sock"

    assert (
        completions(Nobody, "job x") == completions(Nobody, "put x") == completions(Nobody, "restart x") == []
    )


def test_an_error_of_the_job_is_status_4_and_one_harmless_line(agent):
    said = agent("put", "portal.cluster remove_user fred.proj.portal", "--wait", status=4)
    assert said == "Error: protected\\x1b[2J\\nforged line\n"


def test_a_job_that_takes_too_long_is_status_5_and_goes_on(agent):
    said = agent("put", "portal.cluster add_user slow.proj.portal", "--wait", "--timeout", "0.3", status=5)
    assert "is running after 0.3 s; the job goes on" in said
    assert "making a home for slow" in said
    job_id = json.loads(agent("jobs", "--state", "running", "--json"))[0]["id"]
    assert "running" in agent("job", job_id[:8], "--wait", "--timeout", "0.2", status=5)
    assert job_id in agent("delete", job_id[:8])
    assert agent("job", job_id, status=1)


def test_put_without_waiting_prints_the_id_which_job_takes(agent):
    job_id = agent("put", "portal.cluster add_user jane.proj.portal").strip()
    assert agent("job", job_id, "--wait") == "jane.proj.portal:jane:proj\n"
    shown = agent("job", job_id[:8])
    assert "portal.cluster add_user jane.proj.portal" in shown
    assert "state     Complete" in shown
    (found,) = json.loads(agent("job", job_id, "--json"))
    assert (found["board"], found["value"]) == ("cluster@default", "jane.proj.portal:jane:proj")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("portal.cluster jump", "jump"),
        ("portal.cluster add_user fred.proj.other", "portal"),
        ("portal.nobody add_user fred.proj.portal", "nobody"),
        ("cluster.portal add_user fred.proj.cluster", "does not begin with this agent"),
    ],
)
def test_a_command_that_is_none_is_a_sentence(agent, command, why):
    assert why in agent("put", command, status=1)


def test_the_status_is_for_people_or_programs(agent):
    shown = agent("status")
    assert shown.startswith("Portal agent portal (templemeads ")
    assert "cluster@default  Instance  connected" in shown
    assert json.loads(agent("status", "--json"))["peers"][0]["name"] == "cluster"


def test_jobs_are_filtered(agent):
    agent("put", ADD, "--wait")
    assert "fred.proj.portal" in agent("jobs", "--text", "fred")
    assert "fred" not in agent("jobs", "--text", "nobody at all")
    assert json.loads(agent("jobs", "--peer", "elsewhere", "--json")) == []
    assert len(json.loads(agent("jobs", "--limit", "1", "--json"))) == 1


def test_health_diagnostics_and_notifications(agent):
    assert "└─ cluster" in agent("health", "--tree")
    assert "cluster" not in agent("health")
    assert json.loads(agent("health", "--tree", "--json"))["peers"]["cluster"]["agent_type"] == "Instance"
    agent("put", "portal.cluster remove_user fred.proj.portal", "--wait", status=4)
    shown = agent("diagnostics", "cluster")
    assert "protected" in shown
    assert "\x1b[2J" not in shown
    assert json.loads(agent("diagnostics", "--json"))["agent_name"] == "portal"
    assert "knows no peer" in agent("diagnostics", "nobody", status=1)
    assert agent("notify", "portal.cluster user_added fred.proj.portal") == "Sent\n"
    assert "not connected" in agent("notify", "portal.nobody user_added fred.proj.portal", status=1)


def test_a_restart_is_confirmed_first(agent):
    assert "Nothing was restarted" in agent("restart", "cluster", stdin="n\n", status=1)
    assert "knows no peer" in agent("restart", "nobody", "--yes", status=1)


def test_top_shows_a_few_looks_and_ends(agent):
    lines = agent("top", "--count", "2", "--delay", "0.1").splitlines()
    assert len(lines) == 2
    assert all(line.startswith("Portal portal") for line in lines)
    assert json.loads(agent("top", "--count", "1", "--json"))["agent"] == "portal"


def test_the_live_view_draws_peers_and_jobs(agent):
    from rich.console import Console

    from templemeads.cli.top import _screen

    found = json.loads(agent("top", "--count", "1", "--json"))
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(_screen(found, None))
    text = console.export_text()
    assert "cluster@default" in text
    assert "add_user fred.proj.portal" in text


def test_no_running_agent_says_so_and_how_to_start_it(tmp_path):
    call("-c", tmp_path / "a.toml", "init", "portal", "-t", "portal")
    for words in (
        ["status"],
        ["jobs"],
        ["put", ADD],
        ["health"],
        ["diagnostics"],
        ["top"],
        ["restart", "--yes"],
    ):
        said = call("-c", tmp_path / "a.toml", *words, status=3)
        assert f"No running agent answers at {tmp_path / 'a.sock'}" in said
        assert f"-c {tmp_path / 'a.toml'} run" in said
    assert "no configuration" in call("-c", tmp_path / "b.toml", "status", status=3)


def test_the_socket_is_where_it_was_named_configured_or_given_by_systemd(tmp_path, monkeypatch):
    from pathlib import Path

    from templemeads.cli.control import server_socket

    config = tmp_path / "a.toml"
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert server_socket(None, config, None) == tmp_path / "a.sock"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/x:/run/y")
    assert server_socket(None, config, None) == Path("/run/x/a.sock")
    assert server_socket(None, config, "c.sock") == tmp_path / "c.sock"
    assert server_socket(None, config, "/run/c.sock") == Path("/run/c.sock")
    assert server_socket(tmp_path / "d.sock", config, "c.sock") == tmp_path / "d.sock"


def test_an_agent_that_does_not_answer_is_told_from_one_that_is_not_there(tmp_path, monkeypatch):
    from templemeads.cli import control

    monkeypatch.setattr(control, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(control, "WORK_SECONDS", 0.2)
    path = tmp_path / "hung.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(path))
        hung.listen(8)
        for words in (
            ["status"],
            ["jobs"],
            ["health", "--tree"],
            ["diagnostics"],
            ["top", "-n", "1"],
            ["job", "abcdef"],
        ):
            said = call("--socket", path, *words, status=6)
            assert "runs but does not answer within 0.1 s" in said
        assert "within 0.2 s" in call("--socket", path, "notify", "a.b user_added a.b.c", status=6)
        said = call("--socket", path, "put", "a.b add_user c.d.a", "--wait", "--timeout", "0.1", status=5)
        assert "No answer within 0.1 s" in said
    assert "Start it with" in call("--socket", path, "status", status=3)
