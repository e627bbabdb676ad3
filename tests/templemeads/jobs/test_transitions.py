from pathlib import Path

import pytest

from templemeads import Job, StateError, Status
from templemeads.jobs.transitions import TRANSITIONS, markdown
from tests.templemeads.values import NOW, job

PAGE = Path(__file__).parents[3] / "docs" / "jobs.md"


def states():
    created = Job.parse("portal.cluster add_user fred.proj.portal", now=NOW)
    pending = created.pending(NOW)
    return {
        Status.CREATED: created,
        Status.PENDING: pending,
        Status.RUNNING: pending.running(now=NOW),
        Status.COMPLETE: pending.completed("x", now=NOW),
        Status.ERROR: pending.errored("x", now=NOW),
        Status.DUPLICATE: pending.duplicate_of(job(2).id, now=NOW),
    }


ARGUMENTS = {
    "pending": lambda one: one.pending(NOW),
    "running": lambda one: one.running("half", now=NOW),
    "completed": lambda one: one.completed("x", now=NOW),
    "errored": lambda one: one.errored("x", now=NOW),
    "duplicate_of": lambda one: one.duplicate_of(job(3).id, now=NOW),
    "reinstated": lambda one: one.reinstated(now=NOW),
    "copy_result_of": lambda one: one.copy_result_of(states()[Status.COMPLETE], now=NOW),
    "ended_as": lambda one: one.ended_as(states()[Status.COMPLETE], origin="cluster", now=NOW),
    "unsendable": lambda one: one.unsendable("too large", origin="cluster", now=NOW),
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("step", TRANSITIONS, ids=lambda step: step.name)
def test_a_job_takes_exactly_the_steps_of_the_table(step, status):
    before = states()[status]
    if status not in step.sources:
        if step.name == "pending" and status is Status.PENDING:
            assert before.pending(NOW) is before
            return
        with pytest.raises(StateError):
            ARGUMENTS[step.name](before)
        return
    after = ARGUMENTS[step.name](before)
    assert after.status is (step.target or Status.COMPLETE)
    assert after.version == before.version + step.versions


def test_the_page_shows_the_table():
    assert markdown() in PAGE.read_text(), (
        "run: python -m templemeads.jobs.transitions, and put it into docs/jobs.md"
    )
