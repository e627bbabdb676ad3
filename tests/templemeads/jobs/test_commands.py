import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads import AgentType, ParseError
from templemeads.grammar import Notification
from templemeads.jobs.commands import (
    BadPut,
    Delete,
    DiagnosticsRequest,
    Error,
    HealthCheck,
    Notify,
    PortalRoute,
    PortalRoutes,
    Put,
    Register,
    Restart,
    Sync,
    UnknownCommandError,
    Update,
    decode,
    encode,
)
from tests.templemeads.values import NOW, copies, job

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "wire_vectors.json").read_text())["payload"]
COMMANDS = [vector for vector in VECTORS if vector["command"] is not None]


def without_empty(value):
    """JSON without fields that newer agents write and older ones do not."""
    if isinstance(value, dict):
        return {
            name: without_empty(field) for name, field in value.items() if field not in (None, False, [], "")
        }
    return [without_empty(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("vector", COMMANDS, ids=lambda vector: vector["command"])
def test_the_commands_of_existing_agents_are_read_and_written_again(vector):
    command = decode(vector["text"])
    assert type(command).__name__ == vector["command"]
    ours, theirs = json.loads(encode(command)), json.loads(vector["text"])
    if vector["command"] == "Register":
        ours["Register"] |= {"domain": None, "domain_version": None}
    assert without_empty(ours) == without_empty(theirs)


FIXED = [
    Register(AgentType.PORTAL, "templemeads", "0.1.0"),
    Register(AgentType.PROVIDER, "e", "v", "greatwestern", "0.94.0", True, True),
    HealthCheck(("waldur", "x")),
    Restart("soft", "a.b"),
    DiagnosticsRequest("a"),
    PortalRoutes((PortalRoute("brics", "brics.aip1"),), ("x",)),
    Error("something"),
    Notify(Notification.parse("waldur.shared user_added fred.proj.waldur")),
]


@pytest.mark.parametrize("command", FIXED, ids=lambda command: type(command).__name__)
def test_every_command_survives_its_text(command):
    assert decode(encode(command)) == command


@given(st.sampled_from([Put, Update, Delete]), copies())
def test_every_command_about_a_job_survives_its_text(kind, one):
    assert decode(encode(kind(one))) == kind(one)


@given(st.lists(copies(), max_size=5))
def test_every_sync_survives_its_text(jobs):
    assert decode(encode(Sync(tuple(jobs)))) == Sync(tuple(jobs))


def test_unknown_fields_are_ignored_and_an_unknown_command_is_told_apart():
    assert decode('{"HealthCheck":{"visited":["a"],"future":[1,{"x":null}]}}') == HealthCheck(("a",))
    with pytest.raises(UnknownCommandError, match="Teleport"):
        decode('{"Teleport":{}}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "5",
        '"Put"',
        "[]",
        "{}",
        '{"Put":null}',
        '{"Put":{}}',
        '{"Put":{"job":null}}',
        '{"Put":[]}',
        '{"Put":{},"Restart":{}}',
        '{"Put":{"job":{}},"Put":{"job":{}}}',
        '{"Error":{"error":"a","error":"b"}}',
        '{"Error":{"error":5}}',
        '{"Register":{"agent":"portal","engine":"e","version":"v"}}',
        '{"Register":{"agent":"__class__","engine":"e","version":"v"}}',
        '{"Register":{"agent":"Portal","engine":"e","version":"v","supports_portal_routes":1}}',
        '{"HealthCheck":{"visited":[1]}}',
        '{"Sync":{"state":[]}}',
        '{"Sync":{"state":{"jobs":{}}}}',
        '{"Sync":{"state":{"jobs":[5]}}}',
        '{"Error":{"error":"\\ud800"}}',
        '{"Error":{"error":NaN}}',
        "[" * 100_000,
        '{"Error":{"error":' * 10_000,
        '{"Restart":{"restart_type":"soft","destination":' + "9" * 10_000 + "}}",
        "\ufeff{}",
        "__class__",
    ],
    ids=lambda text: text[:40] or "empty",
)
def test_what_is_no_command_is_refused_with_the_documented_error(text):
    with pytest.raises(ParseError):
        read = decode(text)
        assert isinstance(read, BadPut)
        raise ParseError(read.job.reason)


@given(st.text())
def test_no_text_makes_anything_but_a_command_or_the_documented_error(text):
    try:
        decode(text)
    except ParseError:
        pass


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
NAMES = st.sampled_from(["Put", "Sync", "Register", "Notify", "HealthCheck", "PortalRoutes"])
FIELDS = st.sampled_from(["job", "state", "agent", "notification", "visited", "routes"])


@given(VALUES, NAMES, FIELDS)
def test_no_field_makes_anything_but_a_command_or_the_documented_error(value, name, field):
    try:
        decode(json.dumps({name: {field: value}}))
    except ParseError:
        pass


@pytest.mark.parametrize("field", ["created", "changed", "expires", "version"])
@pytest.mark.parametrize("value", [1.0, "1", True, None, 2**64, -(2**70), 1e300, [1]])
def test_numbers_of_a_job_are_whole_numbers_and_nothing_that_looks_like_one(field, value):
    fields = job().to_json() | {field: value}
    read = decode(json.dumps({"Put": {"job": fields}}))
    assert isinstance(read, BadPut)
    assert field in read.job.reason


def test_a_bad_job_is_answered_as_far_as_it_can_be_told_apart():
    fields = job().to_json() | {"command": "portal.cluster no_such_thing x"}
    read = decode(json.dumps({"Put": {"job": fields}}))
    assert isinstance(read, BadPut)
    answer = read.job.refusal(NOW, 2**60)
    assert answer is not None
    assert (answer["id"], answer["command"]) == (fields["id"], fields["command"])
    assert (answer["state"], answer["version"]) == ("Error", 1002)
    for broken in ({"id": 5}, {"version": "x"}, {"version": 2**61}, {"created": None}):
        read = decode(json.dumps({"Put": {"job": fields | broken}}))
        assert isinstance(read, BadPut)
        assert read.job.refusal(NOW, 2**60) is None
