"""Who may speak to the bridge: signatures, dates, nonces, and whose request counts for whom."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddington.config.address import Addresses
from templemeads.roles.bridge.authentication import (
    DATE_SECONDS,
    NONCE_SECONDS,
    ApiKey,
    Authenticator,
    RejectedError,
)
from templemeads.roles.bridge.rates import WINDOW_SECONDS, Rates, caller_of
from templemeads.roles.bridge.signatures import Call, tag, text_v2

DATA = Path(__file__).parents[3] / "data"
RECORDED = json.loads((DATA / "bridge_exchanges.json").read_text())
KEY = bytes(range(32))
NOW = 1_704_110_400.0
DATE = "Mon, 01 Jan 2024 12:00:00 GMT"
NONCE = "11111111-2222-4333-8444-555555555555"
RUN = '{"command":"waldur.provider get_offerings"}'
NOTIFY = '{"command":"waldur.provider user_added fréd.\\"x\\".y"}'


def signed(version=1, *, key=KEY, now=NOW, method="get", function="health", body="", nonce=None, **changed):
    """Headers of a request that is signed as it says."""
    date = format_datetime(datetime.fromtimestamp(now, UTC), usegmt=True)
    headers = {
        "authorization": f"OpenPortal {tag(key, Call(method, function, date, body, nonce), version)}",
        "date": date,
    }
    if nonce is not None:
        headers["x-nonce"] = nonce
    if version == 2:
        headers["x-openportal-signature-version"] = "2"
    return {**headers, **changed}


def authenticator(**changed):
    return Authenticator([ApiKey("web portal", KEY)], **changed)


@pytest.mark.parametrize(
    ("version", "call", "wanted"),
    [
        (1, Call("get", "health", DATE), "7ceeab3f4d40c3ce3d2f26d2433c06056d344b73659b4a6dad0676729ebbd59e"),
        (
            1,
            Call("get", "health", DATE, nonce=NONCE),
            "14a5b48e16ad9b0636e9ce35713a60bca68c0254f3fdcbbdd87d3dd8f5f9d5de",
        ),
        (
            1,
            Call("post", "run", DATE, RUN, NONCE),
            "3cddcba693dfa2bb2003b8327b559269b2afcaeb41f491195c56908047ec0641",
        ),
        (
            1,
            Call("post", "notify", DATE, NOTIFY, NONCE),
            "c53c4f5fec74bbfb023672dc57a5c6467a2ad705e773ae7510ddbefb94e6751d",
        ),
        (
            2,
            Call("get", "health", DATE, nonce=NONCE),
            "05f4e67223d90615101f3a0c2e10ae0c21312398e418730c8b04618efa78ad67",
        ),
        (
            2,
            Call("post", "run", DATE, RUN, NONCE),
            "cbd09dea3264eb7a88cfbce0418f5fe0bb1fed5587e40455078a1e5814144804",
        ),
        (
            2,
            Call("post", "notify", DATE, NOTIFY, NONCE),
            "910acbff79fa1981cb66f0284ef4b1964c0c03465469c8ea85eb7da025025531",
        ),
    ],
)
def test_signatures_agree_with_the_published_vectors(version, call, wanted):
    assert tag(KEY, call, version) == wanted


def test_version_2_agrees_with_the_vectors_of_newer_bridges():
    key = bytes.fromhex("00112233445566778899aabbccddeeff" * 2)
    date = "Mon, 03 Aug 2026 12:00:00 GMT"
    assert tag(key, Call("get", "get_portal", date), 2).startswith(
        "61add4808751b10b317cc07a7f0c38084f9d6d2939ea"
    )
    assert tag(key, Call("post", "run", date, '{"note":"café ☕"}', "n"), 2).startswith(
        "2bd007f430d08cfa73dc4068"
    )


@given(st.tuples(*[st.text(max_size=8)] * 4), st.tuples(*[st.text(max_size=8)] * 4))
def test_no_two_calls_have_the_same_text_in_version_2(one, other):
    def call(fields):
        return Call("post", *[field.encode("utf-8", "replace").decode() for field in fields])

    assert (text_v2(call(one)) == text_v2(call(other))) == (call(one) == call(other))


def exchanges():
    for scenario in RECORDED["scenarios"]:
        for number, exchange in enumerate(scenario["exchanges"]):
            request = exchange["request"]
            if request["path"] != "/":
                yield pytest.param(request, exchange["response"]["status"], id=f"{scenario['name']}-{number}")


@pytest.mark.parametrize(("request_", "status"), list(exchanges()))
def test_every_recorded_request_is_taken_or_rejected_as_it_was(request_, status):
    headers = request_["headers"]
    version = headers.get("x-openportal-signature-version")
    try:
        sent = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        sent = 0.0
    # What the recording called far off was off by 8 s, on a clock that is not in it.
    if headers.get("date", "").endswith(("12:10:05 GMT", "12:10:21 GMT")) and status == 401:
        sent += 8
    function = request_["path"].partition("?")[0].strip("/")
    body = request_["body"].encode().replace(b"\\xff", b"\xff")
    checker = authenticator()
    try:
        checker.check(request_["method"].lower(), function, headers, body, sent)
        verdict = 200
    except RejectedError as rejected:
        verdict = rejected.status
    if version == "3":
        assert verdict == 400  # the recorded bridge did not look at the header
    elif version == "2" and status == 401:
        # A client of version 2, which the recorded bridge refused, or a request of version 1 that says it is of 2.
        assert verdict in {200, 401}
    elif status == 401 and verdict == 200:
        with pytest.raises(RejectedError, match="used before"):
            checker.check(request_["method"].lower(), function, headers, body, sent)
    else:
        assert (verdict == 401) == (status == 401)


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_signed_now_with_a_key_is_taken_and_says_whose_it_is(version):
    found = authenticator().check("get", "health", signed(version, nonce=NONCE), b"", NOW)
    assert found.name == "web portal"


@pytest.mark.parametrize("version", [1, 2])
def test_a_signature_of_one_version_is_never_taken_for_the_other(version):
    headers = signed(version, nonce=NONCE)
    headers["x-openportal-signature-version"] = str(3 - version)
    with pytest.raises(RejectedError, match="fits no key"):
        authenticator().check("get", "health", headers, b"", NOW)


@pytest.mark.parametrize("header", ["", "0", "3", "2.0", " 2", "two"])
def test_a_version_that_does_not_exist_is_the_callers_mistake(header):
    with pytest.raises(RejectedError) as rejected:
        authenticator().check("get", "health", signed(**{"x-openportal-signature-version": header}), b"", NOW)
    assert rejected.value.status == 400


@pytest.mark.parametrize("off", [DATE_SECONDS, -DATE_SECONDS])
def test_a_date_at_the_limit_is_taken_and_one_beyond_is_not(off):
    authenticator().check("get", "health", signed(), b"", NOW + off)
    with pytest.raises(RejectedError, match="from this clock"):
        authenticator().check("get", "health", signed(), b"", NOW + off * 1.01)


def test_a_request_is_taken_once():
    checker = authenticator()
    headers = signed(nonce=NONCE)
    checker.check("get", "health", headers, b"", NOW)
    with pytest.raises(RejectedError, match="used before"):
        checker.check("get", "health", headers, b"", NOW)


def test_a_stranger_uses_up_no_nonce():
    checker = authenticator()
    with pytest.raises(RejectedError):
        checker.check("get", "health", signed(key=bytes(32), nonce=NONCE), b"", NOW)
    checker.check("get", "health", signed(nonce=NONCE), b"", NOW)


def test_nonces_are_forgotten_when_they_are_old_or_too_many():
    checker = authenticator(max_nonces=3)
    for number in range(5):
        checker.check("get", "health", signed(nonce=str(number)), b"", NOW)
    assert len(checker._nonces) == 3
    later = NOW + NONCE_SECONDS + 1
    checker.check("get", "health", signed(nonce="4", now=later), b"", later)
    assert len(checker._nonces) == 1


def test_during_a_rotation_both_keys_count():
    checker = Authenticator([ApiKey("new", bytes(32)), ApiKey("old", KEY)])
    assert checker.check("get", "health", signed(), b"", NOW).name == "old"
    assert checker.check("get", "health", signed(key=bytes(32)), b"", NOW).name == "new"


@given(
    st.dictionaries(
        st.sampled_from(["authorization", "date", "x-nonce", "x-openportal-signature-version"]), st.text()
    ),
    st.binary(),
)
def test_whatever_a_stranger_sends_is_rejected_and_breaks_nothing(headers, body):
    with pytest.raises(RejectedError) as rejected:
        authenticator().check("post", "run", headers, body, NOW)
    assert rejected.value.status in {400, 401}


def test_an_address_has_its_share_in_each_window_and_takes_none_of_another():
    rates = Rates(requests=3, addresses=2)
    assert [rates.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert rates.take("b", 0.0)
    assert not rates.take("a", WINDOW_SECONDS)
    assert rates.take("a", WINDOW_SECONDS + 0.1)


def test_the_number_of_addresses_that_are_counted_is_bounded():
    rates = Rates(requests=1, addresses=10)
    for number in range(1000):
        rates.take(str(number), 0.0)
    assert len(rates._counts) == 10


@pytest.mark.parametrize(
    ("peer", "forwarded", "real_ip", "wanted"),
    [
        ("198.51.100.7", ["192.0.2.1"], None, "198.51.100.7"),
        ("10.0.0.1", ["192.0.2.1"], None, "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.66, 192.0.2.1"], None, "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1, 10.0.0.2"], None, "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1", "10.0.0.2"], None, "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1, rubbish"], None, "10.0.0.1"),
        ("10.0.0.1", [], "192.0.2.5", "192.0.2.5"),
        ("10.0.0.1", ["rubbish"], "192.0.2.5", "10.0.0.1"),
        ("10.0.0.1", [], None, "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_may_say_whose_request_it_is(peer, forwarded, real_ip, wanted):
    assert caller_of(peer, Addresses.parse("10.0.0.0/24"), forwarded, real_ip) == wanted
    assert caller_of(peer, None, forwarded, real_ip) == peer
