import attrs
import pytest
from hypothesis import given

from templemeads.errors import ParseError, RefusedError
from templemeads.grammar import (
    DateRange,
    PortalIdentifier,
    ProjectIdentifier,
    ProjectStorageReport,
    Quota,
    QuotaLimit,
    StorageReport,
    Timestamp,
    UserIdentifier,
    Volume,
)
from templemeads.testing import near_misses
from templemeads.testing.strategies import date_ranges, project_storage_reports, storage_reports

PROJECT = ProjectIdentifier("proj", "waldur")
FRED = UserIdentifier("fred", "proj", "waldur")
of_one_project = project_storage_reports(project=PROJECT)


def report(moment: str, **users: str) -> ProjectStorageReport:
    quotas = {Volume("home"): Quota(QuotaLimit())}
    names = {UserIdentifier(user, "proj", "waldur"): name for user, name in users.items()}
    return ProjectStorageReport(PROJECT, Timestamp.parse(moment), quotas, {FRED: quotas}, names)


def days_of(report: ProjectStorageReport) -> dict[str, str]:
    return {str(date): str(snapshot.generated_at) for date, snapshot in report.daily_reports.items()}


@given(project_storage_reports())
def test_a_report_survives_writing_but_for_the_digits_of_sizes(report: ProjectStorageReport) -> None:
    once = ProjectStorageReport.parse(str(report))
    assert once.project == report.project
    assert once.generated_at == report.generated_at
    assert once.users == report.users
    assert set(once.project_quotas) == set(report.project_quotas)
    assert set(once.daily_reports) == set(report.daily_reports)


@given(storage_reports())
def test_a_report_of_a_portal_survives_writing(report: StorageReport) -> None:
    assert set(StorageReport.parse(str(report)).reports) == set(report.reports)


@given(near_misses(ProjectStorageReport))
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        ProjectStorageReport.parse(text)


def test_no_snapshots_are_not_written() -> None:
    assert "daily_reports" not in report("2024-01-01T00:00:00Z").to_json()
    assert list(report("2024-01-01T00:00:00Z").snapshot.to_json()) == [
        "project", "generated_at", "project_quotas", "user_quotas"
    ]  # fmt: skip


def test_the_later_report_stays_on_top_and_the_other_becomes_a_snapshot() -> None:
    early, late = report("2024-01-01T12:00:00Z", fred="f", jane="j"), report("2024-01-03T12:00:00Z", fred="g")
    for both in (early + late, late + early):
        assert str(both.generated_at) == "2024-01-03T12:00:00Z"
        assert days_of(both) == {"2024-01-01": "2024-01-01T12:00:00Z"}
        assert {str(user): name for user, name in both.users.items()} == {
            "fred.proj.waldur": "g",
            "jane.proj.waldur": "j",
        }


def test_of_reports_of_one_day_the_earlier_is_dropped() -> None:
    assert days_of(report("2024-01-03T12:00:00Z") + report("2024-01-03T11:59:59+00:00")) == {}


def test_days_are_counted_in_utc() -> None:
    both = report("2024-01-03T12:00:00Z") + report("2024-01-03T01:00:00+02:00")
    assert days_of(both) == {"2024-01-02": "2024-01-02T23:00:00Z"}


def test_of_equal_reports_the_first_stays_on_top() -> None:
    one, other = report("2024-01-03T12:00:00Z", fred="one"), report("2024-01-03T12:00:00Z", fred="other")
    assert one + other == one
    assert other + one == other


def test_of_two_snapshots_of_a_day_the_later_stays() -> None:
    first = report("2024-01-01T08:00:00Z") + report("2024-01-05T00:00:00Z")
    second = report("2024-01-01T09:00:00Z") + report("2024-01-06T00:00:00Z")
    for both in (first + second, second + first):
        assert days_of(both) == {"2024-01-01": "2024-01-01T09:00:00Z", "2024-01-05": "2024-01-05T00:00:00Z"}


@given(of_one_project, of_one_project)
def test_merging_keeps_the_latest_of_each_day_and_none_of_the_day_on_top(
    one: ProjectStorageReport, other: ProjectStorageReport
) -> None:
    both = one + other
    assert both.generated_at == max(one.generated_at, other.generated_at)
    seen = {**one.daily_reports, **other.daily_reports}
    for date in both.daily_reports:
        assert date.timetuple()[:3] != both.generated_at.civil_day
    for date in seen:
        candidates = [each.daily_reports[date] for each in (one, other) if date in each.daily_reports]
        if date in both.daily_reports:
            assert both.daily_reports[date].generated_at >= max(each.generated_at for each in candidates)
        else:
            assert date.timetuple()[:3] == both.generated_at.civil_day


@given(of_one_project, of_one_project)
def test_merging_again_changes_nothing(one: ProjectStorageReport, other: ProjectStorageReport) -> None:
    both = one + other
    assert both + other == both


def test_reports_of_other_projects_change_nothing() -> None:
    here = report("2024-01-01T00:00:00Z")
    other = attrs.evolve(report("2024-01-02T00:00:00Z"), project=ProjectIdentifier("other", "waldur"))
    assert here + other == here
    assert ProjectStorageReport.combined([here, other]) == here


def test_what_cannot_be_combined() -> None:
    here = report("2024-01-01T00:00:00Z")
    elsewhere = attrs.evolve(here, project=ProjectIdentifier("proj", "elsewhere"))
    with pytest.raises(RefusedError, match="portals"):
        ProjectStorageReport.combined([here, elsewhere])
    for kind in (ProjectStorageReport, StorageReport):
        with pytest.raises(RefusedError, match="no reports"):
            kind.combined([])
    with pytest.raises(RefusedError, match="portals"):
        StorageReport.combined([StorageReport(PortalIdentifier(name), {}) for name in "ab"])


def test_a_moment_outside_of_the_years_of_dates_leaves_no_snapshot() -> None:
    assert days_of(report("1950-01-01T00:00:00Z") + report("2024-01-01T00:00:00Z")) == {}


@given(project_storage_reports(), date_ranges())
def test_filtering_keeps_the_snapshots_of_the_range_and_the_top(
    report: ProjectStorageReport, days: DateRange
) -> None:
    kept = report.filtered(days)
    assert set(kept.daily_reports) == {
        date for date in report.daily_reports if days.start <= date <= days.end
    }
    assert attrs.evolve(kept, daily_reports={}) == attrs.evolve(report, daily_reports={})


def test_renaming_a_project_takes_its_users_along_everywhere() -> None:
    both = report("2024-01-01T00:00:00Z", fred="f") + report("2024-01-02T00:00:00Z")
    text = str(both.renamed(ProjectIdentifier("new", "portal")))
    assert "fred.new.portal" in text
    assert "waldur" not in text


def test_reports_of_a_portal_unite_their_projects() -> None:
    portal = PortalIdentifier("waldur")
    early, late = (report(f"2024-01-0{day}T00:00:00Z") for day in (1, 2))
    both = StorageReport.combined([StorageReport(portal, {PROJECT: each}) for each in (early, late)])
    assert both.reports[PROJECT] == late + early
    with pytest.raises(ParseError, match="not a project of"):
        StorageReport(PortalIdentifier("elsewhere"), {PROJECT: early})


def test_unknown_fields_survive_merging() -> None:
    old = attrs.evolve(report("2024-01-01T00:00:00Z"), unknown={"a": 1, "b": [1]})
    new = attrs.evolve(report("2024-01-02T00:00:00Z"), unknown={"a": 2})
    written = (old + new).to_json(unknown=True)
    assert (written["a"], written["b"]) == (2, [1])
    assert "a" not in (old + new).to_json()


@given(storage_reports(), date_ranges())
def test_filtering_a_report_of_a_portal_filters_each_project(report: StorageReport, days: DateRange) -> None:
    kept = report.filtered(days)
    assert kept.reports == {project: each.filtered(days) for project, each in report.reports.items()}


def test_a_report_is_added_only_to_a_report() -> None:
    with pytest.raises(TypeError):
        report("2024-01-01T00:00:00Z") + 1
