"""The interface for new clients, without sockets and without a network behind it."""

from __future__ import annotations

import uuid

import httpx2
import openapi_spec_validator
import pytest
import requests
import schemathesis
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks
from starlette.applications import Starlette

from templemeads import JobError
from templemeads.jobs.job import Job
from templemeads.roles.bridge.authentication import ALL_SCOPES, ApiKey, Scope
from templemeads.roles.bridge.calls import UnavailableError
from templemeads.roles.bridge.event_log import EventLog
from templemeads.roles.bridge.openapi import make_document
from templemeads.roles.bridge.v1 import MAX_KEY_CHARACTERS, MAX_PAGE, OPERATIONS, make_routes
from tests.templemeads.roles.bridge.fakes import FakeCalls, FakeFeed
from tests.templemeads.roles.bridge.test_authentication import KEY, NOW

COMMAND = "waldur.brics add_user fred.proj.waldur"
READER = bytes(32)
KEYS = [ApiKey("all", KEY, ALL_SCOPES), ApiKey("reader", READER, frozenset({Scope.READ}))]
DOCUMENT = make_document(OPERATIONS)


class Client:
    """A client with a key."""

    def __init__(self, key=KEY):
        self.calls, self.feed = FakeCalls(), FakeFeed()
        self.app = Starlette(routes=make_routes(self.calls, KEYS, self.feed, DOCUMENT))
        self.token = key.hex()

    async def __call__(self, method, path, *, headers=None, **arguments):
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://bridge") as client:
            sent = {"authorization": f"Bearer {self.token}", **(headers or {})}
            return await client.request(method, path, headers=sent, **arguments)

    async def put(self, command=COMMAND, **arguments):
        return await self("POST", "/v1/jobs", json={"command": command}, **arguments)


def test_the_document_is_valid_openapi():
    openapi_spec_validator.validate(DOCUMENT)


def test_every_operation_says_what_a_key_must_allow():
    for operation in OPERATIONS:
        described = DOCUMENT["paths"][operation.path][operation.method.lower()]
        assert operation.scope.value in described["description"]


async def test_a_job_is_put_followed_and_deleted():
    client = Client()
    put = await client.put()
    assert put.status_code == 201
    place = put.headers["location"]
    assert (await client("GET", place)).json() == put.json()
    waited = (await client("GET", f"{place}?wait=5")).json()
    assert waited["state"] == "Complete"
    assert (await client("DELETE", place)).status_code == 204
    assert (await client("GET", place)).status_code == 404


async def test_a_job_is_put_once_under_a_key_of_the_clients():
    client = Client()
    first = await client.put(headers={"idempotency-key": "mine"})
    again = await client.put(headers={"idempotency-key": "mine"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (await client.put(headers={"idempotency-key": "other"})).json()["id"] != first.json()["id"]
    conflict = await client.put("waldur.brics get_users proj.waldur", headers={"idempotency-key": "mine"})
    assert conflict.status_code == 409


@pytest.mark.parametrize(
    ("length", "status"), [(0, 400), (1, 201), (MAX_KEY_CHARACTERS, 201), (MAX_KEY_CHARACTERS + 1, 400)]
)
async def test_the_length_of_such_a_key_is_bounded(length, status):
    assert (await Client().put(headers={"idempotency-key": "k" * length})).status_code == status


async def test_jobs_are_listed_in_pages_each_once():
    client = Client()
    for number in range(7):
        await client.put(f"waldur.brics add_user user{number}.proj.waldur")
    seen, after = [], None
    while True:
        page = (
            await client("GET", "/v1/jobs", params={"limit": 3} | ({} if after is None else {"after": after}))
        ).json()
        seen += [job["command"] for job in page["jobs"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(job.command for job in client.calls.jobs())
    found = (await client("GET", "/v1/jobs", params={"command": "user3"})).json()["jobs"]
    assert [job["command"] for job in found] == ["waldur.brics add_user user3.proj.waldur"]
    assert (await client("GET", "/v1/jobs", params={"state": "Complete"})).json()["jobs"] == []


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        f"limit={MAX_PAGE + 1}",
        "limit=-1",
        "limit=nan",
        "limit=x",
        "after=x",
        "after=1",
        "limit=%EF%BC%91",
    ],
)
async def test_a_query_that_makes_no_sense_names_the_offending_text(query):
    response = await Client()("GET", f"/v1/jobs?{query}")
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert query.partition("=")[0] in response.json()["title"]


@pytest.mark.parametrize(
    ("body", "state", "result"),
    [
        ({"result": "text", "type": "String"}, "Complete", '"text"'),
        ({"result": None}, "Complete", None),
        ({"error": "no such project"}, "Error", "no such project"),
        ({"progress": "half"}, "Running", "half"),
    ],
)
async def test_a_job_for_the_web_portal_is_answered(body, state, result):
    client = Client()
    job = Job.parse("waldur.bridge.res get_project proj.ukri", now=NOW).pending(NOW)
    client.calls.board.add(job)
    assert [each["id"] for each in (await client("GET", "/v1/inbox/jobs")).json()["jobs"]] == [str(job.id)]
    answered = await client("PUT", f"/v1/inbox/jobs/{job.id}/answer", json=body)
    assert answered.status_code == 200
    assert (answered.json()["state"], answered.json()["result"]) == (state, result)
    assert client.calls.board.current(job.id).status.value == state


@pytest.mark.parametrize(("token", "status"), [("", 401), ("00", 401), ("ff" * 32, 401), (READER.hex(), 403)])
async def test_a_key_must_count_and_must_allow_what_is_asked(token, status):
    client = Client()
    client.token = token
    response = await client.put()
    assert response.status_code == status
    assert client.calls.jobs() == []


async def test_a_reader_reads():
    client = Client(READER)
    assert (await client("GET", "/v1/jobs")).status_code == 200
    assert (await client("GET", "/v1/inbox/jobs")).status_code == 403


@pytest.mark.parametrize(("failure", "status"), [(UnavailableError("none"), 503), (JobError("no"), 502)])
async def test_a_failure_of_the_network_is_told_by_the_status(failure, status):
    client = Client()
    client.calls.failure = failure
    response = await client.put()
    assert (response.status_code, response.json()) == (status, {"status": status, "title": str(failure)})


async def test_a_client_that_comes_back_is_sent_what_it_missed():
    client = Client()
    client.feed.log.add("job", {"id": "one"})
    seen = client.feed.log.name_of(client.feed.log.last)
    client.feed.log.add("job", {"id": "two"})
    stream = await client("GET", "/v1/events", headers={"last-event-id": seen})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert "two" in stream.text
    assert "one" not in stream.text


@pytest.mark.parametrize("seen", ["other-1", "life-99", "life-", "nonsense", "life--1"])
async def test_a_client_of_another_life_is_told_to_start_over(seen):
    client = Client()
    client.feed.log.add("job", {"id": "one"})
    stream = await client("GET", "/v1/events", headers={"last-event-id": seen})
    assert "event: reset" in stream.text


@given(st.integers(1, 20), st.integers(0, 60), st.integers(0, 60))
def test_the_log_gives_all_that_came_after_a_number_or_says_that_it_cannot(most, added, number):
    log = EventLog("life", most)
    for each in range(added):
        log.add("job", {"each": each})
    found = log.since(number)
    if number <= added and number >= added - most:
        assert found is not None
        assert [event.number for event in found] == list(range(number + 1, added + 1))
    else:
        assert found is None


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@SCHEMA.exclude(path="/v1/events").parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_a_client_sends_the_answer_is_one_that_the_document_names(case):
    headers = {"authorization": f"Bearer {KEY.hex()}"}
    prepared = requests.Request(**case.as_transport_kwargs("http://bridge", headers)).prepare()

    async def send():
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
        transport = httpx2.ASGITransport(app=Client().app)
        async with httpx2.AsyncClient(transport=transport) as client:
            sent = [
                (name, value) for name, value in prepared.headers.items() if name.lower() != "content-length"
            ]
            return await client.request(prepared.method, prepared.url, headers=sent, content=body)

    # Its other checks send requests of their own, over sockets.
    case.validate_response(trio.run(send), checks=CHECKS, headers=headers)


def test_ids_of_jobs_under_a_key_differ_between_clients():
    from templemeads.roles.bridge.v1 import IDEMPOTENT_JOBS

    assert uuid.uuid5(IDEMPOTENT_JOBS, "all\nmine") != uuid.uuid5(IDEMPOTENT_JOBS, "reader\nmine")
