import json

from hypothesis import given
from hypothesis import strategies as st

from templemeads import Job
from templemeads.operations.diagnostics import (
    KINDS_KEPT,
    KINDS_SHOWN,
    TIMES_KEPT,
    Ended,
    Recorder,
    RunningHandler,
)

NOW = 1_800_000_000.0


def job(user="fred", portal="portal", via="cluster"):
    return Job.parse(f"{portal}.{via} add_user {user}.proj.{portal}", now=NOW).pending(NOW)


def failed(user="fred", at=NOW, message="no such group", seconds=0.1, portal="portal"):
    return Ended(job(user, portal).errored(message, now=at), at, seconds)


def report(recorder, now=NOW, running=(), asker=None):
    return recorder.report("cluster", now, running, asker=asker)


def test_failures_of_one_command_are_one_entry_with_the_latest_message():
    recorder = Recorder()
    recorder.record(failed(at=NOW, message="first"))
    recorder.record(failed(at=NOW + 5, message="second"))
    recorder.record(failed("jane", at=NOW + 1))
    recorder.record(failed("fred", at=NOW + 6, message="third"))
    entries = report(recorder)["failed_jobs"]
    assert [entry["instruction"] for entry in entries] == [
        "add_user jane.proj.portal",
        "add_user fred.proj.portal",
    ]
    assert entries[1] == {
        "destination": "portal.cluster",
        "instruction": "add_user fred.proj.portal",
        "error_message": "third",
        "count": 3,
        "first_seen": "2027-01-15T08:00:00Z",
        "last_seen": "2027-01-15T08:00:06Z",
    }
    assert recorder.totals == {"failed": 4}


def test_the_kind_seen_first_longest_ago_makes_room():
    recorder = Recorder()
    for number in range(KINDS_KEPT + 1):
        recorder.record(failed(f"u{number}"))
    recorder.record(failed("u1"))  # a repetition does not move a kind up
    recorder.record(failed("new"))
    entries = report(recorder)["failed_jobs"]
    assert len(entries) == KINDS_SHOWN
    assert entries[0]["instruction"] == "add_user new.proj.portal"
    names = {entry["instruction"] for entry in recorder.report("x", NOW, [])["failed_jobs"]}
    assert "add_user u1.proj.portal" not in names


def test_slow_jobs_are_listed_slowest_first_failed_ones_too():
    recorder = Recorder()
    recorder.record(failed("slow", seconds=11))
    recorder.record(Ended(job("slower").completed("x", now=NOW), NOW, 20))
    recorder.record(Ended(job("exact").completed("x", now=NOW), NOW, 10))
    found = report(recorder)["slowest_jobs"]
    assert [(entry["duration_ms"], entry["instruction"].split()[1]) for entry in found] == [
        (20_000, "slower.proj.portal"),
        (11_000, "slow.proj.portal"),
    ]
    assert recorder.totals == {"failed": 1, "slow": 2, "completed": 2}


def test_a_job_past_its_expiry_counts_as_expired_whatever_became_of_it():
    recorder = Recorder()
    recorder.record(Ended(job(), NOW + 121, 121))
    recorder.record(Ended(job("jane").completed("x", now=NOW + 1), NOW + 121, 121))
    assert recorder.totals == {"expired": 2}
    assert [entry["count"] for entry in report(recorder)["expired_jobs"]] == [1, 1]


def test_a_job_that_was_deleted_while_it_ran_counts_as_nothing():
    recorder = Recorder()
    recorder.record(Ended(job(), NOW + 1, 1))
    assert not recorder.totals


def test_running_jobs_are_gathered_by_command_longest_first():
    running = [RunningHandler(job("a"), 5), RunningHandler(job("b"), 400), RunningHandler(job("a"), 7)]
    found = report(Recorder(), running=running)
    assert [(entry["count"], entry["running_for_seconds"]) for entry in found["running_jobs"]] == [
        (1, 400),
        (2, 7),
    ]
    assert found["warnings"] == ["1 jobs have been running for more than 300 seconds"]


def test_warnings_come_in_their_order():
    recorder = Recorder()
    for _ in range(10):
        recorder.record(failed())
    for number in range(51):
        recorder.record(Ended(job(f"u{number}"), NOW + 121, 1))
    recorder.notified["failed"] = 2
    words = [text.split()[-1] for text in report(recorder, running=[RunningHandler(job(), 301)])["warnings"]]
    assert words == ["more", "seconds", "expired", "sent"]


def test_an_asker_learns_nothing_of_jobs_whose_path_it_is_not_on():
    recorder = Recorder()
    recorder.record(failed("fred", message="fred is unknown"))
    recorder.record(failed("jane", message="jane is unknown", portal="other"))
    text = json.dumps(report(recorder, asker="portal"))
    assert "fred is unknown" in text
    assert "jane" not in text
    assert "add_user …" in report(recorder, asker="portal")["failed_jobs"][0]["instruction"]
    assert "jane" in json.dumps(report(recorder))


def test_a_soft_restart_forgets_all_but_the_times():
    recorder = Recorder()
    recorder.record(failed(seconds=11))
    recorder.notified["sent"] += 1
    recorder.reset()
    fresh = Recorder().report("cluster", NOW, [])
    assert report(recorder) == fresh
    assert recorder.times().count == 1


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_times_are_computed_over_what_is_kept(seconds):
    recorder = Recorder()
    for each in seconds:
        recorder.record(Ended(job().completed("x", now=NOW), NOW, each))
    times = recorder.times()
    assert times.count == len(seconds)
    assert times.least <= times.median <= times.most
    assert times.most == max(seconds, default=0) * 1000


def test_only_the_latest_times_are_kept():
    recorder = Recorder()
    for each in range(TIMES_KEPT + 5):
        recorder.record(Ended(job().completed("x", now=NOW), NOW, each))
    assert (recorder.times().count, recorder.times().least) == (TIMES_KEPT, 5000)


def test_foreign_text_is_one_harmless_line():
    recorder = Recorder()
    recorder.record(failed(message="\x1b[2J\nforged line" + "x" * 10_000))
    message = report(recorder)["failed_jobs"][0]["error_message"]
    assert message.isprintable()
    assert len(message) < 600
