"""Whatever a peer with valid keys puts into a command, the agent and its other peers live: through the wire entry."""

from __future__ import annotations

import time

import pytest
import trio

from templemeads.grammar.explain import example
from templemeads.grammar.table import instructions

from .hostile import ROUTE, estate, job_json, settle

HERE = "mallory.middle"
"""A path whose last agent is the one that is attacked."""

PASSED_ON = "mallory.middle.cluster"


def prefixes(text):
    """A command and every shorter one that begins like it, word by word."""
    words = text.split(" ")
    return [" ".join(words[:length]) for length in range(len(words) + 1)]


def every_cut_command(path):
    commands = [path, f"{path} ", "", " ", "a.b", "a.b submit", "a.b create_project", "a.b update_award"]
    commands.append("a.b create_project p.portal")
    for row in instructions():
        for keyword in (row.keyword, *row.synonyms):
            whole = example(row).replace(row.keyword, keyword, 1)
            commands += [f"{path} {each}" for each in prefixes(whole)]
            commands += [f"{path} submit {path} {each}" for each in prefixes(whole)]
    return commands


@pytest.mark.case("R1")
@pytest.mark.parametrize("path", [HERE, PASSED_ON], ids=["arrives", "passes"])
async def test_every_cut_off_instruction_is_a_job_with_an_answer(autojump_clock, path):
    async with estate() as attacked:
        line = attacked.lines["middle"]
        jobs = [job_json(command) for command in every_cut_command(path)]
        for job in jobs:
            await line.say("Put", job=job)
            await line.say("Update", job=job)
            await line.say("Delete", job=job_json(job["command"]))
        await settle()
        told = {update["job"]["id"] for update in line.answers("Update")}
        unanswered = [job["command"] for job in jobs if job["id"] not in told]
        assert not unanswered


@pytest.mark.case("R1")
async def test_one_job_that_cannot_be_read_does_not_keep_the_rest_of_its_sync_away(autojump_clock):
    async with estate() as attacked:
        line = attacked.lines["cluster"]
        good = [job_json(f"mallory.cluster remove_user u{number}.proj.portal") for number in range(3)]
        bad = [job_json(command) for command in every_cut_command("mallory.cluster")[:40]]
        worse = [{}, {"id": 7}, {"id": "x", "command": []}]
        await line.say("Sync", state={"jobs": [good[0], *bad, good[1], *worse, good[2]]})
        await settle()
        assert sorted(each for each in attacked.ran if each.startswith("remove_user")) == [
            f"remove_user u{number}.proj.portal" for number in range(3)
        ]


TEXTS = {
    "P37 deep lists": "[" * 100_000,
    "P37 deep objects": '{"a":' * 100_000,
    "P37 deep in a command": '{"Put":{"job":' + "[" * 10_000 + "]" * 10_000 + "}}",
    "P37 deep where nobody looks": '{"Error":{"error":"x","more":' + "[" * 200 + "]" * 200 + "}}",
    "P38 a million digits": '{"Put":{"job":{"version":' + "9" * 200_000 + "}}}",
    "P38 endless exponent": '{"Put":{"job":{"version":1e400}}}',
    "P39 NaN": '{"Error":{"error":NaN}}',
    "P39 Infinity": '{"HealthResponse":{"health":{"x":-Infinity}}}',
    "P40 two commands": '{"Put":{},"Restart":{"restart_type":"hard","destination":""}}',
    "P40 one command twice": '{"Error":{"error":"a"},"Error":{"error":"b"}}',
    "P40 a field twice": '{"Restart":{"restart_type":"soft","restart_type":"hard","destination":""}}',
    "P42 half a pair": '{"Error":{"error":"\\ud800"}}',
    "P42 half a pair in a name": '{"\\udfff":{}}',
    "P43 byte order mark": '\ufeff{"Error":{"error":"x"}}',
    "P43 NUL": '{"Error":{"error":"\x00"}}',
    "P44 text": '"Put"',
    "P44 number": "7",
    "P44 null": "null",
    "P44 list": '["Put"]',
    "P44 nothing": "",
    "P44 empty": "{}",
    "P44 of the future": '{"Teleport":{"where":"moon"}}',
    "P44 word": "KEEPALIVE ",
    "P54 dunder": '{"__class__":{}}',
    "P54 init": '{"__init__":{"self":1}}',
    "P54 format": '{"{0.__class__}%s%n":{}}',
    "P54 format inside": '{"Error":{"error":"{0.__class__} %s %n %(x)s"}}',
    "P55 quotes": '{"Error":{"error":"' + '\\"\\\\' * 50_000 + '"}}',
}


@pytest.mark.case("P36")
@pytest.mark.case("P37")
@pytest.mark.case("P38")
@pytest.mark.case("P39")
@pytest.mark.case("P40")
@pytest.mark.case("P42")
@pytest.mark.case("P43")
@pytest.mark.case("P44")
@pytest.mark.case("P54")
@pytest.mark.case("P55")
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_any_payload_is_dropped_and_the_connection_stays(autojump_clock, text):
    async with estate() as attacked:
        line = attacked.lines["middle"]
        begun = time.perf_counter()
        await line.say_text(text)
        await settle()
        assert time.perf_counter() - begun < 5
        assert line.connection.reason is None
        # The same line still carries a job of mallory's own.
        job = job_json(f"{PASSED_ON} remove_user fred.proj.portal")
        await line.say("Put", job=job)
        await settle()
        assert line.answers("Update")[-1]["job"]["state"] == "Complete"


NASTY = [
    None,
    True,
    False,
    0,
    -1,
    1,
    1.0,
    -0.0,
    0.5,
    2**40,
    2**53 + 1,
    2**60,
    2**60 + 1,
    2**62,
    2**63,
    2**64 - 1,
    2**64,
    10**30,
    1e18,
    1e308,
    "",
    " ",
    "1",
    "true",
    "x" * 3_000,
    "a.b\n\x1b[31m\u202e",
    "a." * 1_000 + "!",
    "-" * 3_000,
    "0001-01-01",
    "urn:uuid:00000000-0000-0000-0000-000000000001",
    "{00000000-0000-0000-0000-000000000001}",
    "\u0661",
    "\u212a",
    "os.system",
    "BaseException: x",
    [],
    [None],
    [[[]]],
    ["x"] * 500,
    {},
    {"data": {}},
    {"jobs": None},
    {"jobs": [None, 1, "x", [], {}]},
    {"__class__": "x"},
    [{"portal": 1, "route": None}],
]

COMMANDS = {
    "Put": {"job": job_json},
    "Update": {"job": job_json},
    "Delete": {"job": job_json},
    "Register": {
        "agent": "Instance",
        "engine": "e",
        "version": "1.2.3",
        "domain": "greatwestern",
        "domain_version": "0.91.0",
        "supports_portal_routes": True,
        "supports_structured_errors": True,
    },
    "Sync": {"state": {"jobs": []}},
    "HealthCheck": {"visited": []},
    "HealthResponse": {"health": {}},
    "Restart": {"restart_type": "soft", "destination": "mallory.middle"},
    "DiagnosticsRequest": {"destination": "mallory.middle"},
    "DiagnosticsResponse": {"report": {}},
    "Notify": {"notification": {}},
    "PortalRoutes": {"routes": [], "withdrawn": []},
    "Error": {"error": "x"},
}


@pytest.mark.case("P41")
@pytest.mark.case("P46")
@pytest.mark.case("P48")
@pytest.mark.case("P61")
@pytest.mark.case("R27")
@pytest.mark.parametrize("name", COMMANDS)
async def test_every_field_of_every_command_out_of_range(autojump_clock, name):
    async with estate() as attacked:
        for line in (attacked.lines["middle"], attacked.lines["cluster"]):
            here = line.connection.peer.name
            fields = {
                key: job_json(f"mallory.{here} remove_user a.b.portal") if value is job_json else value
                for key, value in COMMANDS[name].items()
            }
            for field in fields:
                await line.say(name, **{key: value for key, value in fields.items() if key != field})
                for nasty in NASTY:
                    await line.say(name, **(fields | {field: nasty}))
            await settle()
            assert line.connection.reason is None


JOB_FIELDS = (
    "id",
    "created",
    "changed",
    "expires",
    "version",
    "command",
    "state",
    "result",
    "result_type",
    "forwarded_for",
    "error",
    "domain",
    "domain_version",
)
STATES = ("Created", "Pending", "Running", "Complete", "Error", "Duplicate")


@pytest.mark.case("R6")
@pytest.mark.case("P41")
@pytest.mark.case("P49")
@pytest.mark.case("P63")
@pytest.mark.case("P72")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", ["Put", "Update", "Delete", "Sync"])
async def test_every_field_of_a_job_out_of_range_in_every_state(autojump_clock, kind, state):
    async with estate() as attacked:
        for name, path in (
            ("middle", "mallory.middle"),
            ("middle", "mallory.middle.cluster"),
            ("middle", "portal.middle.mallory"),
            ("portal", "portal.mallory"),
            ("cluster", "mallory.cluster"),
        ):
            line = attacked.lines[name]
            jobs = [
                job_json(f"{path} remove_user u{number}.proj.portal", state=state) | {field: nasty}
                for number, (field, nasty) in enumerate((f, n) for f in JOB_FIELDS for n in NASTY)
            ]
            jobs.append(job_json(f"{path} remove_user more.proj.portal", state=state, flavour={"deep": [1]}))
            if kind == "Sync":
                for start in range(0, len(jobs), 50):
                    await line.say("Sync", state={"jobs": jobs[start : start + 50]})
            else:
                for job in jobs:
                    await line.say(kind, job=job)
            await settle()
            assert line.connection.reason is None
        await attacked.honest_job()
        # An hour and more: what was planted falls due.
        await trio.sleep(4000)
        await settle()


@pytest.mark.case("P45")
@pytest.mark.parametrize(
    "text",
    [
        "a." * 50_000 + "!",
        "-" * 100_000,
        " " * 100_000,
        "a" * 100_000,
        "a@" * 50_000,
        "1." * 50_000,
        "2024-" * 20_000,
        ("a" * 60 + ".") * 1_600 + "\u0661",
    ],
    ids=["labels", "dashes", "blanks", "letters", "ats", "versions", "dates", "digits"],
)
async def test_long_nonsense_costs_linear_time(autojump_clock, text):
    commands = [f"{ROUTE} add_user {text}", f"{text} add_user a.b.c", f"{ROUTE} {text}"]
    commands += [f"{ROUTE} {row.keyword} {text}" for row in instructions()]
    async with estate() as attacked:
        line = attacked.lines["middle"]
        begun = time.perf_counter()
        for command in commands:
            await line.say("Put", job=job_json(command))
        await settle()
        assert time.perf_counter() - begun < 20
