"""The account agent, with the accounts of a pretend machine: against recorded traces, and where it must differ."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paddington import ConfigError
from templemeads.agent_type import AgentType
from templemeads.errors import JobError
from templemeads.grammar import PortalIdentifier, ProjectIdentifier, UserIdentifier
from templemeads.roles import account
from templemeads.roles.account import (
    Accounts,
    Groups,
    checked_home,
    map_user,
    project_of,
    user_of,
)
from templemeads.roles.account_local import LocalDirectory
from templemeads.testing.strategies import project_identifiers, user_identifiers

from .fakes import FakeAgent, FakePrograms, answer_of, failures, make_config, run_job, traces


class Machine:
    """The accounts of a machine, as getent and shadow's programs show them."""

    def __init__(self):
        self.users = {"root.proj"}
        self.groups = {"users": [], "staff.other": []}

    def __call__(self, words):
        match words:
            case ["getent", "passwd", user]:
                return (0, f"{user}:x:1000:1000::/home/{user}:/bin/bash\n") if user in self.users else (2, "")
            case ["getent", "group"]:
                return 0, "".join(
                    f"{name}:x:1:{','.join(members)}\n" for name, members in self.groups.items()
                )
            case ["getent", "group", name]:
                found = name in self.groups
                return (0, f"{name}:x:1:{','.join(self.groups[name])}\n") if found else (2, "")
            case ["groupadd", name]:
                self.groups[name] = []
            case ["groupdel", name]:
                return (0, "") if self.groups.pop(name, None) is not None else (6, "")
            case ["useradd", "-d", _, "-m", "-s", "/bin/bash", user]:
                if user in self.users:
                    return 9, ""
                self.users.add(user)
            case ["userdel", user]:
                if user not in self.users:
                    return 6, ""
                self.users.discard(user)
                for members in self.groups.values():
                    members[:] = [each for each in members if each != user]
            case ["usermod", "-aG", names, user]:
                if user not in self.users:
                    return 6, ""
                for name in names.split(","):
                    if user not in self.groups[name]:
                        self.groups[name].append(user)
            case ["gpasswd", "-d", user, name]:
                self.groups[name].remove(user)
            case ["usermod", "-d" | "-L" | "-U", *_, user]:
                return (0, "") if user in self.users else (6, "")
            case _:
                return 127, ""
        return 0, ""


def config(**extras):
    options = {"system_groups": "site, users", "instance_groups": "cluster:slurm,other:never", **extras}
    return make_config("account", AgentType.ACCOUNT, **options)


def make(programs):
    return account.make_handlers(lambda config: Accounts(LocalDirectory.from_config(config, programs)))


# Accounts that the recording had beside those it made, by the trace that first shows them.
_SET_UP = {
    "get_users/not-managed-too": lambda machine: machine.groups["portal.proj"].append("root.proj"),
}


async def test_recorded_traces_of_existing_agents_come_out_the_same():
    machine = Machine()
    programs = FakePrograms(machine)
    handlers = make(programs)
    agent = FakeAgent(config())
    compared = 0
    for trace in traces("account"):
        name = trace["name"]
        _SET_UP.get(name, lambda _: None)(machine)
        programs.ran.clear()
        programs.failing = {
            line: status for line, status in failures(trace["commands"]).items() if status in (1, 4, 8)
        }
        agent.asked.clear()
        agent.answers = [answer_of(each["answer"]) for each in trace["asks_back"]]
        job = await run_job(handlers, trace["instruction"], agent)
        outcome = trace["outcome"]
        compared += 1
        assert programs.ran == trace["commands"], name
        assert agent.asked == [
            (each["command"], "default", each["lifetime"]) for each in trace["asks_back"]
        ], name
        assert (job.status.value, job.version) == (outcome["state"], outcome["version"]), (
            name,
            job.result_text,
        )
        assert job.result_type == outcome["result_type"], name
        if name.startswith("invalid/"):
            assert job.error.kind == "unsupported"
        else:
            # The pretend programs complain in the same words for every failure.
            assert job.result_text.removesuffix("(its stderr)") == outcome["result"].removesuffix(
                "(its stderr)"
            ), name
    assert compared == 46


@given(user_identifiers())
def test_a_user_is_found_again_from_the_local_names(user):
    try:
        mapping = map_user(user)
    except JobError as error:
        assert error.kind == "invalid"
        assert len(f"{user.username}.{user.project}") > 64 or len(f"{user.portal}.{user.project}") > 64
        return
    assert user_of(mapping.local_user, user.project_identifier) == mapping


@given(project_identifiers())
def test_a_project_is_found_again_from_its_group_only_under_its_portal(project):
    group = account.group_of(project)
    assume(len(group) <= 64)
    if project.portal not in account.UNNAMED_PORTALS:
        assert project_of(group, project.portal_identifier).project == project
    assert project_of(group, PortalIdentifier(project.portal + "x")) is None


@pytest.mark.parametrize("member", ["fred", "fred.other", ".proj", "a.b.proj", "-x.proj", "fred.proj "])
def test_members_who_are_not_users_of_the_project_are_left_out(member):
    assert user_of(member, ProjectIdentifier("proj", "portal")) is None


@pytest.mark.parametrize(
    "home",
    [
        "",
        "home",
        "relative/x",
        "/home/../etc",
        "/..",
        "/home/a:b",
        "/home/a\nroot::0:0::/:",
        "/" + "x" * 5000,
    ],
)
async def test_a_home_directory_that_could_do_harm_is_refused(home):
    with pytest.raises(JobError, match="not a home directory"):
        checked_home(home)
    programs = FakePrograms(Machine())
    agent = FakeAgent(config(), answers=[home])
    job = await run_job(make(programs), "add_user fred.proj.portal", agent)
    assert job.status.value == "Error"
    assert programs.ran == []


def test_a_home_directory_may_have_a_blank_and_dots_in_names():
    assert checked_home("/home/my home/..fred") == "/home/my home/..fred"


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_group_of_an_instance_is_always_a_name_of_letters_digits_and_underscores(sender, zone):
    name = account.instance_group(sender, zone)
    assert name.startswith("op_")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def test_groups_of_an_instance_are_found_by_name_and_by_name_with_zone():
    groups = Groups.from_config(config(instance_groups="cluster:a, cluster@lab:b,cluster:c"))
    user = map_user(UserIdentifier("fred", "proj", "portal"))
    assert groups.of(user, "cluster", "lab")[-3:] == ("a", "c", "b")
    assert "b" not in groups.of(user, "cluster", "default")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("instance_groups", "cluster"),
        ("instance_groups", "cluster:"),
        ("system_groups", "-G root"),
        ("managed_group", ""),
        ("backend", "nis"),
        ("useradd", ""),
        ("freeipa_server", "ipa.example.org"),
    ],
)
def test_a_wrong_option_is_refused(option, text):
    with pytest.raises(ConfigError):
        account.open_directory(config(**{option: text}))


async def test_every_instruction_may_come_twice():
    machine = Machine()
    handlers = make(FakePrograms(machine))
    agent = FakeAgent(config(), answers=lambda _: "/home/fred")
    steps = ("add_project", "add_user", "block_user", "unblock_user", "remove_user", "remove_project")
    for step in steps:
        instruction = f"{step} proj.portal" if "project" in step else f"{step} fred.proj.portal"
        first = await run_job(handlers, instruction, agent)
        groups = {name: list(members) for name, members in machine.groups.items()}
        second = await run_job(handlers, instruction, agent)
        assert first.status.value == second.status.value == "Complete", (instruction, second.result_text)
        assert first.result_text == second.result_text
        assert groups == machine.groups


@pytest.mark.parametrize("failing", range(12))
async def test_an_account_that_was_left_half_made_is_finished_the_next_time(failing):
    machine = Machine()
    whole = Machine()
    agent = FakeAgent(config(), answers=lambda _: "/home/fred")
    await run_job(make(FakePrograms(whole)), "add_user fred.proj.portal", agent)
    count = 0

    def breaking(words):
        nonlocal count
        count += 1
        return (1, "") if count == failing + 1 else machine(words)

    handlers = make(FakePrograms(breaking))
    first = await run_job(handlers, "add_user fred.proj.portal", agent)
    assert first.status.value == "Error"
    second = await run_job(handlers, "add_user fred.proj.portal", agent)
    assert second.status.value == "Complete", second.result_text
    assert (machine.users, machine.groups) == (whole.users, whole.groups)


async def test_an_account_without_a_password_is_unblocked_all_the_same():
    machine = Machine()
    agent = FakeAgent(config(), answers=lambda _: "/home/fred")

    class NoPassword(FakePrograms):
        async def run(self, words, *, timeout=60.0, text=""):
            ran = await super().run(words, timeout=timeout)
            if words[:2] == ["usermod", "-U"]:
                message = "usermod: unlocking the user's password would result in a passwordless account."
                return type(ran)(ran.words, 1, "", message)
            return ran

    handlers = make(NoPassword(machine))
    for instruction in ("add_user", "block_user", "unblock_user"):
        job = await run_job(handlers, f"{instruction} fred.proj.portal", agent)
        assert job.status.value == "Complete", job.result_text
