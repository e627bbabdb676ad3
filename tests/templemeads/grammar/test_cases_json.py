"""The cases of the protocol's own test data that are JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from templemeads.grammar import (
    AwardDetails,
    Link,
    Note,
    Notification,
    ParseError,
    ProjectStorageReport,
    ProjectUsageReport,
    StorageReport,
    Timestamp,
    UsageReport,
)
from templemeads.grammar.results import decode_result, encode_result
from templemeads.grammar.strictjson import parse_json
from templemeads.jobs.job import Job

KINDS: dict[str, Any] = {
    "award": AwardDetails,
    "link": Link,
    "note": Note,
    "projectstoragereport": ProjectStorageReport,
    "projectusagereport": ProjectUsageReport,
    "storagereport": StorageReport,
    "timestamp": Timestamp,
    "usagereport": UsageReport,
}
CASES = json.loads((Path(__file__).parents[2] / "data" / "grammar_cases.json").read_text())


def cases(*kinds: str) -> list[Any]:
    chosen = [case for case in CASES if case["kind"] in kinds]
    assert {case["kind"] for case in chosen} == set(kinds)
    return [pytest.param(case, id=f"{case['kind']}-{index}") for index, case in enumerate(chosen)]


@pytest.mark.parametrize("case", cases(*KINDS))
def test_an_object_is_read_and_written_as_the_protocol_says(case: dict[str, Any]) -> None:
    kind = KINDS[case["kind"]]
    if not case["ok"]:
        with pytest.raises(ParseError):
            kind.parse(case["text"])
        return
    if case["json"] is None:  # an absent link: what holds it decides
        assert parse_json(case["text"]) is None
        return
    value = kind.parse(case["text"])
    assert value.to_json() == case["json"]
    if "canonical" in case:
        assert str(value) == case["canonical"]
    assert kind.from_json(case["json"]).to_json() == case["json"]


@pytest.mark.parametrize("case", cases("result"))
def test_a_result_is_read_and_written_as_the_protocol_says(case: dict[str, Any]) -> None:
    if not case["ok"]:
        with pytest.raises(ParseError):
            decode_result(case["text"], case["result_type"])
        return
    value = decode_result(case["text"], case["result_type"])
    text, type_name = encode_result(value)
    assert (None if text is None else json.loads(text)) == case["json"]
    if value != []:  # only the instruction could tell the type of an empty list
        assert type_name == case["result_type"].replace("StorageUsage", "StorageSize")


def without_nulls(job: dict[str, Any]) -> dict[str, Any]:
    absent = ("domain", "domain_version")
    return {name: value for name, value in job.items() if name not in absent or value is not None}


@pytest.mark.parametrize("case", cases("job"))
def test_a_job_is_read_and_written_as_the_protocol_says(case: dict[str, Any]) -> None:
    if not case["ok"]:
        with pytest.raises(ParseError):
            Job.from_json(parse_json(case["text"]))
        return
    assert without_nulls(Job.from_json(parse_json(case["text"])).to_json()) == case["json"]


@pytest.mark.parametrize("case", cases("notificationjson"))
def test_a_notification_is_read_and_written_as_the_protocol_says(case: dict[str, Any]) -> None:
    if not case["ok"]:
        with pytest.raises(ParseError):
            Notification.from_json(parse_json(case["text"]))
        return
    written = Notification.from_json(parse_json(case["text"])).to_json()
    assert _all_without_nulls(written) == case["json"]


def _all_without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _all_without_nulls(item) for name, item in without_nulls(value).items()}
