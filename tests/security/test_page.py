"""The page on security names every case, and every test that it names is there."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
CASES = json.loads((TESTS / "data" / "security_cases.json").read_text(encoding="utf-8"))
ROWS = [
    (cells[0], cells[2])
    for line in PAGE.partition("## Every case")[2].splitlines()
    if line.startswith("| ")
    and (cells := [cell.strip() for cell in line.strip("|").split(" | ")])[0] != "case"
]
REASONS = ("Not yet", "Accepted", "Does not apply", "Not covered", "Not enforced", "By design", "In part")


@cache
def cases_in(path):
    """Names of the tests in a file, each with the cases that its markers name."""
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return {
        each.name: {
            mark.args[0].value
            for mark in each.decorator_list
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.case"
        }
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test_")
    }


def test_every_case_has_one_row():
    assert [case for case, _ in ROWS] == CASES
    assert len(set(CASES)) == len(CASES) == 174


@pytest.mark.parametrize(("case", "held"), ROWS, ids=[case for case, _ in ROWS])
def test_what_holds_a_case_is_there(case, held):
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", held)
    assert named or held.startswith(REASONS)
    for path, name in named:
        assert name in cases_in(path), f"{path} has no {name}"


def test_every_test_that_names_a_case_stands_in_its_row():
    rows = dict(ROWS)
    for path in sorted((TESTS / "security").glob("test_*.py")):
        for name, cases in cases_in(f"security/{path.name}").items():
            for case in cases:
                assert f"`security/{path.name}::{name}`" in rows[case], (
                    f"{name} is missing in the row of {case}"
                )
