"""Every benchmark that needs no foreign software runs from its command, so that none of them rots."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

# One group, so that one worker runs the benchmarks once for all tests.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.xdist_group("benchmarks")]

ROOT = Path(__file__).resolve().parents[2]
ALL = {"jobs", "route", "boards", "resync", "idle", "micro", "imports", "grammar", "startup"}
MINUTES = 5

EXPECTED = {
    "jobs": {
        "memory, own: 100 under way",
        "memory, own: 100 under way, p50",
        "memory, own: 100 under way, p99",
        "sqlite, compatible: alone, p50",
        "sqlite, compatible: alone, p99",
        "memory, own: garbage collection",
        "memory, own: jobs / echoes",
        "memory, compatible: jobs / echoes",
        "memory, own: time alone / echo's",
        "own: jobs on sqlite / in memory",
        "a job there and back: compatible frames",
    },
    "route": {"time alone, four agents / two"},
    "boards": {"cost at 1,000 finished / empty", "cost at 1,000 pending / empty"},
    "resync": {"both have the board", "one has lost it"},
    "idle": {"memory of one, at the agent", "processor, all idle"},
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    place = tmp_path_factory.mktemp("figures")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(place)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=MINUTES * 60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {path.stem: json.loads(path.read_text()) for path in place.iterdir()}


def test_each_writes_its_figures(reports):
    assert set(reports) == ALL
    for name, report in reports.items():
        names = [figure["name"] for figure in report["figures"]]
        assert len(set(names)) == len(names)
        assert set(names) >= EXPECTED.get(name, set())


def test_figures_are_numbers_that_lie_between_their_extremes(reports):
    for name, report in reports.items():
        for figure in report["figures"]:
            told = f"{name}: {figure}"
            assert figure["unit"], told
            assert all(math.isfinite(sample) for sample in figure["samples"]), told
            assert figure["low"] <= figure["value"] <= figure["high"], told
            assert [figure["low"], figure["high"]] == [min(figure["samples"]), max(figure["samples"])], told


def test_rates_and_ratios_are_above_nothing(reports):
    for name, report in reports.items():
        for figure in report["figures"]:
            if figure["unit"] in {"/s", "x"}:
                assert figure["low"] > 0, f"{name}: {figure}"


def test_the_page_has_rows_for_figures_that_there_are(reports, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text((ROOT / "docs" / "performance.md").read_text())
    figures = tmp_path / "figures"
    figures.mkdir()
    for name, report in reports.items():
        (figures / f"{name}.json").write_text(json.dumps(report))
    ended = subprocess.run(
        [sys.executable, "benchmarks/fill.py", figures, page],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    unfilled = [line.split(" for the row ")[1] for line in ended.stderr.splitlines()]
    # A quick run leaves out the others, large boards, and texts that are long enough to compare.
    elsewhere = re.compile(r"peers: .*|boards: .*[\d,]+0,000.*|grammar: growth .*")
    assert [row for row in unfilled if not elsewhere.fullmatch(row)] == []
    told = next(each for each in reports["jobs"]["figures"] if each["name"] == "echo: alone, p50")["value"]
    found = re.search(r"^\| echo: alone, p50 \| ([\d.]+) ms \|", page.read_text(), re.MULTILINE)
    assert found is not None
    assert float(found[1]) == pytest.approx(told, rel=0.01)


def test_a_report_says_on_what_it_was_made(reports):
    for report in reports.values():
        assert report["machine"]["python"] == sys.version.split()[0]
        assert report["machine"]["processors"] >= 1
        assert report["load_before"] >= 0
        assert report["foreign_processors"] >= 0
