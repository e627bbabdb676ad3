import json
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington import Peer
from templemeads import AgentType, Job, ParseError
from templemeads.jobs.board import Board
from templemeads.operations.health import (
    LAST_LEVEL_SECONDS,
    MAX_AGENTS,
    MAX_LEVELS,
    HealthInfo,
    count_jobs,
    never_answered,
    patience,
    timestamp,
    whom_to_ask,
)

NOW = 1_800_000_000.0

texts = st.text(max_size=20)
moments = st.floats(0, 4e9).map(timestamp)
counts = st.integers(0, 2**63 - 1)
figures = st.floats(allow_nan=False, allow_infinity=False)


def healths(levels=2):
    fields = {}
    for field in attrs.fields(HealthInfo):
        if field.name == "peers":
            fields["peers"] = (
                st.dictionaries(texts, healths(levels - 1), max_size=2) if levels else st.just({})
            )
        else:
            kinds = {"str": texts, "int": counts, "float": figures, "bool": st.booleans()}
            fields[field.name] = (
                moments if field.name in ("start_time", "current_time", "last_updated") else kinds[field.type]
            )
    return st.builds(HealthInfo, **fields)


@given(healths())
def test_a_health_survives_its_json(health):
    assert HealthInfo.from_json(json.loads(json.dumps(health.to_json()))) == health


def sound():
    return never_answered(Peer("cluster"), AgentType.INSTANCE, NOW).to_json()


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(HealthInfo) if field.name != "peers"])
def test_every_field_is_needed(field):
    value = sound()
    del value[field]
    with pytest.raises(ParseError, match=field):
        HealthInfo.from_json(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("active_jobs", 1.0),
        ("active_jobs", True),
        ("active_jobs", -1),
        ("active_jobs", 2**63),
        ("cpu_percent", "1"),
        ("cpu_percent", True),
        ("cpu_percent", float("nan")),
        ("cpu_percent", float("inf")),
        ("connected", 1),
        ("name", None),
        ("name", "x" * 201),
        ("start_time", "yesterday"),
        ("start_time", "+9999-01-01T00:00:00Z"),
        ("peers", []),
        ("peers", {"x": 1}),
    ],
)
def test_a_field_of_another_kind_is_refused(field, value):
    with pytest.raises(ParseError, match=r"health|field"):
        HealthInfo.from_json(sound() | {field: value})


def test_peers_may_be_missing_and_unknown_fields_are_ignored():
    value = sound() | {"of_the_future": 1}
    del value["peers"]
    assert HealthInfo.from_json(value).peers == {}


def test_an_uptime_may_be_negative():
    assert HealthInfo.from_json(sound() | {"uptime_seconds": -5}).uptime_seconds == -5


def test_a_tree_that_is_too_deep_or_too_large_is_refused():
    deep = sound()
    for _ in range(MAX_LEVELS - 1):
        deep = sound() | {"peers": {"x": deep}}
    assert HealthInfo.from_json(deep)
    with pytest.raises(ParseError, match="levels"):
        HealthInfo.from_json(sound() | {"peers": {"x": deep}})
    one = sound()
    with pytest.raises(ParseError, match="agents"):
        HealthInfo.from_json(sound() | {"peers": {str(n): one for n in range(MAX_AGENTS)}})


def test_times_are_utc_with_a_z():
    assert timestamp(0) == "1970-01-01T00:00:00Z"
    assert timestamp(1.5) == "1970-01-01T00:00:01.500000Z"


def test_whoever_waits_at_one_level_outlasts_the_level_below():
    waits = [patience(["x"] * level) for level in range(6)]
    assert waits[0] == 0.5  # what existing agents wait, so that they hear from all below in time
    assert all(above > below for above, below in pairwise(waits[:5]))
    assert waits[-1] == LAST_LEVEL_SECONDS


def test_a_sweep_goes_to_those_behind_us_that_it_has_not_passed():
    known = [
        (Peer("bridge"), AgentType.BRIDGE),
        (Peer("waldur"), AgentType.PORTAL),
        (Peer("brics"), AgentType.PROVIDER),
        (Peer("notebook"), AgentType.PLATFORM),
        (Peer("shared", "internal"), AgentType.INSTANCE),
        (Peer("awaited"), None),
        (Peer("ghost"), AgentType.VIRTUAL),
    ]
    chosen = {peer.name for peer in whom_to_ask(AgentType.PROVIDER, known, "waldur", ["bridge"])}
    assert chosen == {"brics", "notebook", "shared"}
    assert whom_to_ask(AgentType.PROVIDER, known, "waldur", ["brics", "notebook", "shared"]) == []
    assert Peer("waldur") not in whom_to_ask(AgentType.PORTAL, known, None, [])
    assert whom_to_ask(AgentType.SCHEDULER, known, None, []) == []


def test_jobs_are_counted_by_state_where_we_are_first_or_last_and_as_inflight_elsewhere():
    up, down = Board(), Board()
    pending = Job.parse("portal.me add_user a.b.portal", now=NOW).pending(NOW)
    done = Job.parse("portal.me add_user c.b.portal", now=NOW).pending(NOW).completed("x", now=NOW)
    failed = Job.parse("portal.me add_user d.b.portal", now=NOW).pending(NOW).errored("x", now=NOW)
    passing = Job.parse("portal.me.cluster add_user e.b.portal", now=NOW).pending(NOW)
    for job in (pending, done, failed, passing):
        up.merge(job, NOW)
    down.merge(passing, NOW)
    counts = count_jobs("me", {Peer("portal"): up, Peer("cluster"): down}, NOW)
    assert (counts.active_jobs, counts.pending_jobs, counts.inflight_jobs) == (4, 1, 1)
    assert (counts.completed_jobs, counts.successful_jobs, counts.errored_jobs, counts.expired_jobs) == (
        2,
        1,
        1,
        0,
    )
    late = count_jobs("me", {Peer("portal"): up}, NOW + 121)
    assert (late.completed_jobs, late.expired_jobs) == (2, 2)
