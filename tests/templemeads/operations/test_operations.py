"""Operations between whole agents, over lines in memory and a clock that jumps."""

import json
import logging

import pytest
import trio
import trio.lowlevel

from templemeads import AgentType, Envelope, Limits, PeerNotFoundError, RefusedError
from templemeads.grammar import Notification
from templemeads.jobs.commands import (
    DiagnosticsRequest,
    Error,
    HealthCheck,
    HealthResponse,
    Notify,
    Restart,
    encode,
)
from templemeads.logcontext import RecentLogs
from templemeads.operations.health import HealthInfo, Reading, read_state
from templemeads.operations.operations import MAX_RESTARTS_WATCHED, RESTART_SECONDS
from templemeads.testing.networks import open_chain

NAMES = ("waldur", "brics", "notebook", "shared")


async def done(envelope: Envelope) -> str:
    return "done"


def send_to_neighbour(agent, text):
    """Queue a command for the first peer of an agent."""
    assert agent.peers.send(agent.peers.states[0].peer, text)


def tree(health):
    return {health.name: [tree(peer) for peer in health.peers.values()]}


def states(health, parent=None, above=None):
    reading = read_state(health, parent, above)
    found = {health.name: reading.state}
    for peer in health.peers.values():
        found |= states(peer, health, reading)
    return found


async def put(chain, text="add_user fred.proj.waldur"):
    return await (await chain.first.submit(f"{chain.path} {text}")).wait()


async def test_a_sweep_from_the_portal_finds_everybody_behind_it(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        await put(chain)
        health = await chain["waldur"].operations.health()
        assert tree(health) == {"waldur": [{"brics": [{"notebook": [{"shared": []}]}]}]}
        shared = health.peers["brics"].peers["notebook"].peers["shared"]
        assert (shared.agent_type, shared.total_completed, shared.job_time_count) == ("Instance", 1, 1)
        assert shared.active_jobs == 1
        assert health.peers["brics"].inflight_jobs == 1


async def test_a_sweep_does_not_go_towards_the_portal(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        assert tree(await chain["shared"].operations.health()) == {"shared": []}


async def test_an_agent_below_gets_no_answer_and_is_counted(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        for command in (HealthCheck(), DiagnosticsRequest("waldur"), Restart("hard", "waldur")):
            send_to_neighbour(chain["shared"], encode(command))
        await trio.sleep(1)
        assert chain["waldur"].statistics().refused == {"not-above": 3}
        assert not chain["waldur"].operations.exit_asked.is_set()


async def test_a_peer_that_is_away_shows_its_last_health_as_not_connected(autojump_clock):
    async with open_chain(*NAMES[:3], handler=done) as chain:
        await chain["waldur"].operations.health()
        chain.network.block(6501)
        chain.network.cut()
        await chain["waldur"].wait_gone("brics")
        started = trio.current_time()
        health = await chain["waldur"].operations.health()
        assert list(states(health).values()) == ["connected", "away", "away"]
        assert not health.peers["brics"].peers["notebook"].connected
        assert tree(health) == {"waldur": [{"brics": [{"notebook": []}]}]}
        assert trio.current_time() == started  # nobody to wait for


async def test_a_silent_agent_far_away_costs_no_level_above_its_answer(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        silent = chain["shared"].operations
        silent.questions.receive_question = lambda peer, command: None
        started = trio.current_time()
        health = await chain["waldur"].operations.health()
        assert tree(health) == {"waldur": [{"brics": [{"notebook": [{"shared": []}]}]}]}
        assert list(states(health).values()) == ["connected", "connected", "connected", "no answer"]
        assert trio.current_time() - started == pytest.approx(0.3)


async def test_an_agent_that_hangs_is_shown_with_the_age_of_its_last_answer(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        await chain["waldur"].operations.health()
        chain["notebook"].operations.questions.receive_question = lambda peer, command: None
        await trio.sleep(180)
        health = await chain["waldur"].operations.health()
        assert list(states(health).values()) == ["connected", "connected", "no answer", "no answer"]
        brics = health.peers["brics"]
        root = Reading("connected", 0.0)
        above = read_state(brics, health, root)
        notebook = read_state(brics.peers["notebook"], brics, above)
        shared = read_state(brics.peers["notebook"].peers["shared"], brics.peers["notebook"], notebook)
        assert above.age == pytest.approx(0, abs=0.5)
        assert notebook.age == pytest.approx(180, abs=1)
        assert shared.age == pytest.approx(180, abs=1)


async def test_answers_that_nobody_asked_for_or_of_another_name_are_refused(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        below = chain["shared"]
        health = chain["shared"].operations.own_health().to_json()
        send_to_neighbour(below, encode(HealthResponse(health)))
        await trio.sleep(1)
        assert chain["waldur"].statistics().refused == {"unasked": 1}
        chain["shared"].operations.questions.health = renamed(chain["shared"].operations)
        assert states(await chain["waldur"].operations.health()) == {
            "waldur": "connected",
            "shared": "no answer",
        }
        assert chain["waldur"].statistics().refused == {"unasked": 2}


def renamed(operations):
    async def health(asker, visited):
        return HealthInfo.from_json(operations.own_health().to_json() | {"name": "somebody"})

    return health


async def test_a_list_of_visited_agents_has_a_limit(autojump_clock):
    async with open_chain("waldur", "shared", handler=done, limits=Limits(visited_names=3)) as chain:
        above = chain["waldur"]
        send_to_neighbour(above, encode(HealthCheck(("a", "b", "c"))))
        send_to_neighbour(above, encode(HealthCheck(("a", "b", "c", "d"))))
        await trio.sleep(1)
        assert chain["shared"].statistics().refused == {"unreadable": 1}


async def test_a_flood_of_questions_is_answered_a_few_at_a_time(autojump_clock):
    async with open_chain(*NAMES[:3], handler=done) as chain:
        chain["notebook"].operations.questions.receive_question = lambda peer, command: None
        above = chain["waldur"]
        for _ in range(50):
            send_to_neighbour(above, encode(HealthCheck()))
        await trio.sleep(0.1)
        assert chain["brics"].statistics().refused == {"busy": 46}
        assert (await put(chain)).result() == "done"


async def test_a_report_comes_back_from_the_end_of_a_path(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        await put(chain, "add_user fred.proj.waldur")
        report = await chain["waldur"].operations.diagnostics("brics.notebook.shared")
        assert report["agent_name"] == "shared"
        assert (await chain["waldur"].operations.diagnostics())["agent_name"] == "waldur"
        assert (await chain["brics"].operations.diagnostics("brics"))["agent_name"] == "brics"


async def test_a_second_report_is_a_fresh_one(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        first = await chain["waldur"].operations.diagnostics("shared")
        await trio.sleep(3)
        second = await chain["waldur"].operations.diagnostics("shared")
        assert second["generated_at"] > first["generated_at"]


async def test_a_late_report_is_answered_with_an_older_one_and_none_at_all_with_an_error(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        operations = chain["waldur"].operations
        first = await operations.diagnostics("shared")
        chain["shared"].operations.questions.receive_question = lambda peer, command: None
        assert await operations.diagnostics("shared") == first
        started = trio.current_time()
        with pytest.raises(RefusedError, match=r"did not send its report within 1 s"):
            await operations.diagnostics("shared.further")
        assert trio.current_time() - started == pytest.approx(1)


async def test_a_path_to_nobody_is_refused_at_once(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        with pytest.raises(RefusedError, match="knows no peer"):
            await chain["waldur"].operations.diagnostics("nobody")


async def test_an_agent_far_away_reports_that_a_path_leads_nowhere(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        for ask in (chain["waldur"].operations.diagnostics, chain["waldur"].operations.restart):
            started = trio.current_time()
            with pytest.raises(RefusedError, match=r"'notebook' knows no peer \"nobody\""):
                await ask("brics.notebook.nobody")
            assert trio.current_time() == pytest.approx(started, abs=0.01)
        first = await chain["waldur"].operations.diagnostics("brics.notebook.shared")
        assert first["agent_name"] == "shared"


async def test_an_agent_that_refuses_to_restart_reports_why(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        chain["shared"].operations._restarted = trio.current_time()
        with pytest.raises(RefusedError, match=r"'shared' was restarted less than 60 s ago"):
            await chain["waldur"].operations.restart("brics.notebook.shared")


async def test_an_error_about_nothing_that_was_asked_is_logged_only(autojump_clock, caplog):
    async with open_chain("waldur", "shared", handler=done) as chain:
        send_to_neighbour(chain["shared"], encode(Error("diagnostics of '': no")))
        await trio.sleep(1)
        assert "reports an error: diagnostics of '': no" in caplog.text
        assert (await chain["waldur"].operations.diagnostics("shared"))["agent_name"] == "shared"


async def test_a_flood_of_restarts_to_pass_on_is_refused(autojump_clock):
    async with open_chain(*NAMES[:3], handler=done) as chain:
        for _ in range(MAX_RESTARTS_WATCHED + 3):
            send_to_neighbour(chain["waldur"], encode(Restart("x", "notebook")))
        await trio.sleep(1)
        assert chain["brics"].statistics().refused["restart"] >= 3


async def test_a_report_shows_the_log_but_not_what_concerns_other_peers(autojump_clock, caplog):
    caplog.set_level(logging.INFO)
    recent = RecentLogs()
    logging.getLogger().addHandler(recent)
    try:
        async with open_chain("waldur", "shared", handler=done) as chain:
            chain["shared"].operations.recent_logs = recent
            await put(chain)
            report = await chain["waldur"].operations.diagnostics("shared")
    finally:
        logging.getLogger().removeHandler(recent)
    messages = [entry["message"] for entry in report["recent_logs"]]
    assert any(
        message.startswith("waldur.shared add_user fred.proj.waldur: complete") for message in messages
    )
    assert recent.newest("shared", asker="other@default") != recent.newest("shared")
    assert set(report["recent_logs"][0]) == {"timestamp", "level", "target", "message"}


async def test_a_hard_restart_travels_its_path_and_asks_the_process_to_end(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        await chain["waldur"].operations.restart("brics.notebook", "hard")
        await chain["notebook"].operations.exit_asked.wait()
        assert chain["notebook"].operations.exit_status == 0
        assert not chain["brics"].operations.exit_asked.is_set()


async def test_a_restart_from_a_peer_needs_a_destination_a_known_type_and_patience(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        above = chain["waldur"]
        for command in (Restart("hard", ""), Restart("core", "shared"), Restart("soft", "elsewhere")):
            send_to_neighbour(above, encode(command))
        await trio.sleep(1)
        operations = chain["shared"].operations
        assert chain["shared"].statistics().refused == {"restart": 3}
        restarted = []

        async def soft_restart():
            restarted.append(trio.current_time())

        chain["shared"].soft_restart = soft_restart
        operations.recorder.totals["failed"] = 3
        for _ in range(5):
            send_to_neighbour(above, encode(Restart("soft", "shared")))
            await trio.sleep(RESTART_SECONDS / 2 + 0.1)
        assert len(restarted) == 3
        assert not operations.recorder.totals
        assert not operations.exit_asked.is_set()


async def test_a_soft_restart_that_fails_ends_the_process_with_status_1(autojump_clock, caplog):
    async with open_chain("waldur", "shared", handler=done) as chain:

        async def broken():
            raise OSError("no")

        chain["shared"].soft_restart = broken
        await chain["shared"].operations.restart()
        assert chain["shared"].operations.exit_asked.is_set()
        assert chain["shared"].operations.exit_status == 1


async def test_a_notification_travels_to_the_end_of_its_path_and_back_up(autojump_clock):
    async with open_chain(*NAMES, handler=done) as chain:
        seen = {}
        for name in NAMES:
            chain[name].operations.notifier.handler = keep(seen, name)
        chain["waldur"].operations.notify("waldur.brics.notebook.shared user_added fred.proj.waldur")
        chain["shared"].operations.notify("shared.notebook.brics.waldur user_removed fred.proj.waldur")
        await trio.sleep(1)
        assert {
            name: (envelope.sender, str(envelope.notification.event)) for name, envelope in seen.items()
        } == {
            "shared": ("notebook", "user_added fred.proj.waldur"),
            "waldur": ("brics", "user_removed fred.proj.waldur"),
        }
        assert chain["waldur"].operations.recorder.notified == {"sent": 1, "received": 1}
        assert chain["brics"].operations.recorder.notified == {"received": 2}


def keep(seen, name):
    async def handler(envelope):
        seen[name] = envelope

    return handler


async def test_one_that_cannot_be_sent_is_an_error_and_counted(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        operations = chain["waldur"].operations
        for path in ("waldur.nobody", "a.b"):
            with pytest.raises(PeerNotFoundError):
                operations.notify(f"{path} user_added fred.proj.waldur")
        assert operations.recorder.notified == {"failed": 2}


async def test_one_that_ends_where_it_begins_goes_to_ones_own_handler(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        seen = {}
        chain["shared"].operations.notifier.handler = keep(seen, "shared")
        chain["shared"].operations.notify("waldur.shared user_added fred.proj.waldur")
        await trio.lowlevel.checkpoint()
        await trio.sleep(1)
        assert (seen["shared"].sender, seen["shared"].zone) == ("shared", "local")


async def test_a_handler_of_notifications_that_fails_harms_nobody(autojump_clock, caplog):
    async def broken(envelope):
        raise ValueError("oh")

    async with open_chain("waldur", "shared", handler=done) as chain:
        chain["shared"].operations.notifier.handler = broken
        chain["waldur"].operations.notify("waldur.shared user_added fred.proj.waldur")
        await trio.sleep(1)
        assert (await put(chain)).result() == "done"
        assert "the handler of a notification" in caplog.text


async def test_a_notification_on_a_path_that_its_sender_is_not_on_is_refused(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        stray = Notification.parse("a.shared user_added fred.proj.waldur")
        send_to_neighbour(chain["waldur"], encode(Notify(stray)))
        await trio.sleep(1)
        assert chain["shared"].statistics().refused == {"notification": 1}


async def test_what_an_agent_tells_existing_agents_has_every_field_that_they_require(autojump_clock):
    async with open_chain("waldur", "shared", handler=done) as chain:
        value = json.loads(json.dumps((await chain["waldur"].operations.health()).to_json()))
        assert value["peers"]["shared"]["engine"] == "templemeads"
        assert value["agent_type"] == AgentType.PORTAL.value
        assert value["last_updated"].endswith("Z")


async def test_a_soft_restart_over_the_wire_ends_jobs_and_makes_connections_anew(autojump_clock):
    started = trio.Event()

    async def endless(envelope: Envelope) -> str:
        started.set()
        await trio.sleep_forever()

    async with open_chain("waldur", "shared", handler=endless) as chain:
        job = await chain.first.submit("waldur.shared add_user fred.proj.waldur")
        await started.wait()
        chain["shared"].operations.recorder.totals["failed"] = 3
        await chain["waldur"].operations.restart("shared", "soft")
        job = await job.wait()
        assert job.result_text == "Agent soft restart - job cancelled"
        await chain["waldur"].wait_gone("shared")
        await chain["waldur"].wait_for("shared")
        assert not chain["shared"].operations.exit_asked.is_set()
        report = await chain["waldur"].operations.diagnostics("shared")
        assert report["failed_jobs"] == report["running_jobs"] == []


@pytest.mark.parametrize(
    ("is_allowed", "declared", "restarts"),
    [
        (True, AgentType.PORTAL, True),
        (True, None, False),
        (True, AgentType.SCHEDULER, False),
        (False, AgentType.PORTAL, False),
    ],
)
async def test_a_restart_without_destination_needs_the_setting_and_a_declared_peer_nearer_to_the_portal(
    autojump_clock, is_allowed, declared, restarts
):
    async with open_chain("waldur", "shared", handler=done) as chain:
        shared = chain["shared"]
        shared.operations._restart_without_destination = is_allowed
        shared.peers.states[0].declared = declared
        send_to_neighbour(chain["waldur"], encode(Restart("hard", "")))
        await trio.sleep(1)
        assert shared.operations.exit_asked.is_set() is restarts
