"""Slurm without JSON: the same questions, answered in columns as Debian's Slurm 22.05 writes them."""

from __future__ import annotations

import datetime as dt

import pytest

from templemeads.errors import JobError
from templemeads.roles.slurm import NodeShape, has_association, has_name, read_jobs, read_limits
from templemeads.roles.slurm_text import lacks_json, parsable, read_columns

from .fakes import FakeAgent, run_job
from .test_scheduler import PROJECT, FakePrograms, SlurmWorld, config, make

NO_JSON = "sacctmgr: unrecognized option '--json'\nTry \"sacctmgr --help\" for more information\n"


def test_a_question_for_json_becomes_one_for_columns():
    words = ["nsenter", "-m", "sacctmgr", "--json", "list", "accounts", "withassoc", "name=a"]
    assert " ".join(parsable(words, "accounts")) == (
        "nsenter -m sacctmgr --noheader --parsable2 list accounts withassoc name=a format=Account"
    )
    assert " ".join(parsable(["sacct", "--account=a", "--json"], "jobs")) == (
        "sacct --account=a --noheader --parsable2 --format=User,Account,Submit,Eligible,Start,End,AllocTRES"
    )


def test_accounts_users_and_limits_are_read():
    assert has_name(read_columns("waldur.proj\nwaldur.proj\n", "accounts", "sacctmgr"), "waldur.proj")
    assert read_columns("", "accounts", "sacctmgr") == []
    users = read_columns("fred.proj|other\nfred.proj|waldur.proj\njane|\n", "users", "sacctmgr")
    assert has_association(users, "fred.proj", "waldur.proj")
    assert not has_association(users, "jane", "waldur.proj")
    limits = read_columns("a||cpu=600,gres/gpu=20,mem=60000\na|fred|cpu=1\n", "associations", "sacctmgr")
    assert read_limits(limits, "a") == {"cpu": 600, "gres/gpu": 20, "mem": 60000}


def test_jobs_are_read_with_local_times_and_amounts_with_units():
    line = "fred.proj|waldur.proj|2026-11-25T10:00:00|Unknown|2026-11-25T10:00:05|Unknown|billing=1,cpu=2,mem=1.50G,node=1"
    (job,) = read_jobs(read_columns(line + "\n", "jobs", "sacct"), "waldur.proj")
    assert job.started == dt.datetime(2026, 11, 25, 10, 0, 5).timestamp()  # noqa: DTZ001 - Slurm's local time
    assert job.started - job.submitted == 5
    assert job.ended is None
    assert dict(job.allocated) == {"billing": 1, "cpu": 2, "mem": 1536}
    assert NodeShape.from_option('{"cpus": 4, "mem": 1536}').share_of(job.allocated) == 1.0


BAD_JOBS = [
    "one",
    "u|a|soon|||",
    "u|a|soon|||0|cpu=1",
    "u|a||||0|cpu=many",
    "u|a||||0|cpu",
    "u|a||||0|cpu=1T",
    "u|a|1|1|1|1|x|y",
]


@pytest.mark.parametrize("line", BAD_JOBS)
def test_a_row_that_cannot_be_read_is_an_error(line):
    with pytest.raises(JobError):
        read_columns(line, "jobs", "sacct")


def test_only_a_missing_option_counts_as_no_json():
    assert lacks_json(1, NO_JSON)
    assert not lacks_json(1, "sacctmgr: error: connection refused")
    assert not lacks_json(0, NO_JSON)


class WithoutJson(FakePrograms):
    async def run(self, words, *, timeout=60.0, text=""):
        ran = await super().run(words, timeout=timeout)
        if "--json" in words:
            return type(ran)(ran.words, 1, "", NO_JSON)
        return ran


async def test_the_agent_asks_in_columns_once_a_program_has_refused_json():
    world = SlurmWorld()

    def plain(words):
        if "accounts" in words:
            return 0, "".join(f"{name}\n" for name in world.accounts)
        if words[0] == "sacct":
            return 0, ""
        return world(words)

    programs = WithoutJson(plain)
    handlers = make(programs)
    agent = FakeAgent(config())
    for instruction in (f"add_local_project {PROJECT}", f"get_local_usage_report {PROJECT} 2026-11-01"):
        job = await run_job(handlers, instruction, agent)
        assert job.status.value == "Complete", job.result_text
    assert sum("--json" in line for line in programs.ran) == 1


async def test_a_release_that_knows_no_comments_of_users_gets_none():
    world = SlurmWorld()

    class NoComment(FakePrograms):
        async def run(self, words, *, timeout=60.0, text=""):
            if any(word.startswith("Comment=") for word in words):
                self.ran.append(" ".join(words))
                return type(await super().run(["scancel"]))(
                    tuple(words), 1, "", " Unknown option: Comment=x\n"
                )
            return await super().run(words, timeout=timeout)

    programs = NoComment(world)
    job = await run_job(
        make(programs), "add_local_user fred.proj.portal:fred.proj:portal.proj", FakeAgent(config())
    )
    assert job.status.value == "Complete", job.result_text
    assert world.users == {"fred.proj": ["portal.proj"]}
