"""The bridge's HTTP interface for the published clients, without sockets and without a network behind it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from templemeads import JobError, RefusedError
from templemeads.jobs.job import Job
from templemeads.roles.bridge.api import PAGES, make_app
from templemeads.roles.bridge.authentication import ALL_SCOPES, ApiKey, Authenticator, Scope
from templemeads.roles.bridge.calls import UnavailableError
from templemeads.roles.bridge.door import MAX_BODY_BYTES, MAX_REJECTED, MAX_REQUESTS, Door
from tests.templemeads.roles.bridge.fakes import FakeCalls
from tests.templemeads.roles.bridge.test_authentication import KEY, NOW, signed

COMMAND = "waldur.brics add_user fred.proj.waldur"


class Web:
    """A web portal that signs its requests."""

    def __init__(self, *, scopes=ALL_SCOPES):
        self.calls = FakeCalls()
        self.door = Door(Authenticator([ApiKey("web portal", KEY, scopes)]), lambda: NOW, lambda: 0.0)
        self.app: Starlette = make_app(self.calls, self.door)
        self.number = 0

    async def send(self, method, path, body=b"", headers=None):
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://bridge") as client:
            return await client.request(method, path, content=body, headers=headers or {})

    async def call(self, name, value=None, *, raw=None):
        method = PAGES[name].method
        body = raw if raw is not None else b"" if value is None else json.dumps(value).encode()
        self.number += 1
        headers = signed(
            method=method.lower(), function=name, body=body.decode(), nonce=f"nonce {self.number}"
        )
        return await self.send(method, f"/{name}?openportal-version=0.1", body, headers)


async def test_the_root_is_there_for_everybody():
    response = await Web().send("GET", "/")
    assert (response.status_code, response.json()) == (200, None)


@pytest.mark.parametrize("path", ["/nowhere", "/run/", "/Run", "/%72un"])
async def test_a_path_that_is_none_of_them_is_not_found_and_says_nothing(path):
    response = await Web().send("POST", path)
    assert (response.status_code, response.content) == (404, b"")


async def test_a_wrong_method_names_the_right_one_and_says_nothing_else():
    response = await Web().send("GET", "/run")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")


async def test_what_is_run_comes_back_as_a_job_and_can_be_asked_for(autojump_clock):
    web = Web()
    web.calls.is_quick = False
    job = (await web.call("run", {"command": COMMAND, "more": 1})).json()
    assert (job["state"], job["version"], job["command"]) == ("Pending", 2, COMMAND)
    assert (await web.call("status", {"job": job["id"]})).json() == job
    assert (await web.call("status", {"job": job["id"].replace("-", "").upper()})).json() == job


async def test_a_question_about_a_quick_job_waits_for_its_end():
    web = Web()
    job = (await web.call("run", {"command": COMMAND})).json()
    assert (await web.call("status", {"job": job["id"]})).json()["state"] == "Complete"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("run", b""),
        ("run", b"[]"),
        ("run", b'{"command":1}'),
        ("run", b'{"command":"x"}'),
        ("run", b'{"command":"waldur.brics frobnicate fred"}'),
        ("run", b'{"command":"a.b c"}{'),
        ("run", b'{"command":"a","command":"b"}'),
        ("status", b'{"job":"nope"}'),
        ("fetch_job", b'{"job":"00000000-0000-4000-8000-000000000001"}'),
        ("fetch_job", b'"nope"'),
        ("fetch_notification", b"null"),
        ("send_result", b"[]"),
        ("send_result", b'{"id":"x"}'),
        ("sync_offerings", b'"res.waldur.ukri"'),
        ("sync_offerings", b"[1]"),
        ("notify", b'{"command":"waldur.brics user_added fred"}'),
        ("notify", b'{"command":""}'),
        ("restart", b'{"destination":""}'),
        ("run", b"[" * 100_000),
    ],
)
async def test_a_mistake_of_the_caller_is_told_in_one_line(name, raw):
    response = await Web().call(name, raw=raw)
    assert response.status_code == 400
    message = response.json()["message"]
    assert message.startswith("Something went wrong: ")
    assert "\n" not in message
    assert len(message) < 600


@pytest.mark.parametrize("name", ["status", "fetch_job", "fetch_notification"])
async def test_what_is_not_there_is_not_found(name):
    unknown = str(uuid.UUID(int=1))
    response = await Web().call(name, {"job": unknown} if name == "status" else unknown)
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("failure", "status"), [(UnavailableError("none"), 503), (RefusedError("no"), 400), (JobError("no"), 502)]
)
async def test_a_failure_is_told_by_the_status_and_where_clients_expect_it_within_the_answer(failure, status):
    web = Web()
    web.calls.failure = failure
    assert (await web.call("run", {"command": COMMAND})).status_code == status
    assert (await web.call("get_portal")).status_code == status
    for name, body in {
        "health": None,
        "diagnostics": {"destination": "x"},
        "restart": {"destination": "x", "restart_type": "soft"},
    }.items():
        response = await web.call(name, body)
        assert response.status_code == 200
        assert response.json() == {"status": "error", "message": str(failure)}


async def test_a_job_waits_for_the_web_portal_until_its_first_answer():
    web = Web()
    job = Job.parse("waldur.bridge.res get_project proj.ukri", now=NOW).pending(NOW)
    web.calls.board.add(job)
    (fetched,) = (await web.call("fetch_jobs")).json()
    assert (await web.call("fetch_job", str(job.id))).json() == fetched
    answer = {**fetched, "version": 1002, "state": "Complete", "result": "true", "result_type": "bool"}
    assert (await web.call("send_result", answer)).json() == {"status": "ok"}
    second = {**answer, "version": 2002, "result": "false"}
    assert (await web.call("send_result", second)).json() == {"status": "ok"}
    assert web.calls.board.current(job.id).result_text == "true"
    assert (await web.call("fetch_jobs")).json() == []
    assert (await web.call("fetch_job", str(job.id))).status_code == 404


async def test_strangers_learn_nothing():
    web = Web()
    response = await web.send("POST", "/run", b"{}")
    assert (response.status_code, response.json()) == (401, {"message": "Something went wrong: Unauthorized"})


async def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not():
    web = Web()
    fits = json.dumps({"command": COMMAND, "filler": ""}).encode()
    fits = fits[:-2] + b"x" * (MAX_BODY_BYTES - len(fits)) + fits[-2:]
    assert (await web.call("run", raw=fits)).status_code == 200
    sent = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/run",
        "raw_path": b"/run",
        "query_string": b"",
        "headers": [],
    }

    async def receive():
        return {"type": "http.request", "body": fits + b" ", "more_body": True}

    async def send(message):
        sent.append(message)

    await web.app(scope, receive, send)
    assert [message.get("status") for message in sent] == [413, None]
    assert sent[1]["body"].count(b"\n") == 1


async def test_a_key_opens_what_its_scopes_say():
    web = Web(scopes=frozenset({Scope.READ}))
    assert (await web.call("get_portal")).status_code == 200
    refused = await web.call("run", {"command": COMMAND})
    assert refused.status_code == 403
    assert "submit" in refused.json()["message"]


def test_strangers_use_up_their_own_share_only():
    web = Web()
    for _ in range(MAX_REJECTED):
        with pytest.raises(Exception, match="Authorization"):
            web.door.admit("get", "health", [], b"", "198.51.100.7")
    with pytest.raises(Exception, match="too many"):
        web.door.admit("get", "health", [], b"", "198.51.100.7")
    assert web.door.admit("get", "health", list(signed().items()), b"", "198.51.100.7").name == "web portal"


def test_a_web_portal_has_a_share_that_ends():
    web = Web()
    headers = list(signed().items())
    for _ in range(MAX_REQUESTS):
        web.door.admit("get", "health", headers, b"", "10.0.0.1")
    with pytest.raises(Exception, match="too many"):
        web.door.admit("get", "health", headers, b"", "10.0.0.1")
    web.door.admit("get", "health", headers, b"", "10.0.0.2")


def test_every_endpoint_of_the_recordings_is_served():
    data = Path(__file__).parents[3] / "data" / "bridge_exchanges.json"
    recorded = {
        (exchange["request"]["path"].partition("?")[0].strip("/"), exchange["request"]["method"])
        for scenario in json.loads(data.read_text())["scenarios"]
        for exchange in scenario["exchanges"]
    }
    assert recorded - {("", "GET")} <= {(name, page.method) for name, page in PAGES.items()}
