import datetime as dt
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from templemeads.errors import ParseError, RefusedError
from templemeads.grammar import (
    Allocation,
    AwardDetails,
    CreateProject,
    Date,
    DomainPattern,
    Instruction,
    Link,
    MembershipControl,
    Note,
    ProjectIdentifier,
    ProjectTemplate,
    Timestamp,
)
from templemeads.testing import near_misses
from templemeads.testing.strategies import addresses, award_details, texts

EMPTY = (
    '{"name":null,"template":null,"key":null,"description":null,"members":null,"start_date":null,"end_date":null,'
    '"allocation":null,"notes":[],"allowed_domains":null}'
)
awards = award_details(free_text=texts())


def note(second: int, text: str = "") -> Note:
    return Note(Timestamp(second), "Jane", text)


@given(awards)
def test_an_award_survives_writing(award: AwardDetails) -> None:
    assert AwardDetails.parse(str(award)) == award
    assert AwardDetails.from_json(award.to_json()) == award
    assert hash(AwardDetails.parse(str(award))) == hash(award)


@given(award_details())
def test_an_award_survives_as_the_argument_of_an_instruction(award: AwardDetails) -> None:
    instruction = CreateProject(ProjectIdentifier("proj", "waldur"), award)
    assert Instruction.parse(str(instruction)) == instruction


@given(near_misses(AwardDetails))
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        AwardDetails.parse(text)


def test_the_empty_award_is_written_as_the_protocol_has_it() -> None:
    assert str(AwardDetails()) == EMPTY


def test_reading_is_lenient_about_what_the_fields_say() -> None:
    award = AwardDetails.parse(
        '{"name":"  ","members":{"not an address":""},"start_date":"2024-12-31","end_date":"2024-01-01",'
        '"allowed_domains":["a.com","a.com"],"allocation":"none","award":{}}'
    )
    assert award.name == "  "
    assert award.members == {"not an address": ""}
    assert award.start_date is not None
    assert award.end_date is not None
    assert award.start_date > award.end_date
    assert award.allowed_domains == (DomainPattern("a.com"),) * 2
    assert award.allocation == Allocation()
    assert award.award == Link()


@pytest.mark.parametrize("field", [field.name for field in AwardDetails.json_fields])
def test_no_field_may_be_given_twice(field: str) -> None:
    with pytest.raises(ParseError, match="twice"):
        AwardDetails.parse(f'{{"{field}":null,"{field}":null}}')


@pytest.mark.parametrize("field", [field.name for field in AwardDetails.json_fields])
def test_an_error_names_the_field(field: str) -> None:
    with pytest.raises(ParseError, match=field):
        AwardDetails.parse(f'{{"{field}":5}}')


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": 5}, TypeError),
        ({"members": ["a@x.org"]}, TypeError),
        ({"members": {"a@x.org": 5}}, TypeError),
        ({"notes": "T"}, TypeError),
        ({"notes": None}, TypeError),
        ({"breakdown": None}, TypeError),
        ({"start_date": "2024-01-01"}, TypeError),
        ({"start_date": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}, TypeError),
        ({"allowed_domains": ["x.org"]}, TypeError),
        ({"name": "\ud800"}, ParseError),
        ({"breakdown": {"\udfff": ""}}, ParseError),
        ({"start_date": dt.date(1960, 1, 1)}, ParseError),
    ],
)
def test_an_award_made_in_python_is_checked_as_one_that_is_read(
    fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(fields))):
        AwardDetails(**fields)


def test_an_award_made_in_python_equals_the_one_that_is_read() -> None:
    award = AwardDetails(
        members={"b@x.org": "pi", "a@x.org": "member"}, start_date=dt.date(2024, 1, 1), notes=[note(0)]
    )  # type: ignore[arg-type]
    assert award == AwardDetails.parse(
        '{"start_date":"2024-1-1","members":{"a@x.org":"member","b@x.org":"pi"},'
        '"notes":[{"timestamp":"1970-01-01T00:00:00Z","author":"Jane","text":""}]}'
    )
    assert type(award.start_date) is Date


def test_the_members_of_an_award_cannot_change_behind_its_back() -> None:
    members = {"a@x.org": "pi"}
    award = AwardDetails(members=members)
    members.clear()
    assert award.members == {"a@x.org": "pi"}
    with pytest.raises(TypeError):
        award.members["b@x.org"] = "pi"  # type: ignore[index]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        award.name = "x"  # type: ignore[misc]


# --- changing -----------------------------------------------------------------------------------


def test_changing_trims_texts_and_takes_empty_ones_for_none() -> None:
    award = AwardDetails().changed(name=" a ", key="\u3000", description="")
    assert (award.name, award.key, award.description) == ("a", None, None)
    award = AwardDetails(award=Link("x"), allocation=Allocation(1.0, "NHR"), members={"a@x.org": "pi"})
    assert award.changed(award=Link(), allocation=Allocation(), members={}) == AwardDetails()


@given(st.dictionaries(addresses(), st.just("pi"), min_size=1, max_size=3))
def test_members_are_trimmed_and_added(members: dict[str, str]) -> None:
    award = AwardDetails(members={"first@x.org": "pi"})
    untidy = {f" {address}\t": f" {role} " for address, role in members.items()}
    assert award.with_members(untidy).members == {"first@x.org": "pi"} | members
    assert award.changed(members=untidy).members == members


@pytest.mark.parametrize(
    "members",
    [
        *({"nobody": "pi"}, {"a b@x.org": "pi"}, {"a@@x.org": "pi"}, {"@x.org": "pi"}, {"a@x..org": "pi"}),
        *({"*@x.org": "pi"}, {"a@x.org": " "}, {"a@x.org": ""}, {"a@y.org": "pi"}),
    ],
)
def test_several_members_are_added_all_or_not_at_all(members: dict[str, str]) -> None:
    award = AwardDetails(allowed_domains=[DomainPattern("x.org")])
    for change in (award.with_members, lambda members: award.changed(members=members)):
        with pytest.raises(ParseError):
            change({"good@x.org": "pi"} | members)
    assert award.with_members({"good@x.org": "pi"}).members == {"good@x.org": "pi"}


def test_members_are_judged_by_the_domains_that_come_with_them() -> None:
    award = AwardDetails(allowed_domains=())
    assert not award.allows("a@x.org")
    changed = award.changed(allowed_domains=(DomainPattern("*.ac.uk"),), members={"a@bris.AC.UK": "pi"})
    assert changed.members == {"a@bris.AC.UK": "pi"}


def test_members_leave() -> None:
    award = AwardDetails(members={"a@x.org": "pi", "b@x.org": "pi"})
    assert award.without_member(" a@x.org ").members == {"b@x.org": "pi"}
    assert award.without_member("c@x.org") is award


def test_notes_are_added_at_the_end() -> None:
    assert AwardDetails(notes=(note(2),)).with_note(note(1)).notes == (note(2), note(1))


# --- merging ------------------------------------------------------------------------------------


@given(awards)
def test_merging_with_nothing_only_sorts_the_notes(award: AwardDetails) -> None:
    ordered = attrs.evolve(award, notes=tuple(sorted(award.notes, key=lambda each: each.timestamp)))
    assert award.merge(AwardDetails()) == ordered
    merged = AwardDetails().merge(award)
    assert attrs.evolve(merged, notes=()) == attrs.evolve(award, notes=())
    assert set(merged.notes) == set(award.notes)


@given(awards, awards)
def test_merging_follows_the_table(award: AwardDetails, update: AwardDetails) -> None:
    if award.template and update.template and award.template != update.template:
        with pytest.raises(RefusedError, match="template"):
            award.merge(update)
        return
    merged = award.merge(update)
    for field in AwardDetails.json_fields:
        old, new = getattr(award, field.name), getattr(update, field.name)
        got = getattr(merged, field.name)
        if field.name == "breakdown":
            assert got == {**old, **new}
        elif field.name == "notes":
            assert set(got) == set(old) | set(new)
            assert [each.timestamp for each in got] == sorted(each.timestamp for each in got)
        else:
            assert got == (old if new is None else new)
    assert merged.merge(update) == merged


def test_what_is_empty_but_set_replaces_too() -> None:
    award = AwardDetails(
        name="x", members={"a@x.org": "pi"}, allowed_domains=(DomainPattern("x.org"),), award=Link("x")
    )
    update = AwardDetails(name="", members={}, allowed_domains=(), award=Link(), allocation=Allocation())
    assert award.merge(update) == update


def test_a_template_is_taken_once() -> None:
    cpu, gpu = (AwardDetails(template=ProjectTemplate(name)) for name in ("cpu", "gpu"))
    assert AwardDetails().merge(cpu).merge(cpu).merge(AwardDetails()) == cpu
    with pytest.raises(RefusedError, match=r'"cpu".*"gpu"'):
        cpu.merge(gpu)


def test_notes_that_are_there_stay_and_new_ones_come_once() -> None:
    award = AwardDetails(notes=(note(3), note(1), note(1)))
    update = AwardDetails(notes=(note(2), note(2), note(1), note(1, "other")))
    assert award.merge(update).notes == (note(1), note(1), note(1, "other"), note(2), note(3))


def test_control_is_replaced_only_if_set() -> None:
    locked = AwardDetails(membership_control=MembershipControl.LOCKED)
    assert locked.merge(AwardDetails()).membership_control is MembershipControl.LOCKED
    assert AwardDetails().merge(locked).membership_control is MembershipControl.LOCKED
