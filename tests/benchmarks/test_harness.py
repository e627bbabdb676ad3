"""The arithmetic of the benchmarks: medians, ratios by round, and verdicts."""

import pathlib

import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import harness

    return harness


def test_a_ratio_is_of_what_was_measured_in_the_same_round(harness):
    report = harness.Report("")
    # The medians' ratio would be 1.
    assert report.ratio("x", [1, 20, 300], [10, 20, 30]) == 1
    assert report.ratio("y", [20, 30, 400], [10, 30, 20]) == 2
    assert report.as_json()["figures"][0] | {"at_least": None} == {
        "name": "x",
        "value": 1,
        "unit": "x",
        "low": 0.1,
        "high": 10,
        "samples": [0.1, 1, 10],
        "at_least": None,
        "at_most": None,
        "met": None,
    }


@pytest.mark.parametrize(
    ("limits", "met"),
    [
        ({}, None),
        ({"at_least": 2}, True),
        ({"at_least": 2.1}, False),
        ({"at_most": 2}, True),
        ({"at_most": 1.9}, False),
    ],
)
def test_the_median_decides_whether_a_target_is_met(harness, limits, met):
    report = harness.Report("")
    report.add("x", [1, 2, 9], "s", **limits)
    assert report.figures[0].met is met
    assert bool(report.missed) is (met is False)


def test_two_figures_of_one_name_are_refused(harness):
    report = harness.Report("")
    report.add("x", [1], "s")
    with pytest.raises(ValueError, match="'x'"):
        report.add("x", [2], "s")


@pytest.mark.parametrize(("part", "value"), [(0.5, 51), (0.99, 100), (1, 100)])
def test_a_quantile_is_one_of_the_values(harness, part, value):
    assert harness.quantile(range(100, 0, -1), part) == value


def test_to_check_ends_with_a_status_where_a_target_is_missed(harness, capsys):
    report = harness.Report("Title")
    report.add("x", [1], "s", at_least=2)
    options = harness.arguments(None).parse_args([])
    harness.finish(report, options)
    options = harness.arguments(None).parse_args(["--check"])
    with pytest.raises(SystemExit, match="1"):
        harness.finish(report, options)
    assert "MISSED" in capsys.readouterr().out


def test_quick_is_small_but_not_where_something_was_asked_for(harness):
    parser = harness.arguments(None, peers=20)
    parser.add_argument("--peers", type=int, default=1_000)
    assert parser.parse_args([]).peers == 1_000
    assert parser.parse_args(["--quick"]).peers == 20
    assert parser.parse_args(["--quick", "--peers", "7"]).peers == 7
