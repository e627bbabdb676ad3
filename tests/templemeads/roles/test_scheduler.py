"""The scheduler agent: against recorded traces, and against what Slurm may answer."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from paddington import ConfigError
from templemeads.agent_type import AgentType
from templemeads.grammar.dates import Date
from templemeads.grammar.usage import Usage
from templemeads.roles import scheduler
from templemeads.roles.slurm import (
    DaySpan,
    JobRow,
    NodeShape,
    day_report,
    day_spans,
    has_association,
    read_jobs,
    read_limits,
)

from .fakes import FakeAgent, FakePrograms, failures, make_config, run_job, traces

NODE = '{"cpus": 64, "gpus": 4, "mem": 256000, "billing": 64}'
RECORDED_AT = dt.datetime(2026, 11, 25, 12, 31, 12).timestamp()  # noqa: DTZ001 - sacct speaks local time
PROJECT = "proj.portal:portal.proj"


class SlurmWorld:
    """Slurm as far as the agent sees it."""

    def __init__(self):
        self.accounts = {}
        self.users = {}
        self.jobs = []

    def __call__(self, words):
        options = dict(word.split("=", 1) for word in words if "=" in word)
        match words:
            case ["sacctmgr", "--json", "list", "accounts", *_]:
                name = options["name"]
                return 0, json.dumps({"accounts": [{"name": name}] if name in self.accounts else []})
            case ["sacctmgr", "--json", "list", "users", *_]:
                name = options["name"]
                row = {"name": name, "associations": [{"account": each} for each in self.users.get(name, ())]}
                return 0, json.dumps({"users": [row] if name in self.users else []})
            case ["sacctmgr", "--json", "show", "association", *_]:
                rows = [{"account": options["account"], "user": "", **self.accounts[options["account"]]}]
                return 0, json.dumps({"associations": rows})
            case ["sacctmgr", "--immediate", "add", "account", *_]:
                self.accounts[options["name"]] = {}
            case ["sacctmgr", "--immediate", "add", "user", *_]:
                self.users.setdefault(options["name"], []).append(options["Accounts"])
            case ["sacctmgr", "--immediate", "modify", "account", name, "set", limit, *_]:
                minutes = [each.split("=") for each in limit.removeprefix("GrpTRESMins=").split(",")]
                rows = [
                    {"type": key.split("/")[0], "name": "".join(key.split("/")[1:]), "count": int(count)}
                    for key, count in minutes
                ]
                self.accounts[name] = {"max": {"tres": {"group": {"minutes": rows}}}}
            case ["sacct", *_]:
                return 0, json.dumps({"jobs": self.jobs, "errors": []})
            case ["scancel", *_]:
                pass
            case _:
                return 127, ""
        return 0, ""


def make(programs, clock=lambda: RECORDED_AT):
    def slurm(config):
        return scheduler.Slurm(scheduler.read_settings(config), programs, clock)

    return scheduler.make_handlers(slurm)


def config(**extras):
    options = {"slurm_default_node": NODE, "slurm_cluster": "linux", "parent_account": "op", **extras}
    return make_config("slurm", AgentType.SCHEDULER, **options)


async def test_recorded_traces_of_existing_agents_come_out_the_same():
    world = SlurmWorld()
    programs = FakePrograms(world)
    handlers = make(programs)
    agent = FakeAgent(config())
    compared = 0
    for trace in traces("scheduler"):
        name = trace["name"]
        programs.ran.clear()
        programs.failing = failures(trace["commands"])
        instruction = trace["instruction"].replace(" today", " 2026-11-25")
        job = await run_job(handlers, instruction, agent)
        outcome = trace["outcome"]
        compared += 1
        # Days are read side by side, in no fixed order.
        assert sorted(programs.ran) == sorted(trace["commands"]), name
        if name == "get_local_usage_report/sacct-fails":
            assert job.status.value == "Error", "an unreadable day counts as an error here"
            assert "2026-11-03" in job.result_text
            continue
        assert job.status.value == outcome["state"], (name, job.result_text)
        assert job.version == outcome["version"], name
        assert job.result_type == outcome["result_type"], name
        if name.startswith("invalid/"):
            assert job.error.kind == "unsupported"
        elif outcome["state"] == "Error":
            assert job.result_text == outcome["result"], name
        elif outcome["result_type"] == "ProjectUsageReport":
            _same_report(json.loads(job.result_text), json.loads(outcome["result"]))
        else:
            assert job.result_text == outcome["result"], name
    assert compared == 24


def _same_report(ours, theirs):
    # Newer agents leave out what is empty.
    for day in theirs["reports"].values():
        for key in [key for key, value in day.items() if not value and key not in ("reports", "is_complete")]:
            del day[key]
    if not theirs["users"]:
        ours.setdefault("users", {})
    assert ours == theirs


def job_row(user="fred", *, submitted=0, started=None, ended=None, cpu=0, gpu=0):
    return JobRow(user, submitted, started, ended, {"cpu": cpu, "gres/gpu": gpu})


NODE_SHAPE = NodeShape.from_option(NODE)
DAY = DaySpan(Date.parse("2026-11-01"), 1000.0, 1000.0 + 86400, is_over=True)


def test_a_job_counts_for_the_part_of_it_that_lies_within_the_day():
    report = day_report([job_row(started=500, ended=1600, cpu=64, submitted=100)], DAY, NODE_SHAPE)
    assert report.reports == {"fred": Usage(600)}
    assert report.num_jobs == 0, "it started the day before"
    running = day_report([job_row(started=1000, cpu=32)], DAY, NODE_SHAPE)
    assert running.reports == {"fred": Usage(43200)}
    assert running.num_jobs == 1


def test_a_job_is_charged_for_the_resource_that_it_has_the_largest_share_of():
    report = day_report([job_row(started=1000, ended=2000, cpu=16, gpu=2)], DAY, NODE_SHAPE)
    assert report.reports == {"fred": Usage(500)}
    assert report.components == {"cpu": {"fred": Usage(250)}, "gpu": {"fred": Usage(500)}}


@given(
    st.lists(st.tuples(st.integers(0, 10 * 86400), st.integers(0, 5 * 86400), st.integers(1, 64)), max_size=6)
)
def test_what_days_count_adds_up_to_what_jobs_ran(jobs):
    rows = [job_row(started=1 + start, ended=1 + start + length, cpu=cpus) for start, length, cpus in jobs]
    days = [
        DaySpan(Date.parse("2026-11-01"), 1.0 + n * 86400, 1.0 + (n + 1) * 86400, is_over=True)
        for n in range(16)
    ]
    counted = [day_report(rows, day, NODE_SHAPE) for day in days]
    total = sum(length * cpus / 64 for _, length, cpus in jobs)
    seconds = sum(day.total_usage.seconds for day in counted)
    assert total - len(days) - 1 <= seconds <= total + 1e-6
    assert sum(day.num_jobs for day in counted) == len(jobs)


def test_days_to_come_are_left_out_and_today_ends_now():
    dates = [Date.parse("2026-11-24"), Date.parse("2026-11-25"), Date.parse("2026-11-26")]
    yesterday, today = day_spans(dates, RECORDED_AT)
    assert yesterday.is_over
    assert not today.is_over
    assert today.words == ("2026-11-25T00:00:00", "2026-11-25T12:31:12")


UNREADABLE = [
    "",
    "sacct: error",
    "[]",
    '{"jobs": 5}',
    '{"jobs": [1]}',
    '{"jobs": [], "errors": ["x"]}',
    '{"jobs": [{"account": "portal.proj"}]}',
    '{"jobs": [{"account": "portal.proj", "time": {"start": "soon"}}]}',
]


@pytest.mark.parametrize("output", UNREADABLE)
async def test_output_of_sacct_that_cannot_be_read_is_an_error_and_is_not_kept(output):
    world = SlurmWorld()
    world.accounts["portal.proj"] = {}
    broken = True
    programs = FakePrograms(lambda words: (0, output) if broken and words[0] == "sacct" else world(words))
    handlers = make(programs)
    agent = FakeAgent(config())
    question = f"get_local_usage_report {PROJECT} 2026-11-01"
    assert (await run_job(handlers, question, agent)).status.value == "Error"
    broken = False
    assert (await run_job(handlers, question, agent)).status.value == "Complete"


async def test_a_day_is_kept_only_when_accounting_has_settled():
    world = SlurmWorld()
    world.accounts["portal.proj"] = {}
    midnight = dt.datetime(2026, 11, 2).timestamp()  # noqa: DTZ001
    moment = midnight + 10
    programs = FakePrograms(world)
    handlers = make(programs, lambda: moment)
    agent = FakeAgent(config())
    for later, times in (
        (10, 1),
        (scheduler.SETTLED_SECONDS - 1, 2),
        (scheduler.SETTLED_SECONDS, 3),
        (99999, 3),
    ):
        moment = midnight + later
        await run_job(handlers, f"get_local_usage_report {PROJECT} 2026-11-01", agent)
        assert sum(line.startswith("sacct ") for line in programs.ran) == times


async def test_at_most_so_many_programs_run_at_once():
    world = SlurmWorld()
    world.accounts["portal.proj"] = {}
    now, most = 0, 0

    class Slow(FakePrograms):
        async def run(self, words, *, timeout=60.0, text=""):
            nonlocal now, most
            now += 1
            most = max(most, now)
            await trio.testing.wait_all_tasks_blocked()
            now -= 1
            return await super().run(words, timeout=timeout)

    handlers = make(Slow(world))
    await run_job(
        handlers,
        f"get_local_usage_report {PROJECT} 2026-10-01:2026-10-20",
        FakeAgent(config(max_slurm_runners="3")),
    )
    assert most == 3


def test_numbers_are_read_in_the_forms_of_all_releases():
    count = {"set": True, "infinite": False, "number": 3840}
    rows = [{"account": "a", "user": "", "max": {"tres": {"group": {"minutes": [
        {"type": "cpu", "name": "", "count": count}, {"type": "gres", "name": "gpu", "count": 240}]}}}}]  # fmt: skip
    assert read_limits(rows, "a") == {"cpu": 3840, "gres/gpu": 240}
    assert NODE_SHAPE.limit_of(read_limits(rows, "a")) == Usage(3600)
    (job,) = read_jobs(
        [{"account": "A", "user": "fred", "time": {"start": {"set": True, "number": 20}, "end": 0, "submission": 5},
          "tres": {"allocated": [{"type": "cpu", "count": 2}]}}], "a")  # fmt: skip
    assert (job.started, job.ended, job.submitted, dict(job.allocated)) == (20, None, 5, {"cpu": 2})


def test_a_limit_of_an_associated_user_is_not_the_limit_of_the_account():
    rows = [
        {
            "account": "a",
            "user": "fred",
            "max": {"tres": {"group": {"minutes": [{"type": "cpu", "count": 1}]}}},
        }
    ]
    assert read_limits(rows, "a") == {}


async def test_an_account_without_a_limit_is_an_error_rather_than_a_limit_of_nothing():
    world = SlurmWorld()
    world.accounts["portal.proj"] = {}
    job = await run_job(make(FakePrograms(world)), f"get_local_limit {PROJECT}", FakeAgent(config()))
    assert job.status.value == "Error"
    assert "no limit" in job.result_text


def test_a_user_of_another_account_still_needs_this_one():
    rows = [{"name": "Fred", "associations": [{"account": "other"}]}]
    assert has_association(rows, "fred", "other")
    assert not has_association(rows, "fred", "mine")
    assert not has_association([], "fred", "mine")


async def test_two_agents_that_add_the_same_account_at_once_both_succeed():
    world = SlurmWorld()

    def racing(words):
        if words[:4] == ["sacctmgr", "--immediate", "add", "account"]:
            world(words)
            return 1, " Nothing new added.\n"
        return world(words)

    job = await run_job(make(FakePrograms(racing)), f"add_local_project {PROJECT}", FakeAgent(config()))
    assert job.status.value == "Complete", job.result_text


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("slurm_default_node", "64 cpus"),
        ("slurm_default_node", "[]"),
        ("slurm_default_node", "{}"),
        ("slurm_default_node", '{"cpus": -1}'),
        ("slurm_default_node", '{"cpus": true}'),
        ("max_slurm_runners", "0"),
        ("max_slurm_runners", "many"),
        ("sacctmgr", " "),
    ],
)
def test_a_wrong_option_is_refused_with_its_name(option, text):
    with pytest.raises(ConfigError, match=option.replace("_", "-")):
        scheduler.read_settings(config(**{option: text}))


def test_a_missing_node_is_explained():
    with pytest.raises(ConfigError, match="extra -k slurm-default-node"):
        scheduler.read_settings(make_config("slurm", AgentType.SCHEDULER))


async def test_a_configuration_of_another_type_is_refused():
    other = config()
    other.agent_type = AgentType.PORTAL
    with pytest.raises(ConfigError, match="not Scheduler"):
        await scheduler.run(other)
