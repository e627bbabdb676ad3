"""The filesystem agent: against recorded traces, and on real directories that somebody has prepared against it."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington import ConfigError
from templemeads.agent_type import AgentType
from templemeads.errors import JobError
from templemeads.grammar import ProjectMapping, UserMapping
from templemeads.grammar.storage import QuotaLimit
from templemeads.roles import filesystem
from templemeads.roles.filesystem import Filesystem
from templemeads.roles.quotas import (
    FakeQuotas,
    Holder,
    LinuxQuotas,
    LustreQuotas,
    NoQuotas,
    XfsQuotas,
    read_engines,
)
from templemeads.roles.trees import SystemTree
from templemeads.roles.volumes import Directory, Place, Volume, Volumes

from .fakes import FakeAgent, FakePrograms, answer_of, failures, make_config, run_job, traces

PROJECT = ProjectMapping.parse("proj.portal:portal.proj")
USER = UserMapping.parse("fred.proj.portal:fred.proj:portal.proj")


def recorded_tables(quota_dir):
    return {
        "quota_engines": {"fake": {"type": "fake", "quota_dir": str(quota_dir)}},
        "user_volumes": {
            "home": {"roots": ["/srv/home"], "quota_engine": "fake", "default_quota": "100GB", "max_quota": "1TB",
                     "is_home": True},
            "scratch": {"roots": ["/srv/scratch/u"], "permissions": "0700"},
        },
        "project_volumes": {
            "work": {"roots": ["/srv/work", "/srv/fast"], "permissions": ["2770", "2750"],
                     "links": ["/srv/links/{project}", ""], "quota_engine": "fake"},
        },
    }  # fmt: skip


class Disk:
    """A pretend file system behind test, mkdir, chown and the others."""

    def __init__(self):
        self.there = {}

    def __call__(self, words):
        match [word.rstrip("/") if word.startswith("/") else word for word in words]:
            case ["test", "-e", path]:
                return (0 if path in self.there else 1), ""
            case ["test", "-L", path]:
                return (0 if self.there.get(path, "").startswith("-> ") else 1), ""
            case ["readlink", path]:
                return 0, self.there[path].removeprefix("-> ") + "\n"
            case ["stat", *_, path]:
                return 0, self.there[path] + "\n"
            case ["mkdir", path]:
                self.there[path] = "directory|root:root|755"
            case ["chown", *_, owner, path]:
                self.there[path] = "|".join(["directory", owner, self.there[path].split("|")[2]])
            case ["chmod", mode, path]:
                self.there[path] = self.there[path].rpartition("|")[0] + f"|{int(mode, 8):o}"
            case ["ln", "-s", target, path]:
                self.there[path] = f"-> {target}"
            case ["rm", _, path]:
                self.remove(path)
            case ["mv", old, new]:
                for path in list(self.there):
                    if path == old or path.startswith(old + "/"):
                        self.there[new + path[len(old) :]] = self.there.pop(path)
            case ["touch", _]:
                pass
            case _:
                return 127, ""
        return 0, ""

    def remove(self, path):
        for each in list(self.there):
            if each == path or each.startswith(path + "/"):
                del self.there[each]


def make(programs=None, clock=None):
    def build(config):
        made = Filesystem.from_config(config, programs)
        return made if clock is None else attrs.evolve(made, clock=clock)

    return filesystem.make_handlers(build)


def _slashless(command):
    # Existing agents write a slash behind the parents of user directories.
    return " ".join(word.rstrip("/") if word.startswith("/") else word for word in command.split(" "))


async def test_recorded_traces_of_existing_agents_come_out_the_same(tmp_path):
    moment = dt.datetime(2026, 11, 25, 12, 30).astimezone().timestamp()
    disk = Disk()
    programs = FakePrograms(disk)
    handlers = make(programs, lambda: moment)
    config = make_config("filesystem", AgentType.FILESYSTEM, recorded_tables(tmp_path), exec_prefix=" ")
    config.extras["exec-prefix"] = "sudo"
    agent = FakeAgent(config)
    programs.world = lambda words: disk(words[1:])
    compared = 0
    for trace in traces("filesystem"):
        name = trace["name"]
        programs.ran.clear()
        programs.failing = {
            f"sudo {_slashless(line)}": status
            for line, status in failures(trace["commands"]).items()
            if not line.startswith("test ")
        }
        agent.asked.clear()
        agent.answers = [answer_of(each["answer"]) for each in trace["asks_back"]]
        instruction = (
            trace["instruction"].replace(" today", " 2026-11-25").replace(" yesterday", " 2026-11-24")
        )
        job = await run_job(handlers, instruction, agent)
        outcome = trace["outcome"]
        compared += 1
        # Ours looks at the owner and mode of what is there; volumes have no order in existing agents.
        ran = sorted(line.removeprefix("sudo ") for line in programs.ran if not line.startswith("sudo stat "))
        assert ran == sorted(_slashless(line) for line in trace["commands"]), name
        assert [command for command, _, _ in agent.asked] == [
            each["command"] for each in trace["asks_back"]
        ], name
        assert (job.status.value, job.version) == (outcome["state"], outcome["version"]), (
            name,
            job.result_text,
        )
        assert job.result_type == outcome["result_type"], name
        if name.startswith("invalid/"):
            assert job.error.kind == "unsupported"
        elif outcome["result_type"] == "ProjectStorageReport":
            ours, theirs = json.loads(job.result_text), json.loads(outcome["result"])
            del ours["generated_at"], theirs["generated_at"]
            assert ours == theirs
        elif outcome["result_type"] == "Vec<String>":
            assert sorted(json.loads(job.result_text)) == sorted(json.loads(outcome["result"])), name
        else:
            assert job.result_text == outcome["result"], name
    assert compared == 40


# -- on real directories ---------------------------------------------------------------------------------------------


def mine(owner, group):
    return os.getuid(), os.getgid()


def real(root, **options):
    tables = {
        "user_volumes": {"home": {"roots": [f"{root}/home"], **options}},
        "project_volumes": {"work": {"roots": [f"{root}/work"], "links": [f"{root}/links/{{project}}"]}},
    }
    for name in ("home", "work", "links"):
        Path(root, name).mkdir(parents=True, exist_ok=True)
    return Filesystem(Volumes.from_tables(tables, {}), {}, SystemTree(mine))


def mode_of(path):
    return stat.S_IMODE(Path(path).lstat().st_mode)


async def test_directories_and_links_are_made_with_their_modes(tmp_path):
    files = real(tmp_path)
    for _ in range(2):
        await files.add_user(USER)
        assert mode_of(tmp_path / "work/proj") == 0o2770
        assert mode_of(tmp_path / "home/proj") == 0o755
        assert mode_of(tmp_path / "home/proj/fred.proj") == 0o755
        assert (tmp_path / "links/proj").readlink() == tmp_path / "work/proj"
    assert files.volumes.home(USER) == f"{tmp_path}/home/proj/fred.proj"


async def test_what_was_removed_comes_back_with_what_was_in_it(tmp_path):
    files = real(tmp_path)
    await files.add_user(USER)
    (tmp_path / "home/proj/fred.proj/thesis").write_text("all of it")
    await files.remove_user(USER)
    assert not (tmp_path / "home/proj/fred.proj").exists()
    await files.remove_user(USER)
    await files.add_user(USER)
    assert (tmp_path / "home/proj/fred.proj/thesis").read_text() == "all of it"
    await files.remove_project(PROJECT)
    await files.remove_project(PROJECT)
    assert not (tmp_path / "links/proj").is_symlink()
    assert not (tmp_path / "work/proj").exists()
    await files.add_user(USER)
    assert (tmp_path / "home/proj/fred.proj/thesis").read_text() == "all of it"


async def test_a_second_removal_replaces_what_was_recycled_before(tmp_path):
    files = real(tmp_path)
    await files.add_project(PROJECT)
    (tmp_path / "work/proj/old").mkdir()
    await files.remove_project(PROJECT)
    (tmp_path / "work/proj").mkdir()
    (tmp_path / "work/proj/new").mkdir()
    await files.remove_project(PROJECT)
    assert sorted(os.listdir(tmp_path / "work/.recycle/proj")) == ["new"]


async def test_modes_are_repaired_but_a_user_may_close_his_own_directory(tmp_path):
    files = real(tmp_path)
    await files.add_user(USER)
    (tmp_path / "work/proj").chmod(0o777)
    (tmp_path / "home/proj/fred.proj").chmod(0o700)
    await files.add_user(USER)
    assert mode_of(tmp_path / "work/proj") == 0o2770
    assert mode_of(tmp_path / "home/proj/fred.proj") == 0o700
    (tmp_path / "home/proj/fred.proj").chmod(0o777)
    await files.add_user(USER)
    assert mode_of(tmp_path / "home/proj/fred.proj") == 0o755


async def test_a_directory_left_half_made_is_finished_the_next_time(tmp_path):
    files = real(tmp_path)
    failing = attrs.evolve(files, tree=SystemTree(lambda owner, group: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        await failing.add_project(PROJECT)
    (tmp_path / "work/proj").mkdir(mode=0o700)
    await files.add_project(PROJECT)
    assert mode_of(tmp_path / "work/proj") == 0o2770


async def test_a_wrong_link_is_turned_and_a_file_in_its_place_is_kept(tmp_path):
    files = real(tmp_path)
    (tmp_path / "links/proj").symlink_to("/elsewhere")
    await files.add_project(PROJECT)
    assert (tmp_path / "links/proj").readlink() == tmp_path / "work/proj"
    (tmp_path / "links/proj").unlink()
    (tmp_path / "links/proj").write_text("precious")
    with pytest.raises(JobError, match="something else is there"):
        await files.add_project(PROJECT)
    await files.remove_project(PROJECT)
    assert (tmp_path / "links/proj").read_text() == "precious"


def _snapshot(root):
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


TRAPS = ["proj", ".recycle", "proj/fred.proj", "proj/.recycle", ".recycle/proj", "proj/.recycle/fred.proj"]


@given(
    traps=st.lists(
        st.tuples(st.sampled_from(["home", "work"]), st.sampled_from(TRAPS),
                  st.sampled_from(["outside", "outside/dir", "outside/file", "file"])), max_size=5),
    steps=st.lists(st.sampled_from(["add_user", "remove_user", "add_project", "remove_project"]), min_size=1, max_size=6),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_nothing_outside_the_roots_is_touched_whatever_lies_in_the_way(traps, steps):
    root = Path(tempfile.mkdtemp())
    try:
        files = real(root)
        outside = root / "outside"
        (outside / "dir").mkdir(parents=True)
        (outside / "file").write_text("precious")
        (outside / "dir" / "proj").mkdir()
        (outside / "fred.proj").mkdir(mode=0o700)
        for volume, name, target in traps:
            trap = root / volume / name
            try:
                trap.parent.mkdir(parents=True, exist_ok=True)
                trap.write_text("x") if target == "file" else trap.symlink_to(root / target)
            except OSError:
                continue  # an earlier trap leads elsewhere
        before = _snapshot(outside)

        async def run():
            for step in steps:
                try:
                    await getattr(files, step)(USER if step.endswith("user") else PROJECT)
                except JobError as error:
                    assert str(root) in str(error) or ".recycle" in str(error)

        trio.run(run)
        assert _snapshot(outside) == before
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/etc", ".recycle", "a\0b", "a\nb", "x" * 256, "é" * 128]
)
def test_a_name_that_is_more_than_a_name_is_refused(name):
    with pytest.raises(JobError, match="cannot be the name"):
        Place("/srv/home", (name,))


async def test_a_recycle_bin_of_somebody_else_is_not_used(tmp_path, monkeypatch):
    files = real(tmp_path)
    (tmp_path / "work/.recycle/proj").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(JobError, match="somebody else"):
        await files.add_project(PROJECT)


def test_shared_parents_of_a_deeper_layout_belong_to_root_and_are_left_as_they_are():
    tables = {"project_volumes": {"work": {"roots": ["/srv/w"], "subpath": "{PORTAL}/{project}"}}}
    first, second = Volumes.from_tables(tables, {}).of_project(PROJECT)
    assert first == Directory(Place("/srv/w", ("portal",)), "root", "root", 0o755, is_shared=True)
    assert second == Directory(Place("/srv/w", ("portal", "proj")), "root", "portal.proj", 0o2770)


def test_a_layout_of_users_before_projects_has_no_directory_of_the_project():
    tables = {"user_volumes": {"u": {"roots": ["/srv/u"], "subpath": "{user}-{project}"}}}
    volumes = Volumes.from_tables(tables, {})
    assert volumes.of_project(PROJECT) == []
    assert volumes.removed_with_project(PROJECT) == ([], [])
    assert [str(each.place) for each in volumes.of_user(USER)] == ["/srv/u/fred.proj-proj"]


WRONG_TABLES = [
    {"user_volumes": {"v": {"roots": []}}},
    {"user_volumes": {"v": {"roots": ["relative"]}}},
    {"user_volumes": {"v": {"roots": ["/srv/../etc"]}}},
    {"user_volumes": {"v": {"roots": ["/"]}}},
    {"user_volumes": {"v": {}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "subpath": "{user}"}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "subpath": "../{project}/{user}"}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "subpath": "{project}//{user}"}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "subpath": "{project}/{user}/{nonsense}"}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "permissions": "rwx"}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "permissions": ["0755", "0700"]}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "quota_engine": "missing"}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "max_quota": "1TB", "default_quota": "2TB"}}},
    {"user_volumes": {"v": {"roots": ["/srv"], "max_quota": "1TB", "default_quota": "unlimited"}}},
    {"user_volumes": {"v": {"roots": ["/a", "/b"], "is_home": True}}},
    {"user_volumes": {"a": {"roots": ["/a"], "is_home": True}, "b": {"roots": ["/b"], "is_home": True}}},
    {"project_volumes": {"v": {"roots": ["/srv"], "links": ["/srv/../{project}"]}}},
    {"project_volumes": {"v": {"roots": ["/srv"], "links": ["/srv/all"]}}},
    {"project_volumes": {"v": {"roots": ["/srv"], "subpath": "{project}/{user}"}}},
    {"quota_engines": {"q": {"type": "zfs"}}},
    {"quota_engines": {"q": {"type": "linux"}}},
]


@pytest.mark.parametrize("tables", WRONG_TABLES, ids=json.dumps)
def test_wrong_tables_are_refused_at_the_start(tables):
    with pytest.raises(ConfigError):
        Filesystem.from_config(make_config("files", AgentType.FILESYSTEM, tables))


# -- quotas ----------------------------------------------------------------------------------------------------------

VOLUME = Volume(
    name="home", roots=("/srv/home",), subpath=("{project}", "{user}"), modes=(0o755,), inode_limit=9
)
HOLDER = Holder("fred.proj", True)
LIMIT = QuotaLimit.parse("1.5KB")


def answering(output, status=0):
    return FakePrograms(lambda words: (status, output))


async def test_linux_quotas_are_read_from_a_report_and_set_in_kib_rounded_up():
    report = (
        "User,BlockStatus,FileStatus,BlockUsed,BlockSoftLimit,BlockHardLimit\nfred.proj,ok,ok,20,0,2048\n"
    )
    programs = answering(report)
    engine = LinuxQuotas(programs, "/srv")
    quota = await engine.read(VOLUME, HOLDER)
    assert str(quota) == "20.00 KB / 2.00 MB | 1.0%"
    assert str(await engine.read(VOLUME, Holder("jane", True))) == "0 B / unlimited"
    await engine.write(VOLUME, HOLDER, LIMIT)
    await engine.write(VOLUME, Holder("grp", False), QuotaLimit())
    assert programs.ran[-2:] == ["setquota -u fred.proj 0 2 0 9 /srv", "setquota -g grp 0 0 0 9 /srv"]


async def test_xfs_quotas():
    programs = answering("/dev/loop0 20 0 2048 00 [--------] /srv/home\n")
    engine = XfsQuotas(programs)
    assert str(await engine.read(VOLUME, HOLDER)) == "20.00 KB / 2.00 MB | 1.0%"
    await engine.write(VOLUME, HOLDER, LIMIT)
    assert programs.ran[-1] == "xfs_quota -x -c limit -u bhard=2k ihard=9 fred.proj /srv/home"
    assert str(await XfsQuotas(answering("")).read(VOLUME, HOLDER)) == "0 B / unlimited"


async def test_lustre_quotas():
    programs = answering("/srv/home 20* 0 2048 - 1 0 0 -\n")
    engine = LustreQuotas(programs)
    assert str(await engine.read(VOLUME, HOLDER)) == "20.00 KB / 2.00 MB | 1.0%"
    await engine.write(VOLUME, HOLDER, LIMIT)
    assert programs.ran[-1] == "lfs setquota -u fred.proj -B 2k -I 9 /srv/home"
    with pytest.raises(JobError, match="project ids are not supported"):
        await attrs.evolve(engine, project_ids=frozenset({"home"})).read(VOLUME, HOLDER)


@pytest.mark.parametrize("engine", [XfsQuotas, LustreQuotas, lambda programs: LinuxQuotas(programs, "/srv")])
async def test_an_answer_that_is_no_quota_is_an_error(engine):
    garbage = "User,BlockUsed,BlockHardLimit\nfred.proj,some,much\n"
    with pytest.raises(JobError):
        await engine(answering(garbage)).read(VOLUME, HOLDER)
    with pytest.raises(JobError):
        await engine(answering("", 1)).read(VOLUME, HOLDER)


async def test_a_limit_of_nothing_is_not_turned_into_no_limit():
    programs = answering("")
    await LinuxQuotas(programs, "/srv").write(VOLUME, HOLDER, QuotaLimit.parse("0B"))
    assert programs.ran == ["setquota -u fred.proj 0 1 0 9 /srv"]


@pytest.mark.parametrize("name", ["", "-g", "a b", "a;b", "a'b", "a\n"])
def test_a_name_that_a_program_would_split_cannot_have_a_quota(name):
    with pytest.raises(JobError):
        Holder(name, True)


async def test_no_quotas_accept_no_limit():
    with pytest.raises(JobError, match="has no quotas"):
        await NoQuotas().write(VOLUME, HOLDER, LIMIT)
    await NoQuotas().write(VOLUME, HOLDER, QuotaLimit())


async def test_fake_quotas_measure_what_is_there(tmp_path):
    (tmp_path / "data").mkdir()
    holder = Holder("fred", True, (str(tmp_path / "data"), str(tmp_path / "missing")))
    programs = answering("20\t/x\n")
    engine = FakeQuotas(programs, tmp_path / "quotas")
    await engine.write(VOLUME, holder, QuotaLimit.parse("1MB"))
    assert str(await engine.read(VOLUME, holder)) == "20.00 KB / 1024.00 KB | 2.0%"
    assert programs.ran == [f"du -s -k -- {tmp_path}/data"]


def test_all_engines_of_existing_configurations_are_known():
    lustre = {
        "type": "lustre",
        "max_runners": 2,
        "command_timeout_secs": 5,
        "id_strategies": {"home": "{UID}"},
    }
    others = [{"type": "linux", "filesystem": "/srv"}, *({"type": kind} for kind in ("fake", "none", "xfs"))]
    tables = {"quota_engines": {str(number): engine for number, engine in enumerate([lustre, *others])}}
    assert len(read_engines(tables, answering(""))) == 5


async def test_a_default_quota_is_not_set_over_one_that_was_granted(tmp_path):
    tables = recorded_tables(tmp_path / "q")
    tables["user_volumes"]["home"]["roots"] = [str(tmp_path)]
    files = attrs.evolve(
        Filesystem.from_config(make_config("files", AgentType.FILESYSTEM, tables)), tree=SystemTree(mine)
    )
    volume, holder = files.user_volume("home", USER)
    await files._default_quota(volume, holder)
    assert str((await files.quota(volume, holder)).limit) == "100.00 GB"
    await files.set_quota(volume, holder, QuotaLimit.parse("300GB"))
    await files._default_quota(volume, holder)
    assert str((await files.quota(volume, holder)).limit) == "300.00 GB"
