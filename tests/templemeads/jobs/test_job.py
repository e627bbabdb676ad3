import json
import uuid
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads import Destination, ErrorInfo, Job, JobError, ParseError, StateError, Status
from tests.templemeads.values import COMMANDS, NOW, copies, job

DATA = Path(__file__).parents[2] / "data"
VECTORS = json.loads((DATA / "wire_vectors.json").read_text())["job"]


def step(before: Job, name: str, argument: object, now: int) -> Job:
    match name:
        case "pending":
            return before.pending(now)
        case "running":
            assert argument is None or isinstance(argument, str)
            return before.running(argument, now=now)
        case "completed":
            return before.completed(argument, now=now)
        case "errored":
            return before.errored(str(argument), now=now)
        case "duplicate":
            return before.duplicate_of(uuid.UUID(str(argument)), now=now)
    raise AssertionError(name)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["step"])
def test_each_step_does_what_existing_agents_do(vector):
    before = Job.from_json(vector["before"])
    after = step(before, vector["step"], vector["argument"], vector["after"]["changed"])
    ours = {name: value for name, value in after.to_json().items() if name in vector["after"]}
    assert ours == vector["after"]


def test_a_first_put_gives_version_2_and_its_answer_1002():
    made = Job.parse("portal.cluster add_user fred.proj.org")
    assert made.version == 1
    assert made.status is Status.CREATED
    assert made.expires - made.created == 120
    assert made.pending().version == 2
    assert made.pending().completed("account created").version == 1002


ALLOWED = {
    "pending": {Status.CREATED, Status.PENDING},
    "running": {Status.PENDING, Status.RUNNING},
    "completed": {Status.PENDING, Status.RUNNING},
    "errored": {Status.PENDING, Status.RUNNING, Status.DUPLICATE},
    "duplicate": {Status.PENDING},
}


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.parametrize("status", Status)
def test_a_step_that_the_state_does_not_allow_is_an_error_that_names_the_state(name, status):
    before = attrs.evolve(job(), status=status)
    if status in ALLOWED[name]:
        assert step(before, name, str(uuid.uuid4()), NOW).version >= before.version
    else:
        with pytest.raises(StateError, match=status.value):
            step(before, name, str(uuid.uuid4()), NOW)


@given(copies())
def test_every_step_raises_the_version_and_never_turns_back_the_time(before):
    for name in ALLOWED:
        try:
            after = step(before, name, str(uuid.uuid4()), NOW - 1000)
        except StateError:
            continue
        assert after.version > before.version or after == before
        assert after.changed >= before.changed


def test_the_result_is_nothing_yet_then_the_value_or_the_error():
    pending = job()
    assert pending.result() is None
    assert pending.running("half way").result() is None
    assert pending.running("half way").progress == "half way"
    assert pending.completed("account created").result() == "account created"
    assert pending.completed().result() is None
    failed = pending.errored("the disk is full", kind="run", origin="cluster")
    with pytest.raises(JobError, match="the disk is full") as caught:
        failed.result()
    assert (caught.value.kind, caught.value.origin) == ("run", "cluster")


def test_a_duplicate_takes_over_the_result_of_its_original():
    original = job(1).completed("done")
    duplicate = job(2).duplicate_of(original.id)
    assert duplicate.original_id == original.id
    assert duplicate.copy_result_of(original).result() == "done"
    with pytest.raises(StateError):
        duplicate.copy_result_of(job(1))


@given(copies())
def test_a_job_survives_its_json(one):
    assert Job.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert Job.from_json(json.loads(one.canonical())) == one


@given(
    copies(),
    st.none() | st.text(),
    st.none() | st.builds(ErrorInfo, st.text(), st.text(), st.none() | st.text()),
    st.none() | st.text(),
)
def test_its_canonical_text_is_its_json_without_blanks(one, text, error, domain):
    one = attrs.evolve(
        one, result_text=text, result_type=text, error=error, domain=domain, domain_version=domain
    )
    if error is not None:
        one = attrs.evolve(one, forwarded_for=Destination.parse("a.b"))
    assert one.canonical() == json.dumps(one.to_json(), ensure_ascii=False, separators=(",", ":"))


@given(copies(), copies(), st.sampled_from([*COMMANDS, " portal.cluster  add_user fred.proj.portal "]))
def test_a_job_reads_the_same_whatever_is_known_under_its_id(one, there, command):
    value = one.to_json() | {"command": command}
    read = Job.from_json(value, lambda number: attrs.evolve(there, id=uuid.UUID(int=number)))
    assert read == Job.from_json(value)
    assert read.command == Job.from_json(value).command


def test_error_domain_and_forwarding_survive_json():
    one = attrs.evolve(
        job().errored("no", kind="award_pending", origin="brics"),
        domain="greatwestern",
        domain_version="0.94.0",
        forwarded_for=job().destination,
    )
    assert Job.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("ManagedProjectPendingError: still under review", "award_pending"),
        ("ManagedProjectPendingError", "award_pending"),
        ("RuntimeError{ManagedProjectRejectedError: no}", "award_rejected"),
        (" ManagedProjectPermissionError: no", "award_permission"),
        ("OpenPortalUnsupportedCommandError: no", "unsupported"),
        ("ManagedProjectPendingErrors: no", "unknown"),
        ("ExpirationError{}", "expired"),
        ("ExpirationError{{}}", "expired"),
        ("UnknownError{}", "unknown"),
        ("RuntimeError{it broke}", "run"),
        ("it broke", "unknown"),
        ("BaseException: x", "unknown"),
    ],
)
def test_the_kind_of_an_older_agents_error_is_read_off_its_message(message, kind):
    assert ErrorInfo.from_message(message) == ErrorInfo(kind, message)
    assert job().errored(message).error_info == ErrorInfo(kind, message)


CASES = [case for case in json.loads((DATA / "grammar_cases.json").read_text()) if case["kind"] == "job"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:60])
def test_jobs_are_read_as_existing_agents_read_them(case):
    def read() -> Job:
        try:
            return Job.from_json(json.loads(case["text"]))
        except json.JSONDecodeError as error:
            raise ParseError(str(error)) from error

    if not case["ok"]:
        with pytest.raises(ParseError):
            read()
        return
    written = read().to_json()
    for optional in ("domain", "domain_version"):
        if written[optional] is None:
            del written[optional]
    assert written == case["json"]


def test_a_log_line_shows_path_version_times_and_state_on_one_line():
    shown = str(attrs.evolve(job().completed("x", now=NOW), created=1729251969, changed=1729251969))
    assert shown == (
        "{portal.cluster add_user fred.proj.portal}: version=1002, created=2024-10-18 11:46:09 UTC, "
        "changed=2024-10-18 11:46:09 UTC, state=Complete"
    )
    rude = Job.parse("portal.clu\x1bster add_user fred.proj.org")
    assert "\x1b" not in str(rude)


@given(st.integers(-8_334_601_228_800, 8_210_266_876_799))
def test_a_job_of_any_time_can_be_shown(seconds):
    assert "created=" in str(attrs.evolve(job(), created=seconds))


def test_a_job_that_was_never_put_says_how_to_put_it():
    with pytest.raises(StateError, match=r"await job\.put"):
        job().updates()
