"""The cases of the protocol's own test data that are text."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from templemeads.grammar import Destinations, Instruction, Notification, ParseError, StorageSize, Usage
from templemeads.grammar.kinds import KINDS
from templemeads.grammar.strictjson import parse_json

NAMES = {
    "portal": "portal",
    "project": "project",
    "user": "user",
    "projectmapping": "project-mapping",
    "usermapping": "user-mapping",
    "destination": "destination",
    "destinations": "destinations",
    "date": "date",
    "daterange": "date-range",
    "storagesize": "storage-size",
    "quotalimit": "quota-limit",
    "quota": "quota",
    "volume": "volume",
    "usage": "usage",
    "allocation": "allocation",
    "template": "template",
    "domain": "domain",
    "membership": "membership",
    "uuid": "uuid",
    "instruction": "instruction",
    "command": "command",
    "notification": "notification",
    "notificationjson": "notification-json",
}

CASES: dict[str, list[dict[str, Any]]] = defaultdict(list)
for _case in json.loads((Path(__file__).parents[2] / "data" / "grammar_cases.json").read_text()):
    CASES[_case["kind"]].append(_case)


def bracketed(value: object) -> bool:
    """Whether an agent of a list has a bracket in its name, for which the data have no JSON form of their own."""
    return isinstance(value, Destinations) and any(set(str(path)) & set("[]") for path in value)


def json_of(value: Any) -> Any:
    data = value.to_json()
    if isinstance(value, Notification):
        data = {"id": data["id"], "destination": data["destination"], "event": data["event"]}
    return data


def test_no_kind_of_the_data_is_forgotten() -> None:
    elsewhere = {"timestamp", "usagetext", "award", "link", "note", "job", "result"}
    reports = {"projectusagereport", "usagereport", "projectstoragereport", "storagereport"}
    assert set(CASES) == set(NAMES) | elsewhere | reports


@pytest.mark.parametrize("kind", NAMES)
def test_texts_are_taken_and_written_as_the_data_say(kind: str) -> None:
    wrong = []
    for case in CASES[kind]:
        text = case["text"]
        try:
            value = KINDS[NAMES[kind]](text, None)
        except ParseError as error:
            if case["ok"]:
                wrong.append(f"refused {text!r}: {error}")
            continue
        if not case["ok"]:
            wrong.append(f"took {text!r} for {value}")
        elif "canonical" in case and str(value) != case["canonical"]:
            wrong.append(f"wrote {text!r} as {value}, not {case['canonical']}")
        elif "json" in case and not bracketed(value):
            wanted, found = case["json"], json_of(value)
            if kind == "notification":
                found.pop("id")
            if found != wanted:
                wrong.append(f"wrote {text!r} in JSON as {found}, not {wanted}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "case", [case for case in CASES["instruction"] if case["ok"]], ids=lambda case: case["text"]
)
def test_instructions_have_the_keyword_and_the_arguments_of_the_data(case: dict[str, Any]) -> None:
    instruction = Instruction.parse(case["text"])

    assert (instruction.keyword, instruction.arguments()) == (case["command"], case["arguments"])


def test_sizes_have_the_bytes_of_the_data() -> None:
    taken = [case for case in CASES["storagesize"] if case["ok"]]

    assert [StorageSize.parse(case["text"]).bytes for case in taken] == [case["bytes"] for case in taken]


def test_times_for_people_are_those_of_the_data() -> None:
    cases = CASES["usagetext"]

    assert [Usage(int(case["text"])).describe() for case in cases] == [case["canonical"] for case in cases]


def test_notifications_in_json_are_read_and_written_as_the_data_say() -> None:
    for case in CASES["notificationjson"]:
        if case["ok"]:
            written = Notification.from_json(parse_json(case["text"])).to_json()
            # Null and absent are the same for the domain and its version.
            wanted = {name: value for name, value in case["json"].items() if value is not None}
            assert written == wanted
