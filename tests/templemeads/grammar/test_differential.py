"""Our grammar and the published client of the reference implementation must make the same of every text.

Set `TEMPLEMEADS_EXAMPLES` to a number to ask more questions of each sort than an ordinary run does.
"""

import functools
import json
import operator
import os
from typing import Any

import attrs
import openportal
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from templemeads import grammar as g
from templemeads.errors import RefusedError
from templemeads.testing import strategies as values
from tests.templemeads.grammar.differences import DIFFERENCES, Difference
from tests.templemeads.grammar.judge import KINDS, QUESTIONS, REFUSED, Kind

EXAMPLES = {
    sort: int(os.environ.get("TEMPLEMEADS_EXAMPLES", usual))
    for sort, usual in {"right": 10, "nearly right": 40, "arbitrary": 15}.items()
}
PROJECT = g.ProjectIdentifier("proj", "waldur")


@pytest.mark.parametrize("sort", QUESTIONS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_both_make_the_same_of_a_text(kind: Kind, sort: str) -> None:
    @settings(max_examples=EXAMPLES[sort], deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(QUESTIONS[sort](kind))
    def ask(text: str) -> None:
        ours, theirs = kind.compare(text)
        if ours != theirs and not any(each.covers(kind.name, text, ours, theirs) for each in DIFFERENCES):
            assert ours == theirs
        if sort == "right":
            assert ours != REFUSED

    ask()


@pytest.mark.parametrize("difference", DIFFERENCES, ids=range(len(DIFFERENCES)))
def test_every_difference_on_the_list_is_one(difference: Difference) -> None:
    name = difference.kinds[0]
    kind = next(kind for kind in KINDS if kind.name == name)
    ours, theirs = kind.compare(difference.example)
    assert difference.covers(name, difference.example, ours, theirs)
    assert len(difference.reason) > 40


@given(st.integers(0, 2**64 - 1) | st.integers(0, 10**6))
def test_amounts_of_time_are_described_alike(seconds: int) -> None:
    assert g.Usage(seconds).describe() == str(openportal.Usage(seconds))
    assert g.Usage(seconds).describe_hours() == openportal.Usage(seconds).in_hours()


@given(values.storage_sizes())
def test_sizes_are_written_alike(size: g.StorageSize) -> None:
    assert str(size) == str(openportal.StorageSize.from_bytes(size.bytes))


@given(values.domain_patterns(), values.domains() | st.sampled_from(["", "a", ".ac.uk", "X.ORG"]))
def test_patterns_match_domains_alike(pattern: g.DomainPattern, domain: str) -> None:
    theirs = openportal.DomainPattern(str(pattern))
    for asked in (domain, domain.upper(), str(pattern).replace("*", "x")):
        if not pattern.is_address:
            assert pattern.matches(asked) == theirs.matches(asked)


@given(st.lists(values.domain_patterns(), max_size=3), values.addresses())
def test_addresses_are_allowed_alike(patterns: list[g.DomainPattern], address: str) -> None:
    award = g.AwardDetails(allowed_domains=patterns)
    theirs = openportal.AwardDetails(str(award))
    of_patterns = [str(each) if each.is_address else str(each).replace("*", "jane@x") for each in patterns]
    for asked in (address, address.upper(), *of_patterns, *(f"jane@{each}" for each in of_patterns)):
        if asked.count("@") == 1:
            assert award.allows(asked) == theirs.is_email_allowed(asked), asked


# --- what is done with values -------------------------------------------------------------------


@given(values.award_details(), values.award_details())
def test_awards_are_merged_alike(award: g.AwardDetails, update: g.AwardDetails) -> None:
    try:
        theirs = openportal.AwardDetails(str(award)).merge(openportal.AwardDetails(str(update))).to_json()
    except OSError:
        with pytest.raises(RefusedError):
            award.merge(update)
    else:
        assert str(award.merge(update)) == theirs


@given(st.lists(values.project_usage_reports(project=PROJECT), min_size=1, max_size=3))
def test_usage_reports_are_added_alike(reports: list[g.ProjectUsageReport]) -> None:
    theirs = [openportal.ProjectUsageReport.from_json(str(report)) for report in reports]
    ours = _without_empty(g.ProjectUsageReport.combined(reports).to_json())
    assert ours == _without_empty(json.loads(functools.reduce(operator.add, theirs).to_json()))
    assert ours == _without_empty(json.loads(openportal.ProjectUsageReport.combine(theirs).to_json()))


@given(values.project_usage_reports(), st.floats(0, 2), values.date_ranges())
def test_usage_reports_are_scaled_filtered_and_summed_alike(
    report: g.ProjectUsageReport, factor: float, days: g.DateRange
) -> None:
    theirs = openportal.ProjectUsageReport.from_json(str(report))
    assert (report * factor).to_json() == json.loads((theirs * factor).to_json())
    filtered = theirs.filter(openportal.DateRange.parse(str(days))).to_json()
    assert report.filtered(days).to_json() == json.loads(filtered)
    assert report.total_usage.seconds == theirs.total_usage.seconds
    assert report.is_complete == theirs.is_complete
    assert list(report.unmapped_users) == sorted(theirs.unmapped_users)


@given(values.project_usage_reports())
def test_the_figures_of_usage_reports_are_alike(report: g.ProjectUsageReport) -> None:
    theirs, total = openportal.ProjectUsageReport.from_json(str(report)), report.total
    assert total.mean_wait_seconds == theirs.average_wait_seconds
    if theirs.expansion_jobs:  # otherwise there is no mean, whatever the totals say
        assert total.expansion_jobs == theirs.expansion_jobs
        assert total.mean_expansion_factor == pytest.approx(theirs.average_expansion_factor)
        assert total.mean_runtime_seconds == theirs.average_runtime_seconds
    assert total.aggregate_expansion_factor == pytest.approx(theirs.aggregate_expansion_factor)
    assert total.mean_wait_seconds_with_requeues == theirs.average_wait_seconds_including_requeues
    assert total.mean_cpus == pytest.approx(theirs.average_cpus_per_job)


@given(values.project_storage_reports(project=PROJECT), values.project_storage_reports(project=PROJECT))
def test_storage_reports_are_added_alike(one: g.ProjectStorageReport, other: g.ProjectStorageReport) -> None:
    # Sizes are rounded on the way to them, so ours take the same way. A report that has a snapshot of its own day
    # contradicts itself; they keep that snapshot, against the page.
    one, other = (_without_today(g.ProjectStorageReport.parse(str(report))) for report in (one, other))
    theirs = [openportal.ProjectStorageReport.from_json(str(report)) for report in (one, other)]
    added = json.loads((theirs[0] + theirs[1]).to_json())
    # They write snapshots of days that no reader of theirs or ours takes; we leave those out.
    snapshots = {
        day: it
        for day, it in added.pop("daily_reports", {}).items()
        if "1970" <= day < "2201" and day[4] == "-"
    }
    assert (one + other).to_json() == added | ({"daily_reports": snapshots} if snapshots else {})


def _without_empty(value: Any) -> Any:
    """Drop groups without users, users without usage and the reservation without name: they may add those or not."""
    if not isinstance(value, dict):
        return value
    pruned = {name: _without_empty(item) for name, item in value.items()}
    for name, item in pruned.items():
        if name.startswith("reservation_") and isinstance(item, dict):
            item.pop("", None)
    return {name: item for name, item in pruned.items() if item not in ({}, {"seconds": 0})}


def _without_today(report: g.ProjectStorageReport) -> g.ProjectStorageReport:
    earlier = {
        date: snapshot
        for date, snapshot in report.daily_reports.items()
        if date.timetuple()[:3] != report.generated_at.civil_day
    }
    return attrs.evolve(report, daily_reports=earlier)
