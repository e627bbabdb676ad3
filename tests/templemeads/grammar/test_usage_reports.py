from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError, RefusedError
from templemeads.grammar import (
    DailyProjectUsageReport,
    Date,
    DateRange,
    PortalIdentifier,
    ProjectIdentifier,
    ProjectUsageReport,
    Usage,
    UsageReport,
    UserIdentifier,
    UserUsageReport,
)
from templemeads.grammar.forms import MAX_U64
from templemeads.testing import near_misses
from templemeads.testing.strategies import (
    daily_usage_reports,
    date_ranges,
    project_usage_reports,
    usage_reports,
    user_usage_reports,
)

PROJECT = ProjectIdentifier("proj", "waldur")
ONE, TWO = Date(2024, 1, 1), Date(2024, 1, 2)
FRED = UserIdentifier("fred", "proj", "waldur")
days = daily_usage_reports()
of_one_project = project_usage_reports(project=PROJECT)


def usages(**seconds: int) -> dict[str, Usage]:
    return {name: Usage(number) for name, number in seconds.items()}


DAY = DailyProjectUsageReport(
    reports=usages(fred=10, jane=5, unknown=7),
    components={"gpu": usages(fred=3)},
    user_job_counts={"fred": 3},
    num_jobs=3,
    total_wait_seconds=10,
    total_expansion_milli=4500,
    num_expansion_jobs=2,
    total_runtime_seconds=7,
    requeue_wait_seconds=6,
    total_allocated_cpus=5,
    total_allocated_gpus=6,
    requeue_states={"NODE_FAIL": 1},
    is_complete=True,
)


@given(days)
def test_a_day_survives_writing(day: DailyProjectUsageReport) -> None:
    assert DailyProjectUsageReport.parse(str(day)) == day


@given(project_usage_reports())
def test_a_report_of_a_project_survives_writing(report: ProjectUsageReport) -> None:
    assert ProjectUsageReport.parse(str(report)) == report
    assert hash(ProjectUsageReport.parse(str(report))) == hash(report)


@given(usage_reports())
def test_a_report_of_a_portal_survives_writing(report: UsageReport) -> None:
    assert UsageReport.parse(str(report)) == report


@given(user_usage_reports())
def test_a_report_of_a_user_survives_writing(report: UserUsageReport) -> None:
    assert UserUsageReport.parse(str(report)) == report


@given(near_misses(ProjectUsageReport))
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        ProjectUsageReport.parse(text)


@given(daily_usage_reports())
def test_a_day_is_written_without_what_is_empty(day: DailyProjectUsageReport) -> None:
    written = day.to_json()
    assert {"reports", "is_complete"} <= set(written)
    for name, value in written.items():
        assert value or name in {"reports", "is_complete"}, name
    assert list(written) == [field.name for field in day.json_fields if field.name in written]


def test_there_are_thirty_six_fields_in_the_order_of_the_protocol() -> None:
    names = [field.name for field in DailyProjectUsageReport.json_fields]
    assert len(names) == 36
    assert names[:6] == [
        "reports", "components", "user_job_counts", "num_jobs", "user_wait_seconds", "total_wait_seconds"
    ]  # fmt: skip
    assert names[-4:] == [
        "reservation_reports",
        "reservation_requeue_usage",
        "reservation_jobs",
        "is_complete",
    ]


# --- figures ------------------------------------------------------------------------------------


def test_the_figures_of_a_day() -> None:
    assert DAY.total_usage == Usage(22)
    assert DAY.local_users == ("fred", "jane", "unknown")
    assert DAY.mean_wait_seconds == 3
    assert DAY.mean_wait_seconds_with_requeues == 5
    assert DAY.mean_runtime_seconds == 3
    assert DAY.mean_expansion_factor == 2.25
    assert DAY.aggregate_expansion_factor == 17 / 7
    assert DAY.mean_cpus == 5 / 3
    assert DAY.mean_gpus == 2


def test_the_figures_of_a_day_without_jobs_are_zero() -> None:
    day = DailyProjectUsageReport()
    assert day.total_usage == Usage(0)
    assert not any(
        [
            day.mean_wait_seconds,
            day.mean_wait_seconds_with_requeues,
            day.mean_runtime_seconds,
            day.mean_expansion_factor,
            day.aggregate_expansion_factor,
            day.mean_cpus,
            day.mean_gpus,
        ]
    )


def test_the_figures_of_a_project() -> None:
    report = ProjectUsageReport(PROJECT, {ONE: DAY, TWO: DAY}, {FRED: "fred"})
    assert report.total_usage == Usage(44)
    assert report.unmapped_users == ("jane", "unknown")
    assert report.unmapped_usage == Usage(24)
    assert report.is_complete
    assert report.total.mean_expansion_factor == 2.25
    assert report.total.num_jobs == 6
    assert not attrs.evolve(report, reports={ONE: DAY, TWO: DailyProjectUsageReport()}).is_complete


def test_an_empty_report_is_complete() -> None:
    assert ProjectUsageReport(PROJECT, {}).is_complete
    assert ProjectUsageReport(PROJECT, {}).total_usage == Usage(0)
    assert UsageReport(PortalIdentifier("waldur"), {}).is_complete


# --- adding -------------------------------------------------------------------------------------


def _flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """Every number in a report by the way to it."""
    if isinstance(value, bool):
        return {}
    if isinstance(value, int):
        return {path: value}
    return {key: n for name, item in value.items() for key, n in _flat(item, (*path, name)).items()}


@given(days, days)
def test_a_day_in_both_reports_is_summed_field_by_field(
    one: DailyProjectUsageReport, other: DailyProjectUsageReport
) -> None:
    numbers = [_flat(day.to_json()) for day in (one, other)]
    expected = {
        path: min(sum(each.get(path, 0) for each in numbers), MAX_U64) for each in numbers for path in each
    }
    assert _flat((one + other).to_json()) == expected
    assert not (one + other).is_complete
    assert one + other == other + one


@given(days, days, days)
def test_summing_days_does_not_depend_on_how_they_are_grouped(
    a: DailyProjectUsageReport, b: DailyProjectUsageReport, c: DailyProjectUsageReport
) -> None:
    assert (
        (a + b) + c
        == a + (b + c)
        == attrs.evolve(DailyProjectUsageReport.summed([a, b, c]), is_complete=False)
    )


@given(of_one_project, of_one_project)
def test_reports_of_a_project_are_united(one: ProjectUsageReport, other: ProjectUsageReport) -> None:
    both = one + other
    assert set(both.reports) == set(one.reports) | set(other.reports)
    for date, day in both.reports.items():
        there = [report.reports[date] for report in (one, other) if date in report.reports]
        assert day == (there[0] if len(there) == 1 else there[0] + there[1])
    assert both.users == {**other.users, **one.users}
    assert both == ProjectUsageReport.combined([one, other])


@given(st.lists(of_one_project, min_size=1, max_size=4))
def test_combining_a_list_is_adding_one_after_the_other(reports: list[ProjectUsageReport]) -> None:
    added = reports[0]
    for report in reports[1:]:
        added += report
    assert ProjectUsageReport.combined(reports) == added


def test_reports_of_other_projects_change_nothing() -> None:
    report = ProjectUsageReport(PROJECT, {ONE: DAY})
    other = ProjectUsageReport(ProjectIdentifier("other", "waldur"), {ONE: DAY})
    assert report + other == report
    assert ProjectUsageReport.combined([report, other]) == report


def test_what_cannot_be_combined() -> None:
    here = ProjectUsageReport(PROJECT, {})
    elsewhere = ProjectUsageReport(ProjectIdentifier("proj", "elsewhere"), {})
    with pytest.raises(RefusedError, match="portals"):
        ProjectUsageReport.combined([here, elsewhere])
    with pytest.raises(RefusedError, match="no reports"):
        ProjectUsageReport.combined([])
    with pytest.raises(RefusedError, match="no reports"):
        UsageReport.combined([])
    with pytest.raises(RefusedError, match="portals"):
        UsageReport.combined([UsageReport(PortalIdentifier(name), {}) for name in "ab"])


def test_reports_of_a_portal_unite_their_projects() -> None:
    portal, other = PortalIdentifier("waldur"), ProjectIdentifier("other", "waldur")
    one = UsageReport(portal, {PROJECT: ProjectUsageReport(PROJECT, {ONE: DAY})})
    two = UsageReport(
        portal, {PROJECT: ProjectUsageReport(PROJECT, {TWO: DAY}), other: ProjectUsageReport(other, {})}
    )
    both = UsageReport.combined([one, two])
    assert set(both.reports) == {PROJECT, other}
    assert both.total_usage == Usage(44)
    assert both.is_complete


# --- scaling, filtering, renaming ---------------------------------------------------------------


@given(days, st.floats(0, 2))
def test_scaling_cuts_fractions_of_seconds_off_and_leaves_counts(
    day: DailyProjectUsageReport, factor: float
) -> None:
    before, after = _flat(day.to_json()), _flat((day * factor).to_json())
    for path in set(before) | set(after):
        expected = before.get(path, 0)
        if path[-1] == "seconds":
            expected = (Usage(expected) * factor).seconds
        assert after.get(path, 0) == expected
    assert (factor * day).is_complete == day.is_complete


def test_scaling_a_report_scales_each_day() -> None:
    report = ProjectUsageReport(PROJECT, {ONE: DAY})
    portal = UsageReport(PortalIdentifier("waldur"), {PROJECT: report})
    assert (report * 0.5).reports[ONE].reports == usages(fred=5, jane=2, unknown=3)
    assert (0.5 * portal).reports[PROJECT] == report * 0.5


@given(project_usage_reports(), date_ranges())
def test_filtering_keeps_the_days_of_the_range_and_all_users(
    report: ProjectUsageReport, days: DateRange
) -> None:
    kept = report.filtered(days)
    assert set(kept.reports) == {date for date in report.reports if days.start <= date <= days.end}
    assert kept.users == report.users


def test_renaming_a_project_takes_its_users_along() -> None:
    other = UserIdentifier("jane", "other", "elsewhere")
    report = ProjectUsageReport(PROJECT, {ONE: DAY}, {FRED: "fred", other: "jane"})
    renamed = report.renamed(ProjectIdentifier("new", "portal"))
    assert str(renamed.project) == "new.portal"
    assert {str(user): name for user, name in renamed.users.items()} == {
        "fred.new.portal": "fred",
        "jane.new.portal": "jane",
    }
    assert renamed.reports == report.reports


def test_when_two_users_become_one_the_projects_own_stays() -> None:
    other = UserIdentifier("fred", "other", "waldur")
    for users in ({FRED: "own", other: "other"}, {other: "other", FRED: "own"}):
        assert set(ProjectUsageReport(PROJECT, {}, users).renamed(PROJECT).users.values()) == {"own"}


def test_renaming_local_users_reaches_every_map_of_users() -> None:
    report = ProjectUsageReport(PROJECT, {ONE: DAY}, {FRED: "fred"}).renamed_users({"fred": "f"})
    day = report.reports[ONE]
    assert day.reports == usages(f=10, jane=5, unknown=7)
    assert day.components == {"gpu": usages(f=3)}
    assert day.user_job_counts == {"f": 3}
    assert day.requeue_states == {"NODE_FAIL": 1}
    assert report.users == {FRED: "f"}
    assert report.renamed_users({"f": "fred"}) == ProjectUsageReport(PROJECT, {ONE: DAY}, {FRED: "fred"})


def test_local_users_may_swap_names_but_not_share_one() -> None:
    report = ProjectUsageReport(PROJECT, {ONE: DAY})
    swapped = report.renamed_users({"fred": "jane", "jane": "fred"})
    assert swapped.reports[ONE].reports == usages(fred=5, jane=10, unknown=7)
    for names in ({"fred": "jane"}, {"fred": "x", "jane": "x"}, {"jane": "unknown"}):
        with pytest.raises(RefusedError, match="both be called"):
            report.renamed_users(names)


def test_users_that_are_there_keep_their_local_names() -> None:
    report = ProjectUsageReport(PROJECT, {}, {FRED: "fred"})
    jane = UserIdentifier("jane", "proj", "waldur")
    assert report.with_users({FRED: "other", jane: "jane"}).users == {FRED: "fred", jane: "jane"}


# --- what is not known --------------------------------------------------------------------------

NEWER = (
    '{"project":"proj.waldur","reports":{"2024-01-01":{"reports":{},"future":{"x":[1,{"y":null}]},"is_complete":true}},'
    '"users":{},"more":[1.5,"é"]}'
)


def test_unknown_fields_are_ignored_by_default() -> None:
    report = ProjectUsageReport.parse(NEWER)
    assert "more" not in report.to_json()
    assert "future" not in str(report)


def test_unknown_fields_are_kept_when_they_are_asked_for() -> None:
    report = ProjectUsageReport.parse(NEWER)
    written = report.to_json(unknown=True)
    assert written["more"] == [1.5, "é"]
    assert written == ProjectUsageReport.from_json(written).to_json(unknown=True)
    assert report != ProjectUsageReport.from_json(report.to_json())
    assert hash(report) == hash(ProjectUsageReport.parse(NEWER))


def test_unknown_fields_survive_merging_and_filtering() -> None:
    report = ProjectUsageReport.parse(NEWER)
    known = ProjectUsageReport(PROJECT, {ONE: DAY}, unknown={"more": "later", "other": True})
    for merged in (report + known, (report + known).filtered(DateRange(ONE, TWO)), (report + known) * 0.5):
        written = merged.to_json(unknown=True)
        assert (written["more"], written["other"]) == ([1.5, "é"], True)
        day = written["reports"]["2024-01-01"]  # type: ignore[index,call-overload]
        assert day["future"] == {"x": [1, {"y": None}]}  # type: ignore[index,call-overload]


def test_unknown_fields_that_nobody_could_write_are_dropped() -> None:
    report = ProjectUsageReport.parse('{"project":"p.w","reports":{},"a":1e999,"b":"\\ud800","c":1,"c":2}')
    assert report.unknown == {"c": 2}


# --- what must fit together ---------------------------------------------------------------------


def test_a_report_of_a_portal_holds_only_its_projects_each_under_its_name() -> None:
    report = ProjectUsageReport(PROJECT, {})
    with pytest.raises(ParseError, match="is about"):
        UsageReport(PortalIdentifier("waldur"), {ProjectIdentifier("other", "waldur"): report})
    with pytest.raises(ParseError, match="not a project of"):
        UsageReport(PortalIdentifier("elsewhere"), {PROJECT: report})


def test_of_two_spellings_of_a_day_the_last_counts() -> None:
    report = ProjectUsageReport.parse(
        '{"project":"p.w","reports":{"2024-01-05":{"num_jobs":1},"2024-1-5":{"num_jobs":2},"2024-01-05":{"num_jobs":3}}}'
    )
    assert {str(date): day.num_jobs for date, day in report.reports.items()} == {"2024-01-05": 3}


def test_an_error_names_the_way_to_the_field() -> None:
    with pytest.raises(ParseError, match=r'"reports"\."2024-01-05"\."reports"\."u"\."seconds"'):
        ProjectUsageReport.parse(
            '{"project":"p.w","reports":{"2024-01-05":{"reports":{"u":{"seconds":-1}}}}}'
        )


@pytest.mark.parametrize("value", [-1, MAX_U64 + 1])
def test_counts_have_limits_however_they_come(value: int) -> None:
    with pytest.raises(ParseError):
        DailyProjectUsageReport(num_jobs=value)
    assert DailyProjectUsageReport(num_jobs=MAX_U64).num_jobs == MAX_U64


def test_reports_are_added_and_scaled_only_by_what_makes_sense() -> None:
    report = ProjectUsageReport(PROJECT, {ONE: DAY})
    portal = UsageReport(PortalIdentifier("waldur"), {PROJECT: report})
    for add in (lambda: DAY + report, lambda: report + DAY):
        with pytest.raises(TypeError):
            add()
    for one in (DAY, report, portal):
        with pytest.raises(TypeError):
            one * "2"


@given(usage_reports(), date_ranges())
def test_filtering_a_report_of_a_portal_filters_each_project(report: UsageReport, days: DateRange) -> None:
    kept = report.filtered(days)
    assert kept.reports == {project: each.filtered(days) for project, each in report.reports.items()}


def test_a_day_of_an_older_agent_counts_all_its_jobs_for_the_means() -> None:
    older = DailyProjectUsageReport(num_jobs=2, total_runtime_seconds=10, total_expansion_milli=6000)
    newer = DailyProjectUsageReport(
        num_jobs=4, num_expansion_jobs=3, total_runtime_seconds=20, total_expansion_milli=3000
    )
    idle = DailyProjectUsageReport(num_jobs=7)
    assert (older.mean_runtime_seconds, older.mean_expansion_factor) == (5, 3.0)
    assert idle.expansion_jobs == 0
    total = ProjectUsageReport(PROJECT, {ONE: older, TWO: newer, Date(2024, 1, 3): idle}).total
    assert (total.expansion_jobs, total.mean_runtime_seconds, total.mean_expansion_factor) == (5, 6, 1.8)
