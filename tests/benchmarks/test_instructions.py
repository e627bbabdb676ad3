"""The budget of a job's instructions: what is above it by more than 3 % is named, with what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def instructions(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import instructions

    yield instructions
    sys.modules.pop("instructions", None)


@pytest.mark.parametrize(("figure", "problems"), [(500, 0), (1000, 0), (1029, 0), (1031, 1)])
def test_a_job_that_costs_more_than_three_per_cent_above_its_budget_is_a_problem(
    instructions, figure, problems
):
    found = instructions.excess({"own framing": figure}, {"own framing": 1000})
    assert len(found) == problems
    assert all("own framing" in each and "instructions.json" in each for each in found)


def test_the_budget_has_a_figure_for_each_case(instructions):
    stated = json.loads(instructions.BUDGET_PATH.read_text())
    assert stated["thousand_instructions"].keys() == instructions.CASES.keys()


def test_jobs_run_in_both_framings(instructions, monkeypatch):
    monkeypatch.setattr("logging.disable", lambda: None)
    for dense in (True, False):
        instructions.run_jobs(3, dense=dense, logged=False)
