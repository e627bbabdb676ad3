"""A peer with valid keys that claims what it is not, and asks for what is not its to ask."""

from __future__ import annotations

import logging

import pytest
import trio

from paddington import Peer
from templemeads import AgentType
from templemeads.jobs.commands import Restart

from .hostile import REGISTER, calendar, estate, job_json, memory_within, settle

LEAF = {"agent": "Filesystem"}


async def as_leaf(attacked):
    for line in attacked.lines.values():
        await line.register(**LEAF)


@pytest.mark.case("R3")
@pytest.mark.parametrize("claimed", [word.value for word in AgentType if word is not AgentType.FILESYSTEM])
async def test_a_peer_declared_as_one_type_is_never_another(autojump_clock, claimed):
    async with estate(declared="filesystem", register=False) as attacked:
        for name, line in attacked.lines.items():
            await line.register(agent=claimed)
            await line.say("Put", job=job_json(f"mallory.{name} remove_user fred.proj.portal"))
            await line.say("Restart", restart_type="hard", destination=name)
        await settle()
        for agent in attacked.agents.values():
            assert not agent.get_all("mallory")
            assert not agent.operations.exit_asked.is_set()
        assert not attacked.ran
        # The registration that the configuration expects is still taken.
        await attacked.lines["cluster"].register(**LEAF)
        assert attacked["cluster"].get_all("mallory")


@pytest.mark.case("R3")
async def test_the_first_type_holds_for_the_connection(autojump_clock):
    async with estate(register=False) as attacked:
        line = attacked.lines["middle"]
        await line.register(**LEAF)
        for word in AgentType:
            await line.register(agent=word.value)
        (peer,) = attacked["middle"].get_all("mallory")
        assert peer.agent_type is AgentType.FILESYSTEM


@pytest.mark.case("R3")
async def test_nothing_is_done_for_a_peer_before_it_has_said_what_it_is(autojump_clock):
    async with estate(register=False) as attacked:
        line = attacked.lines["cluster"]
        job = job_json("mallory.cluster remove_user fred.proj.portal")
        for kind in ("Put", "Update", "Delete"):
            await line.say(kind, job=job)
        await line.say("Sync", state={"jobs": [job]})
        await line.say("HealthCheck", visited=[])
        await line.say("DiagnosticsRequest", destination="cluster")
        await line.say("Restart", restart_type="hard", destination="cluster")
        await line.say("Notify", notification={})
        await settle()
        assert not attacked.ran
        assert {name for command in line.told for name in command} <= {"Register", "Sync", "Error"}
        assert not attacked["cluster"].operations.exit_asked.is_set()


@pytest.mark.case("R2")
@pytest.mark.parametrize(
    "destination",
    ["", "portal", "middle", "cluster", "mallory", "middle.cluster", "me", "x.middle", "middle@default"],
)
@pytest.mark.parametrize("kind", ["soft", "hard", "core", ""])
async def test_a_leaf_restarts_nobody(autojump_clock, kind, destination):
    async with estate(register=False) as attacked:
        await as_leaf(attacked)
        for line in attacked.lines.values():
            await line.say("Restart", restart_type=kind, destination=destination)
        await settle()
        for line in attacked.lines.values():
            assert line.connection.reason is None
        for agent in attacked.agents.values():
            assert not agent.operations.exit_asked.is_set()


@pytest.mark.case("R2")
async def test_a_restart_without_a_destination_is_refused_from_any_peer(autojump_clock):
    async with estate() as attacked:  # mallory has registered as a portal, and nothing says that she is none
        line = attacked.lines["middle"]
        await line.say("Restart", restart_type="hard", destination="")
        await settle()
        assert not attacked["middle"].operations.exit_asked.is_set()
        assert attacked.refused["middle"]["restart"] == 1


@pytest.mark.case("R2")
@pytest.mark.case("R3")
async def test_a_restart_for_a_peer_of_no_declared_type_is_logged(autojump_clock, caplog):
    async with estate() as attacked:
        line = attacked.lines["cluster"]
        operations = attacked["cluster"].operations
        for _ in range(2):  # in one step: neither has begun when the other comes
            operations.receive(Peer("mallory"), Restart("hard", "cluster"))
        for _ in range(18):
            await line.say("Restart", restart_type="hard", destination="cluster")
        await settle()
        assert attacked["cluster"].operations.exit_asked.is_set()
        assert attacked.refused["cluster"]["restart"] == 19
    told = [each.getMessage() for each in caplog.records if "restart, asked for by" in each.getMessage()]
    assert len(told) == 1
    assert "declared" in told[0]


@pytest.mark.case("R19")
@pytest.mark.case("P68")
async def test_a_leaf_learns_nothing_of_those_above_it(autojump_clock):
    async with estate(register=False) as attacked:
        await as_leaf(attacked)
        for name, line in attacked.lines.items():
            for path in ("", name, "portal", "middle.portal", "portal.middle"):
                await line.say("DiagnosticsRequest", destination=path)
            for visited in ([], ["mallory"], ["x"] * 10_000, ["portal", "cluster"]):
                await line.say("HealthCheck", visited=visited)
        await settle()
        await trio.sleep(5)
        for line in attacked.lines.values():
            assert not line.answers("DiagnosticsResponse")
            assert not line.answers("HealthResponse")


@pytest.mark.case("R19")
@pytest.mark.case("P67")
async def test_a_thousand_questions_ask_the_others_a_few_times(autojump_clock):
    async with estate() as attacked:
        line = attacked.lines["middle"]
        for _ in range(1_000):
            await line.say("HealthCheck", visited=[])
        await line.say("HealthCheck", visited=[f"agent{number}" for number in range(20_000)])
        await settle()
        await trio.sleep(2)

        assert len(line.answers("HealthResponse")) < 100

        assert attacked.refused["middle"]["busy"] > 900
        assert attacked.refused["middle"]["unreadable"] == 1


@pytest.mark.case("R20")
@pytest.mark.case("33.16")
async def test_answers_that_nobody_asked_for_are_not_kept(autojump_clock):
    health = {"name": "x", "agent_type": "Portal", "peers": {}}
    async with estate() as attacked:
        line = attacked.lines["middle"]
        with memory_within(5):
            for number in range(1_000):
                await line.say("HealthResponse", health=health | {"name": f"n{number}", "more": "x" * 10_000})
                await line.say(
                    "DiagnosticsResponse", report={"agent_name": f"n{number}", "more": "x" * 10_000}
                )
                line.told.clear()
            await settle()
        assert attacked.refused["middle"]["unasked"] == 2_000


@pytest.mark.case("P66")
async def test_notifications_neither_loop_nor_crowd_out_jobs(autojump_clock):
    paths = (
        "mallory.middle.cluster",
        "mallory.middle.mallory",
        "mallory.middle.portal.middle.cluster",
        "mallory.middle.cluster.middle.mallory",
        "mallory.middle.nobody",
        "portal.middle.cluster",
        "mallory.middle",
    )
    async with estate() as attacked:
        line = attacked.lines["middle"]
        for number in range(300):
            for path in paths:
                notification = {"destination": path, "event": f"user_added u{number}.proj.portal"}
                await line.say("Notify", notification=notification)
        await attacked.honest_job()
        await settle()
        assert len(line.answers("Notify")) < 700


@pytest.mark.case("P80")
async def test_a_flood_of_rubbish_writes_few_lines(autojump_clock, caplog):
    caplog.set_level(logging.WARNING)
    async with estate() as attacked:
        line = attacked.lines["middle"]
        for number in range(1_000):
            await line.say("Error", error=f"number {number}\n\x1b[31m")
            await line.say_text("[" * number)
            await line.say("Register", **(REGISTER | {"agent": "Bridge"}))
            await line.say("Teleport", where="moon")
            await line.say("Put", job=job_json(f"x.middle.y remove_user u{number}.proj.portal"))
            await line.say("Notify", notification={"destination": f"a{number}.b", "event": "x"})
            line.told.clear()
        await settle()
        assert calendar() < 2e9
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) < 50
    assert all(each.isprintable() and len(each) < 1_000 for each in lines)


@pytest.mark.case("P79")
@pytest.mark.case("P11")
async def test_no_foreign_text_breaks_a_line_of_the_log(autojump_clock, caplog):
    caplog.set_level(logging.DEBUG)
    evil = "x\n\r\x1b[2J\x08\u202e\u2028\u0085\x00" + "y" * 100_000
    async with estate() as attacked:
        for name, line in attacked.lines.items():
            await line.register(engine=evil, version=evil)
            await line.say("Error", error=evil)
            await line.say(evil[:1_000])
            await line.say("Restart", restart_type=evil, destination=evil)
            await line.say("DiagnosticsRequest", destination=evil)
            await line.say("HealthCheck", visited=[evil])
            await line.say("Notify", notification={"destination": f"mallory.{name}", "event": evil})
            await line.say("PortalRoutes", routes=[{"portal": evil, "route": evil}], withdrawn=[evil])
            for command in (
                evil,
                f"{evil} add_user a.b.c",
                f"mallory.{name} {evil}",
                f"mallory.{name} add_user {evil}",
            ):
                await line.say("Put", job=job_json(command, result=evil))
                await line.say("Update", job=job_json(command, state="Error", result=evil))
            await line.say(
                "Put", job=job_json(f"mallory.{name} remove_user a.b.c", state="Running", result=evil)
            )
        await settle()
    for record in caplog.records:
        assert "\x1b" not in record.getMessage()
        assert record.getMessage().isprintable(), record
        assert len(record.getMessage()) < 2_000


@pytest.mark.case("P51")
@pytest.mark.case("P52")
@pytest.mark.case("P53")
@pytest.mark.parametrize("declared", [None, "filesystem", "provider"])
async def test_routes_of_portals_that_a_peer_invents_cost_nobody_anything(autojump_clock, declared):
    async with estate(declared=declared, register=False) as attacked:
        for name, line in attacked.lines.items():
            await line.register(agent="Portal" if declared is None else declared.capitalize())
            with memory_within(10):
                for number in range(300):
                    routes = [
                        {"portal": f"p{number}x{each}", "route": f"p{number}x{each}.mallory"}
                        for each in range(16)
                    ]
                    await line.say("PortalRoutes", routes=routes, withdrawn=[])
                for portal in ("portal", "middle", "cluster", "mallory", "", "\x1b", "a" * 10_000):
                    for route in (
                        f"{portal}.mallory",
                        "mallory",
                        "",
                        f"{portal}.{name}.mallory",
                        f"{portal}." * 20,
                    ):
                        await line.say(
                            "PortalRoutes", routes=[{"portal": portal, "route": route}], withdrawn=[portal]
                        )
                line.told.clear()
                await settle()
        # Nothing is known of the real portal but what was known before: its jobs go on.
        await attacked.honest_job()
