"""Strategies and small helpers for the tests of the core: a few jobs with few commands, so that they meet."""

from __future__ import annotations

import uuid

import attrs
from hypothesis import strategies as st

from templemeads import Job, Status

NOW = 1_733_000_000
PATH = "portal.cluster"

COMMANDS = (
    f"{PATH} add_user fred.proj.portal",
    f"{PATH} add_user jane.proj.portal",
    f"{PATH} remove_user fred.proj.portal",
)


def job(number: int = 1, command: str = COMMANDS[0], *, lifetime: float = 120, now: float = NOW) -> Job:
    """A pending job; its id is made from a number."""
    made = Job.parse(command, lifetime=lifetime, now=now).pending(now)
    return attrs.evolve(made, id=uuid.UUID(int=number))


@st.composite
def copies(draw: st.DrawFn, numbers: st.SearchStrategy[int] | None = None) -> Job:
    """A copy of one of a few jobs, in any state that it may have; the number of a job decides its command."""
    number = draw(st.integers(1, 4) if numbers is None else numbers)
    one = job(number, COMMANDS[number % len(COMMANDS)])
    version = draw(st.integers(2, 6))
    changed = NOW + draw(st.integers(0, 3))
    match draw(st.sampled_from(["pending", "running", "complete", "error"])):
        case "pending":
            return attrs.evolve(one, version=version, changed=changed)
        case "running":
            text = draw(st.sampled_from(["half", "most"]))
            return attrs.evolve(
                one, version=version, changed=changed, status=Status.RUNNING, result_text=text
            )
        case "complete":
            text = draw(st.sampled_from(['"done"', '"made"']))
            return attrs.evolve(
                one,
                version=version + 1000,
                changed=changed,
                status=Status.COMPLETE,
                result_text=text,
                result_type="String",
            )
        case _:
            return attrs.evolve(
                one,
                version=version + 1000,
                changed=changed,
                status=Status.ERROR,
                result_text="it broke",
                result_type="Error",
            )
