import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from templemeads import grammar as g
from templemeads import testing
from templemeads.errors import ParseError
from templemeads.grammar.forms import Record
from templemeads.grammar.results import encode_result
from templemeads.grammar.text import TextValue
from templemeads.jobs.board import Board
from templemeads.jobs.commands import Delete, Put, Sync, Update
from templemeads.jobs.job import Job, Status
from templemeads.testing import (
    STRANGERS,
    commands,
    edited,
    envelopes,
    histories,
    instructions,
    jobs,
    near_misses,
    notifications,
    results_of,
    strategy_of,
)
from templemeads.testing._hypothesis_entry_point import register

ROOT = Path(__file__).parents[3]
VALUES = sorted(
    (
        kind
        for kind in vars(g).values()
        if isinstance(kind, type) and issubclass(kind, TextValue | Record | g.Date)
    ),
    key=lambda kind: kind.__name__,
)
PARTS_OF_REPORTS = {"ProjectStorageSnapshot"}
"""Types that stand only inside of others, and have no strategy of their own."""


def entry_point(group: str) -> Any:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"][group]["templemeads"].partition(":")
    loaded = import_module(module)
    return getattr(loaded, name) if name else loaded


# --- what Hypothesis finds by itself ------------------------------------------------------------


def test_hypothesis_is_told_by_the_function_that_the_package_declares() -> None:
    assert entry_point("hypothesis") is register


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_every_type_of_the_grammar_can_be_drawn_by_its_type_alone(kind: type[Any]) -> None:
    register()
    if kind.__name__ in PARTS_OF_REPORTS:
        return

    @settings(max_examples=3)
    @given(st.from_type(kind))
    def draw(value: Any) -> None:
        assert isinstance(value, kind)

    draw()


@given(st.from_type(g.Command), st.from_type(g.Notification))
def test_commands_and_notifications_too(command: g.Command, notification: g.Notification) -> None:
    assert g.Command.parse(str(command)) == command
    assert g.Notification.from_json(notification.to_json()) == notification


def test_nothing_of_hypothesis_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys\n"
        "import templemeads.testing, templemeads.testing.plugin\n"
        "assert 'hypothesis' not in sys.modules\n"
        "sys.modules['hypothesis'] = None\n"
        "try:\n"
        "    templemeads.testing.near_misses\n"
        "except ModuleNotFoundError as error:\n"
        "    assert 'pip install templemeads[testing]' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('nothing was missed')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_everything_that_is_offered_is_there() -> None:
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError):
        testing.nothing  # noqa: B018


# --- instructions -------------------------------------------------------------------------------


@given(instructions())
def test_instructions_are_read_again_as_they_were_written(instruction: g.Instruction) -> None:
    assert g.Instruction.parse(str(instruction)) == instruction


@settings(max_examples=25)
@given(st.data(), st.lists(st.sampled_from(g.instructions()), min_size=1, max_size=4))
def test_only_the_instructions_asked_for_are_drawn(
    data: st.DataObject, rows: list[type[g.Instruction]]
) -> None:
    only = [row if index % 2 else row.keyword for index, row in enumerate(rows)]
    assert type(data.draw(instructions(only=only))) in rows


def test_a_choice_of_nothing_and_a_misspelt_keyword_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        instructions(only=[])
    with pytest.raises(ParseError, match="add_user"):
        instructions(only=["ad_user"])


@given(instructions(portal="waldur"))
def test_all_may_be_of_one_portal(instruction: g.Instruction) -> None:
    assert instruction.owning_portal() in {None, "waldur"}


@given(commands())
def test_commands_keep_the_portal_rule(command: g.Command) -> None:
    g.check_portal(command.destination, command.instruction)
    assert g.Command.parse(str(command)) == command


@given(commands(only=["add_user"], portal_rule=False))
def test_commands_may_break_the_portal_rule_where_that_is_asked_for(command: g.Command) -> None:
    assert g.Command.parse(str(command)) == command
    event("breaks it" if command.instruction.owning_portal() != command.destination.first else "keeps it")


@pytest.mark.parametrize("row", g.instructions(), ids=lambda row: row.keyword)
def test_there_are_results_for_every_instruction(row: type[g.Instruction]) -> None:
    @settings(max_examples=2)
    @given(results_of(row))
    def draw(value: Any) -> None:
        assert row.result is None or encode_result(value)[1] == row.result or value == []

    draw()


# --- near misses --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*VALUES, g.Command, g.Notification], ids=lambda kind: kind.__name__)
def test_near_misses_are_refused_and_say_why_in_one_short_line(kind: type[Any]) -> None:
    if kind.__name__ in PARTS_OF_REPORTS:
        return

    @settings(max_examples=5)
    @given(near_misses(kind))
    def miss(text: str) -> None:
        with pytest.raises(ParseError) as caught:
            kind.parse(text)
        message = str(caught.value)
        assert "\n" not in message
        assert message.isprintable()
        assert len(message) < 1000

    miss()


@given(near_misses(g.AddUser))
def test_near_misses_of_one_instruction_are_not_read_as_it(text: str) -> None:
    with pytest.raises(ParseError):
        g.AddUser.parse(text)


@given(near_misses(g.PortalIdentifier, values=st.just(g.PortalIdentifier("abc"))))
def test_near_misses_are_made_of_the_values_given(text: str) -> None:
    longest = max(map(len, STRANGERS))
    assert len(text) <= 2 * (3 + 4 * longest) + 3
    with pytest.raises(ParseError):
        g.PortalIdentifier.parse(text)


@given(edited(st.just("")), edited(st.just("abc"), edits=2))
def test_edits_give_text(one: str, other: str) -> None:
    assert isinstance(one, str)
    assert isinstance(other, str)


def test_other_types_have_no_strategy() -> None:
    with pytest.raises(TypeError, match="int"):
        strategy_of(int)


# --- jobs ---------------------------------------------------------------------------------------


@given(jobs())
def test_jobs_survive_the_wire(job: Job) -> None:
    arrived = Job.from_json(job.to_json())
    assert arrived.to_json() == job.to_json()
    assert (arrived.status, arrived.version) == (job.status, job.version)


@pytest.mark.parametrize("state", list(Status))
def test_jobs_can_be_had_in_every_state(state: Status) -> None:
    @settings(max_examples=3)
    @given(jobs(states=[state]))
    def draw(job: Job) -> None:
        assert job.status is state

    draw()


@given(envelopes(only=["add_user"]))
def test_envelopes_hold_jobs_that_have_arrived(envelope: Any) -> None:
    assert envelope.recipient == envelope.job.destination.last
    assert envelope.job.status is Status.PENDING
    assert isinstance(envelope.job.instruction, g.AddUser)


@given(histories(), st.randoms())
def test_boards_that_were_told_the_same_in_any_order_are_equal(told: list[Any], random: Any) -> None:
    others = list(told) * 2
    random.shuffle(others)
    assert board_after(told) == board_after(others)


def board_after(told: list[Any]) -> tuple[Any, Any]:
    board, now = Board(), 1_800_000_000.0
    for command in told:
        match command:
            case Put(job) | Update(job):
                board.merge(job, now)
            case Sync(jobs):
                for job in jobs:
                    board.merge(job, now)
            case Delete(job):
                board.remove(job, now)
    return {job.id: job for job in board}, {job.id for job in board.tombstones}


@given(st.lists(notifications(), max_size=3))
def test_notifications_nest_as_forwards(drawn: list[g.Notification]) -> None:
    for notification in drawn:
        assert g.Notification.from_json(notification.to_json()) == notification
