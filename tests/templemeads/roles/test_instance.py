"""The instance agent: against recorded traces, and with agents that are away, slow or wrong at every step."""

from __future__ import annotations

import json
import math
from collections import defaultdict

import attrs
import pytest
import trio

from paddington import Peer
from templemeads.agent_type import AgentType
from templemeads.errors import JobError
from templemeads.grammar.results import decode_result
from templemeads.roles import instance

from .fakes import answer_of, make_config, run_job, traces

NAMES = {"accounts": AgentType.ACCOUNT, "files": AgentType.FILESYSTEM, "slurm": AgentType.SCHEDULER}

USER = "fred.proj.portal"
USER_MAPPING = "fred.proj.portal:fred.proj:portal.proj"


@attrs.frozen
class State:
    peer: Peer
    agent_type: AgentType
    is_ready: bool = True


@attrs.define(eq=False)
class Estate:
    """An instance with pretend agents; answers by command, the last answer of a command again and again."""

    there: tuple = ("accounts", "files", "slurm")
    answers: dict = attrs.field(factory=dict)
    asked: list = attrs.field(factory=list)
    notified: list = attrs.field(factory=list)
    on_ask: object = None
    config: object = attrs.field(factory=lambda: make_config("shared", AgentType.INSTANCE))

    @property
    def name(self):
        return "shared"

    @property
    def peers(self):
        return self

    @property
    def operations(self):
        return self

    def select(self, agent_type):
        return [State(Peer(name, "default"), NAMES[name]) for name in self.there if NAMES[name] is agent_type]

    async def wait_for(self, agent_type):
        await trio.sleep(math.inf)

    def notify(self, text):
        self.notified.append(text)

    async def ask(self, command, *, zone=None, lifetime=None):
        assert (zone, lifetime) == ("default", 120)
        self.asked.append(command)
        await trio.lowlevel.checkpoint()
        if self.on_ask is not None:
            await self.on_ask(command)
        answers = self.answers.get(command)
        if not answers:
            await trio.sleep(
                1000
            )  # what existing agents do not ask has no answer by the time when the job fails
            raise JobError(f"nobody has recorded {command}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, JobError):
            raise answer
        return answer


def estate_of(trace):
    answers = defaultdict(list)
    for step in trace["steps"]:
        answers[step["command"]].append(answer_of(step["answer"]))
    there = ("accounts", "files") if "no-scheduler" in trace["name"] else ("accounts", "files", "slurm")
    return Estate(there, dict(answers))


# Where ours differs on purpose, as the protocol page on roles asks for or as newer agents do, and from which trace on.
OWN_WAY = {
    "add_project/scheduler-fails": ("Error", "slurm down"),
    "add_user/scheduler-fails": ("Error", "slurm down"),
    "remove_project/files-and-scheduler-fail": ("Error", "filesystem: it failed; scheduler: it failed"),
    "remove_user/files-and-scheduler-fail": ("Error", "filesystem: it failed; scheduler: it failed"),
    "clear_project_quota/none": ("Complete", None),
    "clear_user_quota/none": ("Complete", None),
    "add_user/home-with-blank": ("Error", None),
}

FREE = {"result": None, "result_type": "None"}


def allowed_beyond(trace, command):
    """Whether a step that is not in a trace is one that ours takes because it works side by side or tries again."""
    recorded = {step["command"] for step in trace["steps"]}
    what = command.split(" ", 1)[1]
    if command in recorded:
        return True  # again, as often as it takes
    if (
        trace["name"] in OWN_WAY
        or "fail" in trace["name"]
        or "missing" in trace["name"]
        or "answer" in trace["name"]
    ):
        return what.startswith(
            ("add_local_", "remove_", "get_users ", "get_local_usage_report ", "get_local_storage_report ",
             "get_project_mapping ", "get_local_home_dir ", "update_homedir ")
        )  # fmt: skip
    return "no-value" in trace["name"] and what.startswith("get_users ")


@pytest.mark.parametrize("trace", traces("instance"), ids=lambda trace: trace["name"])
async def test_recorded_traces_of_existing_agents(trace, autojump_clock):
    estate = estate_of(trace)
    estate.answers.setdefault(f"shared.slurm add_local_user {USER_MAPPING}", [None])
    estate.answers.setdefault("shared.slurm add_local_project proj.portal:portal.proj", [None])
    estate.answers.setdefault("shared.accounts get_users proj.portal", [[]])
    instruction = trace["command"].split(" ", 1)[1].replace(" this_month", " 2026-11-01:2026-11-30")
    instruction = instruction.replace(" today", " 2026-11-25:2026-11-25")
    job = await run_job(instance.handlers, instruction, estate, sender=trace["asked_by"])
    outcome = trace["outcome"]
    recorded = [step["command"] for step in trace["steps"]]

    state, message = OWN_WAY.get(trace["name"], (outcome["state"], outcome["result"]))
    assert job.status.value == state, job.result_text
    beyond = [command for command in estate.asked if command not in recorded]
    assert all(allowed_beyond(trace, command) for command in beyond), beyond
    if trace["name"] in OWN_WAY:
        assert message is None or job.result_text == message
        return
    assert job.version == outcome["version"]
    assert job.result_type == outcome["result_type"]
    assert estate.notified == trace["notifications"]
    if state == "Complete":
        # With each try the scheduler is asked again, beside the others; existing agents ask it last.
        ours = [
            command for command in estate.asked if "fails-once" not in trace["name"] or "slurm" not in command
        ]
        theirs = [command for command in recorded if command in ours]
        assert sorted(ours) == sorted(theirs)
        if trace["name"].startswith(
            ("add_", "remove_")
        ):  # the projects and users of other jobs are taken side by side
            _in_order(ours, theirs)
        assert _value(job.result_text, job.result_type) == _value(outcome["result"], outcome["result_type"])
    elif trace["name"].startswith("unknown/"):
        assert job.error.kind == "unsupported"
    elif trace["name"] != "add_project/mapping-of-wrong-type":  # whose text is that of another JSON reader
        assert job.result_text == outcome["result"]
    if state == "Error":
        assert not set(recorded) - set(estate.asked), "every step of the trace was taken"


def test_there_are_as_many_traces_as_recorded():
    assert len(traces("instance")) == 130


def _value(text, type_name):
    value = decode_result(text, type_name)
    return sorted(map(str, value)) if isinstance(value, list) else value


def _in_order(ours, recorded):
    """Each agent got its own jobs in the recorded order, and nothing began before what it needs."""
    for name in NAMES:
        mine = [command for command in ours if command.startswith(f"shared.{name} ")]
        theirs = [command for command in recorded if command.startswith(f"shared.{name} ")]
        assert mine == theirs


# -- failures at every step ------------------------------------------------------------------------------------------

GOOD = {
    "shared.accounts is_existing_project proj.portal": [False],
    "shared.accounts add_project proj.portal": [decode_result('"proj.portal:portal.proj"', "ProjectMapping")],
    "shared.accounts remove_project proj.portal": [decode_result('"proj.portal:portal.proj"', "ProjectMapping")],
    "shared.accounts get_users proj.portal": [[]],
    f"shared.accounts is_blocked_user {USER}": [False],
    f"shared.accounts is_existing_user {USER}": [False],
    f"shared.accounts is_protected_user {USER}": [False],
    f"shared.accounts add_user {USER}": [decode_result(json.dumps(USER_MAPPING), "UserMapping")],
    f"shared.accounts remove_user {USER}": [decode_result(json.dumps(USER_MAPPING), "UserMapping")],
    f"shared.accounts update_homedir {USER} /home/fred": ["/home/fred"],
    f"shared.files add_local_user {USER_MAPPING}": [None],
    f"shared.files remove_local_user {USER_MAPPING}": [None],
    f"shared.files get_local_home_dir {USER_MAPPING}": ["/home/fred"],
    f"shared.slurm add_local_user {USER_MAPPING}": [None],
    f"shared.slurm remove_local_user {USER_MAPPING}": [None],
    **{f"shared.{name} {step}_local_project proj.portal:portal.proj": [None]
       for name in ("files", "slurm") for step in ("add", "remove")},
}  # fmt: skip

STEPS = {
    "add_project proj.portal": ["accounts is_existing", "accounts add_project", "files add_local", "slurm add_local"],
    f"add_user {USER}": ["accounts is_blocked", "accounts is_existing", "accounts is_protected", "accounts add_user",
                         "files add_local", "files get_local_home_dir", "accounts update_homedir", "slurm add_local"],
    "remove_project proj.portal": ["accounts remove_project", "accounts get_users", "files remove_local", "slurm remove"],
    f"remove_user {USER}": ["accounts is_protected", "accounts remove_user", "files remove_local", "slurm remove_local"],
}  # fmt: skip
EVERY_STEP = [(instruction, step) for instruction, steps in STEPS.items() for step in steps]


def copied():
    return {command: list(answers) for command, answers in GOOD.items()}


def undone(estate, instruction):
    return any(" remove_project " in command or " remove_user " in command for command in estate.asked)


@pytest.mark.parametrize(("instruction", "step"), EVERY_STEP)
@pytest.mark.parametrize("was_there", [False, True])
async def test_a_failing_step_fails_the_job_and_undoes_what_is_written_down(
    instruction, step, was_there, autojump_clock
):
    estate = Estate(answers=copied())
    for command, answers in estate.answers.items():
        if "is_existing" in command:
            answers[:] = [was_there]
        if command.startswith(f"shared.{step}"):
            answers[:] = [JobError("it broke")]
    job = await run_job(instance.handlers, instruction, estate, sender="clusters")
    assert job.status.value == "Error"
    assert job.result_text == "it broke"
    assert estate.notified == []
    if instruction.startswith("add_"):
        began = not step.startswith(("accounts is_existing", "accounts is_blocked"))
        assert undone(estate, instruction) == (began and not was_there)
        assert not any(" remove_local_user " in command for command in estate.asked), "directories stay"


@pytest.mark.parametrize(("instruction", "step"), EVERY_STEP)
async def test_a_wrong_answer_at_any_step_is_an_error(instruction, step, autojump_clock):
    estate = Estate(answers=copied())
    for command, answers in estate.answers.items():
        if command.startswith(f"shared.{step}"):
            answers[:] = [decode_result("[]", "Destinations")] if answers == [None] else [None]
    job = await run_job(instance.handlers, instruction, estate, sender="clusters")
    assert job.status.value == "Error"
    assert job.result_text in ("No result available", "Result type is not None for completed job")


@pytest.mark.parametrize(("instruction", "step"), EVERY_STEP)
async def test_a_job_that_was_cut_off_at_any_step_is_finished_when_it_comes_again(
    instruction, step, autojump_clock
):
    estate = Estate(answers=copied())

    async def hang(command):
        if command.startswith(f"shared.{step}"):
            await trio.sleep(math.inf)

    estate.on_ask = hang
    with trio.move_on_after(1) as scope:
        await run_job(instance.handlers, instruction, estate, sender="clusters")
    assert scope.cancelled_caught
    assert not (instruction.startswith("add_") and undone(estate, instruction)), (
        "who is stopped undoes nothing"
    )
    estate.on_ask = None
    job = await run_job(instance.handlers, instruction, estate, sender="clusters")
    assert job.status.value == "Complete", job.result_text
    assert len(estate.notified) == 1


@pytest.mark.parametrize(("instruction", "step"), EVERY_STEP)
async def test_a_slow_step_delays_the_job_and_nothing_else(instruction, step, autojump_clock):
    estate = Estate(answers=copied())

    async def slow(command):
        if command.startswith(f"shared.{step}"):
            await trio.sleep(60)

    estate.on_ask = slow
    began = trio.current_time()
    job = await run_job(instance.handlers, instruction, estate, sender="clusters")
    assert job.status.value == "Complete"
    assert trio.current_time() - began == pytest.approx(60)


@pytest.mark.parametrize("away", ["accounts", "files", "slurm"])
@pytest.mark.parametrize("instruction", STEPS)
async def test_an_agent_that_never_came_is_waited_for_ten_seconds_and_named(
    instruction, away, autojump_clock
):
    estate = Estate(tuple(name for name in NAMES if name != away), answers=copied())
    began = trio.current_time()
    job = await run_job(instance.handlers, instruction, estate, sender="clusters")
    kind = {"accounts": "account", "files": "filesystem", "slurm": "scheduler"}[away]
    assert job.result_text == f"Cannot run the job because there is no {kind} agent"
    assert trio.current_time() - began in (10, 20)


async def test_directories_and_scheduler_are_worked_on_side_by_side(autojump_clock):
    estate = Estate(answers=copied())

    async def slow(command):
        await trio.sleep(1)

    estate.on_ask = slow
    began = trio.current_time()
    await run_job(instance.handlers, "add_project proj.portal", estate, sender="clusters")
    assert trio.current_time() - began == 3, "four steps, of which two at once"


async def test_an_account_left_half_made_by_an_earlier_try_is_not_taken_for_an_administrators(autojump_clock):
    estate = Estate(answers=copied())
    mapping = estate.answers[f"shared.accounts add_user {USER}"][0]
    estate.answers[f"shared.accounts add_user {USER}"] = [JobError("no groups"), mapping]
    estate.answers[f"shared.accounts is_protected_user {USER}"] = [False, True]
    job = await run_job(instance.handlers, f"add_user {USER}", estate, sender="clusters")
    assert job.status.value == "Complete"
    assert sum(" add_user " in command for command in estate.asked) == 2


@pytest.mark.parametrize("kind", ["unsupported", "invalid", "expired"])
async def test_what_cannot_get_better_is_tried_once(kind, autojump_clock):
    estate = Estate(answers=copied())
    estate.answers[f"shared.accounts add_user {USER}"] = [JobError("no", kind=kind)]
    await run_job(instance.handlers, f"add_user {USER}", estate, sender="clusters")
    assert sum(" add_user " in command for command in estate.asked) == 1
